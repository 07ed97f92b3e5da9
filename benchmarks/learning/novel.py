"""A structure that is not in the library: the share of its pixels that is reported as novel."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from annealing import preprocess

import eels_bayes as eb

from .specimens import (
    COMPOSITIONS,
    SIZE,
    STRUCTURES_DOSE,
    joined,
    names_of,
    part,
    structures_library,
)
from .summary import median_interval


def fit(index: int) -> eb.EELSClassifier:
    """A model of a series that the library describes."""
    series = eb.simulate.annealing_series(**SIZE, dose=STRUCTURES_DOSE, seed=900 + index)
    return eb.EELSClassifier(eb.FingerprintLibrary.example(), seed=index).fit(preprocess(series))


def run(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """Shares of pixels reported as novel before and after a structure's fingerprint is known."""
    whole = structures_library()
    defect = str(np.random.default_rng([seed, 1]).choice(whole.class_names[len(COMPOSITIONS) :]))
    library = part(whole, [*base.class_names, defect])
    series = eb.simulate.annealing_series(**SIZE, dose=STRUCTURES_DOSE, seed=seed, library=library)
    spectra, truth = base.preprocessor(series.signals, show_progressbar=False), names_of(series)
    clf = copy.deepcopy(base)
    result: dict[str, Any] = {"structure": defect, "share": float((truth == defect).mean())}

    def reported() -> dict[str, float]:
        pred = clf.predict(spectra, show_progressbar=False)
        found = eb.decide(pred).action == "report as novel"
        named = np.array(pred.class_names)[pred.labels] == truth
        return {
            "unknown": float(found[truth == defect].mean()),
            "known": float(found[truth != defect].mean()),
            "named": float(named[truth == defect].mean()),
        }

    result["before"] = reported()
    more = joined(clf.library, whole, defect)
    clf.update(more, spectra=spectra, recalibrate=False, show_progressbar=False)
    result["after"] = reported()
    return result


def report(runs: list[dict[str, Any]]) -> None:
    """Shares of pixels, by the kind of structure."""
    for structure in sorted({run["structure"] for run in runs}):
        mine = [run for run in runs if run["structure"] == structure]
        print(f"{structure}, {len(mine)} seeds; reported as novel, of its pixels and the others:")
        for when in ("before", "after"):
            shares = [
                "{:.3f} ({:.3f} to {:.3f})".format(
                    *median_interval(np.array([run[when][which] for run in mine]))
                )
                for which in ("unknown", "known", "named")
            ]
            print("  {:7s} {}, {}; its pixels called by its name {}".format(when, *shares))
