"""Scores of single rows, averaged: accuracy, log-likelihood, Brier; and all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.metrics.checked_rows import checked
from eels_bayes.metrics.confidence import ece
from eels_bayes.metrics.selection import risk_coverage


def accuracy(
    probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None
) -> float:
    """Return the fraction of rows whose most probable class is the label.

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to one.
    labels : (n,) array_like of int
        True classes, 0..K-1.
    mask : (n,) array_like of bool, optional
        Rows to score; by default all.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If shapes disagree, a row holds NaN or does not sum to one, a label is no class, or no row
        is left.

    Examples
    --------
    >>> from eels_bayes import metrics
    >>> probabilities = [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]]
    >>> metrics.accuracy(probabilities, [0, 0, 1, 1])
    0.75
    >>> metrics.accuracy(probabilities, [0, 0, 1, 1], mask=[True, True, True, False])
    1.0
    """
    p, y = checked(probabilities, labels, mask)
    return float((p.argmax(axis=1) == y).mean())


def nll(probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    """Return the mean negative log-likelihood of the labels, nats.

    Probabilities are clipped at the resolution of float64, so a label held impossible costs 36
    nats and not infinity.

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to one.
    labels : (n,) array_like of int
        True classes, 0..K-1.
    mask : (n,) array_like of bool, optional
        Rows to score; by default all.

    Returns
    -------
    float
        Nats; log(K) where nothing is known.

    Raises
    ------
    ValueError
        If shapes disagree, a row holds NaN or does not sum to one, a label is no class, or no row
        is left.
    """
    p, y = checked(probabilities, labels, mask)
    at_label = p[np.arange(len(y)), y]
    return float(-np.log(np.clip(at_label, np.finfo(np.float64).eps, 1.0)).mean())


def brier(probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    """Return the Brier score summed over classes, 0 (perfect) to 2 (sure and wrong).

    Brier, Mon. Weather Rev. 78, 1 (1950).

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to one.
    labels : (n,) array_like of int
        True classes, 0..K-1.
    mask : (n,) array_like of bool, optional
        Rows to score; by default all.

    Returns
    -------
    float
        In [0, 2].

    Raises
    ------
    ValueError
        If shapes disagree, a row holds NaN or does not sum to one, a label is no class, or no row
        is left.
    """
    p, y = checked(probabilities, labels, mask)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean())


def summary(
    probabilities: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None
) -> dict[str, float]:
    """Return accuracy, nll, brier, ece (15 bins) and the area under the risk-coverage curve.

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows sum to one.
    labels : (n,) array_like of int
        True classes, 0..K-1.
    mask : (n,) array_like of bool, optional
        Rows to score; by default all.

    Returns
    -------
    dict of str to float
        Keys "accuracy", "nll", "brier", "ece" and "risk_coverage_area".

    Raises
    ------
    ValueError
        If shapes disagree, a row holds NaN or does not sum to one, a label is no class, or no row
        is left.
    """
    return {
        "accuracy": accuracy(probabilities, labels, mask=mask),
        "nll": nll(probabilities, labels, mask=mask),
        "brier": brier(probabilities, labels, mask=mask),
        "ece": ece(probabilities, labels, mask=mask),
        "risk_coverage_area": risk_coverage(probabilities, labels, mask=mask).area,
    }
