"""The truth of a series: every variable drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.simulate.process import Process
from eels_bayes.simulate.shapes import BACKGROUND, EDGES, SpectrumModel

TEMPERATURES = (25, 200, 300, 400, 500, 600, 700, 800)  # degrees Celsius
# The mean composition runs, in class steps, from 0.2 before the first class at the lowest
# temperature to 0.2 behind the last one at the highest, so that both ends are nearly pure.
FIRST_COMPOSITION = -0.2  # class steps
COMPOSITION_SPAN = 0.6  # class steps less than there are classes, from end to end
FIELD_REACH = 4  # sd of a smoothing kernel, beyond which it is cut off
# What the mean of a pixel's counts depends on.
VARIABLES = (
    *("thickness", "background", "exponent", "intensity", "residual", "drift", "unknown"),
    *("fractions", "edges", "misfit"),
)


def draw_truth(
    model: SpectrumModel,
    n_images: int = 24,
    shape: tuple[int, int] = (30, 19),
    seed: int = 0,
    *,
    persistent: float = 0.0,
) -> xr.Dataset:
    """Draw the truth of a series from its process, without spectra.

    Parameters
    ----------
    model : SpectrumModel
        Its process is drawn from.
    n_images : int
    shape : (int, int)
    seed : int
    persistent : float
        As for `annealing_series`, whose truth this is.

    Returns
    -------
    xarray.Dataset
        As `annealing_series` describes it.

    Raises
    ------
    ValueError
        Where a size is not positive.
    """
    validation.whole("n_images", n_images)
    validation.seed(seed)
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape is {shape}; give rows and columns, each at least 1")
    if validation.not_negative("persistent", persistent) > 1:
        raise ValueError(f"persistent is {persistent!r}; give a number from 0 to 1")
    (detector, *_), *streams = random_streams(seed, n_images)
    temperatures, areas = _plan(n_images)
    areas = [1] * n_images if persistent else areas
    place = _Place(persistent)
    parts = [
        _draw_image(np.random.default_rng(stream[0]), model, shape, temperature, place)
        for temperature, stream in zip(temperatures, streams, strict=True)
    ]
    truth = xr.concat(
        parts, "image", data_vars="all", coords="minimal", compat="override", join="exact"
    )
    truth["channel_gain"] = ("energy", _channel_gain(np.random.default_rng(detector), model))
    return truth.assign_coords(
        energy=("energy", model.energy, {"units": "eV"}),
        temperature=("image", temperatures, {"units": "degC"}),
        area=("image", areas),
    )


def random_streams(seed: int, n_images: int) -> list[list[np.random.SeedSequence]]:
    """Seeds of the detector and of each image's truth, counts and spikes: none moves another."""
    return [child.spawn(3) for child in np.random.SeedSequence(seed).spawn(n_images + 1)]


def _plan(n_images: int) -> tuple[list[int], list[int]]:
    """Temperature and area of each image, in the order of temperature."""
    last = len(TEMPERATURES) - 1
    if n_images == 1:
        which = np.array([last // 2])
    elif n_images <= last:
        which = np.round(np.linspace(0, last, n_images)).astype(int)
    else:
        which = np.arange(n_images) * len(TEMPERATURES) // n_images
    areas = [int(np.sum(which[:i] == step)) + 1 for i, step in enumerate(which)]
    return [TEMPERATURES[step] for step in which], areas


class _Place:
    """What stays in a place: standard normal numbers of each image, correlated with the last's."""

    def __init__(self, persistent: float):
        self._kept, self._new = persistent, math.sqrt(1 - persistent**2)
        self._last: dict[str, Any] = {}

    def stays(self, name: str, drawn: Any) -> Any:
        """The next image's numbers of this name, from freshly drawn ones."""
        if self._kept and name in self._last:
            drawn = self._kept * self._last[name] + self._new * drawn
        self._last[name] = drawn
        return drawn


def _draw_image(
    rng: np.random.Generator,
    model: SpectrumModel,
    shape: tuple[int, int],
    temperature: int,
    place: _Place,
) -> xr.Dataset:
    """Nuisances and composition of one image; the order of the draws is part of the result."""
    process, library = model.process, model.library
    rows, columns = shape

    def pixels(sd_image: float, sd_pixel: float) -> Floats:
        """Deviations of all pixels: the image's own, and each pixel's."""
        return sd_image * rng.standard_normal() + sd_pixel * rng.standard_normal(shape)

    width = math.sqrt(12) * process.thickness_image  # of the uniform log thickness
    mean_log = -math.log(math.sinh(width / 2) / (width / 2)) if width > 0 else 0.0
    mean_log += width * (rng.random() - 0.5)
    thickness = place.stays("thickness", _field(rng, shape, process))
    log_thickness = mean_log + process.thickness_pixel * thickness
    background = 1 + pixels(process.amplitude_image, process.amplitude_pixel)
    exponent = process.exponent + pixels(process.exponent_image, process.exponent_pixel)
    edge_normal = rng.standard_normal((*shape, len(EDGES)))
    edges = process.relative_intensities(edge_normal, process.edge_jitter)
    intensity = process.relative_intensities(rng.standard_normal(shape), process.intensity_jitter)
    n_modes = len(model.misfit_centres)
    misfit = process.misfit * process.misfit_sd * rng.standard_normal((*shape, n_modes))
    drift_image = process.drift_image * rng.standard_normal()
    drift_row = process.drift_row * rng.standard_normal((rows, 1))
    drift = np.repeat(drift_image + drift_row, columns, axis=1)
    of_image = mean_composition(temperature, library.n_classes)
    of_image += process.composition_image * place.stays("of image", rng.standard_normal())
    domains = place.stays("domains", _field(rng, shape, process))
    composition = of_image + process.composition_sd * domains
    patches = place.stays("patches", _field(rng, shape, process))
    spike = rng.random(shape) < process.spikes
    residual = _residual(rng, shape, process)
    unknown = np.zeros(patches.size, dtype=bool)
    unknown[np.argsort(patches, axis=None)[: round(process.unknown * patches.size)]] = True
    unknown = unknown.reshape(shape)
    fractions = class_fractions(composition, process.mixture, library)
    label = np.where(unknown, -1, fractions.argmax(axis=-1))
    class_values = library.class_values
    value = np.full(shape, np.nan) if class_values is None else fractions @ class_values
    value[unknown] = np.nan
    fractions[unknown] = 0
    yx = ("y", "x")
    background *= process.total * BACKGROUND
    return xr.Dataset(
        {
            "label": (yx, label, {"description": "dominant class, -1 unknown"}),
            "fractions": ((*yx, "class"), fractions, {"units": "1"}),
            "value": (yx, value, {"description": "of the library's values"}),
            "composition": (yx, composition, {"units": "class steps"}),
            "thickness": (yx, np.exp(log_thickness), {"units": "1"}),
            "background": (yx, background, {"units": "electrons per channel at 685 eV"}),
            "exponent": (yx, exponent, {"units": "1"}),
            "edges": ((*yx, "edge"), edges, {"units": "1"}),
            "intensity": (yx, intensity, {"units": "1"}),
            "residual": (yx, residual, {"units": "fingerprint intensity"}),
            "misfit": ((*yx, "mode"), misfit, {"units": "1"}),
            "drift": (yx, drift, {"units": "eV"}),
            "unknown": (yx, unknown),
            "spike": (yx, spike),
        },
        coords={"class": list(library.class_names), "edge": list(EDGES)},
    )


def _residual(rng: np.random.Generator, shape: tuple[int, int], process: Process) -> Floats:
    """Intensity of the nuisance shapes in each pixel."""
    mean, sd = process.residual_mean, process.residual_sd
    if sd == 0:
        return np.full(shape, mean)
    if process.intensity_law == "lognormal":
        return mean * process.relative_intensities(rng.standard_normal(shape), sd / mean)
    variance = sd**2
    return rng.gamma(mean**2 / variance, variance / mean, shape)


def mean_composition(temperature: int, n_classes: int) -> float:
    """Mean position in class steps, from the first class to the last over the temperatures.

    Parameters
    ----------
    temperature : int
        One of `TEMPERATURES`, degrees Celsius.
    n_classes : int

    Returns
    -------
    float
    """
    fraction = TEMPERATURES.index(temperature) / (len(TEMPERATURES) - 1)
    return FIRST_COMPOSITION + fraction * (n_classes - COMPOSITION_SPAN)


def class_fractions(composition: Floats, width: float, library: FingerprintLibrary) -> Floats:
    """Class fractions: pure, but for ramps where the composition passes a half step.

    Parameters
    ----------
    composition : (...) array
        Class steps.
    width : float
        Of a ramp, class steps.
    library : FingerprintLibrary
        Classes are passed through from the highest value to the lowest, or in their order.

    Returns
    -------
    (..., K) array
        Sums to one.
    """
    borders = np.arange(library.n_classes - 1) + 0.5
    distance = composition[..., None] - borders
    if width > 0:
        passed = np.clip(distance / width + 0.5, 0.0, 1.0)
    else:
        passed = (distance > 0).astype(np.float64)
    ones, zeros = np.ones((*composition.shape, 1)), np.zeros((*composition.shape, 1))
    steps = np.concatenate([ones, passed], axis=-1) - np.concatenate([passed, zeros], axis=-1)
    order = np.arange(library.n_classes)
    if library.class_values is not None:
        order = np.argsort(-library.class_values, kind="stable")
    fractions = np.empty_like(steps)
    fractions[..., order] = steps
    return fractions


def _field(rng: np.random.Generator, shape: tuple[int, int], process: Process) -> Floats:
    """A smooth Gaussian random field of zero mean and unit variance over the pixels."""
    sigma = process.field_length / math.sqrt(2)  # smoothed noise correlates over sqrt(2) sigma
    reach = math.ceil(FIELD_REACH * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= math.sqrt(float(kernel @ kernel))
    result = rng.standard_normal(tuple(size + 2 * reach for size in shape))
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(result, len(kernel), axis=axis)
        result = windows @ kernel
    return result


def _channel_gain(rng: np.random.Generator, model: SpectrumModel) -> Floats:
    """Relative gain of every detector channel, 0 where dead."""
    process, n_channels = model.process, len(model.energy)
    gain = np.maximum(1 + process.fixed_pattern * rng.standard_normal(n_channels), 0.0)
    gain[rng.permutation(n_channels)[: int(process.dead_channels)]] = 0.0
    return gain
