"""The nearest fingerprint after PCA(10), by Euclidean distance or by angle.

Probabilities are those of an isotropic Gaussian around every fingerprint,

    p(k | x) ~ mean over the fingerprints j of class k of exp(-d_kj^2 / 2 s^2),

whose variance s^2 is the mean squared distance to the nearest fingerprint over the degrees of
freedom that are left after the denoising: the components kept, not the channels. (Divided by the
channels, the noise would seem twenty times smaller than it is along the components.)
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, softmax

import eels_bayes as eb

from .shared import Array, all_rows, denoise, intensity


def by_distance(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) from Euclidean distances; NaN where flagged.

    Nothing here is random: ``seed`` and ``show_progressbar`` are not needed.
    """
    known = library.resample(spectra.energy)
    clean = denoise(intensity(spectra))
    return all_rows(nearest_by_distance(clean.spectra, known, len(clean.components)), spectra)


def by_angle(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) from angles: distances between spectra of unit length.

    A fingerprint of zeros has no direction; it counts as perpendicular to everything. Nothing here
    is random: ``seed`` and ``show_progressbar`` are not needed.
    """
    known = library.resample(spectra.energy)
    clean = denoise(intensity(spectra))
    cosines = _unit(clean.spectra) @ _unit(known.intensity).T
    distances = 2.0 - 2.0 * cosines
    return all_rows(_probabilities(distances, known, len(clean.components)), spectra)


def nearest_by_distance(clean: Array, library: eb.FingerprintLibrary, freedom: int) -> Array:
    """Class probabilities (m, K) of denoised spectra (m, L) with so many degrees of freedom.

    ``library`` has the spectra's energies.
    """
    distances = (
        (clean**2).sum(1)[:, None]
        - 2.0 * clean @ library.intensity.T
        + (library.intensity**2).sum(1)
    )
    return _probabilities(distances, library, freedom)


def _unit(rows: Array) -> Array:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def _probabilities(distances: Array, library: eb.FingerprintLibrary, freedom: int) -> Array:
    """From squared distances (n, M) to all fingerprints."""
    variance = max(float(distances.min(1).mean()) / freedom, 1e-12)
    scores = -0.5 * distances / variance
    classes = [scores[:, library.labels == k] for k in range(library.n_classes)]
    logits = [logsumexp(rows, axis=1) - np.log(rows.shape[1]) for rows in classes]
    found: Array = softmax(np.stack(logits, axis=1), axis=1)
    return found
