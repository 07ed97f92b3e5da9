"""Classify a spectrum image of your own: any file that HyperSpy reads, any edge.

Fingerprints come from a file (energy, intensity and label; optionally class_name, fluorine_fraction
or value, nuisances), or are calculated from hydrogenic cross-sections: one class for each entry of
``--edges`` ("Cu_L3+Zn_L3" is as much of both) and one for pixels that show none of them. Hydrogenic
edges have neither white lines nor other fine structure: where those are strong, classes are found
but ``novelty`` is high and denoised spectra are wrong; fingerprints from a file do better.

    python examples/spectrum_image.py CuZn_EELS_mapping_tutorial.hspy \\
        --edges Cu_L3 Zn_L3 Cu_L3+Zn_L3 --background 780 920 --window 900 1300
    python examples/spectrum_image.py "series/*.dm4" --fingerprints mine.npz --background 650 680 \\
        --window 677 737 --normalize 570 592.5 --align 567.5 627.5 --dispersion 0.25 --unit 0.035
    python examples/spectrum_image.py --simulate 8 --fingerprints mine.npz ...

Writes maps, mean spectra and the latent space as figures and every quantity as a HyperSpy file.
"""

# %% What to read
import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np

import eels_bayes as eb

SCALES = np.linspace(0.05, 0.95, 10)  # quantiles of the amplitudes that fingerprints are made for
STANDS_OUT = 3.0  # errors by which an amplitude must exceed zero to count for them
BEAM = {"beam_energy": 200.0, "convergence_angle": 10.0, "collection_angle": 20.0}  # keV, mrad

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("file", nargs="*", help="spectrum images, or a pattern in quotes")
parser.add_argument("--simulate", type=int, metavar="N", help="N simulated images instead")
source = parser.add_mutually_exclusive_group(required=True)
source.add_argument("--fingerprints", type=Path, metavar="F.npz")
source.add_argument("--edges", nargs="+", metavar="SUBSHELL", help="K and L shells: O_K, Cu_L3 ...")
band = {"nargs": 2, "type": float, "metavar": ("LO", "HI")}
parser.add_argument("--window", required=True, **band, help="the edge, eV")
parser.add_argument("--background", **band, help="where its background is fitted, eV")
parser.add_argument(
    "--normalize",
    **band,
    help="what intensities are relative to, eV; with --edges by default --background, with "
    "--fingerprints none: counts",
)
parser.add_argument("--align", **band, help="a reference edge to align on, eV")
parser.add_argument("--dispersion", type=float, help="eV a channel; by default the file's")
parser.add_argument(
    "--unit",
    type=float,
    default=1.0,
    help="share of the counts in --normalize that is 1 (%(default)g)",
)
parser.add_argument(
    "--gain",
    type=float,
    help="counts an electron; by default the file's, or what its counts show where they contradict",
)
parser.add_argument("--out", type=Path, default=Path("spectrum_image"), help="folder (%(default)s)")
parser.add_argument("--save", type=Path, metavar="MODEL", help="keep the fitted model in a file")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--smoke", action="store_true", help="few pixels and hardly any training")
args = parser.parse_args()
if bool(args.file) == bool(args.simulate):
    parser.error("give files, or --simulate N")


# %% Fingerprints
FLUORINE = {"value_name": "fluorine fraction", "value_range": (0.0, 1.0)}


def read_library(path: Path) -> eb.FingerprintLibrary:
    """Fingerprints from an npz file."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    missing = {"energy", "intensity", "label"} - set(arrays)
    if missing:
        raise SystemExit(f"{path} lacks {', '.join(sorted(missing))}; it holds {', '.join(arrays)}")
    names = arrays.get("class_name")
    value = next((k for k in ("value", "values", "fluorine_fraction") if k in arrays), None)
    return eb.FingerprintLibrary.from_arrays(
        arrays["energy"],
        arrays["intensity"],
        arrays["label"],
        class_names=None if names is None else [str(name) for name in names],
        values=None if value is None else arrays[value],
        nuisances=arrays.get("nuisances"),
        source=path.name,
        **(FLUORINE if value == "fluorine_fraction" else {}),
    )


def beam_of(signal) -> dict[str, float]:
    """Beam energy (keV) and semi-angles (mrad) from the metadata, or else from BEAM."""
    found = {}
    for name, default in BEAM.items():
        where = "Detector.EELS." if name == "collection_angle" else ""
        stated = signal.metadata.get_item(f"Acquisition_instrument.TEM.{where}{name}")
        found[name] = float(stated or default)
        if not stated:
            print(f"the file does not state the {name.replace('_', ' ')}; assumed: {default:g}")
    return found


def edge_shape(subshell: str, energy: np.ndarray, beam: dict[str, float]) -> np.ndarray:
    """Hydrogenic cross-section (Egerton's SIGMAK and SIGMAL), averaged over each channel (L,)."""
    from exspy.components import EELSCLEdge

    step = energy[1] - energy[0]
    # exSpy's default cross-sections would be downloaded.
    edge = EELSCLEdge(subshell, GOS="hydrogenic")
    edge.fine_structure_active = False
    edge.set_microscope_parameters(*(beam[name] for name in BEAM), step)
    within = (np.arange(20) - 9.5) / 20 * step
    return edge.function((energy[:, None] + within).ravel()).reshape(len(energy), -1).mean(1)


def edge_library(
    classes: list[str], spectra: eb.Spectra, beam: dict[str, float]
) -> eb.FingerprintLibrary:
    """One class for each entry of `classes`, in several intensities, and one without an edge.

    How much of an element a pixel holds varies freely, so every class gets fingerprints of several
    intensities. They are quantiles of the amplitude that least squares find in the pixels for the
    sum of all shapes, over the pixels where it stands out: no label is needed.
    """
    subshells = list(dict.fromkeys(part for name in classes for part in name.split("+")))
    elements = {name: name.split("_")[0] for name in subshells}
    if len(set(elements.values())) < len(subshells):
        elements = {name: name.replace("_", " ") for name in subshells}
    shapes = np.array([edge_shape(name, spectra.energy, beam) for name in subshells])
    shapes /= shapes.max()
    ok = spectra.ok
    weight = 1.0 / np.sqrt(np.mean(spectra.sd[ok].astype(float) ** 2, axis=0))
    design = (shapes * weight).T
    covariance = np.linalg.inv(design.T @ design)
    amplitude = (spectra.intensity[ok] * weight) @ design @ covariance
    total, error = amplitude.sum(1), float(np.sqrt(covariance.sum()))
    standing = total[total > STANDS_OUT * error]
    print(
        f"{len(standing)} of {len(total)} pixels show {' or '.join(elements.values())} by more "
        f"than {STANDS_OUT:g} errors"
    )
    if not len(standing):
        print("fingerprints are made for the least that one pixel could show")
        standing = STANDS_OUT * error * np.array([1.0, 4.0])
    scales = np.quantile(standing, SCALES)
    rows, labels = [], []
    for name in classes:
        parts = name.split("+")
        shape = np.mean([shapes[subshells.index(part)] for part in parts], axis=0)
        rows += [scale * shape for scale in scales]
        labels += [" + ".join(elements[part] for part in parts)] * len(scales)
    rows.append(np.zeros_like(spectra.energy))
    labels.append("neither" if len(subshells) == 2 else "none")
    step = spectra.energy[1] - spectra.energy[0]
    # A tenth of the intensity fills the gaps between the scales.
    known = eb.Variations(shift=0.25 * step, broadening=0.5 * step, intensity=0.1)
    source = "hydrogenic cross-sections by exSpy"
    return eb.FingerprintLibrary.from_arrays(
        spectra.energy, rows, labels, variations=known, source=source
    )


# %% Signals
def thinned(signal):
    """About a hundred pixels, evenly from everywhere."""
    shape = signal.axes_manager.navigation_shape
    step = max(1, int(np.ceil((np.prod(shape) / 100) ** (1 / max(1, len(shape))))))
    return signal.inav[tuple(slice(None, None, step) for _ in shape)] if shape else signal


began = time.perf_counter()
library = read_library(args.fingerprints) if args.fingerprints else None
truth = None
if args.simulate:
    shape = (12, 10) if args.smoke else (30, 19)
    series = eb.simulate.annealing_series(args.simulate, shape, library=library, seed=args.seed)
    signals, truth = series.signals, series.truth.label.values.ravel()
else:
    signals = eb.load(args.file)
    if args.smoke:
        signals = [thinned(signal) for signal in signals]
for signal in signals:
    print(signal)

# %% Counts to edge spectra
pre = eb.Preprocessor(
    args.window,
    args.dispersion,
    args.background,
    args.normalize or (args.background if args.edges else None),
    args.align,
    unit=args.unit,
    # measured, and compared with what the file states
    noise="auto" if args.gain is None else (args.gain, 0.0),
)
spectra = pre(signals)
print(spectra)
if library is None:
    library = edge_library(args.edges, spectra, beam_of(signals[0]))

# %% Fit without labels, then read every pixel
effort = eb.Effort.quick() if args.smoke else eb.Effort()
clf = eb.EELSClassifier(library, prior="fingerprint", latent_dim=16, effort=effort, seed=args.seed)
clf.fit(spectra)
pred = clf.predict(spectra)
denoised = clf.denoise(spectra)
if args.save:
    clf.save(args.save)

# %% The table
parts = ("total", "aleatoric", "encoder", "classifier")
print(f"\n{'':12s}{'pixels':>8s}" + "".join(f"{name:>12s}" for name in (*parts, "novelty")))
for k, name in enumerate([*pred.class_names, "all"]):
    rows = pred.ok if name == "all" and k == len(pred.class_names) else pred.labels == k
    columns = [getattr(pred, part)[rows] for part in (*parts, "novelty")]
    means = "".join(f"{column.mean():12.3f}" if rows.any() else f"{'-':>12s}" for column in columns)
    print(f"{name:12s}{rows.sum():8d}{means}")
print("uncertainties are means in nats; novelty is near 1 for pixels like nothing known")
for reason, count in Counter(reason for reason in pred.reasons() if reason).items():
    print(f"flagged: {count} pixels, {reason}")
if truth is not None:
    row = eb.metrics.summary(pred.probabilities, truth)
    print("against the truth: " + ", ".join(f"{name} {value:.3f}" for name, value in row.items()))

# %% Figures and files
args.out.mkdir(parents=True, exist_ok=True)
prior = clf.latent_prior()
shown = clf.fitted.forward.library.class_spectra  # as this experiment broadens and shifts them


def class_means(rows: np.ndarray) -> np.ndarray:
    """Mean over the pixels of each class (K, L); NaN where it has none."""
    mine = [rows[pred.labels == k] for k in range(library.n_classes)]
    return np.array([m.mean(0) if len(m) else np.full(rows.shape[1], np.nan) for m in mine])


mean = class_means(denoised.mean)
if args.edges:  # of any amplitude: drawn at that of the class's pixels
    scale = (mean * shown).sum(1) / np.maximum((shown**2).sum(1), 1e-12)
    shown = shown * np.where(np.isfinite(scale), scale, 1.0)[:, None]
unit = "counts"
if pre.normalize is not None:
    unit = "per count at {:g}-{:g} eV".format(*pre.normalize) if args.unit == 1 else "edge units"
figures = {
    "maps": pred.plot_maps(),
    "spectra": eb.plots.spectra_bands(
        denoised.energy,
        *(mean, class_means(denoised.lower), class_means(denoised.upper)),
        pred.class_names,
        fingerprints=shown,
        unit=unit,
    ),
    "latent": eb.plots.latent(
        pred.latent_mean,
        pred.labels,
        pred.class_names,
        component_mean=prior.mean.flatten(0, 1),
        component_sd=prior.sd.flatten(0, 1),
        component_labels=np.repeat(np.arange(library.n_classes), prior.mean.shape[1]),
    ),
}
for ax, measured in zip(figures["spectra"].axes, class_means(spectra.intensity), strict=True):
    ax.plot(spectra.energy, measured, ".", color="0.45", ms=3, label="measured")
ax.legend(handles=ax.lines[-1:], loc="upper right", fontsize=8, frameon=False)
if len(pred.images) == 1 and len(pred.images[0].shape) == 2:
    vertical, horizontal = pred.images[0].axes
    size = eb.plots.Pixel(vertical["scale"], horizontal["scale"], str(horizontal["units"]))
    figures["probabilities"] = eb.plots.maps(
        list(np.moveaxis(pred.map("probabilities"), -1, 0)),
        pred.class_names,
        name="Class probability",
        limits=(0.0, 1.0),
        pixels=[size] * library.n_classes,
    )
for name, figure in figures.items():
    figure.savefig(args.out / f"{name}.png", dpi=150)
for name, images in pred.to_signals().items():
    for k, image in enumerate(images):
        number = f"_{k}" if len(images) > 1 else ""
        # under its name once it is whole: whatever happens, an older file stays until then
        partial = args.out / "partial.hspy"
        image.save(partial, overwrite=True)
        partial.replace(args.out / f"{name}{number}.hspy")
print(f"\nfigures and HyperSpy files in {args.out}/ after {time.perf_counter() - began:.0f} s")
