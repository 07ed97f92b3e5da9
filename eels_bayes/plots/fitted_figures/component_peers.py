"""The usual way beside ours: principal components, then the class of a ratio or of a distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.subjects import Array, EdgeSpectra

N_COMPONENTS = 10  # of the principal-component denoising: as in the paper
LEAST_SHOULDER = 1e-3  # edge units; no ratio to nothing or to less

Bands = tuple[tuple[float, float], tuple[float, float]]


def rebuilt_from_components(
    spectra: EdgeSpectra, n_components: int = N_COMPONENTS
) -> tuple[Array, Array]:
    """Spectra (n, L) rebuilt from principal components, and their scores (n, q); NaN where flagged.

    Raises
    ------
    ValueError
        If fewer than two pixels are usable.
    """
    from sklearn.decomposition import PCA

    ok = np.asarray(spectra.ok)
    rows = np.asarray(spectra.intensity)[ok].astype(float)
    if len(rows) < 2:
        raise ValueError(f"principal components need two usable pixels or more, got {len(rows)}")
    pca = PCA(min(n_components, *rows.shape), svd_solver="covariance_eigh").fit(rows)
    scores = pca.transform(rows)
    rebuilt = np.full(spectra.intensity.shape, np.nan)
    rebuilt[ok] = pca.inverse_transform(scores)
    filled = np.full((len(ok), scores.shape[1]), np.nan)
    filled[ok] = scores
    return rebuilt, filled


def component_labels(
    rebuilt: Array, energy: Array, fingerprints: Array, bands: Bands | None
) -> NDArray[np.int64]:
    """Class (n,) of spectra (n, L) by the ratio of two bands, or by the nearest fingerprint.

    With bands (shoulder, peak): thresholds lie midway between the fingerprints' own ratios of peak
    to shoulder; a peak below half of the faintest fingerprint's that has one is the class without
    an edge, whatever the ratio, because nothing over nothing names no class.

    Raises
    ------
    ValueError
        If a band holds no channel.
    """
    usable = np.isfinite(rebuilt).all(1)
    labels = np.full(len(rebuilt), -1, dtype=np.int64)
    rows = rebuilt[usable]
    if bands is None:
        square = ((rows[:, None] - fingerprints) ** 2).sum(2)
        labels[usable] = square.argmin(1)
        return labels

    def mean(spectra: Array, k: int) -> Any:
        low, high = validation.interval(("shoulder", "peak")[k], bands[k])
        inside = (energy >= low) & (energy < high)
        if not inside.any():
            raise ValueError(
                f"bands: no channel lies between {low:g} and {high:g} eV; spectra cover "
                f"{energy[0]:g} to {energy[-1]:g} eV"
            )
        return spectra[:, inside].mean(1)

    shoulders, peaks = mean(fingerprints, 0), mean(fingerprints, 1)
    ratios = np.divide(peaks, shoulders, out=np.full_like(peaks, np.inf), where=shoulders > 0)
    shoulder, peak = mean(rows, 0), mean(rows, 1)
    ratio = peak / np.maximum(shoulder, LEAST_SHOULDER)
    named = np.abs(ratio[:, None] - ratios).argmin(1)
    named[peak < 0.5 * np.sort(peaks)[1]] = peaks.argmin()
    labels[usable] = named
    return labels


def component_name(bands: Bands | None) -> str:
    """What the method is called in figures."""
    return "PCA + ratio" if bands is not None else "PCA + nearest fingerprint"
