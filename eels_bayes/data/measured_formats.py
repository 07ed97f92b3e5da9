"""Spectra that were measured, or published: XDI, Athena's columns, the Materials Project, EMSA.

Each reader takes the text of a file and its name, and gives what the file states.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.hyperspy_io import energy_axis, energy_index, load_all
from eels_bayes.data.number_rows import blocks
from eels_bayes.data.stated_spectrum import ABSOLUTE, Stated, named_columns

# What holds the spectrum, the first that is there: normalised before raw.
SPECTRA = ("norm", "flat", "xmu", "mu", "mutrans", "mufluor", "murefer", "normtrans", "normfluor")
LONGEST = 2000  # characters of a header that are looked at: expressions are slow on longer ones
IN_EV = {"ev": "eV", "kev": "keV"}
UNIT = re.compile(r"\b(k?eV|Ry|Rydberg|Ha|Hartree)\b", re.IGNORECASE)
UNITS = {"ev": "eV", "kev": "keV", "ry": "Ry", "rydberg": "Ry", "ha": "Ha", "hartree": "Ha"}


def xdi(text: str, name: str) -> Stated:
    """XAS Data Interchange: columns and their units are named in the header."""
    (block,) = _one(text, by_program=False)
    said = dict(re.findall(r"^#[ \t]*([A-Za-z]\w*\.\w+)[ \t]*:(.*)$", text, re.M))
    said = {key.lower(): value.strip() for key, value in said.items()}
    names = []
    for k in range(block.shape[1]):
        entry = said.get(f"column.{k + 1}")
        if not entry:
            raise ValueError(f"its header does not name column {k + 1} of {block.shape[1]}")
        names.append(entry.split()[0].lower())
    unit = said["column.1"].partition(" ")[2].strip().lower()
    if names[0] != "energy" or unit not in IN_EV:
        raise ValueError(
            f"its first column is {said['column.1']!r}; energies in eV or keV are needed"
        )
    columns = named_columns(block, names)
    about = {
        key: said[entry]
        for key, entry in {"element": "element.symbol", "edge": "element.edge"}.items()
        if entry in said
    }
    return _measured("xdi", block[:, 0], columns, energy_unit=IN_EV[unit], about=about)


def athena(text: str, name: str) -> Stated:
    """Columns as Athena exports them; the last line of the header names them."""
    (block,) = _one(text, by_program=True)
    names = _header(text).lower().split()
    if len(names) != block.shape[1] or names[0] not in ("energy", "e"):
        raise ValueError(f"its header names the columns {names}, but there are {block.shape[1]}")
    return _measured("athena", block[:, 0], named_columns(block, names))


def materials_project(text: str, name: str) -> Stated:
    """A spectrum of the Materials Project's XAS database (FEFF's), as JSON."""
    try:
        given = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it is no whole JSON: {error}; the file is cut off") from error
    entries = given if isinstance(given, list) else [given]
    if len(entries) != 1:
        raise ValueError(f"it holds {len(entries)} spectra; one is needed")
    entry = entries[0]
    spectrum = entry.get("spectrum", entry) if isinstance(entry, Mapping) else {}
    if not isinstance(spectrum, Mapping) or not {"x", "y"} <= set(spectrum):
        raise ValueError("it has no spectrum with x and y")
    try:
        energy, intensity = (np.array(spectrum[key], dtype=np.float64) for key in "xy")
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its x and y are no rows of numbers") from None
    if energy.ndim != 1 or energy.shape != intensity.shape:
        raise ValueError(f"its x and y have shapes {energy.shape} and {intensity.shape}")
    words = ("absorbing_element", "edge", "spectrum_type", "material_id", "task_id")
    about = {key: str(v) for key in words if (v := spectrum.get(key, entry.get(key)))}
    return Stated(
        format="materials_project",
        energy=energy,
        columns={"y": intensity},
        column="y",
        energy_unit="eV",
        zero=ABSOLUTE,
        broadened=True,
        about=about,
    )


def columns(text: str, name: str) -> Stated:
    """Plain columns: energy first. Only a unit in the words above them is taken from the file."""
    (block,), header = _one(text, by_program=False), _header(text)
    units = {UNITS[unit.lower()] for unit in UNIT.findall(header)}
    label = re.split(r"[,;\s]+", re.sub(r"\s*[(\[].*?[)\]]", "", header).strip())
    found = named_columns(block, label)
    if "energy" in (name.lower() for name in found):
        raise ValueError(
            f"its first column is {label[0]!r}, and another is the energy; give the energy first"
        )
    return Stated(
        format="columns",
        energy=block[:, 0],
        columns=found,
        column=next(iter(found)) if len(found) == 1 else None,
        energy_unit=units.pop() if len(units) == 1 else None,
    )


def hyperspy_file(path: Path) -> Stated:
    """Any file that HyperSpy reads as spectra over an energy axis: the mean over its pixels."""
    if path.suffix.lower() in (".msa", ".emsa", ".ems"):
        check_emsa(path.read_text(encoding="utf-8", errors="replace"))
    signals = load_all(path)
    if len(signals) > 1:
        raise ValueError(f"it holds {len(signals)} signals; one is needed")
    axis: EnergyAxis = energy_axis(signals[0])
    data = np.moveaxis(np.asarray(signals[0].data), energy_index(signals[0]), -1)
    mean = data.reshape(-1, data.shape[-1]).astype(np.float64).mean(axis=0)
    energy = axis.offset + axis.scale * np.arange(axis.n)
    return _measured("hyperspy", energy, {"mean": mean}, column="mean")


def check_emsa(text: str) -> None:
    """Refuse an EMSA/MAS file that is cut off: its reader takes what is there.

    Raises
    ------
    ValueError
        Its last line is missing, or it has fewer numbers than it states.
    """
    stated = re.search(r"^#NPOINTS\s*:\s*([\d.]+)", text, re.M)
    body = re.search(r"^#SPECTRUM.*?$(.*?)^#ENDOFDATA", text, re.M | re.S)
    if body is None:
        raise ValueError("it has no line #ENDOFDATA; the file is cut off")
    numbers = [word for word in re.split(r"[,\s]+", body[1]) if word]
    pairs = re.search(r"^#DATATYPE\s*:\s*XY", text, re.M) is not None
    count = len(numbers) // 2 if pairs else len(numbers)
    if stated is None or int(float(stated[1])) != count:
        wanted = "no number" if stated is None else stated[1]
        raise ValueError(f"it holds {count} points and states {wanted}; the file is cut off")
    if pairs:
        raise ValueError("it holds energies with their intensities (XY); give them as columns")


def _measured(
    form: str,
    energy: Any,
    found: Mapping[str, Any],
    *,
    energy_unit: str = "eV",
    column: str | None = None,
    about: Mapping[str, str] | None = None,
) -> Stated:
    """Of an instrument: losses, and as broad as it makes them."""
    known = next((name for name in SPECTRA if name in found), None)
    if column is None:
        column = known if known or len(found) > 1 else next(iter(found))
    return Stated(
        format=form,
        energy=energy,
        columns=found,
        column=column,
        energy_unit=energy_unit,
        zero=ABSOLUTE,
        broadened=True,
        about=about or {},
    )


def _one(text: str, *, by_program: bool) -> tuple[Any]:
    """The rows of the one table that there is."""
    found = blocks(text, by_program=by_program)
    if len(found) > 1:
        raise ValueError(f"it holds {len(found)} tables, one after the other; one is needed")
    return (found[0].rows,)


def _header(text: str) -> str:
    """The last line of words above the numbers, its beginning."""
    found = blocks(text, by_program=False)[0].header
    return found[-1][:LONGEST] if found else ""
