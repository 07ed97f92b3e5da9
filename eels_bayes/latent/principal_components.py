"""Clean stand-ins of measured spectra: principal components above the noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.spectra import Spectra

MAX_COMPONENTS = 20  # that are looked for: bounds the work; chosen, not tuned


class Denoiser(NamedTuple):
    """Projection of spectra onto their principal components.

    Attributes
    ----------
    mean : ndarray (L,)
        Of the weighted spectra.
    components : ndarray (R, L)
        Orthonormal rows.
    weight : ndarray (L,)
        Of each channel: one over its sd.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    weight: NDArray[np.float64]

    def rebuild(self, intensity: NDArray[Any]) -> NDArray[np.float32]:
        """Spectra (n, L) from their components alone."""
        scores = (intensity * self.weight - self.mean) @ self.components.T
        rebuilt: NDArray[np.float32] = (
            (scores @ self.components + self.mean) / self.weight
        ).astype(np.float32)
        return rebuilt


def fit_denoiser(spectra: Spectra) -> Denoiser:
    """Find the principal components of usable spectra that stand above the noise.

    Spectra are weighted by their noise, so that noise independent between channels has eigenvalues
    below the Marchenko-Pastur edge ``(1 + sqrt(L / n))^2``; components above it are kept, the
    background's smooth error among them.

    Parameters
    ----------
    spectra : Spectra
        n usable pixels of L channels; flagged pixels are left out.

    Returns
    -------
    Denoiser
    """
    ok = spectra.ok
    intensity = spectra.intensity[ok].astype(np.float64)
    weight = 1.0 / np.sqrt(np.mean(spectra.sd[ok].astype(np.float64) ** 2, axis=0))
    n, n_channels = intensity.shape
    weighted = intensity * weight
    # many pixels of few channels: their covariance is the small matrix
    value, vector = np.linalg.eigh(np.cov(weighted, rowvar=False).reshape(2 * [n_channels]))
    largest = slice(-1, -1 - min(MAX_COMPONENTS, n, n_channels), -1)
    value, components = value[largest], vector.T[largest]
    kept = value > (1.0 + np.sqrt(n_channels / n)) ** 2
    return Denoiser(weighted.mean(0), components[kept], weight)


def principal_components(spectra: Spectra) -> NDArray[np.float32]:
    """Usable spectra (n, L) rebuilt by a denoiser fitted to themselves; see `fit_denoiser`."""
    return fit_denoiser(spectra).rebuild(spectra.intensity[spectra.ok])
