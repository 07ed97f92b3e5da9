"""Shapes of the edges on the profile's bins, moved and broadened as the experiment has them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.components import components
from eels_bayes.forward_model.continuum import extended
from eels_bayes.forward_model.factor_mixture import N_COMMON, Shape

PAD = 3  # bins before the window that an edge may be shifted or broadened into; chosen, not tuned
UNKNOWN_SD = 0.1  # relative, of the intensity of an unknown structure's edge; chosen, not tuned
UNLIKE = 0.3  # of its local intensity that an unknown edge differs by; chosen, not tuned
# Shift and splitting of an unknown structure's edge, eV
UNKNOWN = ((-3.0, 0.0), (3.0, 0.0), (-3.0, 4.0), (0.0, 4.0), (3.0, 4.0))


@dataclass(frozen=True)
class LibraryFit:
    """How the library stands in this experiment, the same for all spectra.

    Attributes
    ----------
    gain : float
        Measured over simulated intensity.
    shift : float
        By which the experiment's edges lie above the library's, eV.
    broadening : float
        Variance of a Gaussian that the experiment's edges are broadened with, eV^2.
    moved : float
        The part of the shift by which the library's axis is moved before it is cut to the window,
        eV; see `registration`.
    """

    gain: float = 1.0
    shift: float = 0.0
    broadening: float = 0.0
    moved: float = 0.0

    def apply(self, energy: Array, intensity: Array) -> Array:
        """Fingerprints (M, N) on ``energy`` (N,), moved already, as this experiment shows them."""
        step = energy[1] - energy[0]
        sigma = np.sqrt(max(self.broadening, 0.0)) / step
        return self.gain * shift_and_broaden(intensity, (self.shift - self.moved) / step, sigma)


def onto_bins(energy: Array, fine: Array, rows: Array) -> Array:
    """Rows (..., N) on a fine axis as means over the bins (..., B) around ``energy``; 0 off it."""
    width, step = energy[1] - energy[0], fine[1] - fine[0]
    size = round(width / step)
    first = round((fine[0] - 0.5 * step - (energy[0] - 0.5 * width)) / width)
    binned = rows[..., : rows.shape[-1] // size * size]
    binned = binned.reshape(*rows.shape[:-1], -1, size).mean(-1)
    out = np.zeros((*rows.shape[:-1], len(energy)))
    out[..., first : first + binned.shape[-1]] = binned
    return out


def wide_axis(energy: Array, window_axis: Array) -> Array:
    """The window's channels continued from `PAD` bins before it to the last bin's end."""
    width, step = energy[1] - energy[0], window_axis[1] - window_axis[0]
    start = window_axis[0] - 0.5 * step - PAD * width
    start = max(start, energy[0] - 0.5 * width)
    n = round((energy[-1] + 0.5 * width - start) / step)
    fine: Array = start + step * (np.arange(n) + 0.5)
    return fine


def edge_shapes(
    energy: Array, library: FingerprintLibrary, fit: LibraryFit, white: Array
) -> list[Shape]:
    """Components of the mixture in whitened bins.

    The first `N_COMMON` factors are intensity, shift and squared broadening; the others are the
    spread of the class's own fingerprints.

    Parameters
    ----------
    energy : (B,) array
        Bin centres, eV.
    library : FingerprintLibrary
    fit : LibraryFit
        How it stands in the experiment.
    white : (B,) array
        What whitens the bins.

    Returns
    -------
    list of Shape
        As `components.components` lists them.
    """
    vary = library.variations
    fine = wide_axis(energy, library.energy)
    step = fine[1] - fine[0]
    # The population's mean broadening belongs to the mean; its spread is a factor.
    shown = replace(fit, broadening=fit.broadening + vary.broadening**2)
    intensity = shown.apply(fine, extended(library, fine).intensity)
    per_class = []
    for k in range(library.n_classes):
        rows = intensity[library.labels == k]
        mean = rows.mean(0)
        slope = np.gradient(mean, step)
        loadings = [
            vary.intensity * mean,
            -vary.shift * slope,
            # sd of sigma^2 for a half-normal sigma is sqrt(2) times its mean square.
            0.5 * np.sqrt(2.0) * vary.broadening**2 * np.gradient(slope, step),
            *((rows - mean) / np.sqrt(len(rows))),
        ]
        binned = onto_bins(energy, fine, np.array([mean, *loadings])) * white
        per_class.append((binned[0], binned[1:]))
    shapes = []
    for a, b, share in components(library):
        (mean_a, load_a), (mean_b, load_b) = per_class[a], per_class[b]
        if a == b:
            shapes.append(Shape(mean_a, load_a.T))
            continue
        common = share * load_a[:N_COMMON] + (1 - share) * load_b[:N_COMMON]
        spread = [share * load_a[N_COMMON:], (1 - share) * load_b[N_COMMON:]]
        mean = share * mean_a + (1 - share) * mean_b
        shapes.append(Shape(mean, np.concatenate([common, *spread]).T))
    return shapes


def mean_edges(energy: Array, library: FingerprintLibrary, fit: LibraryFit) -> Array:
    """Mean edge (K, B) of each class in bins (B,), eV, as the experiment shows it."""
    shapes = edge_shapes(energy, library, fit, np.ones(len(energy)))[: library.n_classes]
    return np.array([shape.mean for shape in shapes])


def unknown_shapes(energy: Array, library: FingerprintLibrary, white: Array) -> list[Shape]:
    """What the edge of a structure beside the library may look like, in whitened bins.

    Structures of the same element differ by chemical shifts and splittings: the strongest class's
    edge at `UNKNOWN`, its intensity uncertain by a tenth. Weak edges have no shape to speak of.
    """
    fine = wide_axis(energy, library.energy)
    step = fine[1] - fine[0]
    spectra = extended(library, fine).class_spectra
    strongest = spectra[[int(np.argmax(spectra.sum(1)))] * 2]
    shapes = []
    for shift, split in UNKNOWN:
        ends = np.array([shift - 0.5 * split, shift + 0.5 * split]) / step
        mean = shift_and_broaden(strongest, ends, 0.0).mean(0)
        binned = onto_bins(energy, fine, mean) * white
        shapes.append(Shape(binned, UNKNOWN_SD * binned[:, None]))
    return shapes


def unlike_all(edges: Array, along: Array) -> Shape:
    """An edge between those of the classes (K, R), and unlike all along the modes (R, M)."""
    middle = edges.mean(0)
    loadings = [(edges - middle).T, UNKNOWN_SD * middle[:, None], UNLIKE * along]
    return Shape(middle, np.concatenate(loadings, axis=1))
