"""True classes of pixels, as figures are given them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.subjects import Reading


def checked_labels(labels: ArrayLike, pred: Reading) -> NDArray[np.int64]:
    """Classes (n,), below 0 where unknown.

    Raises
    ------
    TypeError, ValueError
        If they are not whole numbers, not one a pixel, or no classes.
    """
    known = validation.labels("labels", labels, len(pred.class_names))
    if known.shape != (len(pred),):
        raise ValueError(f"labels must be one for each of {len(pred)} pixels, got {known.shape}")
    return known
