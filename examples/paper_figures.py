"""Every figure of the LogicalEELS paper, and what it could not show, of a series of your own.

Hollenbach et al., Sci. Rep. 14, 17881 (2024), read Cr2TiC2OxFy as fluorine leaves it. Without
arguments the series is simulated, so that the truth stands beside every answer:

    python examples/paper_figures.py --out paper_figures

With files of yours it is the same without the truth. Temperatures are read from the titles or given
in the order of the files; another edge needs windows and fingerprints of its own:

    python examples/paper_figures.py --signals 25C.dm4 300C.dm4 700C.dm4
    python examples/paper_figures.py --signals *.dm4 --temperatures 25 300 700 \\
        --fingerprints my.npz --window 900 1000 --background 820 895 --normalize 820 895 --no-align

All of it, of 24 images of 30 x 19 pixels, takes a minute or two of one core; `--smoke` is a short
run of four small images.
"""

# %% Constants
import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt

import eels_bayes as eb

SHOULDER, PEAK = (687.5, 691.5), (696.0, 701.0)  # of F K, eV, of the usual way's ratio
DOSE = 1.0  # about 550 counts a channel under the edge

parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
parser.add_argument("--out", type=Path, default=Path("paper_figures"), help="folder (%(default)s)")
parser.add_argument("--signals", nargs="+", help="your files, any format that HyperSpy reads")
parser.add_argument("--temperatures", nargs="+", type=float, help="one for each signal, °C")
parser.add_argument("--fingerprints", help="your library; by default the F K edge of Cr2TiC2OxFy")
span = {"nargs": 2, "type": float, "metavar": ("LOW", "HIGH")}
parser.add_argument("--model", help="fitted to these signals before; windows are its own")
parser.add_argument("--window", **span, default=(677.0, 737.0), help="edge, eV (%(default)s)")
parser.add_argument("--background", **span, default=(650.0, 680.0), help="eV (%(default)s)")
parser.add_argument("--normalize", **span, default=(570.0, 592.5), help="eV (%(default)s)")
parser.add_argument("--align", **span, default=(567.5, 627.5), help="eV (%(default)s)")
parser.add_argument("--no-align", action="store_true", help="energies are right as they are")
parser.add_argument("--dispersion", type=float, default=0.25, help="eV a channel (%(default)s)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--smoke", action="store_true", help="a small series and short training")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
began = time.perf_counter()


def say(what: str) -> None:
    """Tell how far it is."""
    print(f"{time.perf_counter() - began:6.0f} s  {what}", flush=True)


# %% A series: yours, or one whose truth is known
series = None
if args.signals:
    signals = [signal for file in args.signals for signal in eb.load(file)]
else:
    shape, n_images = ((10, 8), 4) if args.smoke else ((30, 19), 24)
    series = eb.simulate.annealing_series(n_images, shape, dose=DOSE, seed=args.seed)
    signals = series.signals
if args.model:
    clf = eb.load_model(args.model)
    pre = clf.preprocessor
else:
    pre = eb.Preprocessor(
        window=args.window,
        dispersion=args.dispersion,
        background=args.background,
        normalize=args.normalize,
        align=None if args.no_align else args.align,
    )
spectra = pre(signals)
say(f"read {spectra}")

# %% Fit without labels, then read every pixel, alone and with its neighbours
if not args.model:
    library = eb.FingerprintLibrary.example()
    if args.fingerprints:
        library = eb.load_library(args.fingerprints)
    effort = eb.Effort.quick() if args.smoke else eb.Effort()
    clf = eb.EELSClassifier(library, effort=effort, seed=args.seed).fit(spectra)
    clf.save(args.out / "model.eels")
say("fitted")
print(clf.report())
pred = clf.predict(spectra)
joined = clf.predict(spectra, context="neighbours")
say("read every pixel, alone and with its neighbours")

# %% What is true, where it is known
labels = edges = values = None
if series is not None:
    labels = series.truth.label.values.ravel()
    values = series.truth.value.values.ravel()
    edges = eb.simulate.true_edges(series, spectra)
when = {"conditions": args.temperatures}
known = {"labels": labels, "pred": pred}
of_fluorine = spectra.energy[0] <= SHOULDER[0] and spectra.energy[-1] >= PEAK[1]
bands = (SHOULDER, PEAK) if of_fluorine and not args.fingerprints else None

# %% The paper's figures, by their numbers there, and what it could not show
plots = eb.plots
figures = {
    "2_spatial_averages": lambda: plots.spatial_averages(clf, spectra, **when),
    "3_denoising": lambda: plots.denoising(clf, spectra, pred=pred, truth=edges, seed=args.seed),
    "4_fingerprint_draws": lambda: plots.fingerprint_draws(clf, seed=args.seed),
    "5_classes": lambda: plots.class_comparison(clf, spectra, bands=bands, **known, **when),
    "6_class_spectra": lambda: plots.class_spectra(clf, spectra, **known, seed=args.seed),
    "7_embeddings": lambda: plots.embeddings(clf, spectra, **known, **when, seed=args.seed),
    "doubt": lambda: plots.doubt_maps(joined, labels=labels, **when),
    "doubt_own_scales": lambda: plots.doubt_maps(joined, labels=labels, own_scales=True, **when),
    "doubt_in_the_spectrum": lambda: plots.doubt_spectrum(
        clf, spectra, n_pixels=20 if args.smoke else 200, own_scales=True, seed=args.seed
    ),
}
if pred.has_value:
    figures["value"] = lambda: plots.value_course(pred, truth=values, **when)
    figures["value_maps"] = lambda: joined.plot_maps(["value", "value_sd"])
if labels is not None:
    figures["reliability"] = lambda: plots.reliability(pred.probabilities, labels)
    figures["risk_coverage"] = lambda: plots.doubt_risk(pred, labels)
for k, info in enumerate(spectra.images):
    if len(info.shape) == 1:
        figures[f"line_{k}"] = lambda k=k: plots.line_scan(joined, k)
written = 0
for name, draw in figures.items():
    try:
        figure = draw()
    except ValueError as problem:  # as where no class has enough pixels to be averaged
        say(f"{name} is left out: {problem}")
        continue
    figure.savefig(args.out / f"{name}.png", dpi=150)
    plt.close(figure)
    written += 1
    say(f"{name}.png")
say(f"{written} of {len(figures)} figures in {args.out}/")
