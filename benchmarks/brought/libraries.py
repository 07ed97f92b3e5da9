"""Libraries that lack a class, or whose fingerprints are of other sizes or shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from learning.specimens import part
from scipy.ndimage import gaussian_filter1d

from .sample import Array, Brought, Case, Sample


def without(name: str) -> Case:
    def brought(sample: Sample) -> Brought:
        names = [each for each in sample.library.class_names if each != name]
        return Brought(sample.signals, part(sample.library, names))

    return brought


def broadened(sigma: float) -> Case:
    """By a Gaussian, eV."""

    def brought(sample: Sample) -> Brought:
        library = sample.library
        channels = sigma / (library.energy[1] - library.energy[0])
        return _with(sample, gaussian_filter1d(library.intensity, channels, axis=1))

    return brought


def steps(sample: Sample) -> Brought:
    """Bare steps, as high as there is fluorine."""
    library = sample.library
    assert library.values is not None
    height = library.intensity.max() * (0.02 + 2.0 * library.values)
    return _with(sample, height[:, None] / (1.0 + np.exp((690.0 - library.energy) / 1.5)))


def of_one_area(sample: Sample) -> Brought:
    return _with(sample, _over(sample.library.intensity, sample.library.intensity.sum(1)))


def of_one_maximum(sample: Sample) -> Brought:
    return _with(sample, _over(sample.library.intensity, sample.library.intensity.max(1)))


def other_sizes(sample: Sample) -> Brought:
    """Of the classes relative to each other, by up to 30 %."""
    factor = np.array([1.0, 1.3, 0.8, 1.2])[sample.library.labels]
    return _with(sample, factor[:, None] * sample.library.intensity)


def times(factor: float) -> Case:
    return lambda sample: _with(sample, factor * sample.library.intensity)


def _with(sample: Sample, rows: Array) -> Brought:
    return Brought(sample.signals, replace(sample.library, intensity=rows))


def _over(rows: Array, size: Array) -> Array:
    """Rows (M, E) over sizes (M,), those without one left as they are."""
    return rows / np.where(size > 0, size, 1.0)[:, None]


CASES: dict[str, Case] = {
    "library times 300": times(300.0),
    "library without 0 % F": without("0 % F"),
    "library without 12.5 % F": without("12.5 % F"),
    "library without 25 % F": without("25 % F"),
    "library without 50 % F": without("50 % F"),
    "fingerprints 4 eV too broad": broadened(4.0),
    "fingerprints are bare steps": steps,
    "fingerprints of one area": of_one_area,
    "fingerprints of one maximum": of_one_maximum,
    "relative sizes off by 30 %": other_sizes,
}
