"""What is lost by keeping only the most certain rows: risk against coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.arrays import Floats
from eels_bayes.metrics.checked_rows import checked, checked_mask


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Error rate among the most certain rows, as a function of how many are kept.

    Attributes
    ----------
    coverage : ndarray
        Fraction kept, (m,), ascending to 1, one entry for each distinct uncertainty.
    risk : ndarray
        Error rate among those kept, (m,).
    area : float
        Area under the curve (mean risk over all coverages); smaller is better.
    """

    coverage: Floats
    risk: Floats
    area: float


def risk_coverage(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    uncertainty: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> RiskCoverage:
    """Return the error rate among the most certain rows for every fraction kept.

    Rows of equal uncertainty are kept or dropped together, so their order does not matter.
    El-Yaniv and Wiener, JMLR 11, 1605 (2010).

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to one.
    labels : (n,) array_like of int
        True classes, 0..K-1.
    uncertainty : (n,) array_like, optional
        What to sort by, such as one of a prediction's entropies; one minus the largest
        probability by default.
    mask : (n,) array_like of bool, optional
        Rows to score; by default all.

    Returns
    -------
    RiskCoverage

    Raises
    ------
    ValueError
        If shapes disagree, a row holds NaN or does not sum to one, a label is no class, no row is
        left, or ``uncertainty`` holds NaN.
    """
    p, y = checked(probabilities, labels, mask)
    if uncertainty is None:
        u = 1.0 - p.max(axis=1)
    else:
        u = np.asarray(uncertainty, dtype=np.float64)
        n = len(np.asarray(labels))
        if u.shape != (n,):
            raise ValueError(f"uncertainty must have shape ({n},) like labels, got {u.shape}")
        u = u[checked_mask(mask, n)]
        if np.isnan(u).any():
            raise ValueError("uncertainty holds NaN; leave those rows out with mask")
    return _risk_coverage(p.argmax(axis=1) != y, u)


def _risk_coverage(wrong: NDArray[np.bool_], uncertainty: Floats) -> RiskCoverage:
    """The curve of rows (n,) that are wrong or not, the least uncertain kept first."""
    u = uncertainty
    order = np.argsort(u, kind="stable")
    errors = np.cumsum(wrong[order])
    last = np.append(np.flatnonzero(np.diff(u[order]) > 0), len(u) - 1)
    kept = last + 1
    risk = errors[last] / kept
    # inside a tie errors come at the tie's own rate: the mean of a random order
    widths = np.diff(kept, prepend=0)
    area = 0.0
    below_kept = below_errors = 0
    for k, e, w in zip(kept, errors[last], widths, strict=True):
        ranks = np.arange(1, w + 1)
        rate = (e - below_errors) / w
        area += float(((below_errors + rate * ranks) / (below_kept + ranks)).sum())
        below_kept, below_errors = int(k), int(e)
    return RiskCoverage(coverage=kept / len(u), risk=risk, area=area / len(u))
