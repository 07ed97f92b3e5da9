"""The drift of a series: a reference edge, and the shift of images, rows or pixels against it."""

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from eels_bayes.data.energy_axis import EnergyAxis, limits
from eels_bayes.preprocessing.images import CHUNK, SeriesImage, group_means
from eels_bayes.preprocessing.rebinning import common, overlap, rebin, weighed

SEARCH = 15.0  # eV: how far images may have drifted; chosen, not tuned
SEARCH_WITHIN = 5.0  # eV: how far rows and pixels may lie from their image; chosen, not tuned
FADED = 0.3  # correlation below which there is nothing to align on; chosen, not tuned
N_REFINEMENTS = 4  # Gauss-Newton steps; chosen, not tuned
MOST_REFINED = 2.0  # channels that they may leave the whole-channel shift by; chosen
LEAST_POWER = 1e-6  # of a flat spectrum's: guards the correlation of what is a straight line
OFF_AXIS_SCORE = -2.0  # below any correlation
LEAST_SIZE = 1e-30  # guards divisions by the norm of nothing


def align_axis(align: tuple[float, float], step: float) -> EnergyAxis:
    """Channels of the reference edge in the align window (eV), `step` eV wide."""
    return EnergyAxis(align[0] + 0.5 * step, step, round((align[1] - align[0]) / step))


def series_reference(
    images: list[SeriesImage], align: tuple[float, float], step: float, align_to: float | None
) -> Tensor:
    """Mean of the aligned images in the align window, made ready for `find_shift`.

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
        On the channels of `align_axis`.
    """
    axis = align_axis(align, step)
    means = [image.averaged() for image in images]

    def cut(shifts: list[float]) -> Tensor:
        rows = [
            rebin(mean.counts, mean.raw.axis, torch.tensor([shift], dtype=torch.float32), axis)[0]
            for mean, shift in zip(means, shifts, strict=True)
        ]
        return torch.cat(rows)

    unshifted = cut([0.0] * len(images))
    brightest = make_reference(unshifted[int(unshifted.sum(1).argmax())])
    shifts = []
    for mean in means:
        shift, correlation = find_shift(
            mean.counts, mean.raw.axis, torch.zeros(1, dtype=torch.float32), brightest, axis, SEARCH
        )
        shifts.append(float(shift) if float(correlation) >= FADED else 0.0)
    middle = float(np.median(shifts))
    aligned = cut([shift - middle for shift in shifts]).mean(0)
    if align_to is not None:
        middle += align_to - (axis.offset + step * _peak(aligned))
        aligned = cut([shift - middle for shift in shifts]).mean(0)
    return make_reference(aligned)


def image_shifts(
    image: SeriesImage,
    reference: Tensor,
    align: tuple[float, float] | None,
    step: float,
    align_by: str,
) -> Tensor:
    """Shift of every pixel against the reference, shared by image, by row or by none; (n,) in eV.

    0 without an align window. Warns where the image shows nothing that resembles the reference,
    and leaves it as it is.
    """
    whole = image_shift(image, reference, align, step)
    return pixel_shifts(image, whole, reference, align, step, align_by)


def image_shift(
    image: SeriesImage, reference: Tensor, align: tuple[float, float] | None, step: float
) -> float | None:
    """Shift of an image as a whole, eV; None, with a warning, where there is nothing to align on.

    None without an align window, too.
    """
    if align is None:
        return None
    shift, correlation = find_shift(
        group_means(image.counts[None]),
        image.raw.axis,
        torch.zeros(1, dtype=torch.float32),
        reference,
        align_axis(align, step),
        SEARCH,
    )
    if float(correlation) >= FADED:
        return float(shift)
    warnings.warn(
        f"align {align}: {image.name} shows nothing there that resembles the reference "
        f"(correlation {float(correlation):.2f}); it is left unaligned",
        stacklevel=3,
    )
    return None


def pixel_shifts(
    image: SeriesImage,
    whole: float | None,
    reference: Tensor,
    align: tuple[float, float] | None,
    step: float,
    align_by: str,
) -> Tensor:
    """Shift (n,) of the pixels of an image, or of a part of one, whose shift as a whole is known.

    0 where it is None.
    """
    counts, n = image.counts, len(image.counts)
    if whole is None or align is None:
        return torch.zeros(n, dtype=torch.float32)
    shift = torch.tensor([whole], dtype=torch.float32)
    if align_by == "image":
        return shift.expand(n)
    groups = counts
    if align_by == "row":
        groups = group_means(counts.reshape(-1, image.width, counts.shape[1]))
    axis = align_axis(align, step)
    parts = [
        find_shift(part, image.raw.axis, shift.expand(len(part)), reference, axis, SEARCH_WITHIN)[0]
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


def make_reference(spectrum: Tensor, least: float = LEAST_SIZE) -> Tensor:
    """The part of a spectrum (N,) that no straight line explains, with unit norm."""
    lines = _line_basis(spectrum.shape[0], spectrum)
    detrended = spectrum - (lines * (lines * spectrum).sum(1, keepdim=True)).sum(0)
    return detrended / torch.clamp(torch.linalg.vector_norm(detrended), min=least)


def find_shift(
    counts: Tensor,
    axis: EnergyAxis,
    start: Tensor,
    reference: Tensor,
    reference_axis: EnergyAxis,
    radius: float,
) -> tuple[Tensor, Tensor]:
    """Shift of every spectrum against a reference.

    The reference times a free amplitude on a free straight line is fitted by least squares: over
    whole channels this is the maximum of the normalised cross-correlation of the detrended
    spectra, then Gauss-Newton steps along the reference's derivative find the fraction.

    Parameters
    ----------
    counts : Tensor (n, E)
        Counts per channel of `axis`; channels that are not finite count as zero.
    axis : EnergyAxis
    start : Tensor (n,)
        Where to search, eV.
    reference : Tensor (N,)
        From `make_reference`, on `reference_axis`.
    reference_axis : EnergyAxis
    radius : float
        The search covers ``start +- radius`` as far as the axis does, eV.

    Returns
    -------
    shift : Tensor (n,)
        In eV; `start` where the spectrum has no such feature.
    correlation : Tensor (n,)
        Its normalised cross-correlation with the reference at whole channels.
    """
    finite = torch.where(torch.isfinite(counts), counts, torch.zeros_like(counts))
    score = _correlations(finite, axis, start, reference, reference_axis, radius)
    correlation, lag = torch.max(score, dim=1)
    n_lag = int(radius / reference_axis.scale)
    coarse = start + (lag - n_lag).to(start.dtype) * reference_axis.scale
    shift = _refined(finite, axis, coarse, reference, reference_axis)
    has_feature = torch.isfinite(shift) & (correlation > 0)
    return torch.where(has_feature, shift, start), correlation


def _correlations(
    finite: Tensor,
    axis: EnergyAxis,
    start: Tensor,
    reference: Tensor,
    reference_axis: EnergyAxis,
    radius: float,
    least_size: float = LEAST_SIZE,
    least_power: float = LEAST_POWER,
    off_axis: float = OFF_AXIS_SCORE,
) -> Tensor:
    """Normalised cross-correlation (n, lags) at whole channels around `start`."""
    first, step, n_ref = reference_axis.offset, reference_axis.scale, reference_axis.n
    n_lag = int(radius / step)
    lines = _line_basis(n_ref, reference)
    searched = EnergyAxis(first - n_lag * step, step, n_ref + 2 * n_lag)
    index, weight = overlap(axis, common(start), searched)
    wide = weighed(finite, index, weight)
    wide = wide - wide.mean(1, keepdim=True)
    wide = wide / torch.clamp(wide.abs().mean(1, keepdim=True), min=least_size)
    kernels = torch.cat([reference.unsqueeze(0), lines]).unsqueeze(1)
    products = torch.conv1d(wide.unsqueeze(1), kernels)
    ones = torch.ones_like(reference).reshape(1, 1, -1)
    power = torch.conv1d((wide * wide).unsqueeze(1), ones)[:, 0]
    power = power - products[:, 1] ** 2 - products[:, 2] ** 2
    score = products[:, 0] / torch.sqrt(torch.clamp(power, min=least_power * n_ref))
    lags = (torch.arange(2 * n_lag + 1, dtype=torch.float32, device=finite.device) - n_lag) * step
    low = first - 0.5 * step + start.unsqueeze(1) + lags.unsqueeze(0)
    lowest, highest = limits(axis)
    on_axis = (low >= lowest) & (low + n_ref * step <= highest)
    return torch.where(on_axis, score, torch.full_like(score, off_axis))


def _refined(
    finite: Tensor,
    axis: EnergyAxis,
    coarse: Tensor,
    reference: Tensor,
    reference_axis: EnergyAxis,
    n_steps: int = N_REFINEMENTS,
    most: float = MOST_REFINED,
    least_size: float = LEAST_SIZE,
) -> Tensor:
    """Shifts (n,) in eV from those by whole channels: Gauss-Newton along the derivative."""
    lines, step = _line_basis(reference_axis.n, reference), reference_axis.scale
    slope = torch.zeros_like(reference)
    slope[1:-1] = 0.5 * (reference[2:] - reference[:-2])
    slope = slope - (lines * (lines * slope).sum(1, keepdim=True)).sum(0)
    slope = slope - reference * (reference * slope).sum()
    slope = slope / torch.clamp((slope * slope).sum(), min=least_size)
    shift, lowest, highest = coarse, coarse - most * step, coarse + most * step
    fitted = torch.stack([reference, slope], 1).to(finite.dtype)
    for _step in range(n_steps):
        index, weight = overlap(axis, shift, reference_axis)
        amplitude, along = (weighed(finite, index, weight) @ fitted).unbind(1)
        move = torch.clamp(along / amplitude, -1.0, 1.0) * step
        move = torch.where((amplitude > 0) & (move == move), move, torch.zeros_like(move))
        shift = torch.clamp(shift - move, lowest, highest)
    return shift
