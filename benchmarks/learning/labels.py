"""A library that lacks two of its four classes: how many labels until random choice is reached."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from annealing import preprocess

import eels_bayes as eb

from .specimens import SIZE, Array, names_of, part
from .summary import Lines, interpolated, median_interval, report_needed

AXES = ("Labels", "Accuracy")
DOSE, N_LABELS, BATCH, POOL = 10.0, 200, 10, 1000
STRATEGIES = {  # labels at most, and between two updates; choice pays if half of them are enough
    "random": ("random", N_LABELS, BATCH),
    "BALD": ("bald", N_LABELS // 2, 1),
    "BatchBALD": ("batch_bald", N_LABELS // 2, BATCH),
}
MISSING = ("25 % F", "12.5 % F")


def fit(index: int) -> eb.EELSClassifier:
    """A model fitted with two of the four classes."""
    series = eb.simulate.annealing_series(**SIZE, dose=DOSE, seed=900 + index)
    library = part(eb.FingerprintLibrary.example(), ["50 % F", "0 % F"])
    return eb.EELSClassifier(library, seed=index).fit(preprocess(series))


def accuracy_curve(
    base: eb.EELSClassifier,
    spectra: eb.Spectra,
    truth: Array,
    acquisition: str,
    budget: int,
    batch: int,
    seed: int,
) -> dict[int, float]:
    """Accuracy on pixels that are not asked about, after every ten labels."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(spectra.ok))
    pool, test = rows[:POOL], rows[POOL:]
    clf = copy.deepcopy(base)
    first = np.concatenate([pool[truth[pool] == name][:2] for name in MISSING])
    pool = np.setdiff1d(pool, first)
    clf.update(spectra[first], truth[first], show_progressbar=False)
    curve: dict[int, float] = {}

    def score(loop: eb.active.ActiveLoop | None) -> None:
        if loop and loop.n_answers % BATCH:
            return
        pred = clf.predict(spectra[test], show_progressbar=False)
        found = np.array(pred.class_names)[pred.labels]
        curve[loop.n_answers if loop else 0] = float((found == truth[test]).mean())

    score(None)
    loop = eb.active.ActiveLoop(
        clf,
        spectra[pool],
        lambda item: str(truth[pool[item]]),
        acquisition=acquisition,
        budget=budget,
        batch_size=batch,
        seed=seed,
    )
    loop.run(after_round=score, show_progressbar=False)
    return curve


def needed(curve: dict[int, float], target: float) -> int:
    """Labels after which the target is reached."""
    return next((n for n, value in curve.items() if value >= target), max(curve) + BATCH)


def run(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """Labels until the accuracy that random choice reaches with all of its own."""
    size = SIZE | {"n_images": 2 * SIZE["n_images"]}  # most of it for the test
    series = eb.simulate.annealing_series(**size, dose=DOSE, seed=seed)
    spectra, truth = base.preprocessor(series.signals, show_progressbar=False), names_of(series)
    curves = {
        name: accuracy_curve(base, spectra, truth, *options, seed)
        for name, options in STRATEGIES.items()
    }
    target = curves["random"][N_LABELS]
    found = {name: needed(curve, target) for name, curve in curves.items()}
    return {"target": target, "needed": found, "curves": curves}


def report(runs: list[dict[str, Any]]) -> None:
    """Labels that each strategy needs."""
    report_needed(runs)
    share = median_interval(
        np.array([run["needed"]["BALD"] for run in runs], dtype=float) / N_LABELS
    )
    print("BALD over {:d} labels: {:.2f} ({:.2f} to {:.2f})".format(N_LABELS, *share))
    ratio = [run["needed"]["BatchBALD"] / max(1, run["needed"]["BALD"]) for run in runs]
    print(
        "BatchBALD over BALD: {:.2f} ({:.2f} to {:.2f})".format(*median_interval(np.array(ratio)))
    )


def lines(runs: list[dict[str, Any]]) -> Lines:
    """Accuracy after so many labels."""
    return [
        (
            s,
            x := np.array(sorted(map(int, runs[0]["curves"][s]))).astype(float),
            np.array([interpolated(x, run["curves"][s]) for run in runs]),
        )
        for s in runs[0]["curves"]
    ]
