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


def _line_basis(n: int, like: Tensor) -> Tensor:
    """Orthonormal constant and ramp of n channels; (2, n)."""
    flat = torch.full([n], 1.0 / math.sqrt(n), dtype=like.dtype, device=like.device)
    ramp = torch.arange(n, dtype=like.dtype, device=like.device) - 0.5 * (n - 1)
    return torch.stack([flat, ramp / torch.linalg.vector_norm(ramp)])


def make_reference(spectrum: Tensor) -> Tensor:
    """The part of a spectrum (N,) that no straight line explains, with unit norm."""
    lines = _line_basis(spectrum.shape[0], spectrum)
    rest = spectrum - (lines * (lines * spectrum).sum(1, keepdim=True)).sum(0)
    return rest / torch.clamp(torch.linalg.vector_norm(rest), min=1e-30)


def find_shift(
    counts: Tensor,
    offset: float,
    scale: float,
    start: Tensor,
    reference: Tensor,
    first: float,
    step: float,
    radius: float,
) -> tuple[Tensor, Tensor]:
    """Shift of every spectrum against a reference.

    The reference times a free amplitude on a free straight line is fitted by least squares: over
    whole channels this is the maximum of the normalised cross-correlation of the detrended
    spectra, then Gauss-Newton steps along the reference's derivative find the fraction.

    Parameters
    ----------
    counts : Tensor (n, E)
        Counts; channels that are not finite count as zero.
    offset, scale : float
        Centre of the first channel and channel width, eV.
    start : Tensor (n,)
        Where to search, eV.
    reference : Tensor (N,)
        From `make_reference`, on channels of width `step` from the centre `first`, eV.
    first, step, radius : float
        See above; the search covers ``start +- radius`` as far as the axis does, eV.

    Returns
    -------
    shift : Tensor (n,)
        In eV; `start` where the spectrum has no such feature.
    correlation : Tensor (n,)
        Its normalised cross-correlation with the reference at whole channels.
    """
    n_ref = reference.shape[0]
    n_lag = int(radius / step)
    finite = torch.where(torch.isfinite(counts), counts, torch.zeros_like(counts))
    lines = _line_basis(n_ref, reference)
    wide, _ = rebin(finite, offset, scale, start, first - n_lag * step, step, n_ref + 2 * n_lag)
    wide = wide - wide.mean(1, keepdim=True)
    wide = wide / torch.clamp(wide.abs().mean(1, keepdim=True), min=1e-30)
    kernels = torch.cat([reference.unsqueeze(0), lines]).unsqueeze(1)
    products = torch.conv1d(wide.unsqueeze(1), kernels)
    ones = torch.ones_like(reference).reshape(1, 1, -1)
    power = torch.conv1d((wide * wide).unsqueeze(1), ones)[:, 0]
    power = power - products[:, 1] ** 2 - products[:, 2] ** 2
    score = products[:, 0] / torch.sqrt(torch.clamp(power, min=1e-6 * n_ref))
    lags = (torch.arange(2 * n_lag + 1, device=counts.device) - n_lag) * step
    low = first - 0.5 * step + start.unsqueeze(1) + lags.unsqueeze(0)
    slack = 1e-3 * scale
    on_axis = (low >= offset - 0.5 * scale - slack) & (
        low + n_ref * step <= offset + (counts.shape[1] - 0.5) * scale + slack
    )
    score = torch.where(on_axis, score, torch.full_like(score, -2.0))
    best, where = torch.max(score, dim=1)
    coarse = start + (where - n_lag).to(start.dtype) * step

    slope = torch.zeros_like(reference)
    slope[1:-1] = 0.5 * (reference[2:] - reference[:-2])
    slope = slope - (lines * (lines * slope).sum(1, keepdim=True)).sum(0)
    slope = slope - reference * (reference * slope).sum()
    slope = slope / torch.clamp((slope * slope).sum(), min=1e-30)
    shift = coarse
    for _step in range(4):
        piece, _ = rebin(finite, offset, scale, shift, first, step, n_ref)
        amplitude = (piece * reference).sum(1)
        move = -(piece * slope).sum(1) / amplitude
        move = torch.where(torch.isfinite(move) & (amplitude > 0), move, torch.zeros_like(move))
        shift = shift + torch.clamp(move, -1.0, 1.0) * step
        shift = torch.minimum(torch.maximum(shift, coarse - 2 * step), coarse + 2 * step)
    found = torch.isfinite(shift) & (best > 0)
    return torch.where(found, shift, start), best
