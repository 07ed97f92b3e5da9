"""``eels-bayes fingerprints``: a library file, of arrays, of measured references, or calculated."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from eels_bayes.arrays import Floats
from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.options import Band, Reading
from eels_bayes.data.energy_resampling import interpolate
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.hydrogenic_edges import hydrogenic_library
from eels_bayes.data.hyperspy_io import RawImage, load, read_counts
from eels_bayes.data.library_loading import load_library
from eels_bayes.preprocessing.windows import centers

Several = Annotated[list[str], Parameter(consume_multiple=True)]


def of_npz(
    file: Path,
    /,
    *,
    out: Path,
    value_name: str | None = None,
    value_unit: str | None = None,
    value_range: Band | None = None,
    source: str | None = None,
) -> Answer:
    """Make a library of an npz file of arrays, and check it.

    Parameters
    ----------
    file
        The npz file.
    out
        Library file to write.
    value_name, value_unit
        What the values are: "valence".
    value_range
        Which of them are possible.
    source
        Where the fingerprints come from, in words.
    """
    library = load_library(file)
    given = {"value_name": value_name, "value_unit": value_unit, "source": source}
    changed: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    if value_range is not None:
        changed["value_range"] = value_range
    return written(replace(library, **changed), out)


def of_signals(
    classes: list[str],
    /,
    *,
    out: Path,
    window: Band | None = None,
    reading: Reading | None = None,
    values: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    value_name: str = "value",
) -> Answer:
    """Make a library of measured references: one file, or pattern, for each class.

    Parameters
    ----------
    classes
        name=file for each class, such as oxide=references/oxide.dm3.
    out
        Library file to write.
    window
        What of them is kept, eV; needed with --background.
    reading
        How counts are read.
    values
        A number for each class, such as its valence.
    value_name
        What the values are.
    """
    named = named_files(classes)
    signals = [load(file) for _, file in named]
    if reading is not None and reading.background is not None:
        if window is None:
            raise ValueError("--background needs --window, the edge behind it")
        energy, rows = _read(signals, reading, window)
    else:
        energy, rows = _as_they_are(signals, window)
    library = FingerprintLibrary.from_arrays(
        energy,
        rows,
        [name for name, _ in named],
        values=values,
        value_name=value_name,
        source=", ".join(Path(file).name for _, file in named),
    )
    return written(library, out)


def of_edges(
    files: list[str],
    /,
    *,
    edges: Several,
    window: Band,
    out: Path,
    reading: Reading | None = None,
    beam: tuple[float, float, float] | None = None,
) -> Answer:
    """Make a library of calculated (hydrogenic) edges, as strong as these files show them.

    Parameters
    ----------
    files
        The spectrum images that are to be fitted.
    edges
        K and L shells: O_K, Cu_L3; Cu_L3+Zn_L3 is a class that shows as much of both.
    window
        The edge to read, eV.
    out
        Library file to write.
    reading
        How counts are read.
    beam
        Energy (keV), convergence and collection semi-angle (mrad); by default the file's.
    """
    spectra = (reading or Reading()).preprocessor(window)(load(files))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        library = hydrogenic_library(edges, spectra, beam=beam)
    for one in caught:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    seen = not any(str(one.message).startswith("edges:") for one in caught)
    return replace(written(library, out), trusted=seen)


def named_files(classes: list[str]) -> list[tuple[str, str]]:
    """Class and file of each name=file; ValueError where one names no class."""
    if unnamed := [one for one in classes if "=" not in one]:
        raise ValueError(f"{unnamed[0]!r} names no class; give name=file, such as oxide=oxide.dm3")
    return [(name, file) for name, _, file in (one.partition("=") for one in classes)]


def _read(signals: list[list[Any]], reading: Reading, window: Band) -> tuple[Floats, Floats]:
    """Energies (L,) and each class's mean edge spectrum (K, L), background subtracted."""
    pre = reading.preprocessor(window).calibrate([one for group in signals for one in group])
    rows = []
    for group in signals:
        spectra = pre(group)
        rows.append(spectra.intensity[spectra.ok].mean(axis=0, dtype=float))
    return spectra.energy, np.array(rows)


def _as_they_are(signals: list[list[Any]], window: Band | None) -> tuple[Floats, Floats]:
    """Energies (L,) that all have, and each class's mean spectrum (K, L)."""
    read = [[read_counts(signal) for signal in group] for group in signals]
    axes = [centers(one.axis) for group in read for one in group]
    low, high = max(axis[0] for axis in axes), min(axis[-1] for axis in axes)
    if window is not None:
        low, high = max(low, window[0]), min(high, window[1])
    step = max(one.axis.scale for group in read for one in group)
    if high - low < step:
        raise ValueError(f"the files have no energies in common beyond {low:g} eV")
    energy = np.arange(low, high + 0.5 * step, step)
    energy = energy[energy <= high]
    rows = [np.mean([_mean(one, energy) for one in group], axis=0) for group in read]
    return energy, np.array(rows)


def _mean(raw: RawImage, energy: Floats) -> Floats:
    """Mean spectrum of an image, on other energies (L,)."""
    mean = np.nanmean(raw.counts, axis=0, keepdims=True, dtype=float)
    return interpolate(energy, centers(raw.axis), mean)[0]


def written(library: FingerprintLibrary, out: Path) -> Answer:
    """The library in its file, and what it is in words and values."""
    library.save(out)
    energy, counts = library.energy, np.bincount(library.labels)
    classes = ", ".join(
        f"{name} ({n})" for name, n in zip(library.class_names, counts, strict=True)
    )
    text = (
        f"{len(library.labels)} fingerprints, {energy[0]:g} to {energy[-1]:g} eV: {classes}\n"
        f"library: {out}"
    )
    return Answer(
        text,
        {
            "library": str(out),
            "class_names": library.class_names,
            "fingerprints": counts,
            "values": library.class_values,
            "energy": [energy[0], energy[-1]],
        },
    )
