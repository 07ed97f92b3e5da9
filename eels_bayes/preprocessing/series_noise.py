"""The noise of a series: measured, compared with its metadata, and one of both believed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.hyperspy_io import RawImage
from eels_bayes.preprocessing.borders import without_borders
from eels_bayes.preprocessing.dark_offset import Offset, offset_by_brightness
from eels_bayes.preprocessing.noise_choice import chosen_noise
from eels_bayes.preprocessing.noise_measurement import (
    LEAST_PIXELS,
    MeasuredNoise,
    measured_noise,
)
from eels_bayes.preprocessing.windows import PROFILE_RANGE, centers

Floats = NDArray[np.float64]
Rows = list[list[float]]  # of what metadata state, and what is believed instead, behind each other

NOISE_PIXELS = 2000  # of a series: the gain is known to a fraction of a per cent by then
SURE = 3.0  # errors of an offset that brightness shows
MOSTLY = 0.9  # of the pixels of a channel that must be finite, or it is left out


class NoiseSample:
    """Pixels of the images of a series that state one noise on channels of one width.

    Parameters
    ----------
    raw : RawImage
        The first of these images.
    """

    def __init__(self, raw: RawImage) -> None:
        self.noise, self.source, self.step = raw.noise, raw.stated, raw.axis.scale
        self.images: list[Floats] = []
        self.few: dict[tuple[float, int], list[Floats]] = {}

    def add(self, raw: RawImage, window: tuple[float, float], wanted: int) -> None:
        """Take about `wanted` pixels of an image, around the window (eV)."""
        energy = centers(raw.axis)
        near = (energy > PROFILE_RANGE[0] * window[0]) & (energy < PROFILE_RANGE[1] * window[1])
        every = max(1, len(raw.counts) // wanted)
        counts = without_borders(raw.counts[::every], raw.noise.gain)[:, near].astype(float)
        if len(counts) >= LEAST_PIXELS:
            self.images.append(usable(counts))
        else:
            self.few.setdefault((raw.axis.offset, raw.axis.n), []).append(counts)

    def measured(self) -> MeasuredNoise | None:
        """Their noise; images of few pixels on one axis count as one."""
        together = [usable(np.concatenate(parts)) for parts in self.few.values()]
        images = [image for image in [*self.images, *together] if len(image) > 1]
        found = measured_noise(images, self.step) if images else None
        if found is None or found.noise.readout == 0:
            return found
        offset = offset_by_brightness([image.mean(0) for image in self.images])
        return found._replace(noise=_with_offset(found.noise, offset))


def _with_offset(noise: Noise, offset: Offset | None) -> Noise:
    """The noise with a dark offset instead of its readout, where the brightness says so.

    Counts too low by some scatter as counts with readout noise do.
    """
    low = -noise.readout / noise.gain
    if offset is None or offset.value > -SURE * offset.error or offset.value > 0.5 * low:
        return noise
    return noise._replace(readout=0.0, offset=low)


def usable(counts: Floats) -> Floats:
    """Counts without pixels and channels that are not finite, and without constant channels."""
    finite = np.isfinite(counts)
    counts = counts[:, finite.mean(0) > MOSTLY]
    counts = counts[np.isfinite(counts).all(1)]
    return counts[:, np.ptp(counts, axis=0) > 0] if len(counts) else counts


def believed_noises(
    images: Iterable[RawImage], n_images: int, window: tuple[float, float], how: str
) -> Rows:
    """What to believe of each noise that the images of a series state.

    Parameters
    ----------
    images : iterable of RawImage
        Gone through once.
    n_images : int
    window : (low, high)
        The edge, eV.
    how : {"auto", "measured", "metadata"}
        Whether metadata are believed where the counts agree with them, never, or always.

    Returns
    -------
    list of list of float
        The numbers of a stated noise, then of the believed one; those of most images first.

    Warns
    -----
    UserWarning
        Where counts and metadata contradict each other.
    """
    samples: dict[tuple[Noise, float], NoiseSample] = {}
    wanted = max(LEAST_PIXELS, NOISE_PIXELS // n_images)
    number: dict[tuple[Noise, float], int] = {}
    for raw in images:
        key = (raw.noise, round(raw.axis.scale, 6))
        sample = samples.setdefault(key, NoiseSample(raw))
        if how != "metadata":
            sample.add(raw, window, wanted)
        number[key] = number.get(key, 0) + 1
    believed: dict[Noise, Noise] = {}
    for key in sorted(samples, key=lambda key: -number[key]):
        sample = samples[key]
        noise, message = chosen_noise(sample.noise, sample.source, sample.measured(), how)
        if message:
            warnings.warn(f"noise: {message}", stacklevel=5)
        believed.setdefault(sample.noise, noise)
    return [[*stated, *noise] for stated, noise in believed.items()]


def main_noise(rows: Rows) -> Noise:
    """The noise that is believed of most images; plain Poisson noise without any."""
    return Noise(*rows[0][len(Noise._fields) :]) if rows else Noise()


def noise_source(how: str | Noise, rows: Rows) -> str:
    """Who says how much noise most images have, in words; ``how`` as in `Preprocessor`."""
    if isinstance(how, Noise):
        return "given"
    if how == "measured":
        return "measured"
    if how == "metadata" or not rows:
        return "by the metadata"
    half = len(Noise._fields)
    stated, believed = Noise(*rows[0][:half]), Noise(*rows[0][half:])
    if stated[:3] == believed[:3]:
        return "by the metadata, Poisson noise if they state none; the counts agree"
    return f"measured; the metadata state a gain of {stated.gain:.3g}"


def believed_of(rows: Rows, stated: Noise) -> Noise:
    """The noise that is believed of an image, by what its metadata state.

    Of metadata that were not calibrated on: theirs, unless the counts overruled others.
    """
    half, others = len(Noise._fields), []
    for row in rows:
        known, noise = Noise(*row[:half]), Noise(*row[half:])
        if known == stated:
            return noise
        if noise[:3] != known[:3]:
            others.append(noise)
    return others[0] if others else stated
