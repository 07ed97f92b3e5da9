"""Counts on another energy axis: counts-conserving rebin with a shift, and means over a window.

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
    borders = base + grid.unsqueeze(0) * ratio + shift.to(torch.float64).unsqueeze(1) / axis.scale
    nearest = torch.round(borders)
    borders = torch.where(torch.abs(borders - nearest) < rounding, nearest, borders)
    lower, upper = borders[:, :-1], borders[:, 1:]
    touched = torch.arange(math.ceil(ratio - rounding) + 1, device=shift.device)
    old = torch.floor(lower).unsqueeze(0) + touched.view(-1, 1, 1)
    weight = torch.clamp(torch.minimum(upper, old + 1) - torch.maximum(lower, old), min=0.0)
    weight = torch.where((old >= 0) & (old < axis.n), weight, torch.zeros_like(weight))
    return torch.clamp(old, 0, axis.n - 1).to(torch.int64), weight


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
    shared = bool((shift == shift[0]).all())
    if shared:
        shift = shift[:1]
    index, weight = overlap(axis, shift, new)
    # a bad channel that only touches this one must not enter as 0 * nan: another comes twice
    index = torch.where(weight > 0, index, index.gather(0, weight.argmax(0, keepdim=True)))
    parts = weight.to(counts.dtype)
    out = torch.zeros((counts.shape[0], new.n), dtype=counts.dtype, device=counts.device)
    for k in range(index.shape[0]):
        if shared:
            source = torch.index_select(counts, 1, index[k, 0])
        else:
            source = torch.gather(counts, 1, index[k])
        out = torch.addcmul(out, source, parts[k])
    if not bool(torch.isfinite(out.sum())):  # off the axis nothing is added, whatever is nearest
        out = torch.where(weight.amax(0) > 0, out, torch.zeros_like(out))
    factor = (weight * weight).sum(0) / torch.clamp(weight.sum(0), min=least_overlap)
    return out, factor.to(counts.dtype)


def band_mean(
    counts: Tensor, axis: EnergyAxis, shift: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """Mean counts per eV between two energies after removing `shift`, and its error.

    Parameters
    ----------
    counts : Tensor (n, E)
        Counts per channel of `axis`.
    axis : EnergyAxis
    shift : Tensor (n,)
        Shift to remove, eV.
    low, high : float
        Where the window begins and ends, eV.

    Returns
    -------
    mean, error : Tensor (n,)
        Counts per eV. The error is the channels' scatter over the root of their number: generous,
        since it includes what structure there is.
    """
    lower = (low - axis.offset) / axis.scale + 0.5 + shift.to(torch.float64) / axis.scale
    lower = lower.unsqueeze(1)
    upper = lower + (high - low) / axis.scale
    span = torch.arange(
        math.ceil((high - low) / axis.scale) + 1, dtype=torch.float64, device=counts.device
    )
    old = torch.floor(lower) + span.unsqueeze(0)
    weight = torch.clamp(torch.minimum(upper, old + 1) - torch.maximum(lower, old), min=0.0)
    weight = torch.where((old >= 0) & (old < axis.n), weight, torch.zeros_like(weight))
    source = torch.gather(counts, 1, torch.clamp(old, 0, axis.n - 1).to(torch.int64))
    weight = weight.to(counts.dtype)
    source = torch.where(weight > 0, source, torch.zeros_like(source))
    n = (high - low) / axis.scale
    mean = (source * weight).sum(1) / n
    square = (weight * (source - mean.unsqueeze(1)) ** 2).sum(1) / n
    return mean / axis.scale, torch.sqrt(square / n) / axis.scale
