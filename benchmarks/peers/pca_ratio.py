"""The usual way with the F K edge: principal components, then its peak over its shoulder.

The method names a class and no probability: the class gets 0.97 and the others share the rest.
"""

from __future__ import annotations

import numpy as np

import eels_bayes as eb

from .shared import Array, all_rows, denoise, intensity

SHOULDER, PEAK = (687.5, 691.5), (696.0, 701.0)  # of F K, eV
SURE = 0.97
FAINTEST_SHOULDER = 1e-3  # edge units; no ratio to nothing or to less


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) from the ratio of mean intensities after PCA(10).

    Thresholds lie midway between the fingerprints' own ratios. A peak below half of the faintest
    one is called the class without an edge, whatever the ratio: nothing over nothing names no
    class. Nothing here is random, and nothing takes long: ``seed`` and ``show_progressbar`` are
    not needed.

    Raises
    ------
    ValueError
        Where the spectra do not cover the peak and the shoulder.
    """
    energy = spectra.energy
    if energy[0] > SHOULDER[0] or energy[-1] < PEAK[1]:
        raise ValueError(
            f"spectra cover {energy[0]:g} to {energy[-1]:g} eV; the peak over the shoulder of F K "
            f"needs {SHOULDER[0]:g} to {PEAK[1]:g} eV"
        )

    def mean(rows: Array, band: tuple[float, float]) -> Array:
        return rows[:, (energy >= band[0]) & (energy < band[1])].mean(1)

    known = library.resample(energy).class_spectra
    peaks, shoulders = mean(known, PEAK), mean(known, SHOULDER)
    has_edge = shoulders > 0
    ratios = np.full(len(known), np.inf)
    ratios[has_edge] = peaks[has_edge] / shoulders[has_edge]

    clean = denoise(intensity(spectra)).spectra
    peak, shoulder = mean(clean, PEAK), mean(clean, SHOULDER)
    ratio = peak / np.maximum(shoulder, FAINTEST_SHOULDER)
    label = np.abs(ratio[:, None] - ratios).argmin(1)
    label[peak < 0.5 * np.sort(peaks)[1]] = peaks.argmin()
    others = (1.0 - SURE) / (len(known) - 1)
    return all_rows(np.where(np.arange(len(known)) == label[:, None], SURE, others), spectra)
