"""The forward model of eels_bayes without its networks: the class posterior of its own fit.

Not a peer but an ablation: what `fit_forward_model`, from which the networks' training pairs are
drawn, says of a pixel by itself. Its components are pure classes and mixtures of two; a mixture
counts for the class that dominates it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

import eels_bayes as eb
from eels_bayes.continuum import (
    MIXING,
    ForwardModel,
    LibraryFit,
    basis,
    component_log_likelihood,
    fit_forward_model,
)

from .shared import Array, Binned, all_rows, binned


class Shape(NamedTuple):
    """One component in whitened bins: mean (B,) and loadings (B, q) of standard-normal factors."""

    mean: Array
    loadings: Array


class Component(NamedTuple):
    """Classes of a component, the share of the first, and the weight of the component."""

    first: int
    second: int
    share: float
    weight: float


class Posterior(NamedTuple):
    """Class probabilities (m, K) and log-likelihood (m,) of the usable pixels, nats."""

    probabilities: Array
    log_likelihood: Array


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) by the fitted forward model alone; NaN where flagged."""
    model = fit_forward_model(spectra, library, seed=seed, show_progressbar=show_progressbar)
    return all_rows(posterior(model, spectra).probabilities, spectra)


def posterior(model: ForwardModel, spectra: eb.Spectra) -> Posterior:
    """Read every usable pixel with a fitted forward model."""
    data = binned(spectra)
    white = 1.0 / np.sqrt(data.shape)
    power, columns = basis(spectra.canonical_energy, model.reference, model.library)
    target = (data.intensity - data.rows(power)) * white
    columns = data.rows(columns.T).T * white[:, None]
    root = np.linalg.cholesky(model.covariance)
    shapes = _class_shapes(model, data, white, len(spectra.canonical_energy))
    components = _components(model)
    joint = np.empty((len(target), len(components)))
    for i, (a, b, share, weight) in enumerate(components):
        shape: Any = shapes[a] if a == b else _mixed(shapes[a], shapes[b], share)
        found = component_log_likelihood(target, data.level, columns, root, model.mean, shape)
        joint[:, i] = found[0] + np.log(weight)
    evidence = logsumexp(joint, axis=1)
    gamma = np.exp(joint - evidence[:, None])
    dominant = np.array([c.first if c.share > 0.5 else c.second for c in components])
    return Posterior(gamma @ np.eye(model.library.n_classes)[dominant], evidence)


def _components(model: ForwardModel) -> list[Component]:
    """Pure classes and, at each share of ``MIXING``, the pairs that the fit gives any weight.

    All shares of a pair weigh the same, as they do where pairs are drawn from the model.
    """
    components = []
    for a, b in np.argwhere(model.pair_weights > 0).tolist():
        weight = float(model.pair_weights[a, b])
        shares = (1.0,) if a == b else MIXING
        components += [Component(a, b, share, weight / len(shares)) for share in shares]
    return components


def _class_shapes(model: ForwardModel, data: Binned, white: Array, n_channels: int) -> list[Shape]:
    """Mean of each class, loadings of intensity, shift and broadening, then of its own spread."""
    library = model.library
    vary, energy = library.variations, library.energy
    step = energy[1] - energy[0]
    # The library's typical broadening belongs to the mean, as in the fit.
    intensity = LibraryFit(broadening=vary.broadening**2).apply(energy, library.intensity)

    def whitened(rows: Array) -> Array:
        before = n_channels - len(energy)
        return data.rows(np.pad(rows, ((0, 0), (before, 0)))) * white

    shapes = []
    for k in range(library.n_classes):
        rows = intensity[library.labels == k]
        mean = rows.mean(0)
        slope = np.gradient(mean, step)
        common = [
            vary.intensity * mean,
            -vary.shift * slope,
            # sigma^2 of a half-normal sigma has a standard deviation of sqrt(2) its mean square
            np.sqrt(0.5) * vary.broadening**2 * np.gradient(slope, step),
        ]
        loadings = np.array([*common, *((rows - mean) / np.sqrt(len(rows)))])
        shapes.append(Shape(whitened(mean[None])[0], whitened(loadings).T))
    return shapes


def _mixed(a: Shape, b: Shape, share: float) -> Shape:
    """A mixture: intensity, shift and broadening are shared, the classes' spreads are not."""
    parts = (share * a.loadings, (1.0 - share) * b.loadings)
    common = parts[0][:, :3] + parts[1][:, :3]
    loadings = np.concatenate([common, parts[0][:, 3:], parts[1][:, 3:]], axis=1)
    return Shape(share * a.mean + (1.0 - share) * b.mean, loadings)
