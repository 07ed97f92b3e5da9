"""Is the confidence the accuracy? Bins of the largest probability, and their gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.arrays import Floats, Ints
from eels_bayes.metrics.checked_rows import checked

N_BINS = 15  # of the confidence: the number that published calibration errors are given with


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

    edges: Floats
    confidence: Floats
    accuracy: Floats
    count: Ints


def reliability(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = N_BINS,
    mask: ArrayLike | None = None,
) -> Reliability:
    """Return confidence and accuracy of the top label in ``n_bins`` bins of equal width.

    Bins are closed below and open above, the last one closed.

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to one.
    labels : (n,) array_like of int
        True classes, 0..K-1.
    n_bins : int
        Equal-width bins of the largest probability over [0, 1].
    mask : (n,) array_like of bool, optional
        Rows to score; by default all.

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        If shapes disagree, a row holds NaN or does not sum to one, a label is no class, no row is
        left, or ``n_bins`` is below 1.
    """
    n_bins = validation.whole("n_bins", n_bins)
    p, y = checked(probabilities, labels, mask)
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
    n_bins: int = N_BINS,
    mask: ArrayLike | None = None,
) -> float:
    """Return the expected calibration error of the top label.

    Mean over rows of ``|accuracy - confidence|`` of their bin (Guo et al., ICML 2017).

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to one.
    labels : (n,) array_like of int
        True classes, 0..K-1.
    n_bins : int
        Equal-width bins of the largest probability over [0, 1].
    mask : (n,) array_like of bool, optional
        Rows to score; by default all.

    Returns
    -------
    float
        In [0, 1]; 0 is calibrated.

    Raises
    ------
    ValueError
        If shapes disagree, a row holds NaN or does not sum to one, a label is no class, no row is
        left, or ``n_bins`` is below 1.

    Examples
    --------
    Right three times out of four at a confidence of 0.75 is calibrated:

    >>> from eels_bayes import metrics
    >>> probabilities = [[0.75, 0.25]] * 4
    >>> metrics.ece(probabilities, [0, 0, 0, 1])
    0.0
    >>> metrics.ece(probabilities, [0, 0, 0, 0])
    0.25
    """
    bins = reliability(probabilities, labels, n_bins=n_bins, mask=mask)
    gaps = np.nan_to_num(np.abs(bins.accuracy - bins.confidence))
    return float((gaps * bins.count).sum() / bins.count.sum())
