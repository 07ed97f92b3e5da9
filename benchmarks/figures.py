"""What the paper's figures show, as numbers with intervals; and the time of each figure's call.

    python benchmarks/figures.py [--dose 1] [--images 24] [--seed 0] [--model FILE] [--json FILE]
                                 [--limit 3000]

A series of 24 images of 30 x 19 pixels, whose truth is known. Silhouettes by true and by predicted
classes at every temperature, the sd before the edge, the signal-to-noise ratio of one denoised
pixel against averages, the shoulder that is left on fluorine-free pixels, and the accuracy on the
surest half of the pixels, beside that of the exact posterior (`--limit` pixels, 0 for none).
Intervals of 95 % are of resampled pixels, or images where said.

The page "The paper's figures, measured" is made from the JSON in benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import limit
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
N_DRAWS = 50  # decoded draws of a pixel, whose mean is wanted alone
N_KNOWN = 6000  # pixels drawn from the model
CONTEXTS = ("pixel", "image", "neighbours")
ONE_SD = 0.6827  # of a band: twice the sd
PURE = 0.99  # share of one class, of pixels that are called pure


def rounded(x: Any) -> Any:
    """Numbers to four digits, inside whatever holds them."""
    if isinstance(x, dict):
        return {name: rounded(part) for name, part in x.items()}
    if isinstance(x, tuple | list):
        return [rounded(part) for part in x]
    return float(f"{x:.4g}") if isinstance(x, float) else x


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
    return {
        "pixels": len(rows),
        "ways": table,
        "classes": height_table(clf, spectra, truth, labels),
    }


def height_table(
    clf: eb.EELSClassifier,
    spectra: eb.Spectra,
    truth: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> dict[str, Any]:
    """Median SNR of denoised pixels by true class; what it would be if the height were right.

    The height is the factor that fits a denoised spectrum to the truth best: its rms deviation from
    1 over pixels is how well a single pixel's height is known. What a posterior expects of its own
    error, by its band, says whether more was to be had.
    """
    table = {}
    print(
        "\nby true class: pixels; median SNR (dB), as the band expects, height right; its rms error"
    )
    for k, name in enumerate(clf.class_names):
        rows = np.flatnonzero((labels == k) & spectra.ok)
        if not len(rows):
            continue
        true, (_, x, low, high) = truth[rows], clf.denoise(spectra[rows], level=ONE_SD)
        power = (true**2).sum(1)
        own = 10 * np.log10(power / ((high - low) ** 2 / 4).sum(1))
        height = (x * true).sum(1) / power
        left = [((x - scale * true) ** 2).sum(1) for scale in (1.0, height[:, None])]
        plain, free = (float(np.median(10 * np.log10(power / error))) for error in left)
        off = float(np.sqrt(np.mean((height - 1.0) ** 2)))
        row = {"snr": plain, "by_band": float(np.median(own))}
        table[name] = {"pixels": len(rows), **row, "height_right": free, "height_rms": off}
        print(
            f"{name:>10s} {len(rows):6d} {plain:6.2f} {row['by_band']:6.2f} {free:6.2f} {off:6.3f}"
        )
    return table


def shoulder_table(
    clf: eb.EELSClassifier,
    spectra: eb.Spectra,
    pred: eb.Prediction,
    truth: NDArray[np.float64],
    empty: NDArray[np.bool_],
) -> dict[str, Any]:
    """What denoising leaves in the shoulder and at the peak: truly, read as, and of all pixels.

    A posterior mean is right on the average over all pixels, not at a given truth: what is truly
    without fluorine is read as a little fluorine, as it may have some. The same is seen in pixels
    that the model itself draws, where nothing but this can be wrong.
    """
    last = len(clf.class_names) - 1
    kinds = {
        "truly without fluorine": np.flatnonzero(empty & spectra.ok),
        "read as without fluorine": np.flatnonzero(spectra.ok & (pred.labels == last)),
        "all pixels": np.flatnonzero(spectra.ok),
    }
    rebuilt, _ = rebuilt_from_components(spectra)
    levels = {
        "denoise": clf.denoise(spectra, n_draws=N_DRAWS).mean,
        "PCA(10)": rebuilt,
        "as measured": spectra.intensity,
    }
    known = eb.diagnostics.known_pixels(clf, spectra, n=N_KNOWN, dose=1.0)
    drawn = clf.denoise(known.spectra, n_draws=N_DRAWS).mean
    without = (known.fractions.max(1) > PURE) & (known.values == 0)
    of_model = {
        "drawn from the model, without fluorine": without,
        "drawn from the model, all": None,
    }
    table: dict[str, Any] = {}
    for where, (low, high) in (("shoulder", SHOULDER), ("peak", PEAK)):
        inside = (spectra.energy >= low) & (spectra.energy < high)
        table[where] = found = {}
        print(f"\n{where}, {low:g} to {high:g} eV (edge units): bias with interval, rms error")
        for kind, rows in kinds.items():
            true = truth[rows][:, inside].mean(1)
            found[kind] = {"pixels": len(rows), "truth": float(true.mean())}
            for name, x in levels.items():
                off = x[rows][:, inside].mean(1) - true
                found[kind][name] = _off(f"{kind}, {name}", off, spectra.image[rows])
        for kind, chosen in of_model.items():
            off = (drawn - known.clean)[:, inside].mean(1)
            off = off if chosen is None else off[chosen]
            found[kind] = {"pixels": len(off), "denoise": _off(kind, off, None)}
    return table


def _off(name: str, off: NDArray[np.float64], images: NDArray[np.int64] | None) -> dict[str, Any]:
    """Bias and rms of errors, by images resampled where they are of some."""
    bias = bootstrap_mean(off, groups=images)
    squared = bootstrap_mean(off**2, groups=images)
    rms = Estimate(*(float(np.sqrt(part)) for part in squared))
    print(f"{name:>44s} ({len(off)}): {shown(bias, 4)}   {rms.mean:.4f}")
    return {"bias": bias, "rms": rms}


def exact_posteriors(
    series: eb.simulate.Series, rows: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """The exact posterior of some pixels, alone and where the mix of the image is known."""
    nodes = limit.composition_nodes(series.model)
    counts = limit.series_counts(series, rows)
    found = limit.evidence(counts, series.model, dose=series.dose, nodes=nodes)
    return {
        context: nodes.class_sums(
            limit.node_posterior(found, limit.series_prior(series, nodes, context)[rows])
        )
        for context in ("pixel", "image")
    }


def surest_halves(
    series: eb.simulate.Series,
    preds: dict[str, eb.Prediction],
    labels: NDArray[np.int64],
    n_limit: int,
) -> dict[str, Any]:
    """Accuracy on the surest half by context, and of the exact posterior on the same pixels."""
    first = preds["pixel"]
    kept = np.flatnonzero(first.ok & (labels >= 0))
    table = {}
    print("\naccuracy on the surest half, images resampled")
    for context, pred in preds.items():
        p = pred.probabilities[kept].astype(float)
        table[f"eels_bayes, {context}"] = surest_half(p, labels[kept], first.image[kept])
    if n_limit:
        rows = np.sort(np.random.default_rng(0).permutation(kept)[:n_limit])
        found = {f"exact posterior, {c}": p for c, p in exact_posteriors(series, rows).items()}
        for context, pred in preds.items():
            found[f"eels_bayes, {context}, the same pixels"] = pred.probabilities[rows].astype(
                float
            )
        for name, p in found.items():
            table[name] = surest_half(p, labels[rows], first.image[rows])
        table["limit_pixels"] = len(rows)
    for name, one in table.items():
        if isinstance(one, Estimate):
            print(f"{name:>40s} {shown(one, 4)}")
    return table


def surest_half(
    p: NDArray[np.float64], labels: NDArray[np.int64], images: NDArray[np.int64]
) -> Estimate:
    """Accuracy on the half of the pixels with the least entropy, by images resampled."""
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=1)
    surest = np.argsort(entropy, kind="stable")[: len(p) // 2]
    return bootstrap_mean(p[surest].argmax(1) == labels[surest], groups=images[surest])


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
    parser.add_argument("--limit", type=int, default=3000, help="pixels of the exact posterior")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    series = eb.simulate.annealing_series(options.images, dose=options.dose, seed=options.seed)
    spectra, labels = preprocess(series), series.truth.label.values.ravel()
    if options.model:
        clf = eb.load_model(options.model)
    else:
        clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), seed=options.seed).fit(spectra)
    print(f"held out: {clf.held_out.words}")
    truth = eb.simulate.true_edges(series, spectra)
    preds = {context: clf.predict(spectra, context=context) for context in CONTEXTS}
    pred = preds["pixel"]
    pure = series.truth.fractions.max("class").values.ravel() > PURE
    empty = pure & (series.truth.value.values.ravel() == 0)
    found = denoised_spread(clf, spectra, labels)
    result: dict[str, Any] = {
        "version": eb.__version__,
        "seed": options.seed,
        "dose": options.dose,
        "shape": list(series.truth.label.shape),
        "silhouette": silhouette_table(pred, spectra, labels),
        "sd_before": sd_before(found, labels, pred.class_names),
        "snr": noise_table(clf, spectra, pred, truth, labels),
        "shoulder": shoulder_table(clf, spectra, pred, truth, empty),
        "surest_half": surest_halves(series, preds, labels, options.limit),
        "seconds": times(clf, spectra, pred, preds["neighbours"], labels, truth),
    }
    if options.json:
        options.json.write_text(json.dumps(rounded(result), indent=1) + "\n")


if __name__ == "__main__":
    main()
