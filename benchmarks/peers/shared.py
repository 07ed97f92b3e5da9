"""What several peers need: principal components and the rows of flagged pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import eels_bayes as eb

Array = NDArray[Any]

N_COMPONENTS = 10  # of the principal-component denoising, everywhere


class Denoised(NamedTuple):
    """Spectra (n, L) rebuilt from principal components, and the components (q, L)."""

    spectra: Array
    components: Array


def intensity(spectra: eb.Spectra) -> Array:
    """Edge spectra (m, L) of the m usable pixels, in double precision."""
    return spectra.intensity[spectra.ok].astype(np.float64)


def all_rows(probabilities: Array, spectra: eb.Spectra) -> Array:
    """Probabilities (m, K) of the usable pixels among all n, NaN elsewhere; (n, K)."""
    out = np.full((len(spectra), probabilities.shape[1]), np.nan)
    out[spectra.ok] = probabilities
    return out


def denoise(rows: Array) -> Denoised:
    """Keep the mean and the first ten principal components of spectra (n, L)."""
    mean = rows.mean(0)
    _, vector = np.linalg.eigh((rows - mean).T @ (rows - mean))
    components = vector[:, ::-1][:, :N_COMPONENTS].T
    return Denoised(mean + (rows - mean) @ components.T @ components, components)
