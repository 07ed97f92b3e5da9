"""The directions that vectors span, told from what is rounding alone."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array

ROUNDING = 1e-6  # of the largest singular value: smaller ones are directions of rounding alone


def spanned(vectors: Array) -> Array:
    """Orthonormal basis (B, R) of what the columns of (B, C) span."""
    basis, size, _ = np.linalg.svd(vectors, full_matrices=False)
    directions: Array = basis[:, size > ROUNDING * size[0]]
    return directions
