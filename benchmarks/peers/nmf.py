"""Non-negative matrix factorisation of the gross counts, then the nearest fingerprint.

Counts are not negative, so their components may be asked not to be either: ten of them, with
scikit-learn's coordinate descent, rebuild each pixel's gross counts over the window. The pixel's
own background is subtracted from what was rebuilt, and the nearest fingerprint is found as after
principal components (`nearest`).
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

import eels_bayes as eb

from .nearest import nearest_by_distance
from .shared import N_COMPONENTS, Array, all_rows, intensity

ITERATIONS = 200  # the most


def denoise(spectra: eb.Spectra, *, seed: int = 0) -> Array:
    """Edge spectra (m, L) of the usable pixels, their gross counts rebuilt from ten components."""
    gross = spectra.counts[spectra.ok][:, -len(spectra.energy) :].astype(np.float64)
    gross = np.maximum(gross, 0.0) / spectra.norm[spectra.ok, None]
    # Random small numbers in place of its zeros (nndsvda) end the descent after a few steps.
    model = NMF(N_COMPONENTS, init="nndsvd", max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is left is far below the noise
        rebuilt = model.fit_transform(gross) @ model.components_
    clean: Array = intensity(spectra) - gross + rebuilt
    return clean


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K); NaN where flagged. Nothing here shows progress."""
    clean = denoise(spectra, seed=seed)
    known = library.resample(spectra.energy)
    return all_rows(nearest_by_distance(clean, known, N_COMPONENTS), spectra)
