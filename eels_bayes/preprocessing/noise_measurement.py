"""The noise of counts, measured from what they scatter about their images' own mean spectrum.

In a stretch of a few eV a pixel's spectrum is its image's mean spectrum times a straight line,
unless an edge changes its shape there from pixel to pixel. What is left over in n pixels and J bins
is noise of (n - 1)(J - 2) degrees of freedom. Its variance against the mean counts is a line: the
slope is the gain, the rest readout noise, or a dark offset where it is negative. Stretches that
scatter far above the line hold structure and are left out. Wider bins show what neighbouring
channels share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.dim_pixels import dim

Floats = NDArray[np.float64]

STRETCH = 16  # channels of a stretch: 4 eV where channels are finest; chosen, not tuned
LEAST_BINS = 4  # of a stretch: a line takes two
WIDE = 4  # channels of the wide bins at least: a detector spreads an electron over fewer
WIDE_BIN = 2.0  # eV of the wide bins, as the profile's
LEAST_PIXELS = 8  # of a group of like brightness, and of an image by itself
MOST_GROUPS = 4  # of pixels of like brightness
STRUCTURE = 3.5  # errors above the line: one stretch of plain noise in 4000
SPIKE = 8.0  # errors of one pixel's scatter in a stretch, above which a spike is in it
SIGNIFICANT = 4.0  # errors: what is less is taken for nothing
SHARED = 1.25  # variance in wide bins over that in single channels, below which none is shared
SMALL = 0.05  # of the variance: a readout or an offset that makes less is taken for nothing
FLAT = 1e-3  # of the variance over the mean: the least gain, where all is readout noise
ROUNDS = 15  # of fitting a line and leaving out what is above: settled in about five
LEAST_FREEDOM = 50.0  # degrees of freedom, with which a gain is known to a fifth
RANK = 0.35  # of the rank of plain noise, below which components are missing: denoised
SMALLEST = 1e-300  # keeps divisions by nothing finite
LEAST_RANK_PIXELS = 30  # that the rank is judged by


class Line(NamedTuple):
    """Variance of a count against the mean count of a channel: ``gain * mean + constant``.

    Attributes
    ----------
    gain, gain_error, constant, constant_error : float
    level : float
        Median mean count.
    ratio, ratio_error : float
        Mean variance over mean count.
    kept : float
        Share of the stretches that are plain noise.
    """

    gain: float
    gain_error: float
    constant: float
    constant_error: float
    level: float
    ratio: float
    ratio_error: float
    kept: float


class MeasuredNoise(NamedTuple):
    """What the counts say of their noise.

    Attributes
    ----------
    noise : Noise
        Readout, offset and shared electrons only where they are significant.
    gain_error : float
    wide_error : float
        Relative error of the variance in wide bins where channels share electrons, else 0.
    channel, wide : Line
        In single channels, and in bins of `width` channels, a channel.
    width : int
    levels, variances, freedom : (S,) arrays
        Mean count and variance of a channel in the stretches, and their degrees of freedom.
    full_rank : bool
        False where the scatter of pixels is that of few components: denoised counts.
    """

    noise: Noise
    gain_error: float
    wide_error: float
    channel: Line
    wide: Line
    width: int
    levels: Floats
    variances: Floats
    freedom: Floats
    full_rank: bool


def measured_noise(images: Sequence[Floats], step: float) -> MeasuredNoise | None:
    """Measure the noise of counts.

    Parameters
    ----------
    images : sequence of (n, E) arrays
        Counts of pixels of each image, all on channels of one width; at least two pixels each, on
        channels that are neither dead nor missing. The images need not have one axis.
    step : float
        Width of a channel, eV.

    Returns
    -------
    MeasuredNoise or None
        None where there is too little to tell.
    """
    width = max(WIDE, round(WIDE_BIN / step))
    single = _scatter(images, 1)
    channel = _line(single)
    if channel is None:
        return None
    wide = _line(_scatter(images, width)) or channel
    gain, error, constant = channel.ratio, channel.ratio_error, 0.0
    beside = abs(channel.constant)
    sure = beside > SIGNIFICANT * channel.constant_error
    if sure and beside > SMALL * channel.gain * channel.level:
        gain, error, constant = channel.gain, channel.gain_error, channel.constant
    gain = max(gain, FLAT * abs(channel.ratio))
    growth = wide.ratio / channel.ratio
    growth_error = growth * np.hypot(
        wide.ratio_error / wide.ratio, channel.ratio_error / channel.ratio
    )
    factor, wide_error = 1.0, 0.0
    if growth > SHARED and growth - 1.0 > SIGNIFICANT * growth_error:
        alone, whole = _shared(growth, width)
        factor, wide_error = alone / whole, growth_error / growth
        gain, constant = gain * whole, constant * whole
        error = gain * np.hypot(error * whole / gain, wide_error)
    offset = -constant / gain if constant < 0 else 0.0
    noise = Noise(float(gain), max(float(constant), 0.0), float(offset), float(factor))
    return MeasuredNoise(
        noise, float(error), float(wide_error), channel, wide, width, *single, _full_rank(images)
    )


def _shared(growth: float, width: int) -> tuple[float, float]:
    """Variance of a channel by itself and in a long sum, in units of what single ones scatter.

    A bin of b channels has ``whole - (whole - alone) / b`` a channel, and what the line of a
    stretch takes away is slow: twice ``whole`` of J bins.
    """
    equations = []
    for b in (1, width):
        bins = _bins(b)
        equations.append([bins / b, bins * (1.0 - 1.0 / b) - 2.0])
    right = [_bins(1) - 2.0, (_bins(width) - 2.0) * growth]
    alone, whole = np.linalg.solve(equations, right)
    return float(alone), float(whole)


def _bins(width: int) -> int:
    """Bins of `width` channels that make a stretch."""
    return max(LEAST_BINS, STRETCH // width)


def _stretches(counts: Floats, width: int) -> Floats:
    """Counts (n, E) in bins of `width` channels, by stretches: (n, S, J), mean of the channels."""
    size = width * _bins(width)
    n, n_stretches = len(counts), counts.shape[1] // size
    cut = counts[:, : n_stretches * size]
    return cut.reshape(n, n_stretches, size // width, width).mean(-1)


def _residuals(stretches: Floats, clean: NDArray[np.bool_] | None = None) -> Floats:
    """What a line times the mean of the `clean` pixels (n, S) leaves (n, S, J)."""
    if clean is None:
        mean = stretches.mean(0)
    else:
        mean = (stretches * clean[:, :, None]).sum(0) / np.maximum(clean.sum(0), 1)[:, None]
    x = np.linspace(-1.0, 1.0, stretches.shape[2])
    basis, _ = np.linalg.qr(np.stack([mean, mean * x], axis=-1))
    part = np.einsum("sjk,nsj->nsk", basis, stretches)
    left: Floats = stretches - np.einsum("sjk,nsk->nsj", basis, part)
    return left


def _scatter(images: Sequence[Floats], width: int) -> tuple[Floats, Floats, Floats]:
    """Mean counts, variances (of a channel) and degrees of freedom of all stretches."""
    levels, variances, freedom = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for counts in images:
        # of next to no counts most are none, and those that are look like spikes
        counts = counts[~dim(counts.sum(1), np.zeros(len(counts), dtype=int))]
        stretches = _stretches(counts, width)
        n, n_stretches, bins = stretches.shape
        if n < 2 or n_stretches == 0:
            continue
        own = (bins - 2) * (1.0 - 1.0 / n)  # a pixel's degrees of freedom in a stretch
        level = stretches.mean(2)
        groups = np.array_split(
            np.argsort(counts.sum(1)), min(MOST_GROUPS, max(1, n // LEAST_PIXELS))
        )
        scatter = np.square(_residuals(stretches)).sum(2) * (width / own)
        hit = _spiked(scatter, level, groups, own, width * bins)
        if hit.any():  # a spike is in the mean, too
            scatter = np.square(_residuals(stretches, ~hit)).sum(2) * (width / own)
            hit |= _spiked(scatter, level, groups, own, width * bins)
        for group in groups:
            clean = ~hit[group]
            number = clean.sum(0)
            some = np.maximum(number, 1)
            mean, variance = ((a[group] * clean).sum(0) / some for a in (level, scatter))
            levels.append(mean)
            variances.append(variance)
            # of so many normal deviates: that of few electrons' scatter is known less well
            each = 2.0 / own + _per_electron(variance, mean, width * bins)
            freedom.append(2.0 * number / each)
    level, variance, free = map(np.concatenate, (levels, variances, freedom))
    known = (free > 0) & np.isfinite(level) & np.isfinite(variance) & (variance > 0)
    return level[known], variance[known], free[known]


def _spiked(
    scatter: Floats, level: Floats, groups: Sequence[NDArray[Any]], freedom: float, size: int
) -> NDArray[np.bool_]:
    """Which pixels' stretches (n, S) scatter far more than those of pixels as bright.

    ``level`` (n, S) is their mean count in each of ``size`` channels. Relative to the square of
    its mean, the variance of N electrons' scatter is that of a chi-squared plus 1 / N (the fourth
    cumulant of a Poisson distribution).
    """
    hit = np.zeros(scatter.shape, dtype=bool)
    bright = level.sum(1)
    for group in groups:
        # the median of a chi-squared; where it is nothing, most pixels have no electron at all
        usual = np.median(scatter[group], axis=0) / (1.0 - 2.0 / (9.0 * freedom)) ** 3
        few = _per_electron(usual, level[group].mean(0), size)
        most = usual * (1.0 + SPIKE * np.sqrt(2.0 / freedom + few))
        brighter = bright[group] / max(np.median(bright[group]), SMALLEST)
        hit[group] = (scatter[group] > most * np.maximum(1.0, brighter)[:, None]) & (usual > 0)
    return hit


def _per_electron(variance: Floats, level: Floats, size: int) -> Floats:
    """One over the number of electrons in ``size`` channels, if their variance is all shot noise.

    A channel of n electrons of g counts has the mean ``n g`` and the variance ``n g^2``.
    """
    found: Floats = variance / np.maximum(size * level**2, SMALLEST)
    return found


def _line(scatter: tuple[Floats, Floats, Floats]) -> Line | None:
    """The line through variances against levels, stretches above it left out."""
    level, variance, freedom = scatter
    if freedom.sum() < LEAST_FREEDOM or not (level > 0).any():
        return None
    usual = float(np.median(level[level > 0]))
    gain, constant = float(np.median(variance)) / usual, 0.0
    keep = np.ones(len(level), dtype=bool)
    covariance = np.zeros((2, 2))
    for _ in range(ROUNDS):
        expected = np.maximum(gain * level + constant, SMALL * abs(gain) * usual)
        weight = keep * freedom / (2.0 * expected**2)
        # in units of the usual level, so that both columns are alike
        design = np.stack([level / usual, np.ones_like(level)], axis=1)
        covariance[:] = np.linalg.pinv(design.T @ (weight[:, None] * design))
        slope, constant = covariance @ (design.T @ (weight * variance))
        gain = slope / usual
        expected = np.maximum(gain * level + constant, SMALL * abs(gain) * usual)
        above = (variance - expected) / (expected * np.sqrt(2.0 / freedom))
        keep = above < STRUCTURE
    if not keep.any():
        return None
    ratio = float((freedom * variance)[keep].sum() / (freedom * level)[keep].sum())
    errors = np.sqrt(np.diag(covariance))
    return Line(
        gain,
        float(errors[0]) / usual,
        float(constant),
        float(errors[1]),
        usual,
        ratio,
        abs(ratio) * float(np.sqrt(2.0 / freedom[keep].sum())),
        float(keep.mean()),
    )


def _full_rank(images: Sequence[Floats]) -> bool:
    """Whether pixels scatter in as many directions as plain noise does.

    By the participation ratio of the residuals' squared singular values: n pixels of plain noise of
    d degrees of freedom have n d / (n + d).
    """
    counts = max(images, key=len)
    residuals = _residuals(_stretches(counts, 1))
    n, n_stretches, bins = residuals.shape
    free = n_stretches * (bins - 2)
    if n < LEAST_RANK_PIXELS or free < LEAST_RANK_PIXELS:
        return True
    # every stretch counts the same, whatever its level
    size = np.sqrt(np.square(residuals).mean((0, 2), keepdims=True))
    whitened = (residuals / np.maximum(size, SMALLEST)).reshape(n, -1)
    # every pixel too: no bright one makes a direction of its own
    whitened /= np.maximum(np.linalg.norm(whitened, axis=1, keepdims=True), SMALLEST)
    squares = np.linalg.eigvalsh(whitened @ whitened.T)
    rank = squares.sum() ** 2 / np.square(squares).sum()
    return bool(rank > RANK * n * free / (n + free))
