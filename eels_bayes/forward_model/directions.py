"""The directions that vectors span, told from what is rounding or noise alone."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array

ROUNDING = 1e-6  # of the largest singular value: smaller ones are directions of rounding alone
NEGLIGIBLE = 1e-2  # of the noise's variance along a direction, below which a spread is left out


def spanned(vectors: Array) -> Array:
    """Orthonormal basis (B, R) of what the columns of (B, C) span."""
    basis, size, _ = np.linalg.svd(vectors, full_matrices=False)
    directions: Array = basis[:, size > ROUNDING * size[0]]
    return directions


def negligible_out(spread: Array, noise: float) -> Array:
    """A root (R, M) of a covariance without the directions that noise of this variance hides."""
    if not np.isfinite(spread).all():
        raise ValueError("the forward model's numbers make no finite evidence")
    vector, size, _ = np.linalg.svd(spread, full_matrices=False)
    seen = size**2 > NEGLIGIBLE * noise
    left: Array = vector[:, seen] * size[seen]
    return left
