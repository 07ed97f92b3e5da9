"""What the drift of an energy axis fixes: computed once a drift, and not once a spectrum."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.data.energy_axis import EnergyAxis, common_limits, limits
from eels_bayes.data.flags import Flag
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.rebinning import overlap
from eels_bayes.preprocessing.spikes import expected, expected_shape

KEPT = 2  # plans: that in use, and the next one, which another thread may make meanwhile


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


class Planner(nn.Module):
    """The plan for a drift (eV) to be removed; script-safe. See `Preprocessor.forward`.

    Parameters
    ----------
    preprocessor : Preprocessor
        Calibrated.
    axis : EnergyAxis
        The detector's E channels.
    """

    axis: EnergyAxis  # scripting would take it for a plain tuple otherwise
    canonical: EnergyAxis
    bins: EnergyAxis
    typical_axis: EnergyAxis

    def __init__(self, preprocessor: Preprocessor, axis: EnergyAxis):
        super().__init__()
        pre = preprocessor
        self.axis = axis
        self.canonical = pre.extractor.axis()
        self.bins = pre.profile_axis()
        self.normalized = pre.normalize is not None
        self.band_low, self.band_high = pre.normalize or (0.0, 0.0)
        self.off_axis = int(Flag.OFF_AXIS)
        first = float(pre.typical_first)
        self.typical_axis = EnergyAxis(first, pre.step, pre.typical.shape[0])
        self.register_buffer("typical", pre.typical.float())
        self.typical: Tensor

    def forward(self, shift: float) -> Plan:
        """The plan for this drift, eV."""
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

    @torch.jit.export
    def needed(self) -> tuple[float, float]:
        """Energies (low, high) that spectra must cover, eV."""
        low, high = common_limits(self.canonical, self.bins)
        if self.normalized:
            low, high = min(low, self.band_low), max(high, self.band_high)
        return low, high


def kept_plans(plan: Callable[[float], Plan]) -> Callable[[float], Plan]:
    """Plans by drift, the last ones kept; may be asked from several threads."""
    plans: dict[float, Plan] = {}

    def kept(shift: float) -> Plan:
        found = plans.get(shift)
        if found is None:
            with torch.inference_mode():
                found = plan(shift)
            for old in list(plans)[: 1 - KEPT]:
                plans.pop(old, None)
            plans[shift] = found
        return found

    return kept
