"""A simulated annealing series: mean counts, noise and signals."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.fingerprints import FingerprintLibrary

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum


EDGES = ("Ti L", "O K", "Cr L")
TEMPERATURES = (25, 200, 300, 400, 500, 600, 700, 800)

_REFERENCE = 685.0  # eV, where levels are given
_BACKGROUND = 0.735  # of the total at the reference energy; the rest is the tails of the edges
_STEP = 0.05  # eV
_GRID = np.arange(300.0, 900.0, _STEP)  # eV; shapes are read from it by linear interpolation
_PIXEL = 4.0  # nm
_BEAM = (200.0, 10.0, 20.0)  # kV, convergence and collection semi-angle in mrad
# Subshell, continuum's maximum, L1 onset (eV), white lines (eV, height); of the total at 685 eV
_EDGE_TABLE: tuple[tuple[str, float, float | None, tuple[tuple[float, float], ...]], ...] = (
    ("Ti_L3", 0.085, 564.0, ((456.0, 0.52), (462.0, 0.53))),
    ("O_K", 0.08, None, ((533.0, 0.14), (541.0, 0.07))),
    ("Cr_L3", 0.26, 695.0, ((577.0, 0.58), (585.0, 0.33))),
)
_VARIABLES = (
    *("thickness", "background", "exponent", "intensity", "residual", "drift", "unknown"),
    *("fractions", "edges", "misfit"),
)
_OUTSIDE = 10.0  # eV over which a fingerprint is tapered off below its own axis


@dataclass(frozen=True)
class Process:
    """The random process of a series: every hyperparameter of it, and the defects.

    "Image" quantities are drawn once an image, "pixel" quantities independently for each pixel on
    top; all are Gaussian unless said otherwise. The defects are off by default.

    Parameters
    ----------
    total
        Electrons a channel at 685 eV for unit dose and thickness.
    unit
        Electrons a channel that make 1.0 of a fingerprint's intensity, for unit dose and thickness.
    thickness_image
        Standard deviation of the log thickness of an image, uniform around a mean thickness of 1.
    thickness_pixel
        Standard deviation of the log thickness within an image, a smooth field.
    amplitude_image, amplitude_pixel
        Relative standard deviations of the background's amplitude B.
    exponent, exponent_image, exponent_pixel
        Mean and standard deviations of the background's exponent r.
    misfit
        Factor on `misfit_sd`.
    misfit_sd, misfit_length
        Relative standard deviation and correlation length (eV) of the smooth Gaussian random curve
        by which each pixel's background leaves the power law: covariance (misfit misfit_sd)^2
        exp(-(E - E')^2 / (2 length^2)).
    edge_jitter
        Relative standard deviation of each of the edges Ti L, O K, Cr L in each pixel.
    intensity_jitter
        Relative standard deviation eps of the fingerprint's intensity in each pixel.
    residual_mean, residual_sd
        Mean and standard deviation of the gamma-distributed intensity rho of the library's nuisance
        shapes (their sum), which every pixel carries.
    drift_image, drift_row
        Standard deviations of the energy drift of an image and of each of its rows, eV.
    field_length
        Correlation length of the smooth fields of composition, thickness and unknown patches,
        pixels.
    composition_sd, composition_image
        Standard deviations of the composition within an image and between images of one
        temperature, in steps from one class to the next.
    mixture
        Width of the ramp from one class to the next, in the same steps, 0 to 1. Pixels on a ramp
        are mixtures of two neighbouring classes: about 10 % of all by default, none for 0.
    fixed_pattern
        Relative standard deviation of the detector's gain from channel to channel, the same in all
        images.
    dead_channels
        Number of channels that count nothing.
    spikes
        Fraction of pixels hit by a cosmic ray: 200 to 5000 electrons (log-uniform) in 1 to 3
        channels.
    unknown
        Fraction of pixels, in patches, of a structure that is not in the library: the edge of the
        brightest class moved by 3 eV and split by 4 eV.
    energy_offset
        Energy by which edges of the experiment lie above the library's, eV.
    broadening
        Sigma of the Gaussian that broadens the experiment's edges beyond the library's, eV.
    gain
        Counts an electron. Electrons are Poisson distributed, so that the variance of the counts is
        gain times their mean; the signals' metadata say so.

    Raises
    ------
    ValueError
        Where a number is negative, not finite, or a fraction above 1.
    """

    total: float = 550.0
    unit: float = 29.0
    thickness_image: float = 0.27
    thickness_pixel: float = 0.05
    amplitude_image: float = 0.02
    amplitude_pixel: float = 0.02
    exponent: float = 1.8
    exponent_image: float = 0.05
    exponent_pixel: float = 0.03
    misfit: float = 1.0
    misfit_sd: float = 0.002
    misfit_length: float = 25.0
    edge_jitter: float = 0.03
    intensity_jitter: float = 0.06
    residual_mean: float = 0.25
    residual_sd: float = 0.08
    drift_image: float = 1.2
    drift_row: float = 0.05
    field_length: float = 5.0
    composition_sd: float = 0.6
    composition_image: float = 0.2
    mixture: float = 0.14
    fixed_pattern: float = 0.0
    dead_channels: int = 0
    spikes: float = 0.0
    unknown: float = 0.0
    energy_offset: float = 0.0
    broadening: float = 0.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if not math.isfinite(value) or (value < 0 and item.name != "energy_offset"):
                raise ValueError(f"Process.{item.name} is {value!r}; give a finite number >= 0")
        for name in ("total", "unit", "misfit_length", "field_length", "gain"):
            if getattr(self, name) == 0:
                raise ValueError(f"Process.{name} is 0; give a positive number")
        for name in ("mixture", "spikes", "unknown"):
            if getattr(self, name) > 1:
                raise ValueError(
                    f"Process.{name} is {getattr(self, name)!r}; give a number from 0 to 1"
                )
        if self.residual_sd > 0 and self.residual_mean == 0:
            raise ValueError(
                "Process.residual_mean is 0; give a positive mean, or residual_sd=0 as well"
            )
        if int(self.dead_channels) != self.dead_channels:
            raise ValueError(
                f"Process.dead_channels is {self.dead_channels!r}; give a whole number"
            )


class Shapes(NamedTuple):
    """The model's shapes at one drift, E channels; electrons a channel at unit thickness."""

    edges: Floats  # (3, E), Ti L, O K, Cr L
    fingerprints: Floats  # (K, E)
    unknown: Floats  # (E,)
    residual: Floats  # (E,)
    misfit: Floats  # (J, E), relative to the power law, a unit coefficient


class ForwardModel:
    """Shapes of everything that makes a spectrum, for unit dose and thickness.

    Parameters
    ----------
    process
        Its levels, energy offset, broadening and misfit length shape the model.
    library
        Class means of the fingerprints are the edges f_c. Outside the library's axis they are
        tapered to zero over 10 eV below and fall as the square of energy above.
    energy
        Detector channels, eV, shape (E,); default 1600 channels of 0.25 eV from 390 eV.

    Attributes
    ----------
    process, library, energy
        As given.
    misfit_centres
        Energies of the J Gaussians that the smooth misfit is made of, eV, shape (J,).

    Raises
    ------
    ValueError
        Where the energy axis is not within 310 to 889 eV, or the library is outside of it.
    """

    def __init__(
        self, process: Process, library: FingerprintLibrary, energy: ArrayLike | None = None
    ) -> None:
        self.process = process
        self.library = library
        axis = 390.0 + 0.25 * np.arange(1600) if energy is None else energy
        self.energy = np.asarray(axis, dtype=np.float64)
        if self.energy.min() < _GRID[0] + 10 or self.energy.max() > _GRID[-1] - 10:
            raise ValueError(
                f"energy runs from {self.energy.min():g} to {self.energy.max():g} eV; "
                "the forward model knows 310 to 889 eV"
            )
        if library.energy[0] > self.energy.max() or library.energy[-1] < self.energy.min():
            raise ValueError(
                f"the library covers {library.energy[0]:g} to {library.energy[-1]:g} eV, "
                f"outside the detector's {self.energy.min():g} to {self.energy.max():g} eV"
            )
        # Such a curve is white noise smoothed by exp(-(E/length)^2). At this spacing of the
        # centres the sum equals the integral to 1e-4.
        spacing = process.misfit_length / math.sqrt(2)
        self.misfit_centres = np.arange(
            self.energy.min() - 4 * spacing, self.energy.max() + 5 * spacing, spacing
        )
        spectra = _on_grid(library, library.class_spectra)
        residual = _on_grid(library, library.nuisances).sum(axis=0)
        brightest = spectra[int(np.argmax(spectra.sum(axis=1)))]
        unknown = shift_and_broaden(np.stack([brightest] * 2), np.array([1.0, 5.0]) / _STEP, 0.0)
        stack = np.vstack([spectra, unknown.mean(axis=0), residual])
        stack = shift_and_broaden(stack, process.energy_offset / _STEP, process.broadening / _STEP)
        self._shapes = np.vstack([process.total * _edge_shapes(), process.unit * stack])

    def shapes(self, drift: float = 0.0) -> Shapes:
        """The shapes on the detector's channels when the spectrum has moved up by `drift` (eV)."""
        energy = self.energy - drift
        if energy.min() < _GRID[0] or energy.max() > _GRID[-1]:
            raise ValueError(f"drift is {drift:g} eV; the forward model knows 10 eV and less")
        rows = np.stack([np.interp(energy, _GRID, row) for row in self._shapes])
        n_edges = len(EDGES)
        spacing = self.misfit_centres[1] - self.misfit_centres[0]
        # Unit variance at every energy: the squares of the Gaussians sum to one
        norm = math.sqrt(self.process.misfit_length * math.sqrt(math.pi / 2) / spacing)
        distance = (energy - self.misfit_centres[:, None]) / self.process.misfit_length
        return Shapes(
            rows[:n_edges], rows[n_edges:-2], rows[-2], rows[-1], np.exp(-(distance**2)) / norm
        )


@dataclass(frozen=True, eq=False)
class Series:
    """A simulated series.

    Parameters
    ----------
    signals
        One EELSSpectrum of counts an image, navigation (x, y) in nm, energy in eV.
    truth
        What is true of every pixel; see `annealing_series`.
    model
        The forward model, with its process and library.
    dose
        Relative dose of the counts.
    """

    signals: list[EELSSpectrum]
    truth: xr.Dataset
    model: ForwardModel
    dose: float

    @property
    def process(self) -> Process:
        """The random process the series was drawn from."""
        return self.model.process

    @property
    def library(self) -> FingerprintLibrary:
        """The library whose edges the pixels show."""
        return self.model.library


def annealing_series(
    n_images: int = 24,
    shape: tuple[int, int] = (30, 19),
    dose: float = 1.0,
    seed: int = 0,
    *,
    library: FingerprintLibrary | None = None,
    process: Process | None = None,
) -> Series:
    """Simulate an annealing series: fluorine leaves Cr2TiC2OxFy as the temperature rises.

    Parameters
    ----------
    n_images
        Number of spectrum images, spread over eight temperatures from 25 to 800 C; 24 are three
        areas each.
    shape
        Rows and columns of an image.
    dose
        Relative dose; 1 is about 550 counts a channel at 685 eV.
    seed
        Same seed, same counts. The truth does not depend on the dose.
    library
        Fingerprints of the classes, in energy and unit of the F K edge; default
        `FingerprintLibrary.example()`. Classes are passed through from the highest value to the
        lowest, or in their order without values.
    process
        Hyperparameters and defects; default `Process()`.

    Returns
    -------
    Series
        Its `truth` has dimensions image, y, x and these variables: label (dominant class, -1
        unknown), fractions (over class; all 0 where unknown), value (NaN where unknown),
        composition, thickness, background (electrons at 685 eV), exponent, edges (relative, over
        edge), intensity (1 + eps), residual, misfit (coefficients, over mode), drift (eV), unknown,
        spike; image: temperature (C), area; energy: channel_gain.

    Raises
    ------
    ValueError
        Where a size or the dose is not positive.
    """
    dose = validation.positive("dose", dose)
    model = ForwardModel(process or Process(), library or FingerprintLibrary.example())
    truth = draw_truth(model, n_images, shape, seed)
    _, *streams = _streams(seed, n_images)
    gain = np.float32(model.process.gain)
    signals = []
    for index, (_, electrons, cosmic) in enumerate(streams):
        here = truth.isel(image=index)
        mean, _ = _mean_electrons(here, model, dose)
        drawn = np.random.default_rng(electrons).poisson(mean)
        counts = drawn.reshape(*shape, -1).astype(np.float32)
        _add_spikes(counts, here["spike"].to_numpy(), np.random.default_rng(cosmic))
        counts *= gain * (here["channel_gain"].to_numpy() > 0)
        title = f"{here['temperature'].item()} C, area {here['area'].item()}"
        signals.append(_signal(counts, model, title))
    return Series(signals, truth, model, dose)


def draw_truth(
    model: ForwardModel,
    n_images: int = 24,
    shape: tuple[int, int] = (30, 19),
    seed: int = 0,
) -> xr.Dataset:
    """Draw the truth of a series from its process, without spectra.

    Parameters
    ----------
    model
        Forward model with the process.
    n_images, shape, seed
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
    if n_images < 1:
        raise ValueError(f"n_images is {n_images}; give at least 1")
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape is {shape}; give rows and columns, each at least 1")
    (detector, *_), *streams = _streams(seed, n_images)
    temperatures, areas = _plan(n_images)
    parts = [
        _draw_image(np.random.default_rng(stream[0]), model, shape, temperature)
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


def _streams(seed: int, n_images: int) -> list[list[np.random.SeedSequence]]:
    """Seeds of the detector and of each image's truth, counts and spikes: none moves another."""
    return [child.spawn(3) for child in np.random.SeedSequence(seed).spawn(n_images + 1)]


def mean_counts(truth: xr.Dataset, model: ForwardModel, *, dose: float = 1.0) -> xr.DataArray:
    """Noise-free mean counts for given values of the nuisances.

    Parameters
    ----------
    truth
        `Series.truth`, any selection of it, or one with variables replaced: fractions, thickness,
        background, exponent, edges, intensity, residual, misfit, drift, unknown, and optionally
        channel_gain. Dimensions are broadcast against each other, so that a variable may bring a
        dimension of its own (draws, hypotheses). Spikes are not part of the mean.
    model
        `Series.model`.
    dose
        Relative dose.

    Returns
    -------
    xarray.DataArray
        Counts a channel, float32 and never below 0; the pixels' dimensions and `energy`.

    Raises
    ------
    KeyError
        Where a variable is missing.
    """
    electrons, like = _mean_electrons(truth, model, dose)
    return xr.DataArray(
        (electrons * np.float32(model.process.gain)).reshape(*like.shape, -1),
        dims=(*like.dims, "energy"),
        coords={"energy": ("energy", model.energy, {"units": "eV"})},
        name="mean_counts",
        attrs={"units": "counts"},
    )


def _mean_electrons(
    truth: xr.Dataset, model: ForwardModel, dose: float
) -> tuple[NDArray[np.float32], xr.DataArray]:
    """Mean electrons, shape (n, E), and an array with the shape and dimensions of the n pixels."""
    inner = ("class", "edge", "mode")
    fields = xr.broadcast(*(truth[name] for name in _VARIABLES), exclude=inner)
    dims = tuple(fields[0].dims)
    flat = {}
    for name, array in zip(_VARIABLES, fields, strict=True):
        last = [dim for dim in array.dims if dim in inner]
        values = array.transpose(*dims, *last).to_numpy().astype(np.float64)
        flat[name] = values.reshape(-1, *values.shape[len(dims) :])
    result = np.empty((len(flat["drift"]), len(model.energy)), dtype=np.float32)
    drifts, group = np.unique(flat["drift"], return_inverse=True)
    order = np.argsort(group, kind="stable")
    for drift, rows in zip(
        drifts, np.split(order, np.cumsum(np.bincount(group))[:-1]), strict=True
    ):
        shapes = model.shapes(float(drift))
        log_energy = np.log((model.energy - drift) / _REFERENCE)
        here = {name: values[rows] for name, values in flat.items()}
        electrons = np.exp(-here["exponent"][:, None] * log_energy) * here["background"][:, None]
        electrons *= 1 + here["misfit"] @ shapes.misfit
        electrons += here["edges"] @ shapes.edges
        structure = here["fractions"] @ shapes.fingerprints
        structure += here["unknown"][:, None] * shapes.unknown
        electrons += here["intensity"][:, None] * structure
        electrons += here["residual"][:, None] * shapes.residual
        electrons *= dose * here["thickness"][:, None]
        result[rows] = np.maximum(electrons, 0)
    if "channel_gain" in truth:
        result *= truth["channel_gain"].to_numpy().astype(np.float32)
    return result, fields[0]


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


def _draw_image(
    rng: np.random.Generator, model: ForwardModel, shape: tuple[int, int], temperature: int
) -> xr.Dataset:
    """Nuisances and composition of one image; the order of the draws is part of the result."""
    process, library = model.process, model.library
    rows, columns = shape

    def pixels(sd_image: float, sd_pixel: float) -> Floats:
        return sd_image * rng.standard_normal() + sd_pixel * rng.standard_normal(shape)

    width = math.sqrt(12) * process.thickness_image  # of the uniform log thickness
    mean_log = -math.log(math.sinh(width / 2) / (width / 2)) if width > 0 else 0.0
    mean_log += width * (rng.random() - 0.5)
    log_thickness = mean_log + process.thickness_pixel * _field(rng, shape, process)
    background = 1 + pixels(process.amplitude_image, process.amplitude_pixel)
    exponent = process.exponent + pixels(process.exponent_image, process.exponent_pixel)
    edges = 1 + process.edge_jitter * rng.standard_normal((*shape, len(EDGES)))
    intensity = 1 + process.intensity_jitter * rng.standard_normal(shape)
    n_modes = len(model.misfit_centres)
    misfit = process.misfit * process.misfit_sd * rng.standard_normal((*shape, n_modes))
    drift_image = process.drift_image * rng.standard_normal()
    drift_row = process.drift_row * rng.standard_normal((rows, 1))
    drift = np.repeat(drift_image + drift_row, columns, axis=1)
    mean_composition = _mean_composition(temperature, library.n_classes)
    mean_composition += process.composition_image * rng.standard_normal()
    composition = mean_composition + process.composition_sd * _field(rng, shape, process)
    patches = _field(rng, shape, process)
    spike = rng.random(shape) < process.spikes
    residual = np.full(shape, process.residual_mean)
    if process.residual_sd > 0:
        variance = process.residual_sd**2
        residual = rng.gamma(
            process.residual_mean**2 / variance, variance / process.residual_mean, shape
        )

    unknown = np.zeros(patches.size, dtype=bool)
    unknown[np.argsort(patches, axis=None)[: round(process.unknown * patches.size)]] = True
    unknown = unknown.reshape(shape)
    fractions = _fractions(composition, process.mixture, library)
    label = np.where(unknown, -1, fractions.argmax(axis=-1))
    class_values = library.class_values
    value = np.full(shape, np.nan) if class_values is None else fractions @ class_values
    value[unknown] = np.nan
    fractions[unknown] = 0
    yx = ("y", "x")
    background *= process.total * _BACKGROUND
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


def _mean_composition(temperature: int, n_classes: int) -> float:
    """Mean position in class steps, from the first class to the last over the temperatures."""
    fraction = TEMPERATURES.index(temperature) / (len(TEMPERATURES) - 1)
    return -0.2 + fraction * (n_classes - 0.6)


def _fractions(composition: Floats, width: float, library: FingerprintLibrary) -> Floats:
    """Class fractions: pure, but for ramps of `width` where the composition passes a half step."""
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
    reach = math.ceil(4 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= math.sqrt(float(kernel @ kernel))
    result = rng.standard_normal(tuple(size + 2 * reach for size in shape))
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(result, len(kernel), axis=axis)
        result = windows @ kernel
    return result


def _channel_gain(rng: np.random.Generator, model: ForwardModel) -> Floats:
    """Relative gain of every detector channel, 0 where dead."""
    process, n_channels = model.process, len(model.energy)
    gain = np.maximum(1 + process.fixed_pattern * rng.standard_normal(n_channels), 0.0)
    gain[rng.permutation(n_channels)[: int(process.dead_channels)]] = 0.0
    return gain


def _add_spikes(
    counts: NDArray[np.float32], spike: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    for y, x in np.argwhere(spike):
        width = int(rng.integers(1, 4))
        start = int(rng.integers(counts.shape[-1] - width + 1))
        size = np.exp(rng.uniform(np.log(200), np.log(5000), width))
        counts[y, x, start : start + width] += np.round(size)


def _on_grid(library: FingerprintLibrary, rows: Floats) -> Floats:
    """Shapes on the model's grid, continued beyond the library's axis. Shape (len(rows), grid)."""
    low, high = library.energy[0], library.energy[-1]
    taper = np.clip((_GRID - low + _OUTSIDE) / _OUTSIDE, 0.0, 1.0)
    envelope = taper * np.minimum(high / _GRID, 1.0) ** 2
    inside = [np.interp(_GRID, library.energy, row) for row in rows]
    return np.reshape(inside, (len(rows), len(_GRID))) * envelope


@functools.lru_cache(maxsize=1)
def _edge_shapes() -> Floats:
    """Ti L, O K and Cr L on the model's grid in units of the total at 685 eV, shape (3, grid)."""
    from exspy.components import EELSCLEdge
    from scipy.special import voigt_profile

    result = []
    for subshell, height, kink, lines in _EDGE_TABLE:
        # The default generalised oscillator strengths would be downloaded
        component = EELSCLEdge(subshell, GOS="hydrogenic")
        component.fine_structure_active = False
        component.set_microscope_parameters(
            E0=_BEAM[0], alpha=_BEAM[1], beta=_BEAM[2], energy_scale=0.25
        )
        continuum = component.function(_GRID)
        if kink is not None:
            # The hydrogenic L shell jumps at L1, which the library's nuisance shape already shows
            low, high = np.searchsorted(_GRID, (kink - 3, kink + 3))
            slope = math.log(continuum[low] / continuum[low - 400]) / 400
            continuum[high:] *= continuum[low] * math.exp(slope * (high - low)) / continuum[high]
            continuum[low:high] = continuum[low] * np.exp(slope * np.arange(high - low))
        shape = height * continuum / continuum.max()
        sigma, gamma = 0.9, 0.4  # eV: resolution and lifetime
        shape = shift_and_broaden(shape[None], 0.0, sigma / _STEP)[0]
        for centre, peak in lines:
            profile = voigt_profile(_GRID - centre, sigma, gamma)
            shape += peak * profile / voigt_profile(0.0, sigma, gamma)
        result.append(shape)
    return np.stack(result)


def _signal(counts: NDArray[np.float32], model: ForwardModel, title: str) -> EELSSpectrum:
    from exspy.signals import EELSSpectrum

    scale = float(np.diff(model.energy).mean())
    axes = [
        {"name": name, "size": size, "scale": _PIXEL, "units": "nm", "navigate": True}
        for name, size in zip("yx", counts.shape[:2], strict=True)
    ]
    energy = {"name": "Energy loss", "size": counts.shape[-1], "scale": scale, "units": "eV"}
    axes.append({**energy, "offset": float(model.energy[0]), "navigate": False})
    signal = EELSSpectrum(counts, axes=axes)
    signal.set_microscope_parameters(
        beam_energy=_BEAM[0], convergence_angle=_BEAM[1], collection_angle=_BEAM[2]
    )
    signal.metadata.General.title = title
    noise = {"gain_factor": model.process.gain, "gain_offset": 0.0, "correlation_factor": 1.0}
    signal.metadata.set_item("Signal.Noise_properties.Variance_linear_model", noise)
    signal.metadata.set_item("Signal.quantity", "Counts")
    return signal
