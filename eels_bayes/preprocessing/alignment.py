"""The images of a series: checked, repaired, and their drift."""

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from eels_bayes.preprocessing.images import SeriesImage, group_means
from eels_bayes.preprocessing.rebinning import rebin

SEARCH = 15.0  # eV: how far images may have drifted
SEARCH_WITHIN = 5.0  # eV: how far rows and pixels may lie from their image
FADED = 0.3  # correlation with the reference below which there is nothing to align on
CHUNK = 4096  # spectra a step, to keep memory low


def series_reference(
    images: list[SeriesImage], align: tuple[float, float], step: float, align_to: float | None
) -> Tensor:
    """Mean of the aligned images in the align window, made ready for `alignment.find_shift`.

    Parameters
    ----------
    images : list of SeriesImage
        All images are aligned to the brightest first, then averaged.
    align : (low, high)
        Window of the reference edge, eV.
    step : float
        Channel width of the reference, eV.
    align_to : float, optional
        Energy that the maximum of the mean gets, eV; otherwise the mean lies at the median drift.

    Returns
    -------
    Tensor (N,)
        With channel centres from ``align[0] + step / 2``.
    """
    first, n_align = align[0] + 0.5 * step, round((align[1] - align[0]) / step)
    means = [image.averaged().counts for image in images]

    def cut(shifts: list[float]) -> Tensor:
        rows = [
            rebin(mean, image.raw.offset, image.raw.scale, torch.tensor([s]), first, step, n_align)[
                0
            ]
            for mean, image, s in zip(means, images, shifts, strict=True)
        ]
        return torch.cat(rows)

    unshifted = cut([0.0] * len(images))
    brightest = make_reference(unshifted[int(unshifted.sum(1).argmax())])
    found = []
    for mean, image in zip(means, images, strict=True):
        axis = (image.raw.offset, image.raw.scale)
        shift, seen = find_shift(mean, *axis, torch.zeros(1), brightest, first, step, SEARCH)
        found.append(float(shift) if float(seen) >= FADED else 0.0)
    middle = float(np.median(found))
    aligned = cut([shift - middle for shift in found]).mean(0)
    if align_to is not None:
        middle += align_to - (first + step * _peak(aligned))
        aligned = cut([shift - middle for shift in found]).mean(0)
    return make_reference(aligned)


def image_shifts(
    image: SeriesImage,
    reference: Tensor,
    align: tuple[float, float],
    step: float,
    align_by: str,
) -> Tensor:
    """Shift of every pixel against the reference, shared by image, by row or by none; (n,) in eV.

    Warns where the image shows nothing that resembles the reference, and leaves it as it is.
    """
    counts, raw = image.counts, image.raw
    n, first = len(counts), align[0] + 0.5 * step
    axis = (raw.offset, raw.scale)
    shift, seen = find_shift(
        group_means(counts[None]), *axis, torch.zeros(1), reference, first, step, SEARCH
    )
    if float(seen) < FADED:
        warnings.warn(
            f"align {align}: {image.name} shows nothing there that resembles the reference "
            f"(correlation {float(seen):.2f}); it is left unaligned",
            stacklevel=2,
        )
        return torch.zeros(n)
    if align_by == "image":
        return shift.expand(n)
    groups = counts
    if align_by == "row":
        width = raw.info.shape[-1] if raw.info.shape else 1
        groups = group_means(counts.reshape(-1, width, counts.shape[1]))
    parts = [
        find_shift(part, *axis, shift.expand(len(part)), reference, first, step, SEARCH_WITHIN)[0]
        for part in groups.split(CHUNK)
    ]
    return torch.cat(parts).repeat_interleave(n // len(groups))


def _peak(spectrum: Tensor) -> float:
    """Place of the maximum in channels, by a parabola through its neighbours."""
    k = int(spectrum.argmax())
    if k in (0, len(spectrum) - 1):
        return float(k)
    left, top, right = (float(v) for v in spectrum[k - 1 : k + 2])
    bend = left - 2 * top + right
    return k + (0.5 * (left - right) / bend if bend < 0 else 0.0)


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
