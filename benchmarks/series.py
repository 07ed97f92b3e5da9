"""A heating series of one area, read with neighbours in the images and from image to image.

    python benchmarks/series.py [--doses 0.3] [--persistent 1 0.98] [--seed 7601] [--images 24]
        [--json FILE] [--smoke]

At each dose one model is fitted to a series of one area. It reads this series; others, in which
less persists; one whose images are moved against one another; and one in which nothing persists,
with images that are linked as the maps say, and linked all the same.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from annealing import preprocess
from neighbours import SHAPE, Row, of_truth, row_of

import eels_bayes as eb

MOVED = 3  # pixels, the most that an image is moved along an axis


def read(clf: eb.EELSClassifier, spectra: eb.Spectra, context: str, **how: Any) -> tuple[Any, Row]:
    """A prediction, and how long it took and what it found of the images."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="predict: images not linked")
        pred = clf.predict(spectra, context=context, show_progressbar=False, **how)
    more: Row = {"seconds": time.process_time() - began}
    if pred.map_posterior is not None:
        more["strength"] = pred.map_posterior.coupling.strength.tolist()
    if pred.map_posterior is not None and pred.map_posterior.links is not None:
        before, step = pred.map_posterior.links
        more |= {"linked": int((before >= 0).sum()), "moved": step[before >= 0].tolist()}
    return pred, more


def contexts(
    clf: eb.EELSClassifier, series: eb.simulate.Series, spectra: eb.Spectra, name: str
) -> list[Row]:
    """One series by single pixels, with neighbours, and as a series."""
    rows, truth = [], of_truth(series)
    for context in ("pixel", "neighbours", "series"):
        pred, more = read(clf, spectra, context)
        rows.append(row_of(f"{name}, {context}", pred, truth, **more))
    return rows


def unlike(
    clf: eb.EELSClassifier, series: eb.simulate.Series, spectra: eb.Spectra, name: str
) -> Row:
    """A series whose images are linked whatever their maps say."""
    still = np.zeros((len(series.signals), 2))
    pred, more = read(clf, spectra, "series", displacement=still)
    return row_of(f"{name}, linked all the same", pred, of_truth(series), **more)


def displaced(clf: eb.EELSClassifier, size: dict[str, Any], rng: np.random.Generator) -> list[Row]:
    """A larger series, of which every image shows another part."""
    shape = tuple(n + 2 * MOVED for n in size["shape"])
    series = eb.simulate.annealing_series(**size | {"shape": shape})
    corner = rng.integers(0, 2 * MOVED + 1, (len(series.signals), 2))
    parts = [
        (slice(y, y + size["shape"][0]), slice(x, x + size["shape"][1])) for y, x in corner.tolist()
    ]
    signals = [s.inav[x, y] for s, (y, x) in zip(series.signals, parts, strict=True)]
    spectra = clf.preprocessor(signals, show_progressbar=False)
    maps = {"label": series.truth.label, "value": series.truth.value}
    maps["share"] = series.truth.fractions.max("class")
    truth = {
        name: np.concatenate([x.values[i][part].ravel() for i, part in enumerate(parts)])
        for name, x in maps.items()
    }
    rows = []
    for context in ("neighbours", "series"):
        pred, more = read(clf, spectra, context)
        if context == "series":
            before, step = pred.map_posterior.links
            away = np.abs(step[1:] + np.diff(corner, axis=0)).max(1)[before[1:] >= 0]
            more |= {"found": int((away == 0).sum()), "within a pixel": int((away <= 1).sum())}
        rows.append(row_of(f"moved, {context}", pred, truth, **more))
    return rows


def run(given: argparse.Namespace) -> dict[str, list[Row]]:
    """All rows, by dose; written after every part."""
    results: dict[str, list[Row]] = {}
    size = {"n_images": 4 if given.smoke else given.images, "seed": given.seed}
    size |= {"shape": (12, 10) if given.smoke else SHAPE}
    effort = eb.Effort.quick() if given.smoke else eb.Effort()
    for dose in given.doses:
        size["dose"] = dose
        clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=effort, seed=0)
        for persistent in (*given.persistent, 0.0):
            series = eb.simulate.annealing_series(**size, persistent=persistent)
            if clf.fitted is None:
                spectra = preprocess(series)
                clf.fit(spectra, show_progressbar=False)
            else:
                spectra = clf.preprocessor(series.signals, show_progressbar=False)
            rows = contexts(clf, series, spectra, f"persistent {persistent:g}")
            if persistent == given.persistent[0]:
                rng = np.random.default_rng(given.seed)
                rows += displaced(clf, size | {"persistent": persistent}, rng)
            if not persistent:
                rows.append(unlike(clf, series, spectra, "persistent 0"))
            results.setdefault(f"{dose:g}", []).extend(rows)
            for row in rows:
                print(f"dose {dose:g}", json.dumps(row), flush=True)
            if given.json:
                given.json.write_text(json.dumps(results, indent=1))
    return results


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--doses", type=float, nargs="*", default=(0.3,))
    parser.add_argument("--persistent", type=float, nargs="+", default=(1.0, 0.98))
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7601)
    parser.add_argument("--json", type=Path, help="where results are written")
    parser.add_argument("--smoke", action="store_true", help="a small series and short training")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
