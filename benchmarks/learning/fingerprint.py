"""A further fingerprint for a fitted model: seconds, and what a refit with it would say better."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
from annealing import preprocess

import eels_bayes as eb

from .specimens import joined, part
from .summary import median_interval

ADDED = "12.5 % F"


def training(index: int) -> eb.simulate.Series:
    """The series of usual size and dose that a model is fitted to; all four classes are in it."""
    return eb.simulate.annealing_series(seed=900 + index)


def fit(index: int) -> eb.EELSClassifier:
    """A model that lacks one of the four classes."""
    library = eb.FingerprintLibrary.example()
    known = part(library, [name for name in library.class_names if name != ADDED])
    return eb.EELSClassifier(known, seed=index).fit(preprocess(training(index)))


def run(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """NLL on another series after the update and after a refit to the same data, and seconds."""
    library = joined(base.library, eb.FingerprintLibrary.example(), ADDED)
    spectra = preprocess(training(base.seed))
    clf, refitted = copy.deepcopy(base), eb.EELSClassifier(library, seed=base.seed)
    start = time.perf_counter()
    clf.update(library, spectra=spectra, show_progressbar=False)
    updated = time.perf_counter()
    refitted.fit(spectra, show_progressbar=False)
    end = time.perf_counter()

    series = eb.simulate.annealing_series(seed=seed)
    pixels = base.preprocessor(series.signals, show_progressbar=False)
    truth = series.truth["label"].to_numpy().ravel()

    def nll(one: eb.EELSClassifier) -> float:
        pred = one.predict(pixels, show_progressbar=False)
        order = [pred.class_names.index(name) for name in series.library.class_names]
        return float(eb.metrics.nll(pred.probabilities[pred.ok][:, order], truth[pred.ok]))

    return {
        "seconds": {"update": updated - start, "refit": end - updated},
        "nll": {"update": nll(clf), "refit": nll(refitted)},
    }


def report(runs: list[dict[str, Any]]) -> None:
    """Both, side by side."""
    for what, unit in (("seconds", "s"), ("nll", "nats")):
        found = {way: np.array([run[what][way] for run in runs]) for way in ("update", "refit")}
        for way, values in found.items():
            print("{:8s} {:.4g} ({:.4g} to {:.4g}) {}".format(way, *median_interval(values), unit))
        difference = found["update"] - found["refit"]
        print("update minus refit {:.4f} ({:.4f} to {:.4f})".format(*median_interval(difference)))
