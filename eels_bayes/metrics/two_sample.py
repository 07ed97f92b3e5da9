"""Do two samples come from one distribution? A kernel two-sample test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation


@dataclass(frozen=True)
class TwoSample:
    """Squared maximum mean discrepancy of two samples and its permutation null.

    Attributes
    ----------
    statistic : float
        Unbiased estimate of MMD^2; about 0, also below, where the distributions are one.
    null_mean, null_sd : float
        Of the statistic over random relabellings.
    p_value : float
        Share of relabellings at or above the statistic, itself counted among them.
    bandwidth : float
        sigma of the kernel, in the unit of the draws.
    """

    statistic: float
    null_mean: float
    null_sd: float
    p_value: float
    bandwidth: float

    @property
    def z(self) -> float:
        """Statistic in standard deviations of its null; comparable at one sample size only.

        Returns
        -------
        float
        """
        return (self.statistic - self.null_mean) / self.null_sd


def mmd(
    x: ArrayLike,
    y: ArrayLike,
    *,
    bandwidth: float | None = None,
    n_permutations: int = 500,
    seed: int = 0,
) -> TwoSample:
    """Kernel two-sample test with a Gaussian kernel.

    The unbiased estimator of MMD^2 (Gretton et al., JMLR 13, 723 (2012), eq. 3) with
    ``k(a, b) = exp(-|a - b|^2 / (2 sigma^2))``, sigma the median distance in the pooled sample by
    default (ibid., section 8), and a permutation null.

    Parameters
    ----------
    x, y : (n, D) and (m, D) array_like
        Independent draws; memory grows with (n + m)^2.
    bandwidth : float, optional
        sigma; give it to compare several pairs by one kernel.
    n_permutations : int
        Random relabellings that the null is made of.
    seed : int
        Of the permutations.

    Returns
    -------
    TwoSample

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, or fewer than two draws are in a sample.
    """
    validation.whole("n_permutations", n_permutations)
    validation.seed(seed)
    x, y = validation.numbers("x", x), validation.numbers("y", y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            f"x and y must be (n, D) and (m, D), two draws or more, got {x.shape} and {y.shape}"
        )
    both = np.concatenate([x, y])
    if not np.isfinite(both).all():
        raise ValueError("x and y must be finite; leave flagged pixels out")
    square = squared_distances(both)
    if bandwidth is not None:
        bandwidth = validation.positive("bandwidth", bandwidth)
    else:
        upper = square[np.triu_indices(len(both), 1)]
        bandwidth = float(np.median(np.sqrt(upper))) or 1.0
    kernel = np.exp(-0.5 * square / bandwidth**2)
    np.fill_diagonal(kernel, 0.0)
    rng = np.random.default_rng(seed)
    member = np.zeros((n_permutations + 1, len(both)))
    member[0, : len(x)] = 1.0
    for row in member[1:]:
        row[rng.permutation(len(both))[: len(x)]] = 1.0
    values = _unbiased(kernel, member, len(x))
    null = values[1:]
    above = int((null >= values[0]).sum())
    return TwoSample(
        float(values[0]),
        float(null.mean()),
        float(null.std(ddof=1)),
        (above + 1) / (n_permutations + 1),
        bandwidth,
    )


def squared_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Euclidean distances (n, n) between points (n, D)."""
    centred = points - points.mean(0)  # or the difference of large squares would cancel
    norm = (centred**2).sum(1)
    return np.maximum(norm[:, None] + norm - 2.0 * centred @ centred.T, 0.0)


def _unbiased(
    kernel: NDArray[np.float64], member: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """MMD^2 of each division of the pooled sample; ``member`` (P, n + m) is 1 in the first part."""
    m = kernel.shape[0] - n
    product = member @ kernel
    within = (product * member).sum(1)
    across = product.sum(1) - within
    second = kernel.sum() - within - 2.0 * across
    return np.asarray(
        within / (n * (n - 1)) + second / (m * (m - 1)) - 2.0 * across / (n * m),
        dtype=np.float64,
    )
