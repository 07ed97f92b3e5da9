"""Raw counts to a decision as one module of plain tensors: script-safe, and exportable.

What depends on the energy axis and its drift alone is a *plan*, computed once a drift and not once
a spectrum; what depends on the fitted model alone is computed once and for all (see `psi.pack`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes import noise
from eels_bayes.align import overlap
from eels_bayes.edges import MOST_COUNTS
from eels_bayes.preprocess import Preprocessor
from eels_bayes.reader import Reader
from eels_bayes.spectra import Flag
from eels_bayes.spikes import excess, expected_shape

N_COLUMNS = 7  # beside the K probabilities


class Plan(NamedTuple):
    """What one drift of the energy axis fixes.

    Attributes
    ----------
    picked : Tensor (T G + N,) of int64
        Detector channels that the G aligned channels are made of, T each, then the N channels of
        the normalize window.
    weight : Tensor (T, G)
        How much of each.
    band : Tensor (N,)
        Weights of the normalize window's channels; they sum to one.
    shape : Tensor (1, E)
        What is expected in detector channels, see `spikes.expected_shape`.
    flag : Tensor, scalar int64
        `Flag.OFF_AXIS` where energies that are needed leave the axis, else 0.
    """

    picked: Tensor
    weight: Tensor
    band: Tensor
    shape: Tensor
    flag: Tensor


class FastGraph(nn.Module):
    """Raw counts (n, E) and a plan -> columns (n, K + 7), labels (n,) and flags (n,).

    Columns are the K class probabilities, then total, aleatoric, encoder, classifier, novelty,
    value and value_sd as in `Prediction`; rows that are flagged are NaN, their label is -1.

    Parameters
    ----------
    preprocessor : Preprocessor
        Calibrated.
    reader : Reader
    offset, scale : float
        Centre of the detector's first channel and width of its channels, eV.
    n_channels : int
        E.
    gain, readout : float
        Variance of a count: ``gain * counts + readout``.
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        reader: Reader,
        offset: float,
        scale: float,
        n_channels: int,
        gain: float,
        readout: float,
    ):
        super().__init__()
        pre = preprocessor
        self.reader, self.extractor = reader, pre.extractor
        self.offset, self.scale, self.n_channels = offset, scale, n_channels
        self.gain, self.readout = gain, readout
        self.step, self.unit = pre.step, pre.unit
        self.per_bin = round(pre.bin_width / pre.step)
        first_bin, last_bin = (int(edge) for edge in pre.profile_bins)
        self.n_bins = last_bin - first_bin
        # the grid of aligned channels, counted from the window's start
        start = min(first_bin * self.per_bin, -pre.extractor.n_before)
        stop = max(last_bin * self.per_bin, pre.extractor.n_window)
        self.n_grid = stop - start
        self.grid_first = pre.window[0] + pre.step * start
        self.canonical_at = -pre.extractor.n_before - start
        self.n_canonical = pre.extractor.n_before + pre.extractor.n_window
        self.profile_at = first_bin * self.per_bin - start
        self.normalized = pre.normalize is not None
        self.band_low, self.band_high = pre.normalize or (0.0, 0.0)
        self.most = MOST_COUNTS  # scripting sees no globals
        self.off_axis, self.non_finite = int(Flag.OFF_AXIS), int(Flag.NON_FINITE)
        self.typical_first = float(pre.typical_first)
        self.register_buffer("typical", pre.typical.float())
        self.typical: Tensor
        # tensors, as scalars would be made tensors at each call
        self.register_buffer("nothing", torch.tensor(math.nan), persistent=False)
        self.register_buffer("no_class", torch.tensor(-1), persistent=False)
        self.nothing: Tensor
        self.no_class: Tensor

    @torch.jit.export
    def plan(self, shift: float) -> Plan:
        """The plan for a drift (eV) to be removed; see `Preprocessor.forward`."""
        finite = math.isfinite(shift)
        shift = shift if finite else 0.0
        shifts = torch.full((1,), shift, dtype=torch.float64)
        index, weight = overlap(
            self.n_channels,
            self.offset,
            self.scale,
            shifts,
            self.grid_first,
            self.step,
            self.n_grid,
        )
        index, weight = index[:, 0], weight[:, 0]
        # what has no weight must not bring in another channel's NaN
        index = torch.where(weight > 0, index, index.gather(0, weight.argmax(0, keepdim=True)))
        band = torch.zeros(0)
        index = index.flatten()
        if self.normalized:
            width = self.band_high - self.band_low
            center = 0.5 * (self.band_low + self.band_high)
            channels, parts = overlap(
                self.n_channels, self.offset, self.scale, shifts, center, width, 1
            )
            inside = parts.flatten() > 0
            index = torch.cat([index, channels.flatten()[inside]])
            band = parts.flatten()[inside] * (self.scale / width)
        low, high = self.needed()
        slack = 1e-3 * self.scale
        begin = self.offset - 0.5 * self.scale
        end = begin + self.scale * self.n_channels
        off_axis = low + shift < begin - slack or high + shift > end + slack
        if not finite:  # it makes all that is read of a spectrum not finite
            weight = torch.full_like(weight, math.nan)
        shape = expected_shape(
            self.n_channels,
            self.offset,
            self.scale,
            shifts,
            self.typical,
            self.typical_first,
            self.step,
        )
        flag = torch.tensor(self.off_axis if off_axis else 0)
        return Plan(index, weight.float(), band.float(), shape, flag)

    def forward(
        self,
        counts: Tensor,
        index: Tensor,
        weight: Tensor,
        band: Tensor,
        shape: Tensor,
        plan_flag: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, labels and flags of counts (n, E) float32; the rest is a `Plan`."""
        picked = counts.index_select(1, index)
        n_taps, n_grid = weight.size(0), weight.size(1)
        aligned = picked.narrow(1, 0, n_taps * n_grid).view(-1, n_taps, n_grid) * weight
        aligned = aligned.sum(1)
        canonical = aligned.narrow(1, self.canonical_at, self.n_canonical)
        profile = aligned.narrow(1, self.profile_at, self.n_bins * self.per_bin)
        profile = profile.reshape(-1, self.n_bins, self.per_bin).mean(2)
        if self.normalized:
            reference = picked[:, n_taps * n_grid :]
            mean = reference @ band
            # What does not stand out from its own scatter by three errors is no reference: as
            # `Preprocessor.forward` has it, without the root.
            n = self._width() / self.scale
            scatter = reference.square() @ (band * (9.0 / (n + 9.0)))
            found = (mean * mean.abs() > scatter) & (mean < self.most)
            norm = mean * found * (self.step * self.unit / self.scale)
        else:
            norm = torch.ones_like(aligned[:, 0])
        non_finite, flag = self.extractor.check(canonical, norm)
        all_of_it = profile.sum(1)
        non_finite = non_finite | (all_of_it - all_of_it != 0)
        flag = flag + non_finite * self.non_finite + plan_flag
        bad = flag > 0
        variance = noise.variance(canonical, self.gain, self.readout * self.step / self.scale)
        fano = variance.sum(1) / canonical.clamp(min=0.0).sum(1).clamp(min=1e-6)
        spike = excess(counts, shape, self.gain, self.readout)
        profile = profile / norm.unsqueeze(1)
        level = fano / (norm * self.per_bin)
        found = self.reader(profile, level, spike)
        rest = torch.stack(
            (
                found.total,
                found.aleatoric,
                found.encoder,
                found.classifier,
                found.novelty,
                found.value,
                found.value_sd,
            ),
            1,
        )
        columns = torch.cat((found.probabilities, rest), 1)
        columns = torch.where(bad.unsqueeze(1), self.nothing, columns)
        labels = torch.where(bad, self.no_class, found.probabilities.argmax(1))
        return columns, labels, flag

    @torch.jit.export
    def needed(self) -> tuple[float, float]:
        """Energies (low, high) that spectra must cover, eV."""
        low = self.grid_first - 0.5 * self.step
        high = low + self.step * self.n_grid
        if self.normalized:
            low, high = min(low, self.band_low), max(high, self.band_high)
        return low, high

    def _width(self) -> float:
        return self.band_high - self.band_low


class Program(nn.Module):
    """The graph with its plan, as TorchScript runs it: ``set_shift`` once a drift, then counts."""

    def __init__(self, graph: FastGraph):
        super().__init__()
        self.graph = graph
        for name, tensor in graph.plan(0.0)._asdict().items():
            self.register_buffer(f"plan_{name}", tensor)
        self.plan_picked: Tensor
        self.plan_weight: Tensor
        self.plan_band: Tensor
        self.plan_shape: Tensor
        self.plan_flag: Tensor

    @torch.jit.export
    def set_shift(self, shift: float) -> None:
        """Remove another drift (eV) from the spectra that follow."""
        plan = self.graph.plan(shift)
        self.plan_picked = plan.picked
        self.plan_weight = plan.weight
        self.plan_band = plan.band
        self.plan_shape = plan.shape
        self.plan_flag = plan.flag

    def forward(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, labels and flags of counts (n, E); see `FastGraph`."""
        return self.graph(
            counts,
            self.plan_picked,
            self.plan_weight,
            self.plan_band,
            self.plan_shape,
            self.plan_flag,
        )
