"""Numbers that figures show: signal to noise, silhouettes, and their bootstrap intervals."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

N_BOOTSTRAP = 1000  # resamplings: ends of 95 % intervals to about a tenth of their width
LEVEL = 0.95  # of intervals
MOST_FOR_SILHOUETTE = 2000  # pixels of a condition: distances between all pairs are needed


class Estimate(NamedTuple):
    """A mean and the ends of its bootstrap interval."""

    mean: float
    low: float
    high: float


def signal_to_noise_db(spectrum: ArrayLike, reference: ArrayLike) -> float:
    """``10 log10(sum s^2 / sum (x - s)^2)`` of a spectrum x against its reference s; dB.

    The reference's own mean square is the signal: an offset counts as error. Where the reference is
    nothing, so is the ratio: -inf.
    """
    x, s = np.asarray(spectrum, dtype=float), np.asarray(reference, dtype=float)
    power, error = float((s**2).sum()), float(((x - s) ** 2).sum())
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(power / error)) if error > 0 else np.inf


def bootstrap_mean(
    values: ArrayLike, *, seed: int = 0, n_draws: int = N_BOOTSTRAP, groups: ArrayLike | None = None
) -> Estimate:
    """Mean of values (n,) with the percentile interval of resampled rows, or of whole groups.

    Pixels of one image are alike: resample images (``groups``) where what would be found in other
    images is asked for.
    """
    x = np.asarray(values, dtype=float)
    finite = np.isfinite(x)
    x = x[finite]
    if not len(x):
        return Estimate(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    if groups is None:
        sums, sizes = x, np.ones(len(x))
    else:
        _, which = np.unique(np.asarray(groups)[finite], return_inverse=True)
        sums, sizes = np.bincount(which, x), np.bincount(which).astype(float)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), n_draws)
    means = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Estimate(float(x.mean()), float(low), float(high))


def silhouette_of_pixels(points: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Silhouette (n,) of each pixel; NaN for all where there is but one class.

    Rousseeuw, J. Comput. Appl. Math. 20, 53 (1987).
    """
    if len(np.unique(labels)) < 2 or len(labels) <= len(np.unique(labels)):
        return np.full(len(labels), np.nan)
    from sklearn.metrics import silhouette_samples

    return np.asarray(silhouette_samples(points, labels), dtype=np.float64)


class Silhouettes(NamedTuple):
    """Silhouettes of two embeddings of the same pixels at one condition.

    Attributes
    ----------
    first, second, difference : Estimate
        Of the mean over pixels, the same pixels resampled in all three.
    """

    first: Estimate
    second: Estimate
    difference: Estimate


def silhouettes(
    first: NDArray[Any], second: NDArray[Any], labels: NDArray[Any], *, seed: int = 0
) -> Silhouettes:
    """Mean silhouettes of two embeddings (n, D1), (n, D2) of the same pixels, by one labelling.

    Rows with NaN or a negative label are left out; of many pixels `MOST_FOR_SILHOUETTE` are drawn.
    """
    rows = np.flatnonzero((labels >= 0) & np.isfinite(first).all(1) & np.isfinite(second).all(1))
    if len(rows) > MOST_FOR_SILHOUETTE:
        rows = np.random.default_rng(seed).choice(rows, MOST_FOR_SILHOUETTE, replace=False)
    a, b = (silhouette_of_pixels(points[rows], labels[rows]) for points in (first, second))
    return Silhouettes(*(bootstrap_mean(x, seed=seed) for x in (a, b, a - b)))
