"""Least squares of every pixel to classes of different shape, with a shift of its own.

    y = sum_k a_k f_k(E - d) + b + c E + noise,    a_k >= 0,

weighted by the edge spectra's own variance; the straight line takes up what the background left.
The shift d is that of a grid, and the library is broadened alike for all pixels, by what fits them
best, as one matches a resolution. Two readings of it:

* MLLS (multiple linear least squares): all classes at once. Shares of the classes are drawn: a
  shift by its likelihood, then amplitudes from their Gaussian uncertainty there, N(a, C), without
  what is negative, all errors enlarged by the residuals where these are larger than the noise. A
  class's probability is how often its share is the largest (with half a draw beside, so that
  nothing is impossible), and the value is that of the shares.
* Chi-square: one class at a time at its best shift, p(k) ~ exp(-chi2_k / 2), or of chi2 over the
  best class's own per degree of freedom where that is above 1, as is usual where models are known
  to be wrong.
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

SHIFTS = np.arange(-1.0, 1.01, 0.1)  # eV
BROADENINGS = (0.0, 0.2, 0.4, 0.6, 0.8)  # sigma, eV
MATCHED_WITH = 200  # pixels that the broadening is found with
DRAWS = 400
RIDGE = 1e-9  # of the normal matrix's diagonal: subsets of alike shapes stay solvable


class Fits(NamedTuple):
    """Fits of m pixels at each of S shifts: chi2 (m, S), and what it comes from.

    ``coefficients`` (m, S, P) of classes, constant and slope; ``normal`` (m, S, P, P) the weighted
    normal matrix and ``right`` (m, S, P) the right-hand side; ``freedom`` the channels left.
    """

    chi2: Array
    coefficients: Array
    normal: Array
    right: Array
    freedom: int

    @property
    def best(self) -> Array:
        """Smallest chi2 (m,)."""
        smallest: Array = self.chi2.min(1)
        return smallest


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
    spectra: eb.Spectra, shapes: Array, *, sigma: float = 0.0, show_progressbar: bool = True
) -> Fits:
    """Nonnegative least squares of the usable pixels to shapes (K, L), at every shift."""
    rows = intensity(spectra)
    weight = 1.0 / spectra.sd[spectra.ok].astype(np.float64) ** 2
    step = spectra.energy[1] - spectra.energy[0]
    line = np.linspace(-1.0, 1.0, len(spectra.energy))
    squares = (weight * rows**2).sum(1)
    parts = []
    for shift in tqdm(SHIFTS, desc="least squares", leave=False, disable=not show_progressbar):
        moved = shift_and_broaden(shapes, shift / step, sigma / step)
        design = np.stack([*moved, np.ones_like(line), line])
        normal = np.einsum("nl,pl,ql->npq", weight, design, design, optimize=True)
        right = (weight * rows) @ design.T
        gain, coefficients = _best_subset(normal, right, len(shapes))
        parts.append((squares - gain, coefficients, normal, right))
    columns = [np.stack(column, 1) for column in zip(*parts, strict=True)]
    return Fits(*columns, len(line) - len(shapes) - 3)


def matched_broadening(spectra: eb.Spectra, library: eb.FingerprintLibrary) -> float:
    """The sigma in eV that makes the library fit the pixels best, all classes at once."""
    rows = np.flatnonzero(spectra.ok)
    some = spectra[rows[:: max(1, len(rows) // MATCHED_WITH)]]
    shapes = library.resample(spectra.energy).class_spectra
    total = [
        fit(some, shapes, sigma=sigma, show_progressbar=False).best.sum() for sigma in BROADENINGS
    ]
    return BROADENINGS[int(np.argmin(total))]


def _best_subset(normal: Array, right: Array, n_shapes: int) -> tuple[Array, Array]:
    """By how much chi2 falls (m,), and coefficients (m, P), of the best nonnegative solution.

    With so few shapes all subsets can be solved; the line's coefficients may have either sign.
    """
    n, size = right.shape
    gain, coefficients = np.full(n, -np.inf), np.zeros((n, size))
    free = tuple(range(n_shapes, size))
    subsets = chain.from_iterable(combinations(range(n_shapes), k) for k in range(n_shapes + 1))
    for subset in subsets:
        index = np.array(subset + free, dtype=int)
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


def drawn(fits: Fits, n_classes: int, *, seed: int = 0) -> Draws:
    """Shares of the classes, drawn from shift and amplitudes as the fits have them."""
    rng = np.random.default_rng(seed)
    size = fits.normal.shape[-1]
    wider = np.maximum(fits.best / fits.freedom, 1.0)
    likelihood = softmax(-0.5 * fits.chi2 / wider[:, None], axis=1)
    trace = np.trace(fits.normal, axis1=2, axis2=3)[..., None, None]
    covariance = np.linalg.inv(fits.normal + RIDGE * trace * np.eye(size))
    center = (covariance @ fits.right[..., None])[..., :n_classes, 0]
    root = np.linalg.cholesky(covariance[..., :n_classes, :n_classes])
    root *= np.sqrt(wider)[:, None, None, None]
    pixels = np.arange(len(center))[:, None]
    passed = rng.random((len(center), DRAWS, 1)) > np.cumsum(likelihood, axis=1)[:, None]
    which = np.minimum(passed.sum(2), likelihood.shape[1] - 1)
    normal = rng.standard_normal((len(center), DRAWS, n_classes, 1))
    amplitude = center[pixels, which] + (root[pixels, which] @ normal)[..., 0]
    amplitude = np.maximum(amplitude, 0.0)
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
    fits = fit(
        spectra,
        library.resample(spectra.energy).class_spectra,
        sigma=matched_broadening(spectra, library),
        show_progressbar=show_progressbar,
    )
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
    sigma = matched_broadening(spectra, library)
    shapes = library.resample(spectra.energy).class_spectra
    fits = [
        fit(spectra, shape[None], sigma=sigma, show_progressbar=show_progressbar)
        for shape in shapes
    ]
    chi2 = np.stack([each.best for each in fits], 1)
    wider = np.ones(len(chi2))
    if rescaled:
        wider = np.maximum(chi2.min(1) / fits[0].freedom, 1.0)
    return all_rows(softmax(-0.5 * chi2 / wider[:, None], axis=1), spectra)
