"""What a file states of its spectrum, and what it leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from eels_bayes.arrays import Floats

ABSOLUTE = 0.0  # a zero of energies that are losses


@dataclass(frozen=True, eq=False)
class Stated:
    """A spectrum as one file holds it; None is what it does not say.

    Parameters
    ----------
    format
        Of the file.
    energy
        Shape (N,), in `energy_unit`.
    columns
        Candidates for the intensity, by name, shape (N,) each.
    column
        The one that is the spectrum, or None where the user must choose.
    energy_unit
        "eV", "keV", "Ry", "Ha", or None.
    zero
        Energy loss where the file's energy is zero, eV, or None.
    movable
        Whether a zero may be given although one is stated: where the file says too where its own
        threshold lies.
    threshold
        The file's energy at which its continuum begins, in `energy_unit`, where it is movable.
    broadened
        Whether lifetimes or an instrument have broadened it, or None.
    unbroadened
        Names of columns that are not, though others are.
    fermi
        The file's energy below which states are occupied, in `energy_unit`, where it says so.
    unit
        Of the intensity.
    about
        Words.
    """

    format: str
    energy: Floats
    columns: Mapping[str, Floats]
    column: str | None
    energy_unit: str | None = None
    zero: float | None = None
    movable: bool = False
    threshold: float = 0.0
    broadened: bool | None = None
    unbroadened: frozenset[str] = frozenset()
    fermi: float | None = None
    unit: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


def named_columns(rows: Floats, names: list[str]) -> dict[str, Floats]:
    """Columns from the second on by name, or from 1 by number where not all have names."""
    count = rows.shape[1]
    if len(names) != count or len(set(names)) != count:
        names = [str(k) for k in range(count)]
    return {names[k]: np.ascontiguousarray(rows[:, k]) for k in range(1, count)}
