"""Structures to fingerprints: enumeration beside bsym, F K of four compositions, several engines.

    python benchmarks/structures.py [--radius 4.5] [--scf 3.2] [--relax] [--cache FOLDER]
    python benchmarks/structures.py --engines --cache FOLDER [--seed 9621] [--dose 1 10]
        [--ways plain relaxed] [--truth published] [--read own all]
    python benchmarks/structures.py --gpaw --cache FOLDER [--seed 9621] [--dose 1 10]

The first table needs the extra ``structures``, and bsym for its last column. The second needs
``feff``, with --relax ``relax``, and compares with the published fingerprints where the development
data are there; beside each agreement stands that of the best step.

With --engines several ways to simulate stand for engines: FEFF10 on the built-in slab, the same in
clusters of 6 angstrom, on structures that CHGNet relaxed, and, with --scf, with a self-consistent
potential; the published fingerprints, by FDMNES, are one more. A series that one simulated is read
with its own library, with that of each other, with that of all others together
(`ab_initio.together`), which does not hold the truth either, and with that of all, which does; and
with each other by itself, probabilities averaged: what these disagree on is ``between``, in nats.
FEFF's edges are broadened by a spectrometer of 1 eV. Quick efforts.

With --gpaw the 1 x 1 cell, one surface O and one F, by GPAW with a whole and with half a core hole,
and by FEFF10, beside the published edge of 50 % F: where the peaks are, how alike the shapes are,
what a step reaches, and how a fit moves and broadens each to a series of the published edge. Needs
GPAW in this or another interpreter.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import ase.build
import numpy as np
import pandas as pd
from annealing import SETTINGS, preprocess
from scipy.signal import find_peaks
from scipy.special import entr

import eels_bayes as eb
from eels_bayes import ab_initio, structures
from eels_bayes.structures.configurations import VACANCY

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mxene_f_k_fingerprints.npz"
SLAB = structures.cr2tic2()
ROCK_SALT = ase.build.bulk("MgO", "rocksalt", a=4.21, cubic=True)
METAL = ase.build.fcc111("Al", (1, 1, 3), vacuum=8.0, periodic=True)
CASES = {
    "slab 2x2, 4 F of 8": (SLAB, "O", {"O": 4, "F": 4}, (2, 2)),
    "slab 2x2, 2 F, 1 vacancy of 8": (SLAB, "O", {"O": 5, "F": 2, VACANCY: 1}, (2, 2)),
    "slab 3x3, 2 F of 18": (SLAB, "O", {"O": 16, "F": 2}, (3, 3)),
    "slab 3x3, 9 F of 18": (SLAB, "O", {"O": 9, "F": 9}, (3, 3)),
    "rock salt, 8 cells, 2 vacancies of 32": (ROCK_SALT, "O", {"O": 30, VACANCY: 2}, (2, 2, 2)),
    "rock salt, 2 cells, 4 S of 8": (ROCK_SALT, "O", {"O": 4, "S": 4}, (2, 1, 1)),
    "surface 3x3, 3 Cu of 9": (METAL, [2], {"Al": 6, "Cu": 3}, (3, 3)),
}
FLUORINE = {"50 % F": 4, "25 % F": 2, "12.5 % F": 1}  # of 8 sites
COUNTS = FLUORINE | {"0 % F": 0}
SIZE = {"n_images": 8, "shape": (16, 16)}
AXIS = np.arange(665.0, 742.0, 0.25)  # eV, FEFF's
WIDER = 6.0  # angstrom
RESOLUTION = 1.0  # eV, full width of the spectrometer
MOVED = 6.0  # eV from FEFF's energies to those of the series
CORE_HOLE = 0.2  # eV, full width of F K's
LEAST_PEAK = 0.02  # of the highest: what a peak must stand above both sides
NOVEL = 0.95  # of novelty: one pixel in twenty has more where the library holds all


def by_bsym(slab, sites, kinds, supercell):
    """Multiplicities by bsym, which searches through pymatgen's structures; None without it."""
    try:
        from bsym.interface.pymatgen import unique_structure_substitutions
        from pymatgen.io.ase import AseAtomsAdaptor
    except ImportError:
        return None
    large = slab.copy()
    where = [i for i, s in enumerate(slab.symbols) if s == sites] if sites == "O" else sites
    large.symbols[where] = "Xe"
    times = (*supercell, 1)[:3]
    structure = AseAtomsAdaptor.get_structure(large.repeat(times))
    named = {("Ne" if name == VACANCY else name): count for name, count in kinds.items()}
    found = unique_structure_substitutions(structure, "Xe", named)
    return sorted(int(one.number_of_equivalent_configurations) for one in found)


def enumeration() -> None:
    print(f"{'case':<40}{'distinct':>9}{'of':>8}{'s':>8}{'bsym':>8}{'s':>8}")
    for name, case in CASES.items():
        start = time.perf_counter()
        found = structures.terminations(*case[:3], supercell=case[3])
        took = time.perf_counter() - start
        own = sorted(structures.multiplicities(found))
        line = f"{name:<40}{len(found):>9}{sum(own):>8}{took:>8.2f}"
        if sum(own) < 2000:  # bsym takes minutes for more
            start = time.perf_counter()
            other = by_bsym(*case)
            took = time.perf_counter() - start
            agrees = "missing" if other is None else "same" if other == own else "OTHER"
            line += f"{agrees:>8}{took:>8.2f}"
        print(line, flush=True)


def end_to_end(options: argparse.Namespace) -> None:
    relax = ab_initio.Relaxation("chgnet", label="chgnet 0.4") if options.relax else None
    start = time.perf_counter()
    made = ab_initio.fingerprints(
        compositions(),
        "F K",
        engine=ab_initio.Feff10(radius=options.radius, scf=options.scf),
        relax=relax,
        temperature=options.temperature if relax else None,
        cache=options.cache,
    )
    took = time.perf_counter() - start
    print(f"\n{len(made.sites)} sites in {took:.0f} s by {made.source}, per atom of {made.per}")
    print(made.table().drop(columns="key").to_string(index=False))
    peaks = made.intensity.max(axis=1)
    print(
        "highest:", ", ".join(f"{n} {p:.2e}" for n, p in zip(made.class_names, peaks, strict=True))
    )
    print(made.variations)
    if not DATA.exists():
        return
    published = eb.load_library(DATA)
    for k, name in enumerate(FLUORINE):
        mean = published.intensity[published.labels == k].mean(axis=0)
        other = eb.Fingerprint(published.energy, mean, True)
        for width in (0.0, 2.0, 4.5):
            one = made.fingerprint(name)
            one = eb.broaden(one, instrument=width) if width else one
            window = (published.energy[0] + 1.0, min(published.energy[-1], 728.0))
            print(
                f"{name}, instrument {width:g} eV: {eb.compare_shapes(one, other, window=window)}"
            )


def compositions() -> dict[str, list[ase.Atoms]]:
    """The paper's four, all configurations of a 2 x 2 cell."""
    return {
        name: structures.terminations(SLAB, "O", {"O": 8 - n, "F": n}, supercell=(2, 2))
        for name, n in COUNTS.items()
    }


def ways(options: argparse.Namespace) -> dict[str, ab_initio.SimulatedFingerprints]:
    """The same classes simulated in three ways."""
    relax = ab_initio.Relaxation("chgnet", label="chgnet 0.4")
    plain = ab_initio.Feff10(radius=options.radius)
    known: dict[str, dict[str, object]] = {
        "plain": {"engine": plain},
        "wider": {"engine": ab_initio.Feff10(radius=WIDER)},
        "relaxed": {"engine": plain, "relax": relax, "temperature": options.temperature},
    }
    if options.scf:
        scf = ab_initio.Feff10(radius=options.radius, scf=options.scf)
        known["self-consistent"] = {"engine": scf}
    found = {}
    for name, words in known.items():
        if options.ways and name not in options.ways:
            continue
        made = ab_initio.fingerprints(
            compositions(), "F K", per="Cr", energy=AXIS, cache=options.cache, **words
        )
        rows = [
            eb.broaden(made.fingerprint(one), instrument=RESOLUTION).at(AXIS)
            for one in made.class_names
        ]
        found[name] = dataclasses.replace(made, intensity=np.array(rows))
    return found


def read(
    library: eb.FingerprintLibrary, spectra: eb.Spectra, truth: np.ndarray, names: list[str]
) -> tuple[dict[str, float | str], np.ndarray]:
    """How well a library reads pixels of known classes, and their probabilities."""
    clf = eb.EELSClassifier(library, effort=eb.Effort.quick())
    pred = clf.fit(spectra, show_progressbar=False).predict(spectra, show_progressbar=False)
    order = [pred.class_names.index(name) for name in names]
    probabilities = pred.probabilities[:, order]
    fit = clf.fitted.forward.library_fit
    own = {
        "total": float(pred.total[pred.ok].mean()),
        "classifier": float(pred.classifier[pred.ok].mean()),
        "novel": float((pred.novelty[pred.ok] > NOVEL).mean()),
        "shift": fit.shift,
    }
    report = clf.report()
    off = {"off": float(report.class_misfit.max()), "told": "; ".join(report.problems)}
    return scored(probabilities, truth) | own | off, probabilities


def scored(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float | str]:
    """Accuracy, NLL (nats) and expected calibration error of the pixels that are read."""
    ok = np.isfinite(probabilities).all(1)
    found = eb.metrics.summary(probabilities[ok], truth[ok])
    return {name: float(found[name]) for name in ("accuracy", "nll", "ece")}


def averaged(alone: list[np.ndarray], truth: np.ndarray) -> dict[str, float | str]:
    """Several readings as one: their mean, its entropy, and how much of that lies between them."""
    mean = np.mean(alone, axis=0)
    total = np.nanmean(entr(mean).sum(1))
    between = float(total - np.mean([np.nanmean(entr(one).sum(1)) for one in alone]))
    return scored(mean, truth) | {"total": float(total), "between": between}


def published() -> ab_initio.SimulatedFingerprints:
    """The paper's four, by FDMNES; beyond their axis they go on with their last values."""
    known = eb.load_library(DATA)
    order = [int(np.argmin(np.abs(known.class_values - n / 8))) for n in COUNTS.values()]
    axis = np.arange(660.0, 760.0, 0.25)
    rows = np.array([np.interp(axis, known.energy, known.class_spectra[k]) for k in order])
    own = eb.Variations()
    return ab_initio.SimulatedFingerprints(axis, rows, tuple(COUNTS), (), own, "Cr", "", "FDMNES")


def peaks(edge: eb.Fingerprint) -> str:
    """Energies of the maxima, and heights beside the highest."""
    rows = edge.intensity / edge.intensity.max()
    found, _ = find_peaks(rows, prominence=LEAST_PEAK)
    return ", ".join(f"{edge.energy[k]:.1f} eV ({rows[k]:.2f})" for k in found)


def one_cell_by_gpaw(options: argparse.Namespace) -> None:
    """One cell with a fluorine atom by GPAW and by FEFF10, beside the published edge."""
    groups = {
        "50 % F": structures.terminations(SLAB, "O", {"O": 1, "F": 1}),
        "0 % F": structures.terminations(SLAB, "O", {"O": 2}),
    }
    values = {"50 % F": 0.5, "0 % F": 0.0}
    whole = published().library(
        values={name: n / 8 for name, n in COUNTS.items()}, value_name="fluorine fraction"
    )
    edge = whole.class_spectra[whole.class_names.index("50 % F")]
    inside = (whole.energy >= 678.0) & (whole.energy <= 728.0)
    wanted = eb.Fingerprint(whole.energy[inside], edge[inside], True)
    shown = eb.FingerprintLibrary.from_arrays(
        whole.energy, np.array([edge, 0 * edge]) / edge.max(), list(values), list(values), [0.5, 0]
    )
    print(f"published, 50 % F: {peaks(wanted)}")
    for name, engine in {
        "GPAW, whole hole": ab_initio.Gpaw(above=46.0),
        "GPAW, half a hole": ab_initio.Gpaw(hole=0.5, above=46.0),
        "FEFF10": ab_initio.Feff10(radius=options.radius, scf=options.scf),
    }.items():
        start = time.perf_counter()
        hole = None if engine.broadens else CORE_HOLE
        made = ab_initio.fingerprints(
            groups,
            "F K",
            engine=engine,
            per="Cr",
            core_hole=hole,
            energy=AXIS[AXIS < 732.5],  # as far as GPAW's bands go
            cache=options.cache,
        )
        print(f"{name}: {time.perf_counter() - start:.0f} s")
        for width in (0.0, RESOLUTION, 2.0, 3.0):
            one = made.fingerprint("50 % F")
            one = eb.broaden(one, instrument=width) if width else one
            print(f"  instrument {width:g} eV: {peaks(one)}, highest {one.intensity.max():.2e}")
            print(f"    {eb.compare_shapes(one, wanted)}")
        library = made.library(values=values, value_name="fluorine fraction", highest=1.0)
        for dose in options.dose:
            series = eb.simulate.annealing_series(
                **SIZE, dose=dose, seed=options.seed, library=shown
            )
            clf = eb.EELSClassifier(library, effort=eb.Effort.quick())
            pre = eb.Preprocessor(**SETTINGS | {"window": (677, 729)})
            spectra = pre(series.signals, show_progressbar=False)
            pred = clf.fit(spectra, show_progressbar=False).predict(spectra, show_progressbar=False)
            truth = series.truth["label"].to_numpy().ravel()
            order = [pred.class_names.index(one) for one in shown.class_names]
            report = clf.report()
            print(
                f"  dose {dose:g}: shift {report.shift:+.2f} eV, sd {report.shift_sd:.2f}; "
                f"broadened by {report.broadening:.2f} eV, sd {report.broadening_sd:.2f}; "
                f"factor {report.gain:.2f}, sd {100 * report.gain_sd:.1f} %"
            )
            print(f"    {scored(pred.probabilities[:, order], truth)}")
            print(f"    {'; '.join(report.problems) or 'nothing is said'}", flush=True)


def several_engines(options: argparse.Namespace) -> None:
    """Each way's series, read with its own library, with others', and with several together."""
    made = ways(options)
    if DATA.exists():
        made["published"] = published()
    words = {
        "values": {name: n / 8 for name, n in COUNTS.items()},
        "value_name": "fluorine fraction",
    }
    rows = []
    for name in options.truth or made:
        whole = made[name].library(highest=1.0, **words)
        offset = 0.0 if name == "published" else MOVED
        moved = dataclasses.replace(whole, energy=whole.energy + offset, variations=eb.Variations())
        others = [key for key in made if key != name]
        libraries = {"own": whole}
        libraries |= {f"{key} alone": made[key].library(highest=1.0, **words) for key in others}
        for key, several in (("all others", others), ("all", [*others, name])):
            if len(several) < 2:
                continue
            both = ab_initio.together([made[one] for one in several], **words)
            print(f"{name}, {key}: {both.source}; {both.variations}")
            highest = both.intensity.max()
            libraries[key] = dataclasses.replace(both, intensity=both.intensity / highest)
        for dose in options.dose:
            series = eb.simulate.annealing_series(
                **SIZE, dose=dose, seed=options.seed, library=moved
            )
            truth = series.truth["label"].to_numpy().ravel()
            spectra = preprocess(series)
            alone = []
            for key, library in libraries.items():
                if options.read and not any(key.startswith(one) for one in options.read):
                    continue
                found, probabilities = read(library, spectra, truth, list(moved.class_names))
                rows.append({"truth": name, "dose": dose, "read with": key} | found)
                print(rows[-1], flush=True)
                if key.endswith("alone"):
                    alone.append(probabilities)
            if len(alone) > 1:
                mean = {"truth": name, "dose": dose, "read with": "others averaged"}
                rows.append(mean | averaged(alone, truth))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    kinds = table["read with"].where(~table["read with"].str.contains("alone"), "one other")
    numbers = [one for one in ("accuracy", "nll", "ece", "total", "between") if one in table]
    print(table.groupby(["dose", kinds])[numbers].mean().to_string(float_format="{:.3f}".format))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--radius", type=float, default=4.5, help="of FEFF's cluster, angstrom")
    parser.add_argument("--scf", type=float, help="radius of self-consistency, angstrom")
    parser.add_argument("--relax", action="store_true", help="by CHGNet")
    parser.add_argument("--temperature", type=float, default=900.0, help="K, with --relax")
    parser.add_argument("--cache", help="folder of results that are kept")
    parser.add_argument("--engines", action="store_true", help="the series of each, read by others")
    parser.add_argument("--gpaw", action="store_true", help="the 1 x 1 cell, by GPAW and FEFF10")
    parser.add_argument("--seed", type=int, default=9621, help="of the series")
    parser.add_argument("--dose", type=float, nargs="+", default=[1.0, 10.0], help="of the series")
    parser.add_argument("--ways", nargs="+", help="to simulate: plain, wider, relaxed (all)")
    parser.add_argument("--truth", nargs="+", help="engines that simulate a series (all)")
    parser.add_argument("--read", nargs="+", help="libraries that read, by how they begin (all)")
    options = parser.parse_args()
    if options.engines or options.gpaw:
        (several_engines if options.engines else one_cell_by_gpaw)(options)
        return
    np.set_printoptions(precision=3)
    enumeration()
    end_to_end(options)


if __name__ == "__main__":
    main()
