"""Wrong, sure and silent: what is said where what a user brings is not as it should be.

    python benchmarks/wrong_input.py [--cases WORD ...] [--seed N] [--json FILE]
    python benchmarks/wrong_input.py --right [--seed N]

One simulated series of 2,048 pixels at dose 3, and what users bring in its place: counts that were
denoised, scaled or of a thick specimen, libraries that lack a class or have other sizes and shapes,
windows that are possible but not good. Each is read as a user would: `Preprocessor`, `fit`,
`report`, `predict`. Of the pixels that are of a class: accuracy, negative log-likelihood, expected
calibration error, the share that is called by a wrong class with a probability above 0.95, and how
many sentences warned. SILENT is what loses a tenth of the accuracy, is surely wrong in more than a
twentieth of the pixels, and says nothing: a defect, and the exit status 1.

--right reads series that are as they should be, of several sizes and doses: all that is said of
them is a false alarm.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from annealing import SETTINGS
from brought import counts, libraries, settings
from brought.sample import Brought, Sample, sample
from tqdm import tqdm

import eels_bayes as eb

CASES = counts.CASES | libraries.CASES | settings.CASES
# the forward model as it is, the networks behind it in little
EFFORT = replace(eb.Effort.quick(), forward_iterations=eb.Effort().forward_iterations)
RIGHT = [(dose, n, side) for dose in (0.3, 1.0, 3.0, 10.0) for n, side in ((2, 6), (4, 8), (8, 16))]
SURE = 0.95
LEAST = 1e-6  # of the true class's probability: some are not in the library
LOST, SURELY_WRONG = 0.1, 0.05


@contextmanager
def hearing(words: list[str]) -> Iterator[None]:
    """Keep what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    words += [str(it.message) for it in caught if issubclass(it.category, UserWarning)]


def read(brought: Brought, given: Sample) -> dict[str, Any]:
    """Scores, and what was said; an error is said as well."""
    said: list[str] = []
    try:
        with hearing(said):
            pre = eb.Preprocessor(**(SETTINGS | brought.settings))
            spectra = pre(brought.signals, show_progressbar=False)
            clf = eb.EELSClassifier(brought.library, seed=0, effort=EFFORT)
            clf.fit(spectra, show_progressbar=False)
            pred = clf.predict(spectra, show_progressbar=False)
    except ValueError as error:
        return {"said": [*said, f"refused: {error}"]}
    fit = clf.report()
    said = [it for it in said if not it.startswith("fit: ")] + list(fit.problems)
    names = given.names if brought.names is None else brought.names
    return scores(pred, names) | {"gain": fit.gain, "said": said, "notes": list(fit.notes)}


def scores(pred: eb.Prediction, names: np.ndarray) -> dict[str, float]:
    """Accuracy and calibration on pixels that are of a class and not flagged."""
    ok = pred.ok & (names != "")
    if not ok.any():
        return {"pixels": 0}
    absent = sorted(set(names[ok]) - set(pred.class_names))  # from the library: never called
    known = [*pred.class_names, *absent]
    p = np.pad(pred.probabilities[ok], ((0, 0), (0, len(absent))))
    truth = np.array([known.index(name) for name in names[ok]])
    at_truth = p[np.arange(len(p)), truth]
    return {
        "pixels": len(p),
        "accuracy": eb.metrics.accuracy(p, truth),
        "nll": float(-np.log(np.maximum(at_truth, LEAST)).mean()),
        "ece": eb.metrics.ece(p, truth, n_bins=10),
        "surely_wrong": float(((p.argmax(1) != truth) & (p.max(1) > SURE)).mean()),
        "novel": float((pred.novelty[ok] > SURE).mean()),
    }


def silent(row: dict[str, Any], best: float) -> bool:
    """Whether a reading is wrong and sure, and nothing is said."""
    if row["said"] or not row.get("pixels"):
        return False
    return bool(row["accuracy"] < best - LOST and row["surely_wrong"] > SURELY_WRONG)


def line(name: str, row: dict[str, Any], word: str = "") -> str:
    """One row of the table, and what was said, shortened."""
    if row.get("pixels"):
        keys = ("accuracy", "nll", "ece", "surely_wrong", "novel")
        figures = "".join(f"{row[key]:8.3f}" for key in keys)
    else:
        figures = f"{'not read':>40s}"
    said = "".join(f"\n        {it[:150]}" for it in row["said"])
    return f"{name:36s}{figures}{len(row['said']):6d}  {word}{said}"


def main() -> None:
    """Read all cases, print, and write JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=(), metavar="WORD", help="that hold a word")
    parser.add_argument("--right", action="store_true", help="series that are as they should be")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where results are written")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    words = ("accuracy", "NLL", "ECE", "surely", "novel")
    print(f"{'':36s}{''.join(f'{word:>8s}' for word in words)}  said")
    bad = 0
    if options.right:
        for k, (dose, n_images, side) in enumerate(tqdm(RIGHT, disable=None, leave=False)):
            given = sample(options.seed + k, n_images=n_images, side=side, dose=dose)
            name = f"dose {dose:g}, {n_images * side**2} pixels"
            rows[name] = read(Brought(given.signals, given.library), given)
            tqdm.write(line(name, rows[name], "FALSE" if rows[name]["said"] else ""))
            bad += bool(rows[name]["said"])
    else:
        chosen = [name for name in CASES if not options.cases or _holds(name, options.cases)]
        ordered = ["right", *(name for name in chosen if name != "right")]
        for name in tqdm(ordered, disable=None, leave=False):
            given = sample(options.seed)
            rows[name] = read(CASES[name](given), given)
            wrong = silent(rows[name], rows["right"]["accuracy"])
            tqdm.write(line(name, rows[name], "SILENT" if wrong else ""))
            bad += wrong
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1))
    print(f"{bad} of {len(rows)} {'false alarms' if options.right else 'silent'}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    sys.exit(int(bad > 0))


def _holds(name: str, words: list[str]) -> bool:
    return any(word.lower() in name.lower() for word in words)


if __name__ == "__main__":
    main()
