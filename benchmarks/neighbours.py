"""Maps read pixel by pixel, by image, and with neighbours; beside methods that average first.

    python benchmarks/neighbours.py [--doses 0.1 0.3 1 3] [--images 24] [--areas 8] [--seed 9501]
        [--json FILE] [--draw FIGURE.png] [--smoke]

At each dose one model is fitted to a simulated annealing series. Then its pixels are read: as they
are; shuffled within their images; and with single pixels of another class planted. Further series
say how often the interval of a class's area holds it. Counts that are averaged, or denoised, first
are read by the same model.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from annealing import preprocess
from scipy.ndimage import uniform_filter
from skimage.restoration import denoise_nl_means
from sklearn.decomposition import PCA

import eels_bayes as eb

SHAPE = (30, 19)
PLANTED = ((0, 3), (1, 2))  # class of a single pixel, and of what it is planted in
PLANTED_SHARE = 0.02
PURE = 0.99  # share of a class from which on a pixel is not called mixed
CONTEXTS = ("pixel", "image", "neighbours")

Row = dict[str, Any]


def of_truth(series: eb.simulate.Series) -> dict[str, np.ndarray]:
    """Class, value and largest share of every pixel."""
    truth = series.truth
    return {
        "label": truth.label.values.ravel(),
        "value": truth.value.values.ravel(),
        "share": truth.fractions.max("class").values.ravel(),
    }


def row_of(name: str, pred: eb.Prediction, truth: dict[str, np.ndarray], **more: Any) -> Row:
    """What a table says of one way of reading."""
    found = eb.metrics.summary(pred.probabilities, truth["label"])
    low, high = pred.value_interval(0.9)
    held, mixed = (low <= truth["value"]) & (truth["value"] <= high), truth["share"] < PURE
    error = np.square(pred.value - truth["value"])
    return {
        "method": name,
        **{key: float(found[key]) for key in ("accuracy", "nll", "ece")},
        "value_rmse": float(np.sqrt(error.mean())),
        "mixed_rmse": float(np.sqrt(error[mixed].mean())),
        "cover": float(held.mean()),
        "mixed_cover": float(held[mixed].mean()),
        "lowest_recall": _lowest_recall(pred, truth["label"]),
        **more,
    }


def _lowest_recall(pred: eb.Prediction, label: np.ndarray) -> float:
    """Of any class."""
    classes = np.unique(label)
    return float(min((pred.labels[label == k] == k).mean() for k in classes))


def contexts(clf: eb.EELSClassifier, spectra: eb.Spectra, truth: dict[str, Any]) -> Iterator[Row]:
    """The same pixels by themselves, with their image, and with their neighbours."""
    for context in CONTEXTS:
        began = time.process_time()
        pred = clf.predict(spectra, context=context, show_progressbar=False)
        seconds = time.process_time() - began
        more = {"seconds": seconds}
        if pred.map_posterior is not None:
            strength, growth, alone = pred.map_posterior.coupling
            more |= {"strength": strength.tolist(), "growth": float(growth), "alone": float(alone)}
        yield row_of(context, pred, truth, **more)


def moved(spectra: eb.Spectra, rows: np.ndarray) -> eb.Spectra:
    """Pixels of other rows, each in the place of a row."""

    return replace(spectra[rows], image=spectra.image, position=spectra.position)


def shuffled(
    clf: eb.EELSClassifier, spectra: eb.Spectra, truth: dict[str, Any], rng: np.random.Generator
) -> Iterator[Row]:
    """Pixels in disorder within their images: neighbours have nothing to say."""
    rows = np.arange(len(spectra))
    for k in range(len(spectra.images)):
        mine = np.flatnonzero(spectra.image == k)
        rows[mine] = rng.permutation(mine)
    truth = {name: values[rows] for name, values in truth.items()}
    for context in CONTEXTS[1:]:
        pred = clf.predict(moved(spectra, rows), context=context, show_progressbar=False)
        yield row_of(f"shuffled, {context}", pred, truth)


def isolated(
    clf: eb.EELSClassifier, spectra: eb.Spectra, truth: dict[str, Any], rng: np.random.Generator
) -> Iterator[Row]:
    """Single pixels of one class among another's, taken from elsewhere in the series."""
    label, pure = truth["label"], truth["share"] >= PURE
    for of, among in PLANTED:
        there = np.flatnonzero(label == among)
        n = min(int(PLANTED_SHARE * len(label)), len(there) // 3)
        at = rng.choice(there, n, replace=False)
        rows = np.arange(len(label))
        rows[at] = rng.choice(np.flatnonzero((label == of) & pure), n)
        planted = {name: values[rows] for name, values in truth.items()}
        for context in (CONTEXTS[0], CONTEXTS[2]):
            pred = clf.predict(moved(spectra, rows), context=context, show_progressbar=False)
            one = eb.metrics.summary(pred.probabilities[at], planted["label"][at])
            found = pred.labels[at] == of
            names = pred.class_names
            yield row_of(
                f"{names[of]} in {names[among]}, {context}",
                pred,
                planted,
                planted=n,
                recall=float(found.mean()),
                planted_ece=float(one["ece"]),
                planted_nll=float(one["nll"]),
                neighbours_of_found=float(np.mean(pred.neighbours[at][found])),
            )


def peers(
    clf: eb.EELSClassifier, series: eb.simulate.Series, truth: dict[str, Any]
) -> Iterator[Row]:
    """Counts averaged or denoised first, then read by the same model."""
    for name, method in PEERS.items():
        signals = [signal.deepcopy() for signal in series.signals]
        for signal, data in zip(signals, method([s.data for s in signals]), strict=True):
            signal.data = data
        spectra = clf.preprocessor(signals, show_progressbar=False)
        yield row_of(name, clf.predict(spectra, show_progressbar=False), truth)


def _summed(width: int) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """Sums over squares of pixels, whose noise is counted as that of so many more electrons."""

    def apply(images: list[np.ndarray]) -> list[np.ndarray]:
        size = (width, width, 1)
        return [width**2 * uniform_filter(x.astype(float), size, mode="nearest") for x in images]

    return apply


def _principal(images: list[np.ndarray]) -> list[np.ndarray]:
    """Ten principal components of the whole series, channels weighted by their noise."""
    rows = np.concatenate([x.reshape(-1, x.shape[-1]) for x in images]).astype(float)
    scale = np.sqrt(rows.mean(0).clip(min=1e-9))
    pca = PCA(10, random_state=0)
    clean = pca.inverse_transform(pca.fit_transform(rows / scale)) * scale
    parts = np.split(clean.clip(min=0.0), np.cumsum([x[..., 0].size for x in images])[:-1])
    return [part.reshape(x.shape) for part, x in zip(parts, images, strict=True)]


def _non_local(images: list[np.ndarray]) -> list[np.ndarray]:
    """Non-local means of each image, on counts whose variance is 1 by Anscombe's root."""
    found = []
    for x in images:
        root = 2.0 * np.sqrt(x.clip(min=0.0) + 0.375)
        kind = {"patch_size": 3, "patch_distance": 5, "channel_axis": -1, "fast_mode": True}
        root = denoise_nl_means(root, h=0.8, sigma=1.0, **kind)
        found.append((np.square(root / 2.0) - 0.125).clip(min=0.0))  # with the root's bias undone
    return found


PEERS = {
    "sum of 3 x 3": _summed(3),
    "sum of 5 x 5": _summed(5),
    "PCA(10)": _principal,
    "non-local means": _non_local,
}


def areas(clf: eb.EELSClassifier, dose: float, seeds: range, size: dict[str, Any]) -> Iterator[Row]:
    """How often the 90 % interval of a class's area holds it, in further series.

    Read by the model of the first series, and by one that was fitted to them.
    """
    for whose in ("another series", "their own"):
        held: dict[str, list[bool]] = {context: [] for context in (CONTEXTS[0], CONTEXTS[2])}
        width: dict[str, list[float]] = {context: [] for context in held}
        for seed in seeds:
            series = eb.simulate.annealing_series(**size, dose=dose, seed=seed)
            spectra, reader = clf.preprocessor(series.signals, show_progressbar=False), clf
            if whose == "their own":
                spectra = preprocess(series)
                reader = eb.EELSClassifier(clf.library, effort=clf.effort, seed=0)
                reader.fit(spectra, show_progressbar=False)
            label, n_classes = of_truth(series)["label"], clf.library.n_classes
            there = np.stack([(label == k) for k in range(n_classes)], 1)
            for context in held:
                pred = reader.predict(spectra, context=context, show_progressbar=False)
                area = pred.class_area(0.9)
                true = np.stack([there[spectra.image == i].sum(0) for i in range(len(area.mean))])
                seen = true > 0  # a class that is not there is held by chance of the interval's end
                held[context] += ((area.low <= true) & (true <= area.high))[seen].tolist()
                width[context] += (area.high - area.low)[seen].tolist()
        yield {
            "method": f"areas by the model of {whose}",
            "images": len(seeds) * size["n_images"],
            **{f"cover, {context}": float(np.mean(found)) for context, found in held.items()},
            **{f"width, {context}": float(np.mean(found)) for context, found in width.items()},
        }


def live(
    clf: eb.EELSClassifier, series: eb.simulate.Series, truth: dict[str, Any]
) -> Iterator[Row]:
    """Every image as a scan: pixels when they come, when their image is there, and at its end.

    The first image is read with the coupling of before anything is known, the others with that of
    the one before them.
    """
    fast = clf.compile(clf.preprocessor, energy=series.signals[0].axes_manager[-1].axis)
    found: dict[str, list[np.ndarray]] = {"alone": [], "at once": [], "scanned": [], "finished": []}
    seconds, changed, coupling = [], [], None
    for signal in series.signals:
        shape = signal.axes_manager.navigation_shape[::-1]
        reading = fast(signal.data.reshape(-1, signal.data.shape[-1]))
        scan = eb.LiveMap(fast, shape, coupling=coupling)
        now = np.empty_like(reading.probabilities)
        for number in range(len(now)):
            one = type(reading)(*(column[number] for column in reading))
            began = time.perf_counter()
            told = scan.add(one, number)
            seconds.append(time.perf_counter() - began)
            changed.append(len(told))
            now[number] = scan.probabilities.reshape(now.shape)[number]
        found["alone"].append(reading.probabilities)
        found["at once"].append(now)
        found["scanned"].append(scan.probabilities.reshape(now.shape))
        coupling = scan.finish()
        found["finished"].append(scan.probabilities.reshape(now.shape))
    p50, p99 = np.percentile(seconds, [50, 99])
    for name, images in found.items():
        summary = eb.metrics.summary(np.concatenate(images), truth["label"])
        yield {
            "method": f"live, {name}",
            **{key: float(summary[key]) for key in ("accuracy", "nll", "ece")},
            "add_ms_p50": 1e3 * float(p50),
            "add_ms_p99": 1e3 * float(p99),
            "changed": float(np.mean(changed)),
        }


def draw(
    clf: eb.EELSClassifier, series: eb.simulate.Series, spectra: eb.Spectra, path: Path
) -> None:
    """One image by pixel, by image, with neighbours, and its truth."""
    middle = len(series.signals) // 2
    panels = [
        clf.predict(spectra, context=context, show_progressbar=False).map("labels", middle)
        for context in CONTEXTS
    ]
    panels.append(series.truth.label.values[middle])
    names = ("single pixels", "the image's mix", "neighbours", "truth")
    eb.plots.class_maps(panels, clf.class_names, titles=names).savefig(path, dpi=150)


def run(given: argparse.Namespace) -> dict[str, list[Row]]:
    """All rows, by dose; written after every row."""
    results: dict[str, list[Row]] = {}
    shape = (12, 10) if given.smoke else SHAPE
    size = {"n_images": 4 if given.smoke else given.images, "shape": shape}
    effort = eb.Effort.quick() if given.smoke else eb.Effort()
    for dose in given.doses:
        series = eb.simulate.annealing_series(**size, dose=dose, seed=given.seed)
        spectra, truth = preprocess(series), of_truth(series)
        clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=effort, seed=0)
        clf.fit(spectra, show_progressbar=False)
        rng = np.random.default_rng(given.seed)
        rows = results.setdefault(f"{dose:g}", [])
        seeds = range(given.seed + 1, given.seed + 1 + given.areas)
        parts = [
            contexts(clf, spectra, truth),
            shuffled(clf, spectra, truth, rng),
            isolated(clf, spectra, truth, rng),
            live(clf, series, truth),
            peers(clf, series, truth),
            areas(clf, dose, seeds, size) if len(seeds) else iter(()),
        ]
        for part in parts:
            for row in part:
                rows.append(row)
                print(f"dose {dose:g}", json.dumps(row), flush=True)
                if given.json:
                    given.json.write_text(json.dumps(results, indent=1))
        if given.draw and dose == given.doses[0]:
            draw(clf, series, spectra, given.draw)
    return results


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--doses", type=float, nargs="*", default=(0.3, 1.0, 0.1, 3.0))
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--areas", type=int, default=8, help="further series, for areas")
    parser.add_argument("--seed", type=int, default=9501)
    parser.add_argument("--json", type=Path, help="where results are written")
    parser.add_argument("--draw", type=Path, metavar="FIGURE", help="at the first dose")
    parser.add_argument("--smoke", action="store_true", help="a small series and short training")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
