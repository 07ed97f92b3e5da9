"""Raw counts to a decision as one module of plain tensors: script-safe, and exportable.

What depends on the energy axis and its drift alone is a *plan*, computed once a drift and not once
a spectrum; what depends on the fitted model alone is computed once and for all (see
`packed_gp.pack`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.energy_axis import EnergyAxis, common_limits, limits
from eels_bayes.data.flags import Flag
from eels_bayes.prediction.pixel_reader import Reader, unanswered
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.rebinning import overlap
from eels_bayes.preprocessing.reference import planned_norm
from eels_bayes.preprocessing.spikes import (
    BLOCK,
    Expected,
    excess,
    expected,
    expected_shape,
    in_blocks,
    neighbours,
)

N_COLUMNS = 7  # beside the K probabilities
CHUNK = 64  # spectra at a time: enough to pay for the calls, and few enough for the caches
Run = Callable[[NDArray[np.float32], float], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]


class Plan(NamedTuple):
    """What one drift of the energy axis fixes.

    Attributes
    ----------
    read : Tensor (E, 1) of bool
        Detector channels that anything is made of: beyond, odd counts are allowed, and say nothing.
    sums : Tensor (2, E)
        The mean over the normalize window, then the sum of all that is read.
    picked : Tensor (S B + T C + N,) of int64
        Channels that the B bins of the profile are made of, S each, and the C canonical channels,
        T each, then the N channels of the normalize window.
    bins, canonical : Tensor (S, B, 1) and (T, C, 1)
        How much of each.
    band : Tensor (N, 1)
        Weights of the normalize window's channels; they sum to one.
    some, root, per_root : Tensor (E / 16, 16, 1)
        What is expected in every channel, see `spikes.Expected`.
    flag : Tensor, scalar int64
        `Flag.OFF_AXIS` where energies that are needed leave the axis, else 0.
    """

    read: Tensor
    sums: Tensor
    picked: Tensor
    bins: Tensor
    canonical: Tensor
    band: Tensor
    some: Tensor
    root: Tensor
    per_root: Tensor
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
    axis : EnergyAxis
        The detector's E channels.
    detector_noise : Noise
        Of the counts.
    """

    axis: EnergyAxis  # scripting would take it for a plain tuple otherwise
    canonical: EnergyAxis
    bins: EnergyAxis
    typical_axis: EnergyAxis

    def __init__(
        self,
        preprocessor: Preprocessor,
        reader: Reader,
        axis: EnergyAxis,
        detector_noise: Noise,
    ):
        super().__init__()
        pre = preprocessor
        self.reader, self.extractor = reader, pre.extractor
        self.axis = axis
        # plain numbers, which TorchScript can read
        self.gain, self.readout, self.offset, self.correlation_factor = map(float, detector_noise)
        self.step, self.unit = pre.step, pre.unit
        self.canonical = pre.extractor.axis()
        self.bins = pre.profile_axis()
        self.normalized = pre.normalize is not None
        self.band_low, self.band_high = pre.normalize or (0.0, 0.0)
        self.off_axis, self.non_finite = int(Flag.OFF_AXIS), int(Flag.NON_FINITE)
        self.no_answer, self.has_value = int(Flag.NO_ANSWER), bool(reader.heads.has_value)
        first = float(pre.typical_first)
        self.typical_axis = EnergyAxis(first, pre.step, pre.typical.shape[0])
        near = neighbours(math.ceil(axis.n / BLOCK))
        self.register_buffer("near", near, persistent=False)
        self.near: Tensor
        self.register_buffer("typical", pre.typical.float())
        self.typical: Tensor
        # tensors, as scalars would be made tensors at each call
        self.register_buffer(
            "nothing", torch.tensor(math.nan, dtype=torch.float32), persistent=False
        )
        self.register_buffer("none", torch.tensor(0.0, dtype=torch.float32), persistent=False)
        self.register_buffer("no_class", torch.tensor(-1), persistent=False)
        self.nothing: Tensor
        self.none: Tensor
        self.no_class: Tensor

    @torch.jit.export
    def plan(self, shift: float) -> Plan:
        """The plan for a drift (eV) to be removed; see `Preprocessor.forward`."""
        finite = math.isfinite(shift)
        shift = shift if finite else 0.0
        shifts = torch.full((1,), shift, dtype=torch.float64)
        picked: list[Tensor] = []
        weights: list[Tensor] = []
        for new in (self.bins, self.canonical):
            index, weight = overlap(self.axis, shifts, new)
            index, weight = index[:, 0], weight[:, 0]
            # what has no weight must not bring in another channel's NaN
            index = torch.where(weight > 0, index, index.gather(0, weight.argmax(0, keepdim=True)))
            picked.append(index.flatten())
            if not finite:  # it makes all that is read of a spectrum not finite
                weight = torch.full_like(weight, math.nan)
            weights.append(weight.float())
        band = torch.zeros(0, dtype=torch.float32)
        if self.normalized:
            width = self.band_high - self.band_low
            center = 0.5 * (self.band_low + self.band_high)
            channels, parts = overlap(self.axis, shifts, EnergyAxis(center, width, 1))
            inside = parts.flatten() > 0
            picked.append(channels.flatten()[inside])
            band = parts.flatten()[inside] * (self.axis.scale / width)
        low, high = self.needed()
        lowest, highest = limits(self.axis)
        off_axis = low + shift < lowest or high + shift > highest
        shape = expected_shape(self.axis, shifts, self.typical.cpu(), self.typical_axis)
        channels_read = torch.cat(picked)
        sums = torch.zeros(2, self.axis.n, dtype=torch.float32)
        sums[0, channels_read[len(channels_read) - len(band) :]] = band.float()
        sums[1, channels_read] = 1.0
        some, root, per_root = expected(shape * sums[1])
        flag = torch.tensor(self.off_axis if off_axis else 0)
        device = self.typical.device
        return Plan(
            (sums[1:] > 0).t().to(device),
            sums.to(device),
            channels_read.to(device),
            weights[0].unsqueeze(2).to(device),
            weights[1].unsqueeze(2).to(device),
            band.float().unsqueeze(1).to(device),
            some.to(device),
            root.to(device),
            per_root.to(device),
            flag.to(device),
        )

    def forward(
        self,
        counts: Tensor,
        read: Tensor,
        sums: Tensor,
        index: Tensor,
        bins: Tensor,
        canonical_weight: Tensor,
        band: Tensor,
        some: Tensor,
        root: Tensor,
        per_root: Tensor,
        plan_flag: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, labels and flags of counts (n, E) float32; the rest is a `Plan`."""
        # Spectra last from here on, so that channels are picked for many at once.
        if self.offset != 0.0:
            counts = counts - self.offset
        shown = torch.where(read, counts.t(), self.none).contiguous()
        # As a product of all of it: compilers then keep what is shown, instead of turning the
        # counts round anew for each channel that is picked.
        added = sums @ shown
        mean, whole = added[0], added[1]
        picked = shown.index_select(0, index)
        of_bins, of_canonical = bins.numel(), canonical_weight.numel()
        profile = picked.narrow(0, 0, of_bins).view(bins.size(0), bins.size(1), -1)
        profile = (profile * bins).sum(0)
        canonical = picked.narrow(0, of_bins, of_canonical)
        canonical = canonical.view(canonical_weight.size(0), canonical_weight.size(1), -1)
        canonical = (canonical * canonical_weight).sum(0).t()
        if self.normalized:
            reference = picked[of_bins + of_canonical :]
            n = self._width() / self.axis.scale
            width = self.step * self.unit / self.axis.scale
            norm = planned_norm(mean, reference, band, n, width)
        else:
            norm = torch.ones_like(whole)
        non_finite, flag = self.extractor.check(canonical, norm)
        non_finite = non_finite | (whole - whole != 0)
        flag = flag + non_finite * self.non_finite + plan_flag
        variance = noise.variance(canonical, self.gain, self.readout * self.step / self.axis.scale)
        fano = noise.fano_factor(variance, canonical)
        usual = Expected(some, root, per_root)
        alone = self.correlation_factor
        spike = excess(in_blocks(shown), self.near, usual, self.gain * alone, self.readout * alone)
        # with the profile's factor at hand: `noise.noise_level` but for rounding
        per_channel = (self.step / self.bins.scale) / norm
        profile = (profile * per_channel).t()
        level = fano * per_channel
        if self.correlation_factor < 1.0:
            width = self.bins.scale / self.axis.scale
            level = level * noise.channel_share(self.correlation_factor, width)
        reading = self.reader(profile, level, spike)
        silent = unanswered(reading, self.has_value) & (flag == 0)
        flag = flag + silent * self.no_answer
        bad = flag > 0
        scalars = torch.stack(
            (
                reading.total,
                reading.aleatoric,
                reading.encoder,
                reading.classifier,
                reading.novelty,
                reading.value,
                reading.value_sd,
            ),
            1,
        )
        columns = torch.cat((reading.probabilities, scalars), 1)
        columns = torch.where(bad.unsqueeze(1), self.nothing, columns)
        labels = torch.where(bad, self.no_class, reading.probabilities.argmax(1))
        return columns, labels, flag

    @torch.jit.export
    def needed(self) -> tuple[float, float]:
        """Energies (low, high) that spectra must cover, eV."""
        low, high = common_limits(self.canonical, self.bins)
        if self.normalized:
            low, high = min(low, self.band_low), max(high, self.band_high)
        return low, high

    def _width(self) -> float:
        """Width of the normalize window, eV."""
        return self.band_high - self.band_low


class Program(nn.Module):
    """The graph with its plan, as TorchScript runs it: ``set_shift`` once a drift, then counts."""

    def __init__(self, graph: FastGraph):
        super().__init__()
        self.graph = graph
        for name, tensor in graph.plan(0.0)._asdict().items():
            self.register_buffer(f"plan_{name}", tensor)
        self.plan_read: Tensor
        self.plan_sums: Tensor
        self.plan_picked: Tensor
        self.plan_bins: Tensor
        self.plan_canonical: Tensor
        self.plan_band: Tensor
        self.plan_some: Tensor
        self.plan_root: Tensor
        self.plan_per_root: Tensor
        self.plan_flag: Tensor

    @torch.jit.export
    def set_shift(self, shift: float) -> None:
        """Remove another drift (eV) from the spectra that follow."""
        plan = self.graph.plan(shift)
        self.plan_read = plan.read
        self.plan_sums = plan.sums
        self.plan_picked = plan.picked
        self.plan_bins = plan.bins
        self.plan_canonical = plan.canonical
        self.plan_band = plan.band
        self.plan_some = plan.some
        self.plan_root = plan.root
        self.plan_per_root = plan.per_root
        self.plan_flag = plan.flag

    def forward(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, labels and flags of counts (n, E); see `FastGraph`."""
        return self.graph(
            counts,
            self.plan_read,
            self.plan_sums,
            self.plan_picked,
            self.plan_bins,
            self.plan_canonical,
            self.plan_band,
            self.plan_some,
            self.plan_root,
            self.plan_per_root,
            self.plan_flag,
        )


def cached_plan(graph: FastGraph) -> Callable[[float], Plan]:
    """Plans by drift, the last one kept."""
    plans: dict[float, Plan] = {}

    def plan(shift: float) -> Plan:
        found = plans.get(shift)
        if found is None:
            found = graph.plan(shift)
            plans.clear()  # other threads may ask meanwhile: each has its own
            plans[shift] = found
        return found

    return plan
