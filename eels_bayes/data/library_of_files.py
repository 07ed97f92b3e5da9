"""A fingerprint library from the files of its spectra."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.arrays import Floats
from eels_bayes.data.energy_resampling import check_energy
from eels_bayes.data.fingerprint_reading import read_fingerprint
from eels_bayes.data.library_arrays import floats
from eels_bayes.data.single_fingerprint import Fingerprint

Library = TypeVar("Library")
File = str | os.PathLike[str] | Fingerprint
FINEST = 0.05  # eV: a default axis has no finer steps; below the width of any core hole


def from_files(
    cls: type[Library],
    /,
    files: Mapping[str, File | Sequence[File]],
    *,
    energy: ArrayLike | None = None,
    values: Mapping[str, float] | None = None,
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> Library:
    """A library from files of simulation codes, databases or instruments.

    Parameters
    ----------
    files
        For each class its file, or several: of sites, thicknesses, calculations. What
        `read_fingerprint` or `broaden` gave may stand in place of a file.
    energy
        Channel centres, eV, shape (N,); by default what all files cover, in even steps as fine as
        those of the finest file, and not below 0.05 eV.
    values
        The physical value of each class.
    reading
        What `read_fingerprint` needs besides for all files: ``{"zero": 685.0}``.
    **options
        ``nuisances``, ``variations``, ``value_name``, ``value_unit``, ``value_range``, ``source``,
        as `from_arrays` has them.

    Returns
    -------
    FingerprintLibrary

    Raises
    ------
    ValueError
        As `read_fingerprint` and `from_arrays`; spectra that were not broadened, units that differ,
        or files that have no energies in common.
    """
    if not isinstance(files, Mapping) or not files:
        raise ValueError('files is no table; give files by class, such as {"oxide": "xmu.dat"}')
    if reading is not None and not isinstance(reading, Mapping):
        raise TypeError(f"reading is {reading!r:.60}; give a table, such as {{'zero': 685.0}}")
    names: list[str] = []
    read: list[Fingerprint] = []
    for name, given in files.items():
        if isinstance(given, str | os.PathLike | Fingerprint):
            several: list[File] = [given]
        elif isinstance(given, Iterable):
            several = list(given)
        else:
            raise TypeError(f"files[{name!r}] is {given!r:.60}; give a file, or several")
        if not several:
            raise ValueError(f"files[{name!r}] is empty; name at least one file")
        for one in several:
            ready = isinstance(one, Fingerprint)
            read.append(one if ready else read_fingerprint(one, **(reading or {})))  # type: ignore[arg-type]
            names.append(name)
    check_alike(read, names)
    axis = common_axis(read) if energy is None else floats("energy", energy)
    check_energy(axis)
    if values is not None:
        if set(values) != set(files):
            raise ValueError(f"values are of {sorted(values)}; give one for each of {list(files)}")
        options["values"] = [values[name] for name in names]
    options.setdefault("source", ", ".join(dict.fromkeys(one.source for one in read if one.source)))
    made: Library = cls.from_arrays(  # type: ignore[attr-defined]
        axis, [one.at(axis) for one in read], names, list(files), **options
    )
    return made


def check_alike(read: Sequence[Fingerprint], names: Sequence[str]) -> None:
    """Refuse what cannot be compared."""
    for one, name in zip(read, names, strict=True):
        if not one.broadened:
            raise ValueError(
                f"{one.source or name} was not broadened, and no measured edge is so sharp; give "
                "what eels_bayes.broaden makes of it"
            )
    units = dict.fromkeys(one.unit for one in read)
    if len(units) > 1:
        raise ValueError(
            f"spectra have intensities in {', '.join(repr(unit) for unit in units)}; give them in "
            "one unit"
        )


def common_axis(read: Sequence[Fingerprint]) -> Floats:
    """Even steps over what all spectra cover, eV; ValueError where that is nothing."""
    low, high = max(one.energy[0] for one in read), min(one.energy[-1] for one in read)
    step = max(FINEST, min(float(np.diff(one.energy).min()) for one in read))
    if high - low < 2 * step:
        raise ValueError(
            f"the files have no energies in common: the highest begins at {low:g} eV, the lowest "
            f"ends at {high:g} eV; is a zero missing, or another unit?"
        )
    return low + step * np.arange(int((high - low) / step + 1e-6) + 1)
