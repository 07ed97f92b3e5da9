"""Clean edges and continua of single pixels, drawn from a fitted forward model.

Notation: n pixels, L channels of the window, B bins of the profile, P coefficients of the
continuum, K classes. Intensities are in edge units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.forward_model.components import LEVELS, REACH, absent
from eels_bayes.forward_model.continuum import tail
from eels_bayes.forward_model.edge_shapes import onto_bins, wide_axis
from eels_bayes.forward_model.model import ForwardModel

LEAST_PURE = 1e-6  # weight of pure pixels of a class at least: what none shows can be drawn
SHARES = (0.1, 0.9)  # of the first class in a mixed pixel: beyond, it is as good as pure


class Clean(NamedTuple):
    """n clean spectra.

    Attributes
    ----------
    spectra : (n, L) array
        Edge units.
    fractions : (n, K) array
        Share of each class.
    values : (n,) array or None
        In the library's unit, where it has values.
    """

    spectra: Array
    fractions: Array
    values: Array | None


def population_edges(model: ForwardModel, n: int, rng: np.random.Generator) -> Clean:
    """Edges of ``n`` pixels, classes and mixtures as frequent as in the data; nothing overlaps."""
    n_classes = model.library.n_classes
    flat = rng.choice(n_classes**2, size=n, p=model.pair_weights.ravel())
    first, second = np.divmod(flat, n_classes)
    share = np.where(first == second, 1.0, rng.uniform(*SHARES, n))
    _draw_levels(model, first, second, share, rng)
    return blended_edges(model, first, second, share, rng)


def mixture_edges(model: ForwardModel, n: int, rng: np.random.Generator) -> Clean | None:
    """Edges of ``n`` pixels of two classes each, pairs as frequent as in the data, if any is."""
    n_classes = model.library.n_classes
    weights = model.pair_weights * (1.0 - np.eye(n_classes))
    if not weights.any():
        return None
    flat = rng.choice(n_classes**2, size=n, p=weights.ravel() / weights.sum())
    return blended_edges(model, *np.divmod(flat, n_classes), rng.uniform(*SHARES, n), rng)


def class_edges(model: ForwardModel, k: int, n: int, rng: np.random.Generator) -> Clean:
    """Edges of ``n`` pixels that class ``k`` dominates, mixed ones as frequent as in the data."""
    pairs, none = model.pair_weights, absent(model.library)
    # a share of the first above a half is as frequent as one below
    partners = 0.5 * (pairs[k] + pairs[:, k])
    if none is not None:  # the part of an edge that is there is of its class
        partners = np.zeros(len(pairs)) if k == none else partners
        partners[none] = pairs[k, none]
    partners[k] = max(pairs[k, k], LEAST_PURE)
    second = rng.choice(len(partners), size=n, p=partners / partners.sum())
    share = np.where(second == k, 1.0, rng.uniform(0.5, SHARES[1], n))
    first = np.full(n, k)
    _draw_levels(model, first, second, share, rng)
    return blended_edges(model, first, second, share, rng)


def single_edges(model: ForwardModel, labels: Array, rng: np.random.Generator) -> Clean:
    """Edges of pixels that hold one class (n,) alone, of the sizes that it has in the data."""
    none, second, share = absent(model.library), labels.copy(), np.ones(len(labels))
    if none is not None:
        pairs = model.pair_weights
        alone, other = np.diag(pairs)[labels], np.where(labels == none, 0.0, pairs[labels, none])
        second[rng.random(len(labels)) * (alone + other) < other] = none
        _draw_levels(model, labels, second, share, rng)
    return blended_edges(model, labels, second, share, rng)


def _draw_levels(
    model: ForwardModel, first: Array, second: Array, share: Array, rng: np.random.Generator
) -> None:
    """Intensities for shares (n,), in place, where the second class (n,) is the absent one."""
    none = absent(model.library)
    if none is None:
        return
    for k in range(model.library.n_classes):
        here = np.flatnonzero((first == k) & (second == none) & (first != none))
        level = rng.choice(len(LEVELS), size=len(here), p=model.level_weights[k])
        reach = np.array(REACH)[level]
        share[here] = np.array(LEVELS)[level] + reach * rng.uniform(-1.0, 1.0, len(here))


def blended_edges(
    model: ForwardModel, first: Array, second: Array, share: Array, rng: np.random.Generator
) -> Clean:
    """Edges that are a share (n,) of the first class (n,) and for the rest of the second (n,).

    Where the second is the absent one, of the first alone: the share is its intensity.
    """
    n, n_classes, none = len(first), model.library.n_classes, absent(model.library)
    sized = (second == none) & (first != second) if none is not None else np.zeros(n, dtype=bool)
    there, fractions = np.zeros((2, n, n_classes))
    for found, of_first in ((there, share), (fractions, np.where(sized, 1.0, share))):
        np.add.at(found, (np.arange(n), first), of_first)
        np.add.at(found, (np.arange(n), second), np.where(sized, 0.0, 1.0 - share))
    edge, _, value = model.library.vary(n, rng, labels=first)
    mixed = np.flatnonzero(first != second)
    partner, _, partner_value = model.library.vary(len(mixed), rng, labels=second[mixed])
    part = share[mixed]
    edge[mixed] = part[:, None] * edge[mixed] + (1.0 - part[:, None]) * partner
    if value is not None and partner_value is not None:
        value[mixed] = part * value[mixed] + (1.0 - part) * partner_value
    return Clean(edge + _misfits(model, there, rng), fractions, value)


def _misfits(model: ForwardModel, fractions: Array, rng: np.random.Generator) -> Array:
    """What pixels (n, L) of these classes (n, K) miss their fingerprints by."""
    if not model.misses:
        return np.zeros(1)
    shapes = model.along.on(model.continuum.energy, model.library.energy)
    return model.misfit.draw(fractions * model.along.amplitude, rng) @ shapes


def continuum_coefficients(model: ForwardModel, n: int, rng: np.random.Generator) -> Array:
    """Continuum coefficients ``u`` (n, P) of single pixels."""
    u = rng.multivariate_normal(model.mean, model.covariance, size=n, method="cholesky")
    # An overlapping edge adds intensity; the Gaussian's negative tail is not physical.
    overlap = u[:, u.shape[1] - len(model.library.nuisances) :]
    np.maximum(overlap, 0.0, out=overlap)
    return u


def overlapping_shapes(model: ForwardModel, u: Array) -> Array:
    """Overlapping shapes (n, L) of coefficients (n, P)."""
    shapes = model.library.nuisances
    return u[:, u.shape[1] - len(shapes) :] @ shapes


def noise_free_profile(model: ForwardModel, edge: Array, u: Array) -> Array:
    """Profiles (n, B) without noise of clean edges (n, L) on continua (n, P)."""
    bins, library = model.continuum.energy, model.library
    fine = wide_axis(bins, library.energy)
    start = int(np.argmin(np.abs(fine - library.energy[0])))
    last = edge[:, -1:] * tail(library, fine)[start + edge.shape[1] :]
    shown = np.concatenate([np.zeros((len(edge), start)), edge, last], axis=1)
    rate: Array = model.continuum.center(bins) + u @ model.continuum.columns(bins, library).T
    return rate + onto_bins(bins, fine, shown[:, : len(fine)])
