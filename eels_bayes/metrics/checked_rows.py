"""The rows to score, checked: probabilities, labels and mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.arrays import Floats, Ints

SUM_TOLERANCE = 1e-3  # of rows that sum to one: more than single precision loses


def checked(
    probabilities: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[Floats, Ints]:
    """Probabilities (n, K) and labels (n,) of the rows that ``mask`` leaves in, checked."""
    p = validation.numbers("probabilities", probabilities)
    y = np.asarray(labels)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"probabilities must have shape (n, K) with K >= 2, got {p.shape}")
    if y.shape != p.shape[:1]:
        raise ValueError(f"labels must have shape ({len(p)},) like probabilities, got {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {y.dtype}")
    keep = checked_mask(mask, len(p))
    p, y = p[keep], y[keep].astype(np.int64)
    if len(p) == 0:
        raise ValueError("no rows to score: probabilities are empty or mask leaves none")
    bad = int(np.isnan(p).any(axis=1).sum())
    if bad:
        raise ValueError(f"probabilities hold NaN in {bad} rows; leave those out with mask")
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        raise ValueError("probabilities must be non-negative with rows that sum to one")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"labels must lie in 0..{p.shape[1] - 1}, got {y.min()}..{y.max()}")
    return p, y


def checked_mask(mask: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    """``mask`` as (n,) bool; all where none is given."""
    if mask is None:
        return np.ones(n, dtype=bool)
    keep = np.asarray(mask)
    if keep.dtype != bool or keep.shape != (n,):
        raise ValueError(
            f"mask must be boolean of shape ({n},), got {keep.dtype} of shape {keep.shape}"
        )
    return keep
