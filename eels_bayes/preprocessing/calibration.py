"""What a preprocessor learns from the images of a series."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.data.detector_limits import Limits
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.alignment import image_shifts, series_reference
from eels_bayes.preprocessing.background_check import warn_of_background
from eels_bayes.preprocessing.edge_extractor import EdgeExtractor
from eels_bayes.preprocessing.images import SeriesImage
from eels_bayes.preprocessing.power_law import USUAL_EXPONENT, exponent_prior
from eels_bayes.preprocessing.rebinning import rebin
from eels_bayes.preprocessing.sharpness import sharp_channels
from eels_bayes.preprocessing.windows import (
    CHANNEL_ROUNDING,
    PROFILE_RANGE,
    Windows,
    bin_channels,
)

PROFILE_MARGIN = 3.0  # eV that later images may drift beyond those calibrated on
CALIBRATION_PIXELS = 5000  # of a series: the prior of the exponent is known to a per cent by then
BIN_ROUNDING = 1e-6  # of a bin or an eV: borders this close are the same
WHOLE_CHANNEL = 0.999  # part of a channel that an image covers before it says anything of it
LEAST_BRIGHTNESS = 1e-6  # counts a channel: guards the division by a dark image


class Calibration(NamedTuple):
    """What is learned from a series.

    Attributes
    ----------
    reference : Tensor (N,)
        The reference edge in the align window; empty without one.
    exponent : Tensor (2,)
        Mean and sd of the background's exponents; the sd is infinite where it stays free.
    profile_bins : (int, int, int)
        First bin of the profile and last + 1, counted from the window's start; channels of a bin.
    typical_first : float
        Centre of the typical spectrum's first channel, eV.
    typical : Tensor (M,)
        Shape of the series' mean spectrum, in channels of the dispersion.
    ceiling : float
        Counts at which channels saturate; infinite where none does.
    """

    reference: Tensor
    exponent: Tensor
    profile_bins: tuple[int, int, int]
    typical_first: float
    typical: Tensor
    ceiling: float


def calibration(
    read: Callable[[], Iterable[SeriesImage]],
    n_images: int,
    windows: Windows,
    extractor: EdgeExtractor,
    align_to: float | None,
    align_by: str,
) -> Calibration:
    """Learn the alignment reference, the range of the profiles and the prior of the exponent.

    Parameters
    ----------
    read : callable
        Reads the images of the series anew: they are gone through twice, one by one, as a series
        need not fit into memory.
    n_images : int
    windows : Windows
    extractor : EdgeExtractor
        Laid out for the windows' step.
    align_to, align_by :
        As in `Preprocessor`.

    Warns
    -----
    UserWarning
        Where counts are too large to be counted, or a power law is not what the background window
        holds; see `background_check`.
    """
    reference = torch.zeros(0, dtype=torch.float32)
    if windows.align is not None:
        means = [image.averaged() for image in read()]
        reference = series_reference(means, windows.align, windows.step, align_to)
    clear, fits, aligned, sums = [], [], [], []
    limits, n_pixels = Limits(), 0
    for image in read():
        limits, n_pixels = limits.beside(image.raw.limits), n_pixels + len(image.counts)
        shift = image_shifts(image, reference, windows.align, windows.step, align_by)
        clear.append(image.clear_range(shift, windows.window))
        aligned.append((image.averaged(), shift.mean().reshape(1)))
        if windows.background is not None:
            fits.append(_exponents(image, shift, CALIBRATION_PIXELS // n_images, extractor))
            sums.append(_sums(image, shift, extractor))
    if beyond := limits.words(n_pixels):
        warnings.warn(f"counts: {beyond}", stacklevel=4)
    if windows.background is not None:
        counts, variance = torch.stack(sums).sum(0)
        warn_of_background(counts, variance, windows.background, windows.window, extractor.axis())
        windows = replace(windows, bin_channels=_sharp(counts, variance, extractor))
    bins = profile_bins(clear, windows)
    first, shape = typical_spectrum(aligned, windows, bins)
    exponent = torch.tensor([USUAL_EXPONENT, math.inf], dtype=torch.float32)
    if fits:
        exponents, variances = (torch.cat(parts) for parts in zip(*fits, strict=True))
        exponent = torch.tensor(exponent_prior(exponents, variances), dtype=torch.float32)
    return Calibration(reference, exponent, (*bins, windows.n_in_bin), first, shape, limits.ceiling)


def _sharp(counts: Tensor, variance: Tensor, extractor: EdgeExtractor) -> int:
    """Channels of bins that show the edge of a series' summed counts (C,)."""
    edges = extractor(
        counts[None].float(), variance[None].float(), torch.ones(1, dtype=torch.float32)
    )
    edge = edges.intensity[0].double()
    if not torch.isfinite(edge).all():
        return bin_channels(extractor.axis().scale)
    return sharp_channels(edge, variance[-len(edge) :], extractor.axis().scale)


def profile_bins(clear: Sequence[tuple[float, float]], windows: Windows) -> tuple[int, int]:
    """Bins that lie in all images' aligned ranges (eV), not too far from the window."""
    margin = 0.0 if windows.align is None else PROFILE_MARGIN
    border = windows.window[0] - 0.5 * windows.step
    low = max(PROFILE_RANGE[0] * windows.window[0], *(ends[0] + margin for ends in clear))
    high = min(PROFILE_RANGE[1] * windows.window[1], *(ends[1] - margin for ends in clear))
    # the window and the background before it are needed anyway
    needed = windows.canonical_limits
    low, high = min(low, needed[0]), max(high, needed[1])
    return (
        math.ceil((low - border) / windows.bin_width - BIN_ROUNDING),
        math.floor((high - border) / windows.bin_width + BIN_ROUNDING),
    )


def typical_spectrum(
    means: Sequence[tuple[SeriesImage, Tensor]], windows: Windows, bins: tuple[int, int]
) -> tuple[float, Tensor]:
    """First channel (eV) and shape of the aligned images' mean.

    0 where none has a whole channel, and where nothing is read: there odd counts are allowed.

    Parameters
    ----------
    means : sequence of (SeriesImage, Tensor (1,))
        Mean spectrum of every image, and its shift, eV.
    windows : Windows
    bins : (int, int)
        From `profile_bins`.
    """
    step = windows.step
    axes = [(mean.raw.axis, float(shift)) for mean, shift in means]
    start = min(axis.offset - 0.5 * axis.scale - shift for axis, shift in axes)
    end = max(axis.offset + (axis.n - 0.5) * axis.scale - shift for axis, shift in axes)
    n_channels = math.ceil((end - start) / step - CHANNEL_ROUNDING)
    new = EnergyAxis(start + 0.5 * step, step, n_channels)
    total, covered = torch.zeros(2, new.n, dtype=torch.float32)
    for mean, shift in means:
        axis = mean.raw.axis
        part = rebin(torch.ones_like(mean.counts), axis, shift, new)[0][0] * (axis.scale / step)
        whole = (part > WHOLE_CHANNEL).float()
        # images of unequal brightness: no step where the number of them changes
        brightness = mean.counts.mean().clamp(min=LEAST_BRIGHTNESS)
        total += whole * rebin(mean.counts, axis, shift, new)[0][0] / brightness
        covered += whole
    energy, half = new.offset + step * torch.arange(new.n, dtype=torch.float32), 0.5 * step
    profile = windows.window[0] - half + windows.bin_width * torch.tensor(bins, dtype=torch.float32)
    read = [windows.canonical_limits, (float(profile[0]), float(profile[1]))]
    if windows.normalize is not None:
        read.append(windows.normalize)
    inside = [
        (energy - half > low - BIN_ROUNDING) & (energy + half < high + BIN_ROUNDING)
        for low, high in read
    ]
    return new.offset, torch.stack(inside).any(0) * total / covered.clamp(min=1.0)


def _exponents(
    image: SeriesImage, shift: Tensor, wanted: int, extractor: EdgeExtractor
) -> tuple[Tensor, Tensor]:
    """Unshrunk exponents of about `wanted` pixels, and their variances."""
    chosen = slice(None, None, max(1, len(image.counts) // max(wanted, 1)))
    raw, axis = image.raw, extractor.axis()
    canonical, _ = rebin(image.counts[chosen], raw.axis, shift[chosen], axis)
    readout = raw.noise.readout * axis.scale / raw.axis.scale
    variance = noise.variance(canonical, raw.noise.gain, readout)
    return extractor.free_exponents(canonical, variance)


def _sums(image: SeriesImage, shift: Tensor, extractor: EdgeExtractor) -> Tensor:
    """Sum of an image's finite pixels on the canonical axis, and its variance; (2, C)."""
    mean, axis = image.averaged(), extractor.axis()
    n = torch.isfinite(image.counts).any(1).sum()
    canonical, _ = rebin(mean.counts, mean.raw.axis, shift.mean().reshape(1), axis)
    readout = mean.raw.noise.readout * axis.scale / mean.raw.axis.scale
    variance = noise.variance(canonical, mean.raw.noise.gain, readout)
    return n * torch.cat([canonical, variance]).double()
