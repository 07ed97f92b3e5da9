"""What the paper's figures show, as numbers with intervals; and the time of each figure's call.

    python benchmarks/figures.py [--dose 1] [--images 24] [--seed 0] [--model FILE] [--json FILE]

A series of 24 images of 30 x 19 pixels, whose truth is known. Silhouettes by true and by predicted
classes at every temperature, the sd before the edge, the signal-to-noise ratio of one denoised
pixel against averages, the shoulder that is left on fluorine-free pixels, and the accuracy on the
surest half of the pixels. Intervals of 95 % are of resampled pixels, or images where said.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from annealing import preprocess
from numpy.typing import NDArray

import eels_bayes as eb
from eels_bayes.plots.fitted_figures.class_spectra_figure import Spread, denoised_spread
from eels_bayes.plots.fitted_figures.component_peers import rebuilt_from_components
from eels_bayes.plots.fitted_figures.conditions import conditions_of
from eels_bayes.plots.fitted_figures.denoising_figure import comparable, ladder
from eels_bayes.plots.fitted_figures.embedding_figure import condition_silhouettes
from eels_bayes.plots.fitted_figures.measures import Estimate, bootstrap_mean

SHOULDER, PEAK = (687.5, 691.5), (696.0, 701.0)  # of F K, eV
N_RESAMPLED = 200  # of an sd: each is of thousands of pixels


def shown(estimate: Estimate, digits: int = 3) -> str:
    """An estimate with its interval."""
    return f"{estimate.mean:+.{digits}f} [{estimate.low:+.{digits}f}, {estimate.high:+.{digits}f}]"


def silhouette_table(
    pred: eb.Prediction, spectra: eb.Spectra, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Silhouettes of both embeddings at each temperature, by true and by predicted classes."""
    _, scores = rebuilt_from_components(spectra)
    where = conditions_of(spectra.images)
    found = {}
    for name, classes in (("true", labels), ("predicted", pred.labels)):
        rows = condition_silhouettes(
            pred.latent_mean.astype(float), scores, classes, where, spectra.image
        )
        print(f"\nsilhouette by {name} class: latents, PCA(10), difference")
        for condition, row in zip(where.names, rows, strict=True):
            print(f"{condition:>10s}  {'   '.join(shown(one) for one in row)}")
        above = sum(row.difference.low > 0 for row in rows)
        print(f"latents above with the whole interval at {above} of {len(rows)} temperatures")
        found[name] = {c: row._asdict() for c, row in zip(where.names, rows, strict=True)}
    return found


def sd_before(found: Spread, classes: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, Any]:
    """Mean sd before the edge of each class: ours, ours with each pixel's own, and PCA's."""
    print("\nsd before the edge (edge units): over pixels, with each pixel's own, PCA(10)")
    rng, table = np.random.default_rng(0), {}
    for k, name in enumerate(names):
        mine = np.flatnonzero(classes[found.rows] == k)
        if len(mine) < 2:
            continue
        whole = [float(x[found.before].mean()) for x in found.sds(mine)]
        drawn = np.array(
            [
                [x[found.before].mean() for x in found.sds(rng.choice(mine, len(mine)))]
                for _ in range(N_RESAMPLED)
            ]
        )
        ends = np.quantile(drawn, [0.025, 0.975], axis=0).T
        rows = [Estimate(mean, *map(float, end)) for mean, end in zip(whole, ends, strict=True)]
        print(f"{name:>10s} ({len(mine)})  {'   '.join(shown(row) for row in rows)}")
        table[name] = rows
    return table


def noise_table(
    clf: eb.EELSClassifier,
    spectra: eb.Spectra,
    pred: eb.Prediction,
    truth: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> dict[str, Any]:
    """SNR of every way to less noise, over pixels that all of them can be taken of."""
    rows, sizes = comparable(spectra, pred.labels, None, 0)
    found = ladder(clf, spectra, pred.labels, rows, sizes, truth)
    print(f"\nSNR against the truth over {len(rows)} pixels (dB): mean with interval, median")
    table = {}
    for name, decibels in zip(found.names, found.decibels, strict=True):
        estimate = bootstrap_mean(decibels)
        print(f"{name:>24s}  {shown(estimate, 2)}   {np.median(decibels):.2f}")
        table[name] = estimate
    for other in (3, 4):
        gain = bootstrap_mean(found.decibels[-1] - found.decibels[other])
        share = float(np.mean(found.decibels[-1] > found.decibels[other]))
        print(
            f"VAE less {found.names[other]}: {shown(gain, 2)} dB; better in {share:.0%} of pixels"
        )
        table[f"VAE less {found.names[other]}"] = gain
    for k, name in enumerate(pred.class_names):
        mine = labels[rows] == k
        if mine.any():
            medians = "  ".join(f"{x:6.2f}" for x in np.median(found.decibels[:, mine], axis=1))
            print(f"  truly {name:>8s} ({mine.sum():3d}), medians: {medians}")
    return table


def shoulder_table(
    clf: eb.EELSClassifier,
    spectra: eb.Spectra,
    truth: NDArray[np.float64],
    empty: NDArray[np.bool_],
) -> dict[str, Any]:
    """What denoising leaves on fluorine-free pixels in the shoulder and at the peak."""
    rows = np.flatnonzero(empty & spectra.ok)
    rebuilt, _ = rebuilt_from_components(spectra)
    ours = clf.denoise(spectra[rows]).mean
    table: dict[str, Any] = {"pixels": len(rows)}
    print(f"\n{len(rows)} pixels truly without fluorine, by images resampled (edge units)")
    for where, (low, high) in (("shoulder", SHOULDER), ("peak", PEAK)):
        inside = (spectra.energy >= low) & (spectra.energy < high)
        true = truth[rows][:, inside].mean(1)
        print(f"{where}: truly {true.mean():+.4f}")
        for name, x in (("VAE", ours), ("PCA(10)", rebuilt[rows])):
            level = x[:, inside].mean(1)
            bias = bootstrap_mean(level - true, groups=spectra.image[rows])
            squared = bootstrap_mean((level - true) ** 2, groups=spectra.image[rows])
            rms = Estimate(*(float(np.sqrt(part)) for part in squared))
            print(f"{name:>10s}: bias {shown(bias, 4)}   rms error {shown(rms, 4)}")
            table[f"{where}, {name}"] = {"bias": bias, "rms": rms}
    return table


def surest_half(pred: eb.Prediction, labels: NDArray[np.int64]) -> Estimate:
    """Accuracy on the half of the pixels with the least total uncertainty, by images resampled."""
    kept = np.flatnonzero(pred.ok & (labels >= 0))
    surest = kept[np.argsort(pred.total[kept], kind="stable")[: len(kept) // 2]]
    return bootstrap_mean(pred.labels[surest] == labels[surest], groups=pred.image[surest])


def timed(name: str, draw: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one call, drawing included: on the clock, and of the processor."""
    import matplotlib.pyplot as plt

    start, busy = time.perf_counter(), time.process_time()
    draw().canvas.draw()
    seconds, used = time.perf_counter() - start, time.process_time() - busy
    plt.close("all")
    print(f"{name:>22s} {seconds:7.1f} s, {used:6.1f} s of processor time", flush=True)
    return seconds, used


def times(
    clf: eb.EELSClassifier,
    spectra: eb.Spectra,
    pred: eb.Prediction,
    joined: eb.Prediction,
    labels: NDArray[np.int64],
    truth: NDArray[np.float64],
) -> dict[str, tuple[float, float]]:
    """Seconds of each figure's call, where the prediction is given."""
    plots = eb.plots
    calls: dict[str, Callable[[], Any]] = {
        "spatial_averages": lambda: plots.spatial_averages(clf, spectra),
        "denoising": lambda: plots.denoising(clf, spectra, pred=pred, truth=truth),
        "fingerprint_draws": lambda: plots.fingerprint_draws(clf),
        "class_comparison": lambda: plots.class_comparison(
            clf, spectra, bands=(SHOULDER, PEAK), pred=pred
        ),
        "class_spectra": lambda: plots.class_spectra(clf, spectra, pred=pred),
        "embeddings": lambda: plots.embeddings(clf, spectra, pred=pred),
        "doubt_maps": lambda: plots.doubt_maps(joined, labels=labels),
        "doubt_spectrum": lambda: plots.doubt_spectrum(clf, spectra),
        "value_course": lambda: plots.value_course(pred),
        "doubt_risk": lambda: plots.doubt_risk(pred, labels),
        "reliability": lambda: plots.reliability(pred.probabilities, labels),
    }
    print(f"\ntime of each figure on {len(spectra)} spectra, prediction given")
    return {name: timed(name, call) for name, call in calls.items()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--dose", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="one fitted to this very series, in place of a new fit")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    series = eb.simulate.annealing_series(options.images, dose=options.dose, seed=options.seed)
    spectra, labels = preprocess(series), series.truth.label.values.ravel()
    if options.model:
        clf = eb.load_model(options.model)
    else:
        clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), seed=options.seed).fit(spectra)
    truth = eb.simulate.true_edges(series, spectra)
    pred = clf.predict(spectra)
    joined = clf.predict(spectra, context="neighbours")
    pure = series.truth.fractions.max("class").values.ravel() > 0.99
    empty = pure & (series.truth.value.values.ravel() == 0)
    found = denoised_spread(clf, spectra, labels)
    result: dict[str, Any] = {
        "dose": options.dose,
        "silhouette": silhouette_table(pred, spectra, labels),
        "sd_before": sd_before(found, labels, pred.class_names),
        "snr": noise_table(clf, spectra, pred, truth, labels),
        "shoulder": shoulder_table(clf, spectra, truth, empty),
    }
    for name, one in (("pixel", pred), ("neighbours", joined)):
        estimate = surest_half(one, labels)
        print(f"\naccuracy on the surest half, context {name}: {shown(estimate, 4)}")
        result[f"surest_half_{name}"] = estimate
    result["seconds"] = times(clf, spectra, pred, joined, labels, truth)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
