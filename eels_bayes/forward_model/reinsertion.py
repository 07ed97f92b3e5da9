"""Clean edge spectra put back into the experiment: matched (clean, noisy) pairs.

A clean edge is set on a continuum and a dose drawn from what the data show, counts are drawn, and
they are normalised as the data were. Where edge spectra are asked for as well, the same counts go
through the very preprocessing that made the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eels_bayes.arrays import Array
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.clean_edges import (
    Clean,
    blended_edges,
    class_edges,
    continuum_coefficients,
    noise_free_profile,
    overlapping_shapes,
    population_edges,
    single_edges,
)
from eels_bayes.forward_model.edge_shapes import onto_bins
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.edge_extractor import Edges
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.rebinning import rebin

GROUP = 256  # pairs that share one sub-channel offset; chosen, not tuned
BORDER = 1e-6  # of a bin: a border this close to the axis's first lies on it


class Pairs(NamedTuple):
    """n clean edge spectra and what the detector and the preprocessing make of them.

    Attributes
    ----------
    clean : Tensor (n, L)
        Edge units, nuisance shapes included.
    profile : Tensor (n, B)
        As in `Spectra`.
    level : Tensor (n,)
        As in `Spectra`.
    """

    clean: Tensor
    profile: Tensor
    level: Tensor


class Drawn(NamedTuple):
    """n pairs and the counts on the canonical axis that hold the same electrons.

    Attributes
    ----------
    pairs : Pairs
    counts, factor : Tensor (n, C)
        Both results of `rebinning.rebin`.
    gain, norm : Tensor (n,)
        Variance per count, and the measured norm.
    """

    pairs: Pairs
    counts: Tensor
    factor: Tensor
    gain: Tensor
    norm: Tensor


@dataclass(frozen=True, eq=False)
class Reinsertion:
    """Draws pairs; see :func:`reinsertion`.

    Attributes
    ----------
    model : ForwardModel
    preprocessor : Preprocessor
    energy : (C,) array
        Canonical axis of counts, eV.
    norm, gain, offset : (n,) arrays
        Of the data's pixels, drawn from together: counts a channel of an intensity of 1.0, variance
        per count, and the position of detector channels' borders relative to the first canonical
        one, eV.
    readout : float
        Variance of a detector channel's counts that does not depend on them.
    detector_step : float
        Width of a detector channel, eV.
    """

    model: ForwardModel
    preprocessor: Preprocessor
    energy: Array
    norm: Array
    gain: Array
    offset: Array
    readout: float
    detector_step: float

    def edges(self, n: int, rng: np.random.Generator) -> Clean:
        """Edges of ``n`` single pixels without overlapping shapes.

        Fingerprints under their variations, classes and mixtures as frequent as in the data.
        """
        return population_edges(self.model, n, rng)

    def class_edges(self, k: int, n: int, rng: np.random.Generator) -> Clean:
        """Edges of ``n`` pixels that class ``k`` dominates, mixed as often as in the data."""
        return class_edges(self.model, k, n, rng)

    def single_edges(self, labels: Array, rng: np.random.Generator) -> Clean:
        """Edges of pixels that hold one class (n,) alone, of the sizes that it has in the data."""
        return single_edges(self.model, labels, rng)

    def mixed_edges(
        self, first: Array, second: Array, share: Array, rng: np.random.Generator
    ) -> Clean:
        """Edges that are a share (n,) of the first class (n,) and for the rest of the second."""
        return blended_edges(self.model, first, second, share, rng)

    def coefficients(self, n: int, rng: np.random.Generator) -> Array:
        """Continuum coefficients ``u`` (n, P) of single pixels."""
        return continuum_coefficients(self.model, n, rng)

    def overlap(self, u: Array) -> Array:
        """Overlapping shapes (n, L) of coefficients (n, P), edge units."""
        return overlapping_shapes(self.model, u)

    def draw_clean(self, n: int, rng: np.random.Generator) -> Clean:
        """Clean edge spectra with overlapping shapes."""
        clean = self.edges(n, rng)
        overlap = self.overlap(self.coefficients(n, rng))
        return clean._replace(spectra=clean.spectra + overlap)

    def draw(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        edge: Array | None = None,
        dose: float | Array = 1.0,
    ) -> Pairs:
        """Draw ``n`` pairs.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator
        edge : (n, L) array, optional
            Clean edges to put back, in edge units; by default fingerprints under their variations,
            classes and mixtures as frequent as in the data.
        dose : float or (n,) array
            Multiplies the data's doses.

        Returns
        -------
        Pairs
        """
        edge, u, norm, gain = self._drawn(n, rng, edge, dose)
        return self._pairs(edge, u, self._bin_counts(edge, u, norm, gain, rng), norm, gain)

    def draw_counts(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        edge: Array | None = None,
        dose: float | Array = 1.0,
    ) -> Drawn:
        """Draw ``n`` pairs with their counts on the canonical axis, aligned as measured ones are.

        Parameters
        ----------
        n, rng, edge, dose
            As in `draw`.

        Returns
        -------
        Drawn
        """
        edge, u, norm, gain = self._drawn(n, rng, edge, dose)
        energy, model = self.energy, self.model
        canonical, factor, gains = self._canonical_counts(edge, u, norm, gain, rng)
        binned = self._bin_counts(edge, u, norm, gain, rng)
        bins = model.continuum.energy
        # bins that the channels cover hold the very same electrons
        inside, covered = onto_bins(bins, *self._whole_bins(canonical.numpy())), self._covered()
        size = round((bins[1] - bins[0]) / (energy[1] - energy[0]))
        binned[:, covered] = size * inside[:, covered]
        pairs = self._pairs(edge, u, binned, norm, gain)
        measured = torch.as_tensor(norm * self._norm_found(binned, norm), dtype=torch.float32)
        return Drawn(pairs, canonical, factor, gains, measured)

    def draw_edges(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        edge: Array | None = None,
        dose: float | Array = 1.0,
    ) -> tuple[Pairs, Edges]:
        """Draw ``n`` pairs with the edge spectra of the same counts.

        Parameters
        ----------
        n, rng, edge, dose
            As in `draw`.

        Returns
        -------
        pairs : Pairs
        edges : Edges
            What the preprocessing makes of the counts.
        """
        drawn = self.draw_counts(n, rng, edge=edge, dose=dose)
        readout = self.readout * float(self.energy[1] - self.energy[0]) / self.detector_step
        variance = noise.variance_by_pixel(drawn.counts, drawn.gain, readout)
        return drawn.pairs, self.preprocessor.extract(
            drawn.counts, variance, drawn.norm, drawn.factor
        )

    def _drawn(
        self, n: int, rng: np.random.Generator, edge: Array | None, dose: float | Array
    ) -> tuple[Array, Array, Array, Array]:
        """Edges (n, L), coefficients (n, P), norms (n,) and gains (n,) of pixels."""
        if edge is None:
            edge = self.edges(n, rng).spectra
        u = self.coefficients(n, rng)
        pixel = rng.integers(len(self.norm), size=n)
        return edge, u, self.norm[pixel] * dose, self.gain[pixel]

    def _canonical_counts(
        self, edge: Array, u: Array, norm: Array, gain: Array, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Counts and their variance factors (n, C) on the canonical axis, and gains (n,)."""
        energy, model = self.energy, self.model
        rate = model.continuum.center(energy) + u @ model.continuum.columns(energy, model.library).T
        rate[:, -edge.shape[1] :] += edge
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rates, norms, gains = (
            torch.as_tensor(x, dtype=torch.float32) for x in (rate.clip(0.0), norm, gain)
        )
        counts, factors = [], []
        # Pixels of one image share their offset, and so do the rows of a group here.
        for rows in torch.arange(len(edge)).split(GROUP):
            offset = float(self.offset[rng.integers(len(self.offset))])
            count, factor = self._count(rates[rows], norms[rows], gains[rows], offset, generator)
            counts.append(count)
            factors.append(factor.expand_as(count))
        return torch.cat(counts), torch.cat(factors), gains

    def profile(self, edge: Array, u: Array) -> Array:
        """Profiles (n, B) without noise of clean edges (n, L) on continua (n, P), edge units."""
        return noise_free_profile(self.model, edge, u)

    def _bin_counts(
        self, edge: Array, u: Array, norm: Array, gain: Array, rng: np.random.Generator
    ) -> Array:
        """Counts (n, B) in the profile's bins."""
        rate, bins = self.profile(edge, u), self.model.continuum.energy
        size = (bins[1] - bins[0]) / (self.energy[1] - self.energy[0])
        electrons = rng.poisson(np.maximum(rate, 0.0) * (norm * size / gain)[:, None])
        counts: Array = electrons * gain[:, None]
        if self.readout > 0:
            channels = (bins[1] - bins[0]) / self.detector_step
            counts += rng.normal(0.0, math.sqrt(self.readout * channels), counts.shape)
        return counts

    def _pairs(self, edge: Array, u: Array, counts: Array, norm: Array, gain: Array) -> Pairs:
        """Pairs of clean edges (n, L) and counts (n, B) in the profile's bins, norms measured."""
        bins = self.model.continuum.energy
        size = (bins[1] - bins[0]) / (self.energy[1] - self.energy[0])
        profile = counts / (norm * size)[:, None]
        found = self._norm_found(counts, norm)
        readout = self.readout * (bins[1] - bins[0]) / self.detector_step
        # where the preprocessor weighs readout against counts
        fano = gain + readout / np.maximum(counts[:, self._covered()].mean(1), noise.LEAST_COUNTS)
        level = fano / (norm * found * size)
        return Pairs(
            torch.as_tensor(edge + self.overlap(u), dtype=torch.float32),
            torch.as_tensor(profile / found[:, None], dtype=torch.float32),
            torch.as_tensor(level, dtype=torch.float32),
        )

    def _norm_found(self, counts: Array, norm: Array) -> Array:
        """Measured norm over the true one (n,): the reference window's counts have noise too."""
        pre, bins = self.preprocessor, self.model.continuum.energy
        if pre.normalize is None:
            return np.ones(len(counts))
        width = bins[1] - bins[0]
        low, high = pre.normalize
        share = np.clip(
            np.minimum(high, bins + 0.5 * width) - np.maximum(low, bins - 0.5 * width), 0.0, width
        )
        if share.sum() < 0.9 * (high - low):  # beyond the profile
            return np.ones(len(counts))
        size = width / (self.energy[1] - self.energy[0])
        mean = counts @ share / share.sum() / size
        found: Array = np.maximum(pre.unit * mean / norm, 0.1)
        return found

    def _whole_bins(self, rows: Array) -> tuple[Array, Array]:
        """The canonical axis and rows on it, from the first bin that begins there."""
        bins, step = self.model.continuum.energy, self.energy[1] - self.energy[0]
        width = bins[1] - bins[0]
        start = (self.energy[0] - 0.5 * step - (bins[0] - 0.5 * width)) / width
        skip = round((math.ceil(start - BORDER) - start) * width / step)
        return self.energy[skip:], rows[..., skip:]

    def _covered(self) -> Array:
        """Which of the bins (B,) lie wholly on the canonical axis."""
        bins, everywhere = self.model.continuum.energy, np.ones(len(self.energy))
        covered: Array = onto_bins(bins, *self._whole_bins(everywhere)) > 0
        return covered

    def _count(
        self, rate: Tensor, norm: Tensor, gain: Tensor, offset: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Counts (n, C) on the canonical axis of rates (n, C) in edge units: `rebinning.rebin`."""
        step = float(self.energy[1] - self.energy[0])
        width = self.detector_step
        n_detector = math.ceil(rate.shape[1] * step / width) + 2
        start = float(self.energy[0]) - 0.5 * step - 0.5 * width
        # Rates are smooth on the scale of a channel: interpolation onto the detector is harmless.
        grid = (start + offset + width * np.arange(n_detector) - self.energy[0]) / step
        low = np.clip(np.floor(grid).astype(int), 0, rate.shape[1] - 2)
        part = torch.as_tensor(np.clip(grid - low, 0.0, 1.0), dtype=torch.float32)
        detected = torch.lerp(rate[:, low], rate[:, low + 1], part)
        detected = detected * (norm * (width / step))[:, None]
        counts = noise.draw_counts(detected / gain[:, None], 1.0, generator) * gain[:, None]
        if self.readout > 0:
            counts += math.sqrt(self.readout) * torch.randn(
                counts.shape, generator=generator, dtype=torch.float32
            )
        shift = torch.full_like(norm, -offset)
        axis = EnergyAxis(start, width, n_detector)
        return rebin(counts, axis, shift, EnergyAxis(float(self.energy[0]), step, rate.shape[1]))


def clean_source(model: ForwardModel, preprocessor: Preprocessor) -> Reinsertion:
    """Set up drawing clean spectra alone, for which no pixel's dose is needed.

    Parameters
    ----------
    model : ForwardModel
    preprocessor : Preprocessor
        Calibrated.

    Returns
    -------
    Reinsertion
        Of one pixel of norm and gain 1.
    """
    unit, energy = np.ones(1), preprocessor.canonical_energy
    return Reinsertion(model, preprocessor, energy, unit, unit, 0.0 * unit, 0.0, preprocessor.step)


def reinsertion(model: ForwardModel, spectra: Spectra) -> Reinsertion:
    """Set up drawing from a fitted forward model at the doses and offsets of spectra.

    Parameters
    ----------
    model : ForwardModel
    spectra : Spectra
        Flagged pixels are left out.

    Returns
    -------
    Reinsertion
    """
    ok = spectra.ok
    energy = spectra.canonical_energy
    # Width of a detector channel; the median where images differ.
    step = float(np.median([info.energy.scale for info in spectra.images]))
    start = np.array([info.energy.offset for info in spectra.images])[spectra.image[ok]]
    # Borders of detector channels relative to the canonical axis's first, up to whole channels.
    first_edge = energy[0] - 0.5 * (energy[1] - energy[0])
    offset = np.mod(start - 0.5 * step - spectra.shift[ok] - first_edge, step)
    return Reinsertion(
        model,
        spectra.preprocessor,
        energy,
        spectra.norm[ok].astype(float),
        spectra.gain[ok].astype(float),
        offset,
        float(np.mean([info.readout for info in spectra.images])),
        step,
    )
