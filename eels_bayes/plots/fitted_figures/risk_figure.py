"""Which measure of doubt finds the errors: risk against coverage of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.metrics.selection import risk_coverage as risk_at_coverage
from eels_bayes.plots.fitted_figures.subjects import Reading
from eels_bayes.plots.fitted_figures.true_classes import checked_labels
from eels_bayes.plots.score_figures import risk_coverage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("total", "aleatoric", "encoder", "classifier")


def doubt_risk(pred: Reading, labels: ArrayLike) -> Figure:
    """Error rate among the pixels kept when the most doubtful go first, for each part of the doubt.

    Parameters
    ----------
    pred : Prediction
        Of n pixels.
    labels : (n,) array_like of int
        True classes; below 0 is left out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If labels do not fit, or no pixel is left.
    """
    known = checked_labels(labels, pred)
    kept = (known >= 0) & np.asarray(pred.ok)
    if not kept.any():
        raise ValueError("no pixel is left to score: every one is flagged or without a class")
    curves = {}
    for name in MEASURES:
        doubt = np.asarray(getattr(pred, name), dtype=float)
        found = risk_at_coverage(pred.probabilities[kept], known[kept], uncertainty=doubt[kept])
        curves[name] = (found.coverage, found.risk)
    return risk_coverage(curves)
