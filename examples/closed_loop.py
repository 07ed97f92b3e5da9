"""A closed loop with a microscope: measure, classify, decide, move the probe or dwell again.

Acquires one short EELS frame at every position of a map, fits a classifier to these frames without
a label, and then decides for every position whether its class can be believed or one more frame
pays. Positions are read with what lies around them, so that frames go where neither a position nor
its neighbours are sure; as each frame changes what its neighbours say of one another, frames are
taken in rounds, after which all is read again. Ends when all positions are decided or the frames
are spent. An instrument error costs a frame and no result: the position's turn comes again later.
Writes a log of all decisions, the results as netCDF and a figure.

    pip install -e '.[live]'
    python examples/closed_loop.py --out demo

The instrument is Nion Swift's simulated microscope (nionswift-usim) without its windows, and all
that is asked of it here can be asked of a real one. It gives the beam current, probe, stage, scan
and field of view, the spectrometer's calibration, and the camera with its exposure, readout, gain
and calls. Its own samples have no fine structure and its camera no shot noise; these two are ours,
put in through its interfaces for samples and cameras: a flake of Cr2TiC2OxFy that
`eels_bayes.simulate` draws, so that its truth is known, and electrons that are Poisson distributed.
"""

# %% Constants
import argparse
import logging
import math
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from exspy.signals import EELSSpectrum
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator
from nion.data import Calibration, DataAndMetadata
from nion.device_kit import CameraDevice
from nion.instrumentation import HardwareSource, camera_base, scan_base
from nion.usim_device import EELSCameraSimulator, InstrumentDevice, SampleSimulator, ScanDevice
from nion.utils import Geometry, Registry
from numpy.typing import NDArray
from tqdm import tqdm

import eels_bayes as eb

WINDOW = (677.0, 737.0)  # F K edge, eV
BACKGROUND = (650.0, 680.0)  # eV
REFERENCE = (570.0, 592.5)  # Cr L edge that intensities are relative to, eV
ALIGN, CR_L3 = (567.5, 627.5), 577.0  # eV; a single image tells its drift from a known line alone
FIRST, DISPERSION = 540.0, 0.25  # the spectrometer's first channel and channel width, eV
CHANNELS = 1024
PIXEL = 4.0  # nm
EXPOSURE = 10.0  # ms a frame
PARTS = ("total", "aleatoric", "encoder", "classifier", "neighbours")  # of the doubt, nats
READINGS = ("labels", "probabilities", *PARTS, "novelty", "value", "value_sd", "flag")
BEAM = 4.2e7  # electrons of the beam for a dose of 1: 0.3 of it in a frame at 200 pA
COSTS = eb.Costs(error=1.0, frame=0.02)  # a frame costs as much as 2 % of a wrong class
BUDGET = 3  # frames a position, in the mean
ROUND = 0.1  # of the positions get a frame before all are read again
PATIENCE = 5  # instrument errors in a row after which there is no instrument
MEASURE = "measure again"
FAIL = "the camera fails in its Nth frame, counted from 1; any number of them"

parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for all results")
parser.add_argument("--seed", type=int, default=3)
parser.add_argument("--fail-at", type=int, nargs="+", default=(), metavar="N", help=FAIL)
CONTEXTS = ("neighbours", "pixel")
parser.add_argument(
    "--context", choices=CONTEXTS, default=CONTEXTS[0], help="how positions are read"
)
parser.add_argument("--smoke", action="store_true", help="a small map and short training")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
log = logging.getLogger("closed loop")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(logging.FileHandler(args.out / "closed_loop.log", mode="w", encoding="utf-8"))
log.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))


# %% The specimen: what there is to see at each place
class Flake(SampleSimulator.Sample):
    """A square of pixels around the stage's origin; truth and spectrum of each."""

    title = "Cr2TiC2OxFy"
    features = ()  # usim's own edges and plasmons, which are not asked for here

    def __init__(self, side: int, energy: NDArray[np.float64], seed: int) -> None:
        # Every fluorine content within one flake, as where the reaction has got half way
        process = eb.simulate.Process(composition_sd=1.2, composition_image=0.0, field_length=4.0)
        model = eb.simulate.SpectrumModel(process, eb.FingerprintLibrary.example(), energy)
        truth = eb.simulate.draw_truth(model, n_images=1, shape=(side, side), seed=seed)
        self.truth = truth.isel(image=0)
        self.electrons = eb.simulate.mean_counts(self.truth, model).values  # (y, x, E), dose 1

    def at(self, y: NDArray[np.float64] | float, x: NDArray[np.float64] | float) -> tuple[Any, Any]:
        """Index of the pixel at a place (nm); what lies outside is as the pixel next to it."""
        rows, columns = self.truth["label"].shape
        row = np.clip(np.floor(np.asarray(y) / PIXEL + rows / 2), 0, rows - 1)
        column = np.clip(np.floor(np.asarray(x) / PIXEL + columns / 2), 0, columns - 1)
        return row.astype(int), column.astype(int)

    def plot_features(
        self,
        data: NDArray[Any],
        offset_m: Geometry.FloatPoint,
        fov_size_nm: Geometry.FloatSize,
        extra_nm: Geometry.FloatPoint,
        center_nm: Geometry.FloatPoint,
        used_size: Geometry.IntSize,
    ) -> None:
        """Add what the scan sees, which goes as the thickness; usim adds the noise."""
        y, x = (
            center - 1e9 * offset + ((np.arange(steps) + 0.5) / steps - 0.5) * (length + extra)
            for center, offset, steps, length, extra in zip(
                center_nm, offset_m, data.shape, fov_size_nm, extra_nm, strict=True
            )
        )
        data += 20 * self.truth["thickness"].values[self.at(y[:, None], x)]


class Holder(InstrumentDevice.ScanDataGenerator):
    """usim's stage and scan with our specimen in the holder."""

    def __init__(self, specimen: Flake) -> None:
        super().__init__()
        self.specimen = specimen

    @property
    def sample(self) -> Flake:
        return self.specimen


class Spectrometer(EELSCameraSimulator.EELSCameraSimulator):
    """usim's EELS camera, with the spectrum of our specimen under the probe, and shot noise."""

    def __init__(self, instrument: InstrumentDevice.Instrument, specimen: Flake, seed: int) -> None:
        shape = Geometry.IntSize.make(instrument.camera_sensor_dimensions("eels"))
        super().__init__(instrument, shape, instrument.counts_per_electron)
        self.specimen, self.rng = specimen, np.random.default_rng(seed)
        self.frames = 0

    def get_frame_data(
        self,
        readout_area: Geometry.IntRect,
        binning_shape: Geometry.IntSize,
        exposure_s: float,
        scan_context: Any,
        probe_position: Geometry.FloatPoint,
    ) -> DataAndMetadata.DataAndMetadata:
        """One frame, as the camera asks for it; here is also where it fails."""
        self.frames += 1
        if self.frames in args.fail_at:
            raise RuntimeError(f"the camera lost its connection in frame {self.frames}")
        offset, fov = self.instrument.value_manager.actual_offset_m, scan_context.fov_size_nm
        here = self.specimen.at(
            scan_context.center_nm.y - 1e9 * offset.y + (probe_position.y - 0.5) * fov.height,
            scan_context.center_nm.x - 1e9 * offset.x + (probe_position.x - 0.5) * fov.width,
        )
        counts = self.get_total_counts(exposure_s)  # of the whole beam
        mean = self.specimen.electrons[here] * counts / self._counts_per_electron / BEAM
        spectrum = self._counts_per_electron * self.rng.poisson(mean) / self._camera_shape.height
        return DataAndMetadata.new_data_and_metadata(
            np.tile(spectrum.astype(np.float32), (self._camera_shape.height, 1)),  # as usim does
            intensity_calibration=Calibration.Calibration(units="counts"),
            dimensional_calibrations=self.get_dimensional_calibrations(readout_area, binning_shape),
        )


# %% The instrument
class Microscope:
    """What the loop asks of Nion Swift: an overview, and EELS frames at positions of a map."""

    def __init__(self, instrument: Any, scan: Any, camera: Any, side: int) -> None:
        self.instrument, self.scan, self.camera, self.side = instrument, scan, camera, side
        instrument.SetVal("ZLPoffset", FIRST)
        instrument.value_manager.energy_per_channel_eV = DISPERSION
        settings = camera.get_frame_parameters(0)
        settings.exposure_ms, settings.binning, settings.processing = EXPOSURE, 1, "sum_project"
        camera.set_current_frame_parameters(settings)

    def overview(self) -> NDArray[np.float32]:
        """HAADF image (side, side); positions count within its field of view from then on."""
        settings = self.scan.get_frame_parameters(0)
        settings.pixel_size, settings.fov_nm = (self.side, self.side), PIXEL * self.side
        self.scan.set_current_frame_parameters(settings)  # or recording would go back to others
        return self.scan.record_immediate(settings)[0].data

    def calibration(self) -> tuple[NDArray[np.float64], float]:
        """Energies of the channels (E,), eV, and counts an electron, as the camera gives them."""
        settings = self.camera.get_current_frame_parameters()
        energy = self.camera.get_camera_calibrations(settings)[-1]
        channels = np.arange(self.camera.get_expected_dimensions(settings.binning)[1])
        return energy.offset + energy.scale * channels, self.camera.get_counts_per_electron()

    def frame(self, k: int) -> NDArray[np.float32]:
        """Counts (E,) of one EELS frame at position k; positions go row by row."""
        y, x = divmod(k, self.side)
        place = Geometry.FloatPoint(y=(y + 0.5) / self.side, x=(x + 0.5) / self.side)
        self.instrument.probe_position = place
        return self.camera.acquire_sequence(1)[0]["data"][0]


@contextmanager
def simulated(specimen: Flake, side: int, seed: int) -> Iterator[Microscope]:
    """The microscope, with its parts registered as Nion Swift's plug-ins do it."""
    controls, axes = InstrumentDevice.ValueManager(), InstrumentDevice.AxisManager()
    stem = InstrumentDevice.Instrument("usim_stem_controller", controls, axes, Holder(specimen))
    name = "usim_eels_camera"
    device = CameraDevice.Camera(name, "eels", "EELS", Spectrometer(stem, specimen, seed), stem)
    controls.eels_camera = device  # which then tells its calibration
    eels = CameraDevice.CameraModule(stem.instrument_id, device, CameraDevice.CameraSettings(name))
    parts = (
        (stem, {"stem_controller", "instrument_controller"}),
        (eels, {"camera_module"}),
        (ScanDevice.ScanModule(stem), {"scan_module"}),
    )
    with tempfile.TemporaryDirectory() as folder:  # where the instrument keeps its settings
        HardwareSource.run()
        camera_base.run(Path(folder))
        scan_base.run(Path(folder))
        for part, kinds in parts:
            Registry.register_component(part, kinds)
        try:
            sources = ("scan_hardware_source", "eels_camera_hardware_source")
            yield Microscope(stem, *map(Registry.get_component, sources), side)
        finally:  # or the camera's thread would outlive us
            for part, kinds in reversed(parts):
                Registry.unregister_component(part, kinds)
            scan_base.stop()
            camera_base.stop()
            HardwareSource.stop()
            HardwareSource.HardwareSourceManager().close()


# %% What is known, at any time
side = 12 if args.smoke else 24
shape, n = (side, side), side * side
energy = FIRST + DISPERSION * np.arange(CHANNELS)
flake = Flake(side, energy, args.seed)
truth = flake.truth["label"].values.ravel()
library = eb.FingerprintLibrary.example()
counts = np.zeros((n, CHANNELS), dtype=np.float32)  # the frames of a position, summed
frames = np.zeros(n, dtype=int)
action = np.full(n, MEASURE, dtype=object)
haadf = np.full(shape, np.nan)
events: dict[str, list[dict[str, Any]]] = {"decision": [], "error": []}
clf, pred, order = None, None, np.arange(n)  # positions, the one where acting saves most first


def as_signal() -> EELSSpectrum:
    """The counts of all positions as they are."""
    signal = EELSSpectrum(counts.reshape(*shape, -1).copy())
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = energy[0], energy[1] - energy[0], "eV"
    return signal


def results() -> xr.Dataset:
    """Counts, frames and readings by position; decisions and errors in their order."""
    yx, nm = ("y", "x"), PIXEL * (np.arange(side) + 0.5)
    data = xr.Dataset(
        {
            "counts": ((*yx, "energy"), counts.reshape(*shape, -1)),
            "frames": (yx, frames.reshape(shape)),
            "haadf": (yx, haadf),
            "truth": (yx, truth.reshape(shape)),
        },
        coords={axis: (axis, nm, {"units": "nm"}) for axis in yx}
        | {"energy": ("energy", energy, {"units": "eV"}), "class": list(library.class_names)},
        attrs={"exposure_ms": EXPOSURE, "context": args.context},
    )
    if pred is not None:
        for name in READINGS:
            values = getattr(pred, name)
            dims = (*yx, "class")[: values.ndim + 1]
            data[name] = (dims, values.reshape(*shape, *values.shape[1:]))
        data["action"] = (yx, action.astype(str).reshape(shape))
    for kind, rows in events.items():
        for name in rows[0] if rows else ():
            data[f"{kind}_{name}"] = (kind, np.array([row[name] for row in rows]))
    return data


def note(kind: str, k: int, **what: Any) -> None:
    """An event at position k, for the results and, at once, for the log."""
    row = {"row": k // side, "column": k % side, "frames": int(frames[k])} | what
    events[kind].append(row)
    values = (f"{v:.3f}" if isinstance(v, float) else v for v in row.values())
    log.info("%s: %s", kind, ", ".join(f"{a} {b}" for a, b in zip(row, values, strict=True)))


def measure(microscope: Microscope, k: int) -> float:
    """Add a frame to position k; ms that it took, NaN where the instrument failed."""
    began = time.perf_counter()
    try:
        frame = microscope.frame(k)
    except Exception as error:  # of whatever kind: it must not cost what is measured
        note("error", k, total=int(frames.sum()), text=f"{type(error).__name__}: {error}")
        if sum(row["total"] == frames.sum() for row in events["error"]) >= PATIENCE:
            raise  # so many without a frame between them
        return math.nan
    counts[k] += frame
    frames[k] += 1
    bar.update()
    return 1e3 * (time.perf_counter() - began)


def judge(some: NDArray[np.int64], acquired: NDArray[np.float64]) -> None:
    """Classify all positions and decide; some have new frames, which took so many ms."""
    global pred, order
    began = time.perf_counter()
    spectra = clf.preprocessor(as_signal(), show_progressbar=False)
    pred = clf.predict(spectra, context=args.context, show_progressbar=False)
    # One more frame after m leaves m of m + 1 parts of the noise's variance
    decision = eb.decide(pred, COSTS, gain=pred.encoder / (frames + 1))
    took = 1e3 * (time.perf_counter() - began) / len(some)
    action[:], order = decision.action, decision.order
    names = [*library.class_names, "unreadable"]  # flagged: label -1
    for k, ms in zip(some.tolist(), acquired.tolist(), strict=True):
        note(
            "decision",
            k,
            label=names[pred.labels[k]],
            p=float(pred.probabilities[k].max()),
            action=str(decision.action[k]),
            acquire_ms=ms,
            decide_ms=took,
            reason=decision.reason[k],
        )


# %% The loop
bar = tqdm(total=BUDGET * n, unit=" frames")
try:
    with bar, simulated(flake, side, args.seed) as microscope:
        haadf[:] = microscope.overview()
        energy, gain = microscope.calibration()

        # One frame everywhere
        acquired, queue = np.full(n, np.nan), deque(range(n))
        while queue:
            k = queue.popleft()
            acquired[k] = measure(microscope, k)
            if frames[k] == 0:
                queue.append(k)

        # A classifier from these alone, without labels
        pre = eb.Preprocessor(
            window=WINDOW,
            dispersion=DISPERSION,
            background=BACKGROUND,
            normalize=REFERENCE,
            align=ALIGN,
            align_to=CR_L3,
            noise=(gain, 0.0),  # the camera's own
        )
        effort = (
            eb.Effort(vae=eb.Schedule(8, 64, learning_rate=3e-3)) if args.smoke else eb.Effort()
        )
        clf = eb.EELSClassifier(library, effort=effort, seed=args.seed)
        spectra = pre(as_signal())
        clf.fit(spectra)
        alone = clf.predict(spectra)
        judge(np.arange(n), acquired)
        surveyed = pred

        # The next frames go where they are worth most, and positions that failed wait for a round
        while (action == MEASURE).any() and frames.sum() < bar.total:
            most = min(math.ceil(ROUND * n), bar.total - int(frames.sum()))
            wanted = order[action[order] == MEASURE][:most]
            taken = np.array([measure(microscope, k) for k in wanted.tolist()])
            if np.isfinite(taken).any():
                judge(wanted[np.isfinite(taken)], taken[np.isfinite(taken)])
finally:
    data = results()
    data.to_netcdf(args.out / "closed_loop.nc", engine="h5netcdf")

# %% What came of it
dwelt = events["decision"][n:] or events["decision"]
acquire, decide = (np.array([row[f"{what}_ms"] for row in dwelt]) for what in ("acquire", "decide"))
label = data["labels"].values.ravel()
print(
    f"{n} positions, {frames.sum()} frames of {bar.total}, {len(events['error'])} instrument "
    f"errors; {np.count_nonzero(action == MEASURE)} positions would still gain from frames"
)
first, one, last = (np.mean(found == truth) for found in (alone.labels, surveyed.labels, label))
print(
    f"accuracy: {one:.3f} after one frame each ({first:.3f} pixel by pixel), "
    f"{last:.3f} after {frames.mean():.1f} in the mean"
)
print(f"median time: acquire {np.median(acquire):.2f} ms, decide {np.median(decide):.2f} ms")

# %% Figure
extent = (0.0, PIXEL * side, PIXEL * side, 0.0)  # nm
figure, axes = plt.subplots(2, 3, figsize=(10.0, 6.8), layout="constrained")
overview, *maps, dwell, times = axes.ravel()
for ax, title, labels in zip(
    maps,
    (
        "simulated truth",
        f"1 frame each: {100 * one:.0f} % right",
        f"{frames.mean():.1f} on average: {100 * last:.0f} % right",
    ),
    (truth, surveyed.labels, label),
    strict=True,
):
    colors = np.array([*eb.plots.class_colors(library.n_classes), (0.6, 0.6, 0.6)])
    ax.imshow(colors[labels].reshape(*shape, 3), extent=extent)  # the last: unreadable, -1
    ax.set_title(title)
shown = overview.imshow(haadf, extent=extent, cmap="gray")
figure.colorbar(shown, ax=overview, label="intensity (arb. units)")
overview.set_title("HAADF overview")
shown = dwell.imshow(frames.reshape(shape), extent=extent, norm=LogNorm(1, max(2, frames.max())))
scale = figure.colorbar(shown, ax=dwell, label=f"frames of {EXPOSURE:g} ms", format="{x:g}")
scale.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
scale.ax.yaxis.set_minor_locator(NullLocator())
dwell.set_title("frames a position")
marks = (
    (maps[-1], np.flatnonzero(action == "simulate"), "s", "to be simulated"),
    (maps[-1], np.flatnonzero(action == "report as novel"), "D", "reported as novel"),
    (dwell, [e["row"] * side + e["column"] for e in events["error"]], "X", "instrument error"),
)
for ax, which, marker, name in marks:
    if len(which):
        y, x = PIXEL * (np.divmod(which, side) + np.array(0.5))
        ax.plot(x, y, marker, color="white", markeredgecolor="0.1", markersize=5, label=name)
        ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.0, -0.2))
for ax in (overview, *maps, dwell):
    ax.set(xlabel="x (nm)", ylabel="y (nm)")
both = np.concatenate([acquire, decide])
bins = np.geomspace(0.8 * both.min(), 1.25 * both.max(), 50)
for name, taken, color in (("acquire", acquire, 1), ("classify and decide", decide, 5)):
    color = eb.plots.OKABE_ITO[color]
    times.hist(
        taken, bins, color=color, alpha=0.8, label=f"{name}, median {np.median(taken):.1f} ms"
    )
times.set(xscale="log", xlabel="time (ms)", ylabel="frames", title="time of a decision")
times.xaxis.set_major_formatter("{x:g}")
times.xaxis.set_minor_formatter("")
times.spines[["top", "right"]].set_visible(False)
times.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0.0, -0.2))
patches = [Patch(color=c, label=name) for c, name in zip(colors, library.class_names, strict=False)]
figure.legend(handles=patches, loc="outside lower center", ncols=library.n_classes, frameon=False)
figure.savefig(args.out / "closed_loop.png", dpi=150)
