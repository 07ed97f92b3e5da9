"""A simulated annealing series: mean counts, noise and signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.quiet_imports import import_quietly
from eels_bayes.simulate.process import Process
from eels_bayes.simulate.shapes import BEAM, REFERENCE, SpectrumModel
from eels_bayes.simulate.truth import VARIABLES, draw_truth, random_streams

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum


PIXEL = 4.0  # nm, of the simulated maps
SPIKE_CHANNELS = (1, 4)  # least and, not included, most channels of a cosmic ray
SPIKE_ELECTRONS = (200, 5000)  # least and most in one of them, log-uniform


@dataclass(frozen=True, eq=False)
class Series:
    """A simulated series.

    Parameters
    ----------
    signals : list of EELSSpectrum
        Counts of an image each, navigation (x, y) in nm, energy in eV.
    truth : xarray.Dataset
        What is true of every pixel; see `annealing_series`.
    model : SpectrumModel
        What the spectra are made of, with process and library.
    dose : float
        Relative dose of the counts.
    """

    signals: list[EELSSpectrum]
    truth: xr.Dataset
    model: SpectrumModel
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
    persistent: float = 0.0,
) -> Series:
    """Simulate an annealing series: fluorine leaves Cr2TiC2OxFy as the temperature rises.

    Parameters
    ----------
    n_images : int
        Number of spectrum images, spread over eight temperatures from 25 to 800 C; 24 are three
        areas each.
    shape : (int, int)
        Rows and columns of an image.
    dose : float
        Relative dose; 1 is about 550 counts a channel at 685 eV.
    seed : int
        Same seed, same counts. The truth does not depend on the dose.
    library : FingerprintLibrary, optional
        Fingerprints of the classes, in energy and unit of the F K edge; default
        `FingerprintLibrary.example()`. Classes are passed through from the highest value to the
        lowest, or in their order without values.
    process : Process, optional
        Hyperparameters and defects; default `Process()`.
    persistent : float
        0 to 1. By default every image is of an area of its own. Else all images are of one area,
        and this is the correlation, from each image to the next, of what is a place's own: the
        smooth fields of composition, thickness and unknown patches, and the area's deviation of
        the composition. The mean composition moves with the temperature all the same: every place
        passes from class to class, each at a temperature of its own. All else is drawn anew, the
        mean thickness of an image, too, which stands for the beam's current as well.

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
        Where a size or the dose is not positive, or `persistent` is not between 0 and 1.

    Examples
    --------
    >>> import eels_bayes as eb
    >>> series = eb.simulate.annealing_series(n_images=2, shape=(3, 4), dose=1.0, seed=0)
    >>> [signal.data.shape for signal in series.signals]
    [(3, 4, 1600), (3, 4, 1600)]
    >>> dict(series.truth.fractions.sizes)
    {'image': 2, 'y': 3, 'x': 4, 'class': 4}
    >>> series.truth.temperature.values.tolist()
    [25, 800]
    """
    dose = validation.positive("dose", dose)
    model = SpectrumModel(process or Process(), library or FingerprintLibrary.example())
    truth = draw_truth(model, n_images, shape, seed, persistent=persistent)
    _, *streams = random_streams(seed, n_images)
    gain = np.float32(model.process.gain)
    signals = []
    for index, (_, electrons, cosmic) in enumerate(streams):
        here = truth.isel(image=index)
        mean, _ = _mean_electrons(here, model, dose)
        drawn = np.random.default_rng(electrons).poisson(mean)
        counts = drawn.reshape(*shape, -1).astype(np.float32)
        _add_spikes(counts, here["spike"].to_numpy(), np.random.default_rng(cosmic))
        counts *= gain * (here["channel_gain"].to_numpy() > 0)
        title = f"{here['temperature'].item()} °C, area {here['area'].item()}"
        signals.append(_signal(counts, model, title))
    return Series(signals, truth, model, dose)


def mean_counts(truth: xr.Dataset, model: SpectrumModel, *, dose: float = 1.0) -> xr.DataArray:
    """Noise-free mean counts for given values of the nuisances.

    Parameters
    ----------
    truth : xarray.Dataset
        `Series.truth`, any selection of it, or one with variables replaced: fractions, thickness,
        background, exponent, edges, intensity, residual, misfit, drift, unknown, and optionally
        channel_gain. Dimensions are broadcast against each other, so that a variable may bring a
        dimension of its own (draws, hypotheses). Spikes are not part of the mean.
    model : SpectrumModel
        `Series.model`.
    dose : float
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
    truth: xr.Dataset, model: SpectrumModel, dose: float
) -> tuple[NDArray[np.float32], xr.DataArray]:
    """Mean electrons, shape (n, E), and an array with the shape and dimensions of the n pixels."""
    inner = ("class", "edge", "mode")
    fields = xr.broadcast(*(truth[name] for name in VARIABLES), exclude=inner)
    dims = tuple(fields[0].dims)
    flat = {}
    for name, array in zip(VARIABLES, fields, strict=True):
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
        log_energy = np.log((model.energy - drift) / REFERENCE)
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


def _add_spikes(
    counts: NDArray[np.float32], spike: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Add cosmic rays to counts (rows, columns, E) where ``spike`` (rows, columns), in place."""
    least, most = np.log(SPIKE_ELECTRONS)
    for y, x in np.argwhere(spike):
        width = int(rng.integers(*SPIKE_CHANNELS))
        start = int(rng.integers(counts.shape[-1] - width + 1))
        size = np.exp(rng.uniform(least, most, width))
        counts[y, x, start : start + width] += np.round(size)


def _signal(counts: NDArray[np.float32], model: SpectrumModel, title: str) -> EELSSpectrum:
    """Counts (rows, columns, E) as a signal with axes and the detector's noise."""
    import_quietly("exspy.signals")
    from exspy.signals import EELSSpectrum

    scale = float(np.diff(model.energy).mean())
    axes = [
        {"name": name, "size": size, "scale": PIXEL, "units": "nm", "navigate": True}
        for name, size in zip("yx", counts.shape[:2], strict=True)
    ]
    energy = {"name": "Energy loss", "size": counts.shape[-1], "scale": scale, "units": "eV"}
    axes.append({**energy, "offset": float(model.energy[0]), "navigate": False})
    signal = EELSSpectrum(counts, axes=axes)
    signal.set_microscope_parameters(
        beam_energy=BEAM[0], convergence_angle=BEAM[1], collection_angle=BEAM[2]
    )
    signal.metadata.General.title = title
    noise = {"gain_factor": model.process.gain, "gain_offset": 0.0, "correlation_factor": 1.0}
    signal.metadata.set_item("Signal.Noise_properties.Variance_linear_model", noise)
    signal.metadata.set_item("Signal.quantity", "Counts")
    return signal
