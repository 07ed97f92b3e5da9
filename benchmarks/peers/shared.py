"""What several peers need: principal components, rows of flagged pixels, coarse bins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import eels_bayes as eb

Array = NDArray[Any]

N_COMPONENTS = 10  # of the principal-component denoising, everywhere
BIN_WIDTH = 1.5  # eV, where counts are summed


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


class Binned(NamedTuple):
    """Counts of m usable pixels in B coarse bins over their norm, and their noise.

    The variance of ``intensity[i, b]`` is ``level[i] * shape[b]``: Poisson noise of a spectrum
    whose shape is close to the mean's.
    """

    intensity: Array  # (m, B), edge units
    level: Array  # (m,)
    shape: Array  # (B,)
    energy: Array  # (B,), centres, eV
    n_per_bin: int

    def rows(self, rows: Array) -> Array:
        """Rows (..., C) on the canonical axis -> means (..., B) over bins."""
        return bin_means(rows, self.n_per_bin)


def bin_means(rows: Array, n_per_bin: int) -> Array:
    """Means over groups of channels of rows (..., C); a remainder is dropped at the low end."""
    start = rows.shape[-1] % n_per_bin
    return rows[..., start:].reshape(*rows.shape[:-1], -1, n_per_bin).mean(-1)


def binned(spectra: eb.Spectra) -> Binned:
    """Counts over norm in bins of about 1.5 eV, with their Poisson and readout noise."""
    ok = spectra.ok
    energy = spectra.canonical_energy
    step = energy[1] - energy[0]
    n_per_bin = max(1, round(BIN_WIDTH / step))
    norm = spectra.norm[ok].astype(np.float64)
    rows = bin_means(spectra.counts[ok].astype(np.float64), n_per_bin) / norm[:, None]
    shape = rows.mean(0)
    # A bin's own count would bias: a low one would pass for a precise one.
    brightness = rows.mean(1) / shape.mean()
    poisson = brightness * spectra.gain[ok] / (norm * n_per_bin)
    images = spectra.images
    constant = np.array([i.readout * step / i.energy[1] for i in images])[spectra.image[ok]]
    readout = constant / (norm**2 * n_per_bin) / shape.mean()
    return Binned(rows, poisson + readout, shape, bin_means(energy, n_per_bin), n_per_bin)


def linear_shapes(library: eb.FingerprintLibrary, n_channels: int) -> tuple[Array, Array]:
    """Class spectra (K, C) and nuisances (Q, C) on the canonical axis, zero before the window."""
    before = ((0, 0), (n_channels - len(library.energy), 0))
    return np.pad(library.class_spectra, before), np.pad(library.nuisances, before)
