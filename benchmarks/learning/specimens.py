"""Series that active learning is tried on, and the structures that they may be made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import eels_bayes as eb

Array = NDArray[Any]

SIZE = {"n_images": 8, "shape": (16, 16)}
COMPOSITIONS = np.linspace(0.0, 0.5, 9)
STRUCTURES_DOSE = 10.0


def part(library: eb.FingerprintLibrary, names: list[str]) -> eb.FingerprintLibrary:
    """Some classes of a library."""
    words = np.array([library.class_names[k] for k in library.labels])
    keep = np.isin(words, names)
    assert library.values is not None
    return eb.FingerprintLibrary.from_arrays(
        library.energy,
        library.intensity[keep],
        words[keep],
        class_names=names,
        values=library.values[keep],
        nuisances=library.nuisances,
    )


def joined(
    library: eb.FingerprintLibrary, whole: eb.FingerprintLibrary, name: str
) -> eb.FingerprintLibrary:
    """A library with one more class of the whole one: its simulation."""
    rows = whole.labels == whole.class_names.index(name)
    assert whole.values is not None
    return library.with_fingerprints(
        whole.energy, whole.intensity[rows], [name] * int(rows.sum()), values=whole.values[rows]
    )


def names_of(series: eb.simulate.Series) -> Array:
    """Name of every pixel's dominant class."""
    return np.array(series.library.class_names)[series.truth["label"].to_numpy().ravel()]


def structures_library() -> eb.FingerprintLibrary:
    """Nine compositions between the built-in classes, and two defective structures of 25 %."""
    known = eb.FingerprintLibrary.example()
    assert known.class_values is not None
    order = np.argsort(known.class_values)
    values, spectra = known.class_values[order], known.class_spectra[order]
    rows, names, fractions = [], [], []
    for x in COMPOSITIONS:
        upper = int(np.clip(np.searchsorted(values, x), 1, len(values) - 1))
        share = (x - values[upper - 1]) / (values[upper] - values[upper - 1])
        rows.append((1 - share) * spectra[upper - 1] + share * spectra[upper])
        names.append(f"{100 * x:g} % F")
        fractions.append(x)
    edge = spectra[list(values).index(0.25)]
    for name, shifts in (("shifted", (4.0,)), ("split", (-2.5, 5.0))):
        moved = [np.interp(known.energy - shift, known.energy, edge) for shift in shifts]
        rows.append(np.mean(moved, axis=0))
        names.append(f"25 % F, {name}")
        fractions.append(0.25)
    return eb.FingerprintLibrary.from_arrays(
        known.energy, rows, names, values=fractions, nuisances=known.nuisances
    )


def kind_of(name: str) -> str:
    """Kind of a defect by a candidate's name; empty where there is none."""
    return name.partition(", ")[2]


def is_defect(name: str) -> bool:
    return bool(kind_of(name))


def composition(name: str) -> float:
    """Fluorine fraction by a candidate's name."""
    return float(name.split()[0]) / 100
