"""The states that GPAW's script writes, checked, and the spectrum that they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from eels_bayes.ab_initio.gpaw_program import FORMAT
from eels_bayes.arrays import Floats
from eels_bayes.data.single_fingerprint import FERMI, Fingerprint

STEP = 0.02  # eV, of the axis: the finest on which spectra are broadened, so that areas are kept
BELOW = 10.0  # eV before the onset where the axis begins, so that a broadening has room
FINE_STRUCTURE = 1.0 / 137.036


def spectrum_of_states(file: Path, above: float) -> Fingerprint:
    """The cross-section of one atom up to so many eV above the lowest empty state.

    A transition of energy E and strength s (angstrom^2, over both electrons of 1s and the mean
    direction) has the area 4 pi^2 alpha E s; the channels beside it share it.

    Raises
    ------
    ValueError
        The file is cut off, or something else.
    """
    known = _checked(file)
    onset, energy = float(known["onset"]), np.array(known["energy"], dtype=float)
    channels = np.arange(round((min(known["complete"], above) + BELOW) / STEP)) * STEP
    place = (energy + BELOW) / STEP
    left = place.astype(int)
    inside = left + 1 < len(channels)
    left, share = left[inside], (place - left)[inside]
    density = np.zeros(len(channels))
    strength = np.array(known["strength"], dtype=float)[inside] / STEP
    np.add.at(density, left, (1.0 - share) * strength)
    np.add.at(density, left + 1, share * strength)
    loss = onset - BELOW + channels
    return Fingerprint(
        energy=loss,
        intensity=4.0 * np.pi**2 * FINE_STRUCTURE * loss * density,
        broadened=False,
        unit="angstrom^2",
        source=str(file),
        format="gpaw",
        about={
            "gpaw": str(known["gpaw"]),
            # the lowest state's share begins a step before it
            FERMI: f"{onset - STEP:.4f} eV",
        },
    )


def _checked(file: Path) -> dict[str, Any]:
    """What the script wrote; ValueError where it is not whole, or is something else."""
    try:
        known: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file.name} is cut off, or no JSON: {error}") from error
    wanted = {"format", "gpaw", "onset", "complete", "energy", "strength"}
    if not isinstance(known, dict) or set(known) != wanted:
        raise ValueError(f"{file.name} must hold {', '.join(sorted(wanted))}")
    if known["format"] != FORMAT:
        raise ValueError(f"{file.name} has the format {known['format']!r}, not {FORMAT}")
    energy, strength = (_numbers(file, name, known[name]) for name in ("energy", "strength"))
    if len(energy) != len(strength) or not len(energy):
        raise ValueError(f"{file.name} has {len(energy)} energies and {len(strength)} strengths")
    if (energy < 0).any() or (strength < 0).any():
        raise ValueError(f"{file.name} has a negative energy or strength")
    for name in ("onset", "complete"):
        if _numbers(file, name, [known[name]])[0] <= 0:
            raise ValueError(f"{file.name} has {known[name]!r} for {name}")
    return known


def _numbers(file: Path, name: str, given: Any) -> Floats:
    """A list of finite numbers, or ValueError."""
    try:
        numbers = np.array(given, dtype=float)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ValueError(f"{file.name} holds no finite numbers as {name}")
    return numbers
