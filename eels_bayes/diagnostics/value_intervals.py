"""Do the intervals of a prediction's value hold the truth?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.diagnostics.ranks import Coverage, coverage
from eels_bayes.prediction.prediction import Prediction


def value_coverage(
    prediction: Prediction, truth: ArrayLike, *, levels: ArrayLike = (0.5, 0.9)
) -> Coverage:
    """How often the intervals of a prediction's value hold the truth: `Prediction.value_interval`.

    Parameters
    ----------
    prediction : Prediction
        n pixels with values.
    truth : (n,) array_like
        True values in the library's unit. Flagged pixels and a truth of NaN (a pixel that has no
        value) are left out.
    levels : (J,) array_like
        Probabilities of the intervals.

    Returns
    -------
    Coverage

    Raises
    ------
    ValueError
        If the prediction has no values, shapes disagree, or nothing is left.
    """
    truth = np.asarray(truth, dtype=np.float64)
    if not prediction.has_value:
        raise ValueError("the prediction has no values: its library was made without them")
    if truth.shape != prediction.value.shape:
        raise ValueError(
            f"truth has shape {truth.shape}; {prediction.value.shape} is needed, one a pixel"
        )
    keep = prediction.ok & np.isfinite(truth)
    if not keep.any():
        raise ValueError("no pixel is left: every one is flagged or has no true value")
    level = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    ends = [prediction.value_interval(float(one_level)) for one_level in level]
    inside = np.array([(low <= truth) & (truth <= high) for low, high in ends])[:, keep]
    return coverage(level, inside)
