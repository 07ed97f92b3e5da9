"""The energy axis: counts-conserving rebin with shift, and finding the shift.

Script-safe: plain tensors only. A positive shift means that a spectrum lies too high in energy:
what the axis calls ``E + shift`` is the canonical energy ``E``.
"""

import math

import torch
from torch import Tensor


def overlap(
    n_in: int, offset: float, scale: float, shift: Tensor, first: float, step: float, n_out: int
) -> tuple[Tensor, Tensor]:
    """Which old channels new ones are made of, and how much of each.

    Arguments as in `rebin`, ``n_in`` the number of old channels.

    Returns
    -------
    index : Tensor (T, n, n_out) of int64
        Old channels; T of them are touched at most.
    weight : Tensor (T, n, n_out) of float64
        The part of each that lies within the new channel, 0 off the old axis.
    """
    ratio = step / scale
    base = (first - 0.5 * step - offset) / scale + 0.5
    grid = torch.arange(n_out + 1, dtype=torch.float64, device=shift.device)
    # float64: positions of thousands of channels with weights good to 1e-6
    edges = base + grid.unsqueeze(0) * ratio + shift.to(torch.float64).unsqueeze(1) / scale
    nearest = torch.round(edges)
    edges = torch.where(torch.abs(edges - nearest) < 1e-6, nearest, edges)
    left, right = edges[:, :-1], edges[:, 1:]
    touched = torch.arange(math.ceil(ratio - 1e-6) + 1, device=shift.device)
    j = torch.floor(left).unsqueeze(0) + touched.view(-1, 1, 1)
    weight = torch.clamp(torch.minimum(right, j + 1) - torch.maximum(left, j), min=0.0)
    weight = torch.where((j >= 0) & (j < n_in), weight, torch.zeros_like(weight))
    return torch.clamp(j, 0, n_in - 1).to(torch.int64), weight


def rebin(
    counts: Tensor,
    offset: float,
    scale: float,
    shift: Tensor,
    first: float,
    step: float,
    n_out: int,
) -> tuple[Tensor, Tensor]:
    """Sum counts into new channels by the overlap of the channels, shifting in the same step.

    Parameters
    ----------
    counts : Tensor (n, E)
        Counts per channel.
    offset, scale : float
        Centre of the first channel and channel width in eV.
    shift : Tensor (n,)
        Shift to remove, eV.
    first, step, n_out : float, float, int
        Centre of the first new channel and new channel width in eV; number of new channels.

    Returns
    -------
    counts : Tensor (n, n_out)
        Counts per new channel; what lies off the old axis adds nothing.
    factor : Tensor (n, n_out) or (1, n_out)
        Sum of squared overlaps over the sum of overlaps: where a shift by half a channel has mixed
        neighbours, the variance of a channel is `factor` times its Poisson variance.
    """
    shared = bool((shift == shift[0]).all())
    if shared:
        shift = shift[:1]
    index, weight = overlap(counts.shape[1], offset, scale, shift, first, step, n_out)
    out = torch.zeros((counts.shape[0], n_out), dtype=counts.dtype, device=counts.device)
    for k in range(index.shape[0]):
        if shared:
            source = torch.index_select(counts, 1, index[k, 0])
        else:
            source = torch.gather(counts, 1, index[k])
        # a bad channel that only touches this one must not enter as 0 * nan
        out = out + torch.where(weight[k] > 0, source * weight[k].to(counts.dtype), 0.0)
    factor = (weight * weight).sum(0) / torch.clamp(weight.sum(0), min=1e-12)
    return out, factor.to(counts.dtype)


def band_mean(
    counts: Tensor, offset: float, scale: float, shift: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """Mean counts per eV between two energies after removing `shift`, and its error; (n,) each.

    The error is the channels' scatter over the root of their number: generous, since it includes
    what structure there is.
    """
    n_in = counts.shape[1]
    left = ((low - offset) / scale + 0.5 + shift.to(torch.float64) / scale).unsqueeze(1)
    right = left + (high - low) / scale
    span = torch.arange(
        math.ceil((high - low) / scale) + 1, dtype=torch.float64, device=counts.device
    )
    j = torch.floor(left) + span.unsqueeze(0)
    weight = torch.clamp(torch.minimum(right, j + 1) - torch.maximum(left, j), min=0.0)
    weight = torch.where((j >= 0) & (j < n_in), weight, torch.zeros_like(weight))
    source = torch.gather(counts, 1, torch.clamp(j, 0, n_in - 1).to(torch.int64))
    weight = weight.to(counts.dtype)
    source = torch.where(weight > 0, source, torch.zeros_like(source))
    n = (high - low) / scale
    mean = (source * weight).sum(1) / n
    square = (weight * (source - mean.unsqueeze(1)) ** 2).sum(1) / n
    return mean / scale, torch.sqrt(square / n) / scale
