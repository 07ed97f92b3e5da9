"""Scores of probabilistic classification, from plain arrays.

Probabilities are (n, K) with rows that sum to one, labels (n,) integers in 0..K-1. Every function
takes ``mask``, (n,) bool, the rows to use; rows with NaN that it leaves in are an error, so a
flagged pixel never vanishes silently from a score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Reliability",
    "RiskCoverage",
    "accuracy",
    "brier",
    "ece",
    "nll",
    "reliability",
    "risk_coverage",
    "summary",
]

_Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy in equal-width bins of the confidence.

    Attributes
    ----------
    edges : ndarray
        Edges of the bins, (n_bins + 1,), 0 to 1.
    confidence, accuracy : ndarray
        Means in each bin, (n_bins,); NaN where the bin is empty.
    count : ndarray
        Number of rows in each bin, (n_bins,).
    """

    edges: _Float
    confidence: _Float
    accuracy: _Float
    count: NDArray[np.int64]


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

    coverage: _Float
    risk: _Float
    area: float


def _checked(
    probabilities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[_Float, NDArray[np.int64]]:
    p = np.asarray(probabilities, dtype=np.float64)
    y = np.asarray(labels)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"probabilities must have shape (n, K) with K >= 2, got {p.shape}")
    if y.shape != p.shape[:1]:
        raise ValueError(f"labels must have shape ({len(p)},) like probabilities, got {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {y.dtype}")
    keep = _checked_mask(mask, len(p))
    p, y = p[keep], y[keep].astype(np.int64)
    if len(p) == 0:
        raise ValueError("no rows to score: probabilities are empty or mask leaves none")
    bad = int(np.isnan(p).any(axis=1).sum())
    if bad:
        raise ValueError(f"probabilities hold NaN in {bad} rows; leave those out with mask")
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("probabilities must be non-negative with rows that sum to one")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"labels must lie in 0..{p.shape[1] - 1}, got {y.min()}..{y.max()}")
    return p, y


def _checked_mask(mask: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(n, dtype=bool)
    keep = np.asarray(mask)
    if keep.dtype != bool or keep.shape != (n,):
        raise ValueError(
            f"mask must be boolean of shape ({n},), got {keep.dtype} of shape {keep.shape}"
        )
    return keep


def accuracy(
    probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None
) -> float:
    """Return the fraction of rows whose most probable class is the label."""
    p, y = _checked(probabilities, labels, mask)
    return float((p.argmax(axis=1) == y).mean())


def nll(probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    """Return the mean negative log-likelihood of the labels, nats.

    Probabilities are clipped at the resolution of float64, so a label held impossible costs 36
    nats and not infinity.
    """
    p, y = _checked(probabilities, labels, mask)
    at_label = p[np.arange(len(y)), y]
    return float(-np.log(np.clip(at_label, np.finfo(np.float64).eps, 1.0)).mean())


def brier(probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    """Return the Brier score summed over classes, 0 (perfect) to 2 (sure and wrong).

    Brier, Mon. Weather Rev. 78, 1 (1950).
    """
    p, y = _checked(probabilities, labels, mask)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean())


def reliability(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 15,
    mask: ArrayLike | None = None,
) -> Reliability:
    """Return confidence and accuracy of the top label in ``n_bins`` bins of equal width.

    Bins are closed below and open above, the last one closed.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    p, y = _checked(probabilities, labels, mask)
    confidence = p.max(axis=1)
    correct = p.argmax(axis=1) == y
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, n_bins - 1)
    count = np.bincount(index, minlength=n_bins)
    divisor = np.where(count > 0, count, np.nan)
    return Reliability(
        edges=edges,
        confidence=np.bincount(index, weights=confidence, minlength=n_bins) / divisor,
        accuracy=np.bincount(index, weights=correct, minlength=n_bins) / divisor,
        count=count.astype(np.int64),
    )


def ece(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 15,
    mask: ArrayLike | None = None,
) -> float:
    """Return the expected calibration error of the top label.

    Mean over rows of ``|accuracy - confidence|`` of their bin (Guo et al., ICML 2017).
    """
    bins = reliability(probabilities, labels, n_bins=n_bins, mask=mask)
    gaps = np.nan_to_num(np.abs(bins.accuracy - bins.confidence))
    return float((gaps * bins.count).sum() / bins.count.sum())


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
    probabilities, labels, mask
        As everywhere in this module.
    uncertainty : array_like, optional
        What to sort by, (n,), such as one of a prediction's entropies; one minus the largest
        probability by default.
    """
    p, y = _checked(probabilities, labels, mask)
    if uncertainty is None:
        u = 1.0 - p.max(axis=1)
    else:
        u = np.asarray(uncertainty, dtype=np.float64)
        n = len(np.asarray(labels))
        if u.shape != (n,):
            raise ValueError(f"uncertainty must have shape ({n},) like labels, got {u.shape}")
        u = u[_checked_mask(mask, n)]
        if np.isnan(u).any():
            raise ValueError("uncertainty holds NaN; leave those rows out with mask")
    order = np.argsort(u, kind="stable")
    errors = np.cumsum(p.argmax(axis=1)[order] != y[order])
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


def summary(
    probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None
) -> dict[str, float]:
    """Return accuracy, nll, brier, ece (15 bins) and the area under the risk-coverage curve."""
    return {
        "accuracy": accuracy(probabilities, labels, mask=mask),
        "nll": nll(probabilities, labels, mask=mask),
        "brier": brier(probabilities, labels, mask=mask),
        "ece": ece(probabilities, labels, mask=mask),
        "risk_coverage_area": risk_coverage(probabilities, labels, mask=mask).area,
    }
