"""Clean edge spectra put back into the experiment: matched (clean, noisy) pairs.

A clean edge is set on a continuum, a dose and a sub-channel offset drawn from what the data show,
counts are drawn, and they go through the very preprocessing that made the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes import noise
from eels_bayes.align import rebin
from eels_bayes.continuum import ForwardModel, basis, detector_step
from eels_bayes.preprocess import Edges, Preprocessor
from eels_bayes.spectra import Spectra

Array = NDArray[Any]

GROUP = 256  # pairs that share one sub-channel offset


class Clean(NamedTuple):
    """n clean spectra: spectra (n, L) in edge units, class shares (n, K), library values (n,)."""

    spectra: Array
    fractions: Array
    values: Array | None


class Pairs(NamedTuple):
    """n clean edge spectra and what the detector and the preprocessing make of them.

    Attributes
    ----------
    clean : Tensor (n, L)
        Edge units, nuisance shapes included.
    fractions : Tensor (n, K)
        Share of each class.
    noisy : Edges
        As the preprocessor returns them.
    """

    clean: Tensor
    fractions: Tensor
    noisy: Edges


@dataclass(frozen=True, eq=False)
class Reinsertion:
    """Draws pairs; see :func:`reinsertion`.

    Attributes
    ----------
    model : ForwardModel
    preprocessor : Preprocessor
    energy : (C,) array
        Canonical axis, eV.
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
        """Edges of single pixels without overlapping shapes."""
        model = self.model
        n_classes = model.library.n_classes
        flat = rng.choice(n_classes**2, size=n, p=model.pair_weights.ravel())
        first, second = np.divmod(flat, n_classes)
        share = np.where(first == second, 1.0, rng.uniform(0.1, 0.9, n))
        fractions = np.zeros((n, n_classes))
        np.add.at(fractions, (np.arange(n), first), share)
        np.add.at(fractions, (np.arange(n), second), 1.0 - share)
        edge, _, value = model.library.vary(n, rng, labels=first)
        mixed = np.flatnonzero(first != second)
        other, _, other_value = model.library.vary(len(mixed), rng, labels=second[mixed])
        part = share[mixed]
        edge[mixed] = part[:, None] * edge[mixed] + (1.0 - part[:, None]) * other
        if value is not None and other_value is not None:
            value[mixed] = part * value[mixed] + (1.0 - part) * other_value
        return Clean(edge, fractions, value)

    def coefficients(self, n: int, rng: np.random.Generator) -> Array:
        """Continuum coefficients ``u`` (n, P) of single pixels."""
        model = self.model
        u = rng.multivariate_normal(model.mean, model.covariance, size=n, method="cholesky")
        # An overlapping edge adds intensity; the Gaussian's negative tail is not physical.
        overlap = u[:, u.shape[1] - len(model.library.nuisances) :]
        np.maximum(overlap, 0.0, out=overlap)
        return u

    def overlap(self, u: Array) -> Array:
        """Overlapping shapes (n, L) of coefficients (n, P), edge units."""
        shapes = self.model.library.nuisances
        return u[:, u.shape[1] - len(shapes) :] @ shapes

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
        """
        n_classes = self.model.library.n_classes
        if edge is None:
            edge, fractions, _ = self.edges(n, rng)
        else:
            fractions = np.full((n, n_classes), np.nan)
        u = self.coefficients(n, rng)
        power, columns = basis(self.energy, self.model.reference, self.model.library)
        rate = power + u @ columns.T
        rate[:, -edge.shape[1] :] += edge
        pixel = rng.integers(len(self.norm), size=n)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rates, norm, gain = (
            torch.as_tensor(x, dtype=torch.float32)
            for x in (rate, self.norm[pixel] * dose, self.gain[pixel])
        )
        counts, factor = [], []
        # Pixels of one image share their offset, and so do the rows of a group here.
        for rows in torch.arange(n).split(GROUP):
            offset = float(self.offset[rng.integers(len(self.offset))])
            group = self._count(rates[rows], norm[rows], gain[rows], offset, generator)
            counts.append(group[0])
            factor.append(group[1].expand_as(group[0]))
        noisy = self._extract(torch.cat(counts), torch.cat(factor), norm, gain, generator)
        return Pairs(
            torch.as_tensor(edge + self.overlap(u), dtype=torch.float32),
            torch.as_tensor(fractions, dtype=torch.float32),
            noisy,
        )

    def _count(
        self, rate: Tensor, norm: Tensor, gain: Tensor, offset: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Counts (n, C) on the canonical axis of rates (n, C) in edge units; see `align.rebin`."""
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
            counts += math.sqrt(self.readout) * torch.randn(counts.shape, generator=generator)
        shift = torch.full_like(norm, -offset)
        return rebin(counts, start, width, shift, float(self.energy[0]), step, rate.shape[1])

    def _extract(
        self,
        counts: Tensor,
        factor: Tensor,
        norm: Tensor,
        gain: Tensor,
        generator: torch.Generator,
    ) -> Edges:
        """What the preprocessing makes of canonical counts (n, C)."""
        pre = self.preprocessor
        # The norm is measured too: Poisson noise of a window of gross counts.
        if pre.normalize is not None:
            step = float(self.energy[1] - self.energy[0])
            n_reference = (pre.normalize[1] - pre.normalize[0]) / step
            electrons = norm / pre.unit * n_reference / gain
            norm = norm * (1.0 + torch.randn(len(norm), generator=generator) / electrons.sqrt())
        readout = self.readout * float(self.energy[1] - self.energy[0]) / self.detector_step
        # As `noise.variance` has it, with every pixel's own gain.
        variance = torch.maximum(counts, 0.01 * gain[:, None]) * gain[:, None] + readout
        return pre.extract(counts, variance, norm, factor)


def reinsertion(model: ForwardModel, spectra: Spectra) -> Reinsertion:
    """Set up drawing from a fitted forward model at the doses and offsets of ``spectra``."""
    ok = spectra.ok
    energy = spectra.canonical_energy
    step = detector_step(spectra)
    start = np.array([info.energy[0] for info in spectra.images])[spectra.image[ok]]
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
