"""From a fitted forward model to the fixed network that reads pixels.

Apart from the network itself, so that the fast path, which needs no forward model, starts without
what fits one.
"""

from __future__ import annotations

import numpy as np
import torch

from eels_bayes.forward_model.directions import spanned
from eels_bayes.forward_model.edge_shapes import (
    LibraryFit,
    mean_edges,
    unknown_shapes,
    unlike_all,
)
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.pixel_posterior import PixelEvidence

LEAST_PRIOR = 1e-6  # prior weight of a component at least: none is ruled out


def evidence_of(model: ForwardModel) -> PixelEvidence:
    """The fixed network of a fitted forward model.

    Parameters
    ----------
    model : ForwardModel

    Returns
    -------
    PixelEvidence
        Float32, on the CPU.

    Raises
    ------
    ValueError
        If the model's numbers are not finite.
    """
    energy, white, inside = model.continuum.energy, model.white, model.continuum.inside
    known = model.rotated_components()
    _, weight = model.components()
    anything = unknown_shapes(energy, model.library, white)
    if model.along.shape.any():  # where an edge can be of another shape than the classes'
        edges = mean_edges(energy, model.library, LibraryFit())
        anything.append(unlike_all(edges * white, model.along.shape * white[:, None]))
    unknown = model.on_continuum(anything) + model.rotated_foreign()
    parts = known + unknown

    spreads = [part.loadings @ part.basis.T for part in parts]  # of standard normal factors
    centers = np.array([part.center for part in parts])
    directions = np.concatenate([centers.T, *spreads], 1)
    if not np.isfinite(directions).all():
        raise ValueError("the forward model's numbers make no finite evidence")
    span = spanned(directions)
    reduced = [span.T @ spread for spread in spreads]
    variance, axes = np.linalg.eigh(np.array([spread @ spread.T for spread in reduced]))
    variance = np.maximum(variance, 0.0)
    shown = [
        np.vstack([(span[inside] @ axes[k] * variance[k]).T, known[k].center[inside]])
        for k in range(len(known))
    ]
    offset = np.einsum("cb,bs,cst->ct", centers, span, axes)
    module = PixelEvidence(
        (len(energy), span.shape[1], len(known), len(unknown), int(inside.sum()))
    )
    buffers = {
        "center": model.continuum.center(energy),
        "white": white,
        "middle": model.middle,
        "spread": model.spread,
        "brightness": model.mean_profile.mean(),
        "log_weight": np.log(np.maximum(weight, LEAST_PRIOR)),
        "span": span,
        "axes": np.concatenate(list(axes), 1),
        "offset": offset.ravel(),
        "variance": variance,
        "shown": np.concatenate(shown),
    }
    for name, array in buffers.items():
        setattr(module, name, torch.as_tensor(array, dtype=torch.float32).contiguous())
    module.inside = torch.as_tensor(np.flatnonzero(inside))
    return module
