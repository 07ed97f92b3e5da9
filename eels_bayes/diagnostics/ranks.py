"""Is a distribution where the truth lies? Ranks, randomised PIT and interval coverage.

Plain arrays: draws or probabilities on one side, what was true on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from eels_bayes import validation
from eels_bayes.arrays import Array

N_BINS = 20  # of a test, by default: what is seen of a shape before counts become few
LEAST_EXPECTED = 5  # values a bin: below, Pearson's approximation fails (Cochran, 1954)


@dataclass(frozen=True, eq=False)
class Uniformity:
    """Pearson's chi-square test that values are uniform, along the first axis.

    Attributes
    ----------
    counts : (..., n_bins) int array
        Values in each of the bins, which are equally probable.
    statistic, p_value : (...) arrays
        Pearson's chi-square of n_bins - 1 degrees of freedom, and its upper tail.
    """

    counts: NDArray[np.int64]
    statistic: Array
    p_value: Array


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often central intervals hold the truth.

    Attributes
    ----------
    level : (J,) array
        Nominal probabilities of the intervals.
    coverage : (J,) array
        Share of truths inside.
    standard_error : (J,) array
        Binomial, at the nominal level: what a calibrated model's coverage scatters by.
    n : int
        Truths.
    """

    level: Array
    coverage: Array
    standard_error: Array
    n: int


def rank_statistics(
    draws: ArrayLike, truth: ArrayLike, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rank of the truth among posterior draws: uniform on 0..S where the posterior is right.

    Talts et al., arXiv:1804.06788, algorithm 1. Draws that equal the truth are passed at random, so
    that ranks of discrete quantities are uniform too.

    Parameters
    ----------
    draws : (n, S, ...) array_like
        S independent draws for each truth.
    truth : (n, ...) array_like
    rng : numpy.random.Generator
        Breaks ties.

    Returns
    -------
    (n, ...) int array
        0..S.

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    draws, truth = np.asarray(draws), np.asarray(truth)
    if draws.ndim < 2 or (draws.shape[0], *draws.shape[2:]) != truth.shape:
        raise ValueError(
            f"draws have shape {draws.shape} and truth {truth.shape}; (n, S, ...) and (n, ...) "
            "are needed"
        )
    below = (draws < truth[:, None]).sum(1)
    ties = (draws == truth[:, None]).sum(1)
    return np.asarray(below + rng.integers(0, ties + 1), dtype=np.int64)


def uniformity(ranks: ArrayLike, n_draws: int, n_bins: int = N_BINS) -> Uniformity:
    """Test that ranks among ``n_draws`` draws are uniform.

    Parameters
    ----------
    ranks : (n, ...) array_like of int
        0..n_draws.
    n_draws : int
        S; the S + 1 possible ranks must divide into the bins, or uniform ranks would not fill them
        evenly.
    n_bins : int

    Returns
    -------
    Uniformity

    Raises
    ------
    ValueError
        If bins are not a divisor of S + 1, fewer than 5 ranks are expected in each (Pearson's
        approximation fails there), or a rank is impossible.

    Examples
    --------
    Ranks 0 to 9, each as often as the others, and ranks that gather in the middle:

    >>> import numpy as np
    >>> from eels_bayes import diagnostics
    >>> test = diagnostics.uniformity(np.repeat(np.arange(10), 8), 9, n_bins=5)
    >>> test.counts.tolist(), float(test.p_value)
    ([16, 16, 16, 16, 16], 1.0)
    >>> bool(diagnostics.uniformity(np.repeat([3, 4, 5, 6], 20), 9, n_bins=5).p_value < 1e-6)
    True
    """
    ranks = np.asarray(ranks)
    validation.whole("n_draws", n_draws)
    validation.whole("n_bins", n_bins)
    if n_bins < 2 or (n_draws + 1) % n_bins:
        raise ValueError(
            f"{n_draws + 1} possible ranks (n_draws + 1) do not divide into {n_bins} bins; "
            f"take n_draws = {max(1, round((n_draws + 1) / max(n_bins, 2))) * max(n_bins, 2) - 1}"
        )
    if ranks.size and (ranks.min() < 0 or ranks.max() > n_draws):
        raise ValueError(f"ranks run from {ranks.min()} to {ranks.max()}; 0..{n_draws} is possible")
    return _pearson(ranks // ((n_draws + 1) // n_bins), n_bins)


def unit_uniformity(values: ArrayLike, n_bins: int = N_BINS) -> Uniformity:
    """Test that values in [0, 1], such as a PIT, are uniform.

    Parameters
    ----------
    values : (n, ...) array_like
    n_bins : int

    Returns
    -------
    Uniformity

    Raises
    ------
    ValueError
        If a value lies outside or is NaN, or fewer than 5 are expected in each bin.
    """
    values = np.asarray(values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("values must lie in [0, 1]; NaN must be left out")
    return _pearson(np.minimum((values * n_bins).astype(np.int64), n_bins - 1), n_bins)


def _pearson(index: Array, n_bins: int) -> Uniformity:
    """The test, from each value's bin (n, ...)."""
    expected = len(index) / n_bins
    if expected < LEAST_EXPECTED:
        raise ValueError(
            f"{len(index)} values are {expected:.3g} a bin; at least {LEAST_EXPECTED} are needed: "
            f"take at most {len(index) // LEAST_EXPECTED} bins or more values"
        )
    counts = np.stack([(index == b).sum(0) for b in range(n_bins)], axis=-1)
    statistic = ((counts - expected) ** 2 / expected).sum(-1)
    return Uniformity(counts, statistic, stats.chi2.sf(statistic, n_bins - 1))


def randomised_pit(
    probabilities: ArrayLike, labels: ArrayLike, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Randomised probability integral transform of labels under predicted probabilities.

    ``u = F(y - 1) + v p(y)`` with ``v`` uniform is uniform where the probabilities are right
    (Czado, Gneiting and Held, Biometrics 65, 1254 (2009), after Smith, 1985).

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to 1.
    labels : (n,) array_like of int
        0..K-1.
    rng : numpy.random.Generator
        Of v.

    Returns
    -------
    (n,) array
        Between 0 and 1.

    Raises
    ------
    ValueError
        If shapes disagree, or a label has no probability.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if p.ndim != 2 or y.shape != p.shape[:1]:
        raise ValueError(
            f"probabilities must be (n, K) and labels (n,), got {p.shape} and {y.shape}"
        )
    if not np.isfinite(p).all() or y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(
            f"probabilities must be finite and labels lie in 0..{p.shape[1] - 1}; leave flagged "
            "pixels out"
        )
    upper = np.cumsum(p, axis=1)
    rows = np.arange(len(y))
    return np.clip(upper[rows, y] - (1.0 - rng.random(len(y))) * p[rows, y], 0.0, 1.0)


def interval_coverage(
    mean: ArrayLike, sd: ArrayLike, truth: ArrayLike, levels: ArrayLike = (0.5, 0.9)
) -> Coverage:
    """Coverage of the central intervals of Gaussian posteriors.

    Parameters
    ----------
    mean, sd, truth : array_like
        Of one shape; all finite, sd positive.
    levels : (J,) array_like
        Probabilities of the intervals.

    Returns
    -------
    Coverage

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, an sd not positive or a level not in (0, 1).
    """
    mean, sd, truth = (np.asarray(x, dtype=np.float64) for x in (mean, sd, truth))
    level = np.atleast_1d(validation.numbers("levels", levels))
    if not mean.shape == sd.shape == truth.shape or not mean.size:
        raise ValueError(
            f"mean, sd and truth must have one shape, got {mean.shape}, {sd.shape}, {truth.shape}"
        )
    if not (np.isfinite(mean) & np.isfinite(truth) & np.isfinite(sd) & (sd > 0)).all():
        raise ValueError("mean, sd and truth must be finite, sd positive; leave flagged pixels out")
    if not ((level > 0) & (level < 1)).all():
        raise ValueError(f"levels must lie between 0 and 1, got {level}")
    distance = np.abs(truth - mean) / sd
    inside = distance.ravel() <= stats.norm.ppf(0.5 + 0.5 * level)[:, None]
    return coverage(level, inside)


def coverage(level: NDArray[np.float64], inside: NDArray[np.bool_]) -> Coverage:
    """Coverage at levels (J,) of intervals that hold n truths or not, (J, n)."""
    n = inside.shape[1]
    return Coverage(level, inside.mean(1), np.sqrt(level * (1.0 - level) / n), n)
