"""A vacancy that no fingerprint describes: found, simulated and added, with how many simulations.

    python benchmarks/structure_choice.py --cache FOLDER [--seeds N] [--first-seed N]
        [--compositions] [--json FILE]

Candidates are Cr2TiC2OxFy with none to half of its sites fluorine (2 x 2 cells, all
configurations), and with one or two fluorine atoms beside a vacancy of oxygen, chromium, carbon or
titanium. Their edges are FEFF10's, without self-consistency, around 4.5 angstrom; they are the
oracle and the specimen. Models know the compositions, or, with --compositions, two of them: then
the others are candidates, too. A specimen has three or four structures, one or two of them with a
vacancy. Simulations until each unknown one that has a fiftieth of the pixels is simulated: by the
map's doubt and the costs (`active.simulate_structures`, which goes on by `active.structure_gain`
where it has ended too early), in random order, and on a regular grid.
Of a classifier its forward model alone is fitted, as
the choice reads nothing else. Needs the extras ``structures`` and ``feff``.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from annealing import preprocess
from learning.summary import median_interval

import eels_bayes as eb
from eels_bayes import ab_initio, active, structures
from eels_bayes.forward_model.class_weights import fit_weights
from eels_bayes.forward_model.fit import fit_forward_model

EDGE, PER = "F K", "Cr"
ENGINE = ab_initio.Feff10(radius=4.5)
FLUORINE = (0, 1, 2, 3, 4)  # of 8 sites
FEW = ("25 % F", "0 % F")  # that models know where compositions are candidates
REMOVED = ("O", "Cr", "C", "Ti")
MOVED = 6.0  # eV from FEFF's energies to those of the experiment
RESOLUTION = 1.0  # eV, full width of the spectrometer
AXIS = np.arange(672.0, 749.0, 0.25)  # eV
# short, but the library's place is found to less than its sharp onset asks for
EFFORT = dataclasses.replace(eb.Effort.quick(), forward_iterations=60)
SIZE = {"n_images": 8, "shape": (16, 16)}
DOSE = 10.0
N_MODELS = 2
SITE = 10.0  # pixels of 2048 that a site's simulation costs as much as
LEAST_SHARE = 0.02  # of the pixels: what has less is not looked for
PROCESS = eb.simulate.Process(intensity_jitter=0.03, composition_image=2.0)


def ensemble(fluorine: int) -> list[Any]:
    """All configurations of so many fluorine atoms on the 8 sites of a 2 x 2 cell."""
    kinds = {"O": 8 - fluorine, "F": fluorine}
    return structures.terminations(structures.cr2tic2(), "O", kinds, supercell=(2, 2))


def beside(atoms: Any, element: str) -> Any:
    """The structure without the atom of an element that lies nearest to fluorine."""
    sites = [k for k, one in enumerate(atoms.symbols) if one == element]
    fluorine = [k for k, one in enumerate(atoms.symbols) if one == "F"]
    apart = atoms.get_all_distances(mic=True)[np.ix_(sites, fluorine)].min(1)
    one = atoms.copy()
    one.info.clear()
    del one[sites[int(np.argmin(np.round(apart, 4)))]]
    return one


def candidates() -> list[active.Candidate]:
    """Compositions, the highest first, then vacancies."""
    found = []
    for n in reversed(FLUORINE):
        cost = ab_initio.simulation_cost(ensemble(n), EDGE, site=SITE)
        one = active.Candidate(f"{100 * n / 8:g} % F", ensemble(n), max(cost, 1.0), n / 8)
        found.append(one)
    for element in REMOVED:
        for n in (1, 2):
            group = [beside(ensemble(n)[-1], element)]
            cost = ab_initio.simulation_cost(group, EDGE, site=SITE)
            name = f"{100 * n / 8:g} % F, {element} missing"
            found.append(active.Candidate(name, group, cost, n / 8))
    return found


def simulated(known: list[active.Candidate], cache: str) -> eb.FingerprintLibrary:
    """The library of all candidates; the strongest edge is 1."""
    made = ab_initio.fingerprints(
        {one.name: one.structures for one in known}, EDGE, engine=ENGINE, per=PER, cache=cache
    )
    edges = [eb.broaden(made.fingerprint(name), instrument=RESOLUTION) for name in made.class_names]
    rows = [edge.at(AXIS - MOVED) for edge in edges]
    factor = 1.0 / np.max(rows)
    names = list(made.class_names)
    values = [one.value for one in known]
    return eb.FingerprintLibrary.from_arrays(
        AXIS, factor * np.array(rows), names, names, values, value_name="fluorine fraction"
    )


def part(whole: eb.FingerprintLibrary, names: list[str]) -> eb.FingerprintLibrary:
    """Some classes of a library, in this order."""
    rows = [whole.class_names.index(name) for name in names]
    assert whole.values is not None
    return eb.FingerprintLibrary.from_arrays(
        whole.energy,
        whole.intensity[rows],
        names,
        names,
        whole.values[rows],
        value_name=whole.value_name,
    )


def specimen(whole: eb.FingerprintLibrary, seed: int) -> tuple[eb.simulate.Series, Any]:
    """A series of three or four structures, and the name of each pixel's."""
    rng = np.random.default_rng([seed, 1])
    n = int(rng.integers(3, 5))
    n_vacancies = int(rng.integers(1, 3))
    usual = list(whole.class_names[: len(FLUORINE)])
    vacancies = list(whole.class_names[len(FLUORINE) :])
    present = [str(name) for name in rng.choice(usual, n - n_vacancies, replace=False)]
    present += [str(name) for name in rng.choice(vacancies, n_vacancies, replace=False)]
    library = part(whole, sorted(present, key=whole.class_names.index))
    series = eb.simulate.annealing_series(
        **SIZE, dose=DOSE, seed=seed, library=library, process=PROCESS
    )
    label = series.truth["label"].to_numpy().ravel()
    return series, np.array(library.class_names)[label]


class Learner:
    """As much of a classifier as the choice reads: its forward model, which an update refits."""

    def __init__(self, library: eb.FingerprintLibrary, spectra: eb.Spectra, seed: int) -> None:
        self.library = library
        forward = fit_forward_model(
            spectra, library, effort=EFFORT, seed=seed, show_progressbar=False
        )
        self.fitted = SimpleNamespace(forward=forward)
        self.preprocessor = spectra.preprocessor

    @property
    def class_names(self) -> tuple[str, ...]:
        """What is simulated."""
        return self.library.class_names

    def update(self, library: eb.FingerprintLibrary, *, spectra: eb.Spectra, **_: Any) -> None:
        """With one more fingerprint, as ``EELSClassifier.update(recalibrate=False)`` does."""
        forward = fit_weights(self.fitted.forward, spectra, library)
        self.library, self.fitted = library, SimpleNamespace(forward=forward)


def base_model(whole: eb.FingerprintLibrary, index: int, names: list[str]) -> Learner:
    """A model of another specimen, of some compositions alone."""
    library = part(whole, names)
    series = eb.simulate.annealing_series(
        **SIZE, dose=DOSE, seed=9600 + index, library=library, process=PROCESS
    )
    return Learner(library, preprocess(series), index)


def run(
    seed: int, base: Learner, whole: eb.FingerprintLibrary, known: list[active.Candidate]
) -> dict[str, Any]:
    """Simulations that each order needs."""
    series, truth = specimen(whole, seed)
    spectra = base.preprocessor(series.signals, show_progressbar=False)
    grid = [name for name in whole.class_names if name not in base.class_names]
    present = [name for name in grid if (truth == name).mean() >= LEAST_SHARE]
    random = [str(name) for name in np.random.default_rng([seed, 2]).permutation(grid)]

    def simulate(one: active.Candidate) -> eb.Fingerprint:
        """What FEFF gave."""
        row = whole.intensity[whole.class_names.index(one.name)]
        return eb.Fingerprint(whole.energy, row, True)

    clf = copy.copy(base)
    words = {"edge": EDGE, "per": PER}
    found = active.simulate_structures(clf, spectra, known, simulate, **words)
    ended = [one.name for one in found.simulated]
    while set(present) - set(clf.class_names):  # what the loop thought not worth it
        gain = active.structure_gain(clf, spectra, known, **words)
        left = [k for k, one in enumerate(known) if one.name not in clf.class_names]
        one = known[max(left, key=lambda k: gain[k] / known[k].cost)]
        row = simulate(one)
        more = clf.library.with_fingerprints(
            row.energy, row.intensity, [one.name], values=[one.value]
        )
        clf.update(more, spectra=spectra, recalibrate=False, show_progressbar=False)
    orders = {
        "random": random,
        "regular grid": grid,
        "doubt": list(clf.class_names[len(base.class_names) :]),
    }
    return {
        "present": present,
        "needed": {
            name: max([order.index(one) + 1 for one in present], default=0)
            for name, order in orders.items()
        },
        "chosen": orders["doubt"],
        "loop": ended,
        "why": found.ended,
        "missing": found.missing,
    }


def report(runs: list[dict[str, Any]]) -> None:
    """Medians over seeds with 95 % bootstrap intervals."""
    doubt = np.array([one["needed"]["doubt"] for one in runs], dtype=float)
    for strategy in runs[0]["needed"]:
        needed = np.array([one["needed"][strategy] for one in runs], dtype=float)
        line = "{:14s} {:4.1f} ({:.1f} to {:.1f}) simulations".format(
            strategy, *median_interval(needed)
        )
        line += f", in all {needed.sum():.0f}"
        if strategy != "doubt":
            line += "; doubt's over these {:.2f} ({:.2f} to {:.2f})".format(
                *median_interval(doubt / np.maximum(needed, 1.0))
            )
            line += f", of all {doubt.sum() / needed.sum():.2f}"
        print(line)
    took = np.array([len(one["loop"]) for one in runs], dtype=float)
    print("loop until nothing pays: {:.1f} ({:.1f} to {:.1f})".format(*median_interval(took)))
    missed = sum(bool(set(one["present"]) - set(one["loop"])) for one in runs)
    print(f"the loop leaves a structure of the specimen out in {missed} of {len(runs)}")


def main() -> None:
    """Run, and write JSON after every seed, so that nothing finished is lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", required=True, help="folder of FEFF's results, kept there")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first-seed", type=int, default=9631)
    parser.add_argument("--compositions", action="store_true", help="are candidates, too")
    parser.add_argument("--json", type=Path, help="where results are written")
    options = parser.parse_args()
    known = candidates()
    whole = simulated(known, options.cache)
    names = list(FEW) if options.compositions else list(whole.class_names[: len(FLUORINE)])
    bases = [base_model(whole, k, names) for k in range(min(N_MODELS, options.seeds))]
    runs = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        start = time.perf_counter()
        runs.append(run(seed, bases[seed % len(bases)], whole, known))
        last = runs[-1]
        print(seed, last["needed"], f"{time.perf_counter() - start:.0f} s")
        print("  ", last["present"], last["loop"], last["chosen"], last["why"], flush=True)
        if options.json:
            options.json.write_text(json.dumps(runs, indent=1))
    report(runs)


if __name__ == "__main__":
    main()
