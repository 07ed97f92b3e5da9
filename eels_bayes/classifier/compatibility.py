"""Whether spectra and weights are what a classifier was fitted for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked_weights(given: ArrayLike | None, n_classes: int) -> NDArray[np.float64] | None:
    if given is None:
        return None
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != (n_classes,) or not (weights > 0).all() or not np.isfinite(weights).all():
        raise ValueError(
            f"class_weights must be {n_classes} positive numbers, one a class, got {given!r}"
        )
    return weights / weights.sum()
