"""Counts on another energy axis: counts-conserving rebin with a shift.

Script-safe: plain tensors only. A positive shift means that a spectrum lies too high in energy:
what the axis calls ``E + shift`` is the canonical energy ``E``.
"""

import math

import torch
from torch import Tensor

from eels_bayes.data.energy_axis import EnergyAxis

BORDER_ROUNDING = 1e-6  # of a channel: borders this close are the same, as shifts are float32
LEAST_OVERLAP = 1e-12  # of a channel: only guards a division where a new channel is off the axis


def overlap(
    axis: EnergyAxis, shift: Tensor, new: EnergyAxis, rounding: float = BORDER_ROUNDING
) -> tuple[Tensor, Tensor]:
    """Which old channels new ones are made of, and how much of each.

    Parameters
    ----------
    axis, new : EnergyAxis
        The old channels and the new ones.
    shift : Tensor (n,)
        Shift to remove, eV.
    rounding : float
        Borders that lie closer, in old channels, are taken for the same.

    Returns
    -------
    index : Tensor (T, n, new.n) of int64
        Old channels; T of them are touched at most.
    weight : Tensor (T, n, new.n) of float64
        The part of each that lies within the new channel, 0 off the old axis.
    """
    ratio = new.scale / axis.scale
    base = (new.offset - 0.5 * new.scale - axis.offset) / axis.scale + 0.5
    grid = torch.arange(new.n + 1, dtype=torch.float64, device=shift.device)
    # float64: positions of thousands of channels with weights good to 1e-6
    borders = grid * ratio + (shift.to(torch.float64) / axis.scale + base).unsqueeze(1)
    nearest = torch.round(borders)
    borders = torch.where(torch.abs(borders - nearest) < rounding, nearest, borders)
    touched = torch.arange(math.ceil(ratio - rounding) + 1, device=shift.device)
    old = torch.floor(borders[:, :-1]) + touched.view(-1, 1, 1)
    borders = torch.clamp(borders, 0, axis.n)  # there is nothing beyond
    lower, upper = borders[:, :-1], borders[:, 1:]
    weight = torch.clamp(torch.minimum(upper, old + 1) - torch.maximum(lower, old), min=0.0)
    return torch.clamp(old, 0, axis.n - 1).to(torch.int64), weight


def common(shift: Tensor) -> Tensor:
    """Shifts (n,), or the one (1,) that all have."""
    return shift[:1] if bool((shift == shift[:1]).all()) else shift


def picked(counts: Tensor, index: Tensor) -> Tensor:
    """Channels (n, C) of counts (n, E): the same of all, index (1, C), or of each, index (n, C).

    The same of all are quickest where counts are stored channel by channel.
    """
    if index.size(0) == 1:
        return torch.index_select(counts.t(), 0, index[0]).t()
    return torch.gather(counts, 1, index)


def weighed(counts: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """New channels (n, C) of finite counts (n, E), by what `overlap` says that they are made of."""
    weight = weight.to(counts.dtype)
    out = picked(counts, index[0]) * weight[0]
    for k in range(1, index.shape[0]):
        out = out.addcmul_(picked(counts, index[k]), weight[k])
    return out


def rebin(
    counts: Tensor,
    axis: EnergyAxis,
    shift: Tensor,
    new: EnergyAxis,
    least_overlap: float = LEAST_OVERLAP,
) -> tuple[Tensor, Tensor]:
    """Sum counts into new channels by the overlap of the channels, shifting in the same step.

    Parameters
    ----------
    counts : Tensor (n, E)
        Counts per channel of `axis`.
    axis, new : EnergyAxis
        The old channels and the new ones.
    shift : Tensor (n,)
        Shift to remove, eV.
    least_overlap : float
        Guards the factor of new channels that lie off the old axis.

    Returns
    -------
    counts : Tensor (n, new.n)
        Counts per new channel; what lies off the old axis adds nothing.
    factor : Tensor (n, new.n) or (1, new.n)
        Sum of squared overlaps over the sum of overlaps: where a shift by half a channel has mixed
        neighbours, the variance of a channel is `factor` times its Poisson variance.
    """
    index, weight = overlap(axis, common(shift), new)
    # a bad channel that only touches this one must not enter as 0 * nan: another comes twice
    index = torch.where(weight > 0, index, index.gather(0, weight.argmax(0, keepdim=True)))
    out = weighed(counts, index, weight)
    total = out.sum()
    if bool(total - total != 0):  # off the axis nothing is added, whatever is nearest
        out = torch.where(weight.amax(0) > 0, out, torch.zeros_like(out))
    factor = (weight * weight).sum(0) / torch.clamp(weight.sum(0), min=least_overlap)
    return out, factor.to(counts.dtype)
