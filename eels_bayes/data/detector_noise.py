"""What a signal's metadata state of the noise of its counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LINEAR_MODEL = "Signal.Noise_properties.Variance_linear_model"
VARIANCE = "Signal.Noise_properties.variance"
BRIGHTNESS = "ImageList.TagGroup0.ImageData.Calibrations.Brightness"
ELECTRONS = ("e-", "e", "electron", "electrons")  # units of DigitalMicrograph's Brightness
SAME = 1e-6  # relative: numbers this close are the same but for rounding
MOST_VALUES = 100_000  # of a variance signal: a line is known by then
LINEAR = 0.05  # of the variance, that a line through it may miss
FLAT_GAIN = 1e-3  # of a flat variance over the mean count: as good as none


class Noise(NamedTuple):
    """Noise of detector counts.

    The sum of many neighbouring channels has the variance ``gain * (counts - offset) + readout``
    each; a single channel has ``correlation_factor`` times that, as in HyperSpy's
    ``Variance_linear_model``, because detectors spread an electron over neighbouring channels.

    Parameters
    ----------
    gain : float
        Counts an electron.
    readout : float
        Variance that does not depend on the counts, counts squared.
    offset : float
        Counts where no electron arrived.
    correlation_factor : float
        1 where channels are independent.
    """

    gain: float = 1.0
    readout: float = 0.0
    offset: float = 0.0
    correlation_factor: float = 1.0


def checked_noise(noise: Noise) -> Noise:
    """The noise itself where it can be.

    Raises
    ------
    ValueError
        A gain that is not positive, a negative readout, an offset that is not finite, or a
        correlation factor that is not above 0 and at most 1.
    """
    if wrong := [x for x in noise if isinstance(x, (bool, str)) or not hasattr(x, "__float__")]:
        raise TypeError(f"noise is {noise}; {wrong[0]!r} is no number")
    gain, readout, offset, factor = noise
    possible = 0 < gain < math.inf and 0 <= readout < math.inf
    if not (possible and math.isfinite(offset) and 0 < factor <= 1):
        raise ValueError(
            f"noise is {noise}; a gain above zero, a readout variance of zero or more, a finite "
            "offset and a correlation factor above 0 and at most 1 are needed"
        )
    return noise


def given_noise(noise: Sequence[float]) -> Noise:
    """The noise of ``(gain, readout)`` or a `Noise`, as a user gives it.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or cannot be.
    """
    if hasattr(noise, "axes_manager"):
        raise TypeError(
            f"noise is {noise!r}; a variance belongs to its counts: set it with "
            "signal.set_noise_variance(variance) and give noise='metadata', or give (gain, readout)"
        )
    numbers = isinstance(noise, Sequence) and not isinstance(noise, str)
    if not numbers or not 1 <= len(noise) <= len(Noise._fields):
        raise TypeError(f"noise is {noise!r}; give (gain, readout) or a Noise")
    return Noise(*map(float, checked_noise(Noise(*noise))))


class StatedNoise(NamedTuple):
    """Noise by a signal's metadata.

    Attributes
    ----------
    noise : Noise
        Plain Poisson noise where they say nothing.
    source : str
        What says so, in words; '' where nothing does.
    """

    noise: Noise
    source: str


def stated_noise(signal: Any) -> StatedNoise:
    """Noise by the metadata of a signal.

    A variance by HyperSpy's ``set_noise_variance`` or ``estimate_poissonian_noise_variance`` comes
    first, then ``Variance_linear_model``. DigitalMicrograph's Brightness.Scale in electrons is
    electrons a count: the inverse of the gain, which HyperSpy copies into ``gain_factor``.

    Raises
    ------
    ValueError
        A gain that is not positive, or numbers that are not finite.
    """
    variance = signal.metadata.get_item(VARIANCE, None)
    if variance is not None:
        return _of_variance(variance, signal)
    if signal.metadata.get_item(f"{LINEAR_MODEL}.gain_factor", None) is None:
        return StatedNoise(Noise(), "")
    node = signal.metadata.get_item(LINEAR_MODEL)
    gain = float(node.get_item("gain_factor"))
    readout = float(node.get_item("gain_offset", None) or 0.0)  # None where a reader has none
    factor = node.get_item("correlation_factor", None)
    factor = 1.0 if factor is None else float(factor)
    if not all(map(math.isfinite, (gain, readout, factor))) or gain <= 0 or factor <= 0:
        raise ValueError(
            f"metadata.{LINEAR_MODEL} gives a gain of {gain:g}, an offset of {readout:g} and a "
            f"correlation factor of {factor:g}; finite numbers and a gain above zero are needed "
            "(delete the node for plain Poisson noise)"
        )
    brightness = _brightness(signal)
    if brightness is not None and abs(brightness[0] - gain) <= SAME * gain:
        scale, origin, unit = brightness
        if unit.lower() in ELECTRONS:
            return StatedNoise(Noise(1.0 / scale, 0.0, origin), "Brightness.Scale")
        if scale != 1.0:  # of another unit: says nothing of electrons
            return StatedNoise(Noise(), "")
    more = max(factor, 1.0)  # nothing that is shared makes a single channel scatter more
    noise = Noise(gain * more, max(readout, 0.0) * more, 0.0, min(factor, 1.0))
    return StatedNoise(noise, "Variance_linear_model")


def _brightness(signal: Any) -> tuple[float, float, str] | None:
    """DigitalMicrograph's scale, origin and unit of the counts, where the signal has them."""
    node = signal.original_metadata.get_item(BRIGHTNESS, None)
    if node is None:
        return None
    scale, origin = float(node.get_item("Scale", 0.0)), float(node.get_item("Origin", 0.0))
    unit = str(node.get_item("Units", ""))
    if not (math.isfinite(scale) and math.isfinite(origin)) or scale <= 0:
        return None
    return scale, origin, unit


def _of_variance(variance: Any, signal: Any) -> StatedNoise:
    """The linear model behind a variance: a number, or a signal of the counts' shape."""
    source = "Noise_properties.variance"
    values = getattr(variance, "data", variance)
    shape = np.shape(values)
    if shape and shape != signal.data.shape:
        raise ValueError(
            f"metadata.{VARIANCE} has shape {shape} and the counts {signal.data.shape}; delete "
            "it, or set it anew with signal.set_noise_variance"
        )
    every = max(1, signal.data.size // MOST_VALUES)
    counts = np.asarray(signal.data.reshape(-1)[::every], dtype=float)
    values = np.asarray(values.reshape(-1)[::every] if shape else values, dtype=float)
    values = np.broadcast_to(values, counts.shape)
    good = np.isfinite(counts) & np.isfinite(values)
    line = _line(counts[good], values[good])
    if line is None:
        raise ValueError(
            f"metadata.{VARIANCE} is no variance of the kind gain * counts + readout; delete it "
            "(the counts are measured), or state gain and readout: Preprocessor(noise=...)"
        )
    return StatedNoise(Noise(*line), source)


def _line(counts: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[float, float] | None:
    """Gain and readout of variances (n,) of counts (n,); None where no line is near."""
    level, mean = float(variance.mean()), float(np.abs(counts).mean())
    if not (len(counts) and level > 0 and mean > 0):
        return None
    if np.ptp(variance) <= SAME * level:
        return FLAT_GAIN * level / mean, level
    # Counts on variances: these may be of expected counts, which have no noise themselves.
    slope, at_zero = np.polyfit(variance, counts, 1)
    if slope <= 0:
        return None
    gain, readout = 1.0 / slope, max(-at_zero / slope, 0.0)
    # as a function of the mean count among like variances, so that the counts' own noise is no miss
    order = np.argsort(variance)
    parts = [p for p in np.array_split(order, min(50, len(order))) if len(p)]
    there = np.array([variance[p].mean() for p in parts])
    found = np.array([gain * counts[p].mean() + readout for p in parts])
    near = np.median(np.abs(found - there)) <= LINEAR * level
    return (float(gain), float(readout)) if near else None
