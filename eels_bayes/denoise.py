"""Clean stand-ins of measured spectra: principal components above the noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eels_bayes.spectra import Spectra

MAX_COMPONENTS = 20


def principal_components(spectra: Spectra, *, seed: int = 0) -> NDArray[np.float32]:
    """Usable spectra (n, L) rebuilt from the principal components that stand above the noise.

    Spectra are weighted by their noise, so that noise independent between channels has eigenvalues
    below the Marchenko-Pastur edge ``(1 + sqrt(L / n))^2``; components above it are kept, the
    background's smooth error among them.

    Parameters
    ----------
    spectra : Spectra
        n usable pixels of L channels; flagged pixels are left out.
    seed : int
        Of scikit-learn's randomised solver.
    """
    from sklearn.decomposition import PCA

    ok = spectra.ok
    intensity = spectra.intensity[ok].astype(np.float64)
    weight = 1.0 / np.sqrt(np.mean(spectra.sd[ok].astype(np.float64) ** 2, axis=0))
    n, n_channels = intensity.shape
    n_components = min(MAX_COMPONENTS, n, n_channels)
    pca = PCA(n_components, svd_solver="auto", random_state=seed)
    scores = pca.fit_transform(intensity * weight)
    kept = pca.explained_variance_ > (1.0 + np.sqrt(n_channels / n)) ** 2
    rebuilt = scores[:, kept] @ pca.components_[kept] + pca.mean_
    return (rebuilt / weight).astype(np.float32)
