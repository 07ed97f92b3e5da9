"""Pixels that a forward model draws itself."""

import numpy as np


def whitened_pixels(model, n, noise, seed):
    """Whitened deviations (n, B) of pixels, whose bins have this noise variance."""
    rng = np.random.default_rng(seed)
    parts, (_, weight) = model.rotated_components(), model.components()
    which = rng.choice(len(parts), n, p=weight)
    deviation = np.empty((n, len(model.mean_profile)))
    for row, c in enumerate(which):
        part = parts[c]
        deviation[row] = part.center + part.loadings @ rng.standard_normal(len(part.value))
    return deviation + np.sqrt(noise) * rng.standard_normal(deviation.shape)
