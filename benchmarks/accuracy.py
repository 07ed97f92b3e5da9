"""Accuracy and calibration against the physical limit and the peers, over dose and over shifts.

    python benchmarks/accuracy.py [--doses 0.1 0.3 1 3 10] [--shifts all] [--shift-doses 0.3 1]
                                  [--json FILE] [--table FILE] [--shape 30 19]
    python benchmarks/accuracy.py --draw FIGURE.png FILE.json [FILE.json ...]

Every method reads the same preprocessed spectra of 24 images of 30 x 19 pixels, without a label,
and is scored on the same random pixels, mixed ones included; the exact posterior reads their raw
counts and knows the simulator's process. Shifted series leave the process that was used in
development in one respect each (the last one in two) and are compared with the exact posterior that
knows the shift; defects, which it does not know, with that of the nominal process on the nominal
series of the same seed. Seeds were not used in development.

``--table`` writes the scores of nominal series alone, small enough to be kept: benchmarks/results/
holds the one that the page "Beside other methods" is made from. Where a smaller ``--shape`` saves
time, everything that learns from pixels learns from fewer.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import limit
import numpy as np
from annealing import preprocess
from numpy.typing import NDArray
from peers import ABLATIONS, OPTIONAL, PEERS, PIXEL_BY_PIXEL, dual_vae, latent_classifiers

import eels_bayes as eb

DOSES = (0.1, 0.3, 1.0, 3.0, 10.0)
SHIFT_DOSES = (0.3, 1.0)
NOMINAL = eb.simulate.Process()
SHIFTS = {
    "thicker and thinner places": replace(NOMINAL, thickness_image=0.5, thickness_pixel=0.1),
    "other exponents": replace(NOMINAL, exponent=2.4, exponent_image=0.1, exponent_pixel=0.06),
    "1 % fixed-pattern gain": replace(NOMINAL, fixed_pattern=0.01),
    "20 dead channels": replace(NOMINAL, dead_channels=20),
    "0.5 eV offset": replace(NOMINAL, energy_offset=0.5),
    "1 eV broadening": replace(NOMINAL, broadening=1.0),
    "twice the continuum misfit": replace(NOMINAL, misfit=2.0),
    "three times the continuum misfit": replace(NOMINAL, misfit=3.0),
    "overlap varies by 70 %": replace(NOMINAL, residual_sd=0.7 * NOMINAL.residual_mean),
    "log-normal intensities": replace(NOMINAL, intensity_law="lognormal"),
    "log-normal intensities of 20 %": replace(
        NOMINAL, intensity_jitter=0.2, intensity_law="lognormal"
    ),
}
EXACT, OURS, OURS_IMAGE = "exact posterior", "eels_bayes", "eels_bayes, context='image'"
SHIFTED = "exact posterior, the shift known"  # where that has no defects
LEARNED_MIX, VAE = "class mix only", "dual VAE and GP (Hollenbach 2024)"
TABLE = ("accuracy", "nll", "brier", "ece")
SHAPE = (30, 19)  # of an image, as published


def scores(p: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, NLL, Brier score, ECE and mean confidence."""
    report = eb.metrics.summary(p, labels)
    return {**report, "confidence": float(p.max(1).mean())}


def read_by_peers(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    rows: NDArray[np.int64],
    only: list[str] | None,
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Class probabilities (n, K) of every peer, and the seconds that most of them took.

    Peers that read pixel by pixel read ``rows`` alone. Those whose package is missing are left out
    with a sentence; with ``only``, all but these of `PEERS`. The dual VAE brings every classifier
    on its latents.
    """
    found: dict[str, NDArray[Any]] = {}
    seconds: dict[str, float] = {}
    wanted = list(PEERS) if only is None else only
    for name in wanted:
        start = time.perf_counter()
        if name != VAE:
            found[name] = PEERS[name](spectra, library)
        else:
            trained = dual_vae.train(spectra)
            seconds["dual VAE training"] = trained.seconds
            for kind, p in latent_classifiers.classify(trained, spectra, library).items():
                found[VAE if kind == "Gaussian process" else f"dual VAE and {kind}"] = p
        seconds[name] = time.perf_counter() - start
    if only is not None:
        return found, seconds
    for name, peer in (PIXEL_BY_PIXEL | OPTIONAL).items():
        try:
            p = peer(spectra[rows], library)
        except ImportError as error:
            print(f"{name} is left out: {error}")
            continue
        found[name] = np.full((len(spectra), library.n_classes), np.nan)
        found[name][rows] = p
    return found, seconds


def compare(
    process: eb.simulate.Process,
    dose: float,
    seed: int,
    n_pixels: int,
    *,
    with_peers: bool,
    only: list[str] | None = None,
    shape: tuple[int, int] = SHAPE,
) -> dict[str, Any]:
    """Scores of every method on one series, and the seconds that fitting took."""
    series = eb.simulate.annealing_series(shape=shape, dose=dose, seed=seed, process=process)
    spectra, library = preprocess(series), eb.FingerprintLibrary.example()
    truth = series.truth
    labels = truth["label"].to_numpy().ravel()
    values = truth["value"].to_numpy().ravel()
    usable = np.flatnonzero(spectra.ok & (labels >= 0))
    rows = np.sort(np.random.default_rng(seed).permutation(usable)[:n_pixels])
    found: dict[str, NDArray[Any]] = {}
    seconds: dict[str, float] = {}

    start = time.perf_counter()
    clf = eb.EELSClassifier(library, seed=seed).fit(spectra)
    seconds["eels_bayes fit"] = time.perf_counter() - start
    single, image = clf.predict(spectra), clf.predict(spectra, context="image")
    found[OURS], found[OURS_IMAGE] = single.probabilities, image.probabilities
    nominal = eb.simulate.annealing_series(shape=shape, dose=dose, seed=seed)
    found[EXACT] = np.full_like(single.probabilities, np.nan)
    found[EXACT][rows] = limit.series_posterior(nominal, rows, show_progressbar=True)
    if process != NOMINAL and not (process.fixed_pattern or process.dead_channels):
        found[SHIFTED] = np.full_like(single.probabilities, np.nan)
        found[SHIFTED][rows] = limit.series_posterior(series, rows, show_progressbar=True)
    for name, peer in ABLATIONS.items():
        found[name] = peer(spectra, library)
    if with_peers:
        by_peers, trained = read_by_peers(spectra, library, rows, only)
        found, seconds = found | by_peers, seconds | trained
        mix = np.bincount(labels[usable], minlength=library.n_classes) / len(usable)
        found[LEARNED_MIX] = np.broadcast_to(mix, single.probabilities.shape)
    pure = truth["fractions"].to_numpy().reshape(len(labels), -1).max(1)[rows] > 0.99
    ends = single.value_interval(0.9)
    half = single.value_interval(0.5)
    covered = {
        level: float(np.mean((low[rows] <= values[rows]) & (values[rows] <= high[rows])))
        for level, (low, high) in (("0.9", ends), ("0.5", half))
    }
    terms = ("total", "aleatoric", "encoder", "classifier")
    return {
        "dose": dose,
        "seed": seed,
        "pixels": len(rows),
        "scores": {name: scores(p[rows], labels[rows]) for name, p in found.items()},
        "pure": {name: scores(p[rows][pure], labels[rows][pure]) for name, p in found.items()},
        "value": {
            "rmse": float(np.sqrt(np.mean((single.value[rows] - values[rows]) ** 2))),
            "coverage": covered,
        },
        "nats": {name: float(getattr(single, name)[rows].mean()) for name in terms},
        "entropy_pure": float(single.total[rows][pure].mean()),
        "entropy_mixed": float(single.total[rows][~pure].mean()),
        "seconds": seconds,
    }


def write_table(path: Path, results: dict[str, Any], shape: tuple[int, int]) -> None:
    """The scores on nominal series by dose and method, to four digits."""
    nominal = [one for name, one in results.items() if name.startswith("nominal")]
    table = {
        "seed": nominal[0]["seed"],
        "shape": [24, *shape],
        "pixels": nominal[0]["pixels"],
        "version": eb.__version__,
        "doses": {
            f"{one['dose']:g}": {
                name: {score: float(f"{row[score]:.4g}") for score in TABLE}
                for name, row in one["scores"].items()
            }
            for one in nominal
        },
    }
    path.write_text(json.dumps(table, indent=1) + "\n")


def print_result(title: str, result: dict[str, Any]) -> None:
    """One table."""
    print(f"\n== {title}: dose {result['dose']:g}, {result['pixels']} pixels")
    exact = result["scores"].get(SHIFTED, result["scores"][EXACT])
    print(f"{'method':40s} accuracy    NLL  Brier    ECE  above the limit")
    for name, row in sorted(result["scores"].items(), key=lambda item: item[1]["nll"]):
        print(
            f"{name:40s} {row['accuracy']:8.3f} {row['nll']:6.3f} {row['brier']:6.3f} "
            f"{row['ece']:6.3f} {row['nll'] - exact['nll']:+7.3f} nats, "
            f"{100 * (row['accuracy'] - exact['accuracy']):+6.1f} points"
        )
    value, seconds = result["value"], result["seconds"]
    print(f"value: rmse {value['rmse']:.4f}, intervals cover {value['coverage']}")
    print(f"entropy: pure {result['entropy_pure']:.3f}, mixed {result['entropy_mixed']:.3f} nats")
    print("; ".join(f"{name} {spent:.0f} s" for name, spent in seconds.items()), end="")
    if "dual VAE training" in seconds:
        ratio = seconds["eels_bayes fit"] / seconds["dual VAE training"]
        print(f"; ratio {ratio:.2f}", end="")
    print(flush=True)


def draw(path: str, files: list[str]) -> None:
    """NLL above the limit, accuracy and ECE against dose, from the JSON of finished runs."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    runs: dict[str, dict[str, Any]] = {}
    for name in files:
        runs |= json.loads(Path(name).read_text())
    nominal = sorted(
        (run for name, run in runs.items() if name.startswith("nominal")), key=lambda r: r["dose"]
    )
    if not nominal:
        raise SystemExit("the files hold no nominal series; run without --shifts first")
    doses = [run["dose"] for run in nominal]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), constrained_layout=True)
    strong = {EXACT: "k", OURS: "C0", OURS_IMAGE: "C9"}
    names = [name for name in nominal[0]["scores"] if name in strong]
    names += [name for name in nominal[0]["scores"] if name not in strong]
    for ax, key, title in zip(
        axes,
        ("accuracy", "nll", "ece"),
        ("Accuracy", "Negative log-likelihood (nats)", "Expected calibration error"),
        strict=True,
    ):
        for i, name in enumerate(names):
            line = [run["scores"][name][key] for run in nominal]
            if name in strong:
                ax.plot(doses, line, "o-", color=strong[name], lw=2, label=name, zorder=3)
            else:
                ax.plot(doses, line, ".-", color=f"C{i % 10}", lw=0.8, alpha=0.7, label=name)
        ax.set(xscale="log", xlabel="Dose (1 = a real single pixel)", title=title)
        ax.set_xticks(doses, [f"{dose:g}" for dose in doses])
        ax.minorticks_off()
    axes[1].set(yscale="log")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 4]
    axes[1].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[2].axhline(0.03, color="0.5", lw=0.8, ls=":")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run, print, and write JSON after every series, so that nothing finished is lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--doses", type=float, nargs="*", default=DOSES, help="of nominal series")
    names = str(list(SHIFTS)).replace("%", "%%")  # argparse formats its help
    parser.add_argument("--shifts", nargs="*", default=["all"], help=f"'all', none, or of {names}")
    parser.add_argument(
        "--shift-doses", type=float, nargs="*", default=SHIFT_DOSES, help="of shifted series"
    )
    parser.add_argument("--pixels", type=int, default=3000, help="scored in each series")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--shape", type=int, nargs=2, default=SHAPE, help="of an image, pixels")
    parser.add_argument("--table", type=Path, help="where scores on nominal series are written")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument(
        "--peers", nargs="+", choices=list(PEERS), metavar="NAME", help="these alone"
    )
    parser.add_argument("--json", type=Path, help="where results are written")
    parser.add_argument("--draw", metavar="FIGURE", help="draw the finished runs in FILES instead")
    parser.add_argument("files", nargs="*", help="JSON files for --draw")
    options = parser.parse_args()
    if options.draw:
        draw(options.draw, options.files)
        return
    wanted = list(SHIFTS) if options.shifts == ["all"] else options.shifts
    jobs = [(f"nominal {dose:g}", NOMINAL, dose, options.seed) for dose in options.doses]
    jobs += [
        (f"{name}, dose {dose:g}", SHIFTS[name], dose, options.seed + 100)
        for name in wanted
        for dose in options.shift_doses
    ]
    results: dict[str, Any] = {}
    for name, process, dose, seed in jobs:
        peers = name.startswith("nominal") and not options.no_peers
        results[name] = compare(
            process,
            dose,
            seed,
            options.pixels,
            with_peers=peers,
            only=options.peers,
            shape=tuple(options.shape),
        )
        print_result(name, results[name])
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
        if options.table and peers:
            write_table(options.table, results, tuple(options.shape))


if __name__ == "__main__":
    main()
