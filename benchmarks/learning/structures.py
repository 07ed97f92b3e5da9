"""Candidate structures, two of them simulated: how many simulations until the map is good."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from annealing import preprocess

import eels_bayes as eb

from .demand import demand
from .specimens import (
    COMPOSITIONS,
    SIZE,
    STRUCTURES_DOSE,
    Array,
    joined,
    names_of,
    part,
    structures_library,
)
from .summary import Lines, report_needed

AXES = ("Structures simulated", "Share of pixels given a wrong structure")
NEARLY = 1.1  # of the map's error with every structure of the specimen simulated

# Compositions are told from each other by intensity alone, which varies half as much from pixel to
# pixel as by default; and they do not follow the temperature.
PROCESS = eb.simulate.Process(intensity_jitter=0.03, composition_image=2.0)


def specimen(whole: eb.FingerprintLibrary, seed: int) -> tuple[eb.simulate.Series, Array]:
    """A series of three to five of the structures, at least one of them defective, and names."""
    rng = np.random.default_rng([seed, 1])
    n = int(rng.integers(3, 6))
    n_defects = int(rng.integers(1, 3))
    between = list(whole.class_names[1 : len(COMPOSITIONS) - 1])
    defects = list(whole.class_names[len(COMPOSITIONS) :])
    present = [
        *sorted(rng.choice(between, n - n_defects, replace=False), key=between.index),
        *rng.choice(defects, n_defects, replace=False),
    ]
    series = eb.simulate.annealing_series(
        **SIZE,
        dose=STRUCTURES_DOSE,
        seed=seed,
        library=part(whole, [str(name) for name in present]),
        process=PROCESS,
    )
    return series, names_of(series)


def fit(index: int) -> eb.EELSClassifier:
    """A model of another specimen, of both ends of the composition alone."""
    whole = structures_library()
    library = part(whole, [whole.class_names[0], whole.class_names[len(COMPOSITIONS) - 1]])
    series = eb.simulate.annealing_series(
        **SIZE, dose=STRUCTURES_DOSE, seed=900 + index, library=library, process=PROCESS
    )
    return eb.EELSClassifier(library, seed=index).fit(preprocess(series))


def run(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """Simulations until the map's error is close to that with every structure simulated.

    That error is the larger one of two: with the specimen's structures simulated and with all
    candidates. An order that is given beforehand is not read before it can be good enough, which
    asks for all but a few pixels' structures: in its curve stands the least possible error.
    """
    whole = structures_library()
    series, truth = specimen(whole, seed)
    spectra = base.preprocessor(series.signals, show_progressbar=False)
    known = list(base.class_names)
    candidates = [name for name in whole.class_names if name not in known]
    rng = np.random.default_rng([seed, 2])
    by_bisection = [4, 2, 6, 1, 3, 5, 7]  # of the compositions' indices, between both ends
    grid = [whole.class_names[i] for i in by_bisection[:3]] + list(whole.class_names[-2:])
    grid += [whole.class_names[i] for i in by_bisection[3:]]
    orders: dict[str, list[str] | None] = {
        "random": [str(name) for name in rng.permutation(candidates)],
        "regular grid": grid,
        "doubt": None,
    }
    found: dict[frozenset[str], tuple[eb.EELSClassifier, eb.Prediction]] = {}

    def read(names: list[str]) -> tuple[eb.EELSClassifier, eb.Prediction]:
        """The map with these structures simulated; which was simulated first does not matter."""
        key = frozenset(names)
        if key not in found:
            clf = copy.deepcopy(base)
            library = clf.library
            for name in [name for name in candidates if name in key]:
                library = joined(library, whole, name)
            clf.update(library, spectra=spectra, recalibrate=False, show_progressbar=False)
            found[key] = clf, clf.predict(spectra, show_progressbar=False)
        return found[key]

    def error(names: list[str]) -> float:
        _, pred = read(names)
        return float((np.array(pred.class_names)[pred.labels] != truth)[pred.ok].mean())

    def least(names: list[str]) -> float:
        """Error of a map that is right wherever it can be."""
        return float((~np.isin(truth, names))[spectra.ok].mean())

    present = [str(name) for name in np.unique(truth)]
    target = NEARLY * max(error(known + present), error(known + candidates))
    needed: dict[str, int] = {}
    curves: dict[str, list[float]] = {}
    chosen: dict[str, list[str]] = {}
    for strategy, order in orders.items():
        names, curve = list(known), [1.0]
        while curve[-1] > target and len(names) < len(whole.class_names):
            left = [name for name in candidates if name not in names]
            if order is None:
                names.append(left[int(demand(*read(names), spectra, left).argmax())])
            else:
                names.append(next(name for name in order if name in left))
            # a map that cannot be good enough yet need not be read
            curve.append(least(names) if least(names) > target else error(names))
        curves[strategy], chosen[strategy] = curve, names[len(known) :]
        needed[strategy] = len(chosen[strategy])
    return {
        "target": target,
        "needed": needed,
        "curves": curves,
        "chosen": chosen,
        "present": present,
    }


def report(runs: list[dict[str, Any]]) -> None:
    """Simulations that each strategy needs."""
    report_needed(runs)


def lines(runs: list[dict[str, Any]]) -> Lines:
    """Error of the map after so many simulations."""
    most = max(len(curve) for run in runs for curve in run["curves"].values())
    # a map that is good enough stays so
    return [
        (
            s,
            np.arange(most).astype(float),
            np.array(
                [
                    run["curves"][s] + run["curves"][s][-1:] * (most - len(run["curves"][s]))
                    for run in runs
                ]
            ),
        )
        for s in runs[0]["curves"]
    ]
