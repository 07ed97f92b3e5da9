"""Least squares of every pixel to classes of different shape, with a shift of its own.

    y = sum_k a_k f_k(E - d) + b + c E + noise,    a_k >= 0,

weighted by the edge spectra's own variance; the straight line takes up what the background left.
The shift d is the best of a grid. Two readings of it:

* MLLS (multiple linear least squares): all classes at once. The amplitudes' Gaussian uncertainty
  at the best shift, N(a, C) with the errors enlarged by the residuals where these are larger than
  the noise, is drawn from, without what is negative; the class's probability is how often its share
  is the largest (with half a draw beside, so that nothing is impossible), and the value is that of
  the shares.
* Chi-square: one class at a time, p(k) ~ exp(-chi2_k / 2), or of chi2 over the best class's own
  per degree of freedom where that is above 1, as is usual where models are known to be wrong.
"""

from __future__ import annotations

from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from tqdm.auto import tqdm

import eels_bayes as eb
from eels_bayes.data.energy_resampling import shift_and_broaden

from .shared import Array, all_rows, intensity

SHIFTS = np.arange(-2.0, 2.01, 0.1)  # eV
DRAWS = 400
RIDGE = 1e-9  # of the normal matrix's diagonal: subsets of alike shapes stay solvable


class Fits(NamedTuple):
    """Best fits of m pixels: chi2 (m,), shift (m,) in eV, and coefficients (m, K + 2).

    ``normal`` (m, K + 2, K + 2) is the weighted normal matrix at the best shift, ``right`` (m, K +
    2) the right-hand side; ``freedom`` the channels that are left.
    """

    chi2: Array
    shift: Array
    coefficients: Array
    normal: Array
    right: Array
    freedom: int


class Draws(NamedTuple):
    """Shares (m, DRAWS, K) of the classes in what MLLS holds possible."""

    shares: Array

    def probabilities(self) -> Array:
        """How often each class (m, K) has the largest share."""
        n_classes = self.shares.shape[2]
        largest = self.shares.argmax(2)
        counts = np.stack([(largest == k).sum(1) for k in range(n_classes)], 1) + 0.5
        found: Array = counts / counts.sum(1, keepdims=True)
        return found

    def values(self, of_classes: Array) -> Array:
        """Value (m, DRAWS) of the shares."""
        drawn: Array = self.shares @ of_classes
        return drawn


def fit(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    classes: tuple[int, ...],
    *,
    show_progressbar: bool = True,
) -> Fits:
    """Nonnegative least squares to some of the classes, at the best of the shifts."""
    shapes = library.resample(spectra.energy).class_spectra[list(classes)]
    rows = intensity(spectra)
    weight = 1.0 / spectra.sd[spectra.ok].astype(np.float64) ** 2
    step = spectra.energy[1] - spectra.energy[0]
    line = np.linspace(-1.0, 1.0, len(spectra.energy))
    best: Fits | None = None
    squares = (weight * rows**2).sum(1)
    for shift in tqdm(SHIFTS, desc="least squares", leave=False, disable=not show_progressbar):
        moved = shift_and_broaden(shapes, shift / step, 0.0)
        design = np.stack([*moved, np.ones_like(line), line])
        normal = np.einsum("nl,pl,ql->npq", weight, design, design, optimize=True)
        right = (weight * rows) @ design.T
        gain, coefficients = _best_subset(normal, right, len(shapes))
        freedom = len(line) - len(design) - 1
        found = Fits(
            squares - gain, np.full(len(rows), shift), coefficients, normal, right, freedom
        )
        best = found if best is None else _better(best, found)
    assert best is not None
    return best


def _best_subset(normal: Array, right: Array, n_shapes: int) -> tuple[Array, Array]:
    """By how much chi2 falls (m,), and coefficients (m, P), of the best nonnegative solution.

    With so few shapes all subsets can be solved; the line's coefficients may have either sign.
    """
    n, size = right.shape
    gain, coefficients = np.full(n, -np.inf), np.zeros((n, size))
    free = tuple(range(n_shapes, size))
    subsets = chain.from_iterable(combinations(range(n_shapes), k) for k in range(n_shapes + 1))
    for subset in subsets:
        index = np.array(subset + free)
        part = normal[:, index[:, None], index]
        part = part + RIDGE * np.eye(len(index)) * np.trace(part, axis1=1, axis2=2)[:, None, None]
        solved = np.linalg.solve(part, right[:, index, None])[..., 0]
        reached = (right[:, index] * solved).sum(1)
        better = (solved[:, : len(subset)] >= 0).all(1) & (reached > gain)
        gain[better] = reached[better]
        rows = np.zeros((n, size))
        rows[:, index] = solved
        coefficients[better] = rows[better]
    return gain, coefficients


def _better(one: Fits, other: Fits) -> Fits:
    """Of each pixel the better fit."""
    which = other.chi2 < one.chi2

    def chosen(a: Array, b: Array) -> Array:
        return np.where(which.reshape(-1, *[1] * (a.ndim - 1)), b, a)

    parts = [chosen(a, b) for a, b in zip(one[:-1], other[:-1], strict=True)]
    return Fits(*parts, one.freedom)


def drawn(fits: Fits, n_classes: int, *, seed: int = 0) -> Draws:
    """Shares of the classes, drawn from the amplitudes' uncertainty."""
    rng = np.random.default_rng(seed)
    size = fits.normal.shape[1]
    ridge = RIDGE * np.trace(fits.normal, axis1=1, axis2=2)[:, None, None] * np.eye(size)
    covariance = np.linalg.inv(fits.normal + ridge)
    center = (covariance @ fits.right[..., None])[:, :n_classes, 0]
    wider = np.maximum(fits.chi2 / fits.freedom, 1.0)
    root = np.linalg.cholesky(covariance[:, :n_classes, :n_classes]) * np.sqrt(wider)[:, None, None]
    normal = rng.standard_normal((len(center), DRAWS, n_classes))
    amplitude = np.maximum(center[:, None] + np.einsum("nij,ndj->ndi", root, normal), 0.0)
    total = amplitude.sum(2, keepdims=True)
    return Draws(np.where(total > 0, amplitude / np.where(total > 0, total, 1.0), 1.0 / n_classes))


def mlls(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Draws:
    """MLLS of the usable pixels."""
    classes = tuple(range(library.n_classes))
    fits = fit(spectra, library, classes, show_progressbar=show_progressbar)
    return drawn(fits, library.n_classes, seed=seed)


def by_mlls(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) by MLLS; NaN where flagged."""
    found = mlls(spectra, library, seed=seed, show_progressbar=show_progressbar)
    return all_rows(found.probabilities(), spectra)


def by_chi_square(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
    rescaled: bool = False,
) -> Array:
    """Class probabilities (n, K) by the classes' chi-squares; NaN where flagged.

    Nothing here is random: ``seed`` is not needed.
    """
    fits = [
        fit(spectra, library, (k,), show_progressbar=show_progressbar)
        for k in range(library.n_classes)
    ]
    chi2 = np.stack([each.chi2 for each in fits], 1)
    scale = np.ones(len(chi2))
    if rescaled:
        scale = np.maximum(chi2.min(1) / fits[0].freedom, 1.0)
    return all_rows(softmax(-0.5 * chi2 / scale[:, None], axis=1), spectra)
