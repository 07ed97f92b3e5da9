"""Shapes of the edges on the profile's bins, moved and broadened as the experiment has them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.components import Pairs, components
from eels_bayes.forward_model.continuum import extended
from eels_bayes.forward_model.directions import negligible_out
from eels_bayes.forward_model.factor_mixture import Shape
from eels_bayes.forward_model.foreign import UNLIKE
from eels_bayes.forward_model.moved_edges import moved_edge, nodes
from eels_bayes.forward_model.pixel_posterior import UNKNOWN

PAD = 3  # bins before the window that an edge may be shifted or broadened into; chosen, not tuned
UNKNOWN_SD = 0.1  # relative, of the intensity of an unknown structure's edge; chosen, not tuned


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
    energy: Array,
    library: FingerprintLibrary,
    fit: LibraryFit,
    white: Array,
    noise: float = np.inf,
    *,
    pairs: Pairs = (),
) -> list[Shape]:
    """Components of the mixture in whitened bins.

    The first `N_COMMON` factors are intensity, shift and squared broadening; the others are the
    spread of the class's own fingerprints, and what shift and broadening do beyond their linear
    terms.

    Parameters
    ----------
    energy : (B,) array
        Bin centres, eV.
    library : FingerprintLibrary
    fit : LibraryFit
        How it stands in the experiment.
    white : (B,) array
        What whitens the bins.
    noise : float
        Variance of the noise along any direction: what it hides is left out of the last factors.
    pairs : sequence of (int, int)
        Classes that may mix; none does by default.

    Returns
    -------
    list of Shape
        As `components.components` lists them.
    """
    of_classes = [[part * white for part in parts] for parts in _varied_edges(energy, library, fit)]
    shapes = []
    for a, b, share in components(library, pairs):
        part_a, part_b = of_classes[a], of_classes[b]
        # the pixel's intensity, shift and broadening are those of both classes
        mean, linear, beyond = (
            share * one + (1.0 - share) * other
            for one, other in zip(part_a[:3], part_b[:3], strict=True)
        )
        own = [part_a[3]] if a == b else [share * part_a[3], (1.0 - share) * part_b[3]]
        loadings = [library.variations.intensity * mean[None], linear, *own]
        if np.isfinite(noise):
            loadings.append(negligible_out(beyond.T, noise).T)
        shapes.append(Shape(mean, np.concatenate(loadings).T))
    return shapes


def _varied_edges(energy: Array, library: FingerprintLibrary, fit: LibraryFit) -> list[list[Array]]:
    """Of each class, in bins, `MovedEdge` and the spread of its fingerprints."""
    vary = library.variations
    fine = wide_axis(energy, library.energy)
    step = float(fine[1] - fine[0])
    rows = extended(library, fine).intensity
    # fingerprints that differ are moved and broadened as pixels are on average
    shown = replace(fit, broadening=fit.broadening + vary.shift**2 + vary.broadening**2)
    over = nodes(vary)
    found = []
    for k in range(library.n_classes):
        of_class = rows[library.labels == k]
        mean = of_class.mean(0)
        moved = moved_edge(fit.gain * mean, step, fit.shift - fit.moved, fit.broadening, over)
        spread = shown.apply(fine, of_class - mean) / np.sqrt(len(of_class))
        found.append([onto_bins(energy, fine, part) for part in (*moved, spread)])
    return found


def mean_edges(energy: Array, library: FingerprintLibrary, fit: LibraryFit) -> Array:
    """Mean edge (K, B) of each class in bins (B,), eV, as the experiment shows it."""
    return np.array([mean for mean, *_ in _varied_edges(energy, library, fit)])


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
