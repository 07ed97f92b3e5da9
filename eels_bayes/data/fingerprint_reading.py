"""One spectrum from a file of any code or instrument; what it does not say is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from eels_bayes import validation
from eels_bayes.data import measured_formats, simulation_formats
from eels_bayes.data.single_fingerprint import FERMI, Fingerprint
from eels_bayes.data.stated_spectrum import Stated

# In eV; CODATA 2022.
ENERGY_UNITS = {"eV": 1.0, "keV": 1e3, "Ry": 13.605693122990, "Ha": 27.211386245981}
HYPERSPY = "hyperspy"
READERS: dict[str, Callable[[str, str], Stated]] = {
    "feff": simulation_formats.feff,
    "fdmnes": simulation_formats.fdmnes,
    "ocean": simulation_formats.ocean,
    "xspectra": simulation_formats.xspectra,
    "optados": simulation_formats.optados,
    "telnes": simulation_formats.telnes,
    "materials_project": measured_formats.materials_project,
    "xdi": measured_formats.xdi,
    "athena": measured_formats.athena,
    "columns": measured_formats.columns,
}
FORMATS = (*READERS, HYPERSPY)
TEXT_ENDINGS = {".txt", ".dat", ".csv", ".xy", ".tsv", ".asc", ".json", ".xdi", ".elnes", ""}
TEXT_ENDINGS |= {".broadspec", ".xmu", ".nor", ".norm", ".xas"}
GZIP = b"\x1f\x8b"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # marks at the beginning, as Windows writes them
LOOKED_AT = 4000  # characters at a file's beginning, in which every format says what it is
# A sign of each format at the beginning of its files, in the order in which they are looked for.
SIGNS = (
    ("xdi", "# XDI/"),
    ("athena", "Athena data file"),
    ("fdmnes", "E_edge, Z"),
    ("fdmnes", "<xanes>"),
    ("optados", "Core loss function"),
    ("xspectra", "inal state angular momentum"),
    ("feff", "used to normalize mu"),
    ("telnes", "TELNES"),
)


def read_fingerprint(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    unit: str | None = None,
    zero: float | None = None,
    broadened: bool | None = None,
    column: str | None = None,
) -> Fingerprint:
    """Read one spectrum from the file of a simulation code, a database or an instrument.

    What a file says of its energies and of its broadening is taken from it. What it does not say
    is asked for: an argument that is needed is named by the error. A file that is cut off is
    refused; where it ends between two rows this shows in EMSA and JSON alone.

    Parameters
    ----------
    path : path-like
        The file. Nothing in it is run.
    format : str, optional
        "feff" (``xmu.dat``), "fdmnes" (convolved or not), "ocean" (``absspct``), "xspectra"
        (Quantum ESPRESSO), "optados" (CASTEP), "telnes" (WIEN2k), "materials_project" (JSON),
        "xdi", "athena" (exported columns), "hyperspy" (``.msa``, ``.dm4`` and whatever HyperSpy
        reads) or "columns"; by default as the file's beginning and name say.
    unit : str, optional
        Of its energies: "eV", "keV", "Ry" or "Ha".
    zero : float, optional
        The energy loss, eV, at which its energies are zero; 0 where they are losses. Where the file
        states a threshold (FEFF's k = 0, the edge of FDMNES), that comes to lie there.
    broadened : bool, optional
        Whether lifetimes or an instrument have broadened it.
    column : str, optional
        Name of the column that holds the intensity, or its number from 1 beside the energy (0).

    Returns
    -------
    Fingerprint
        Energies ascend; their steps are the file's.

    Raises
    ------
    ValueError
        The file is cut off, of another format, or does not say something that no argument says; an
        argument contradicts it.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import eels_bayes as eb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "edge.csv")
    ...     text = "energy (eV),intensity\\n0.0,0.1\\n0.5,0.9\\n1.0,0.7\\n"
    ...     _ = file.write_text(text)
    ...     edge = eb.read_fingerprint(file, zero=685.0, broadened=False)
    >>> edge.energy.tolist(), edge.format
    ([685.0, 685.5, 686.0], 'columns')
    """
    file = validation.path("path", path)
    if unit is not None:
        validation.choice("unit", unit, tuple(ENERGY_UNITS))
    if format is not None:
        validation.choice("format", format, FORMATS)
    if broadened is not None and not isinstance(broadened, bool | np.bool_):  # "no" is no yes
        raise TypeError(f"broadened is {broadened!r:.60}; True, False or None is needed")
    try:
        stated = _stated(file, format)
        return _settled(stated, file.name, unit, zero, broadened, column)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _stated(file: Path, form: str | None) -> Stated:
    """What the file states, read as that format or as what it shows itself to be."""
    if form is None and _is_hyperspys(file):
        form = HYPERSPY
    if form == HYPERSPY:
        return measured_formats.hyperspy_file(file)
    data = file.read_bytes()
    if data.startswith(GZIP):
        raise ValueError("it is packed, such as an Athena project; export its spectra as columns")
    if not data.strip():
        raise ValueError("it is empty")
    try:
        text = data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in data:
            raise ValueError(f"it is no text; formats are {', '.join(FORMATS)}") from None
        text = data.decode("latin-1")  # of older programs; numbers are the same
    name = form or recognised(text, file.name)
    stated = READERS[name](text, file.name)
    return stated


def recognised(text: str, name: str) -> str:
    """The format of a text file, by how it begins or else by its name."""
    start = text[:LOOKED_AT]
    for form, sign in SIGNS:
        if sign in start:
            return form
    if start.lstrip().startswith(("{", "[")):
        return "materials_project"
    if name.startswith("absspct"):
        return "ocean"
    if name.lower().endswith((".elnes", ".broadspec")):
        return "telnes"
    return "columns"


def _is_hyperspys(file: Path) -> bool:
    """Whether its ending is that of a format of HyperSpy's which is no text of columns."""
    ending = file.suffix.lower()
    if ending in TEXT_ENDINGS or ending.lstrip(".").isdigit():
        return False
    from rsciio import IO_PLUGINS

    known = {one.lower() for plugin in IO_PLUGINS for one in plugin["file_extensions"]}
    return ending.removeprefix(".") in known


def _settled(
    stated: Stated,
    name: str,
    unit: str | None,
    zero: float | None,
    broadened: bool | None,
    column: str | None,
) -> Fingerprint:
    """The fingerprint, with what the user says where the file does not."""
    chosen = _column(stated, column)
    intensity = stated.columns[chosen]
    if unit is not None and stated.energy_unit not in (None, unit):
        raise ValueError(f"unit is {unit!r}, but the file states {stated.energy_unit}")
    used = unit or stated.energy_unit
    if used is None:
        raise ValueError(f"it states no unit of its energies; give unit, one of {_units()}")
    own = False if chosen in stated.unbroadened else stated.broadened
    if own is not None and broadened not in (None, own):
        says = "was broadened" if own else "was not broadened"
        raise ValueError(f"broadened is {broadened}, but the spectrum {says} by its own account")
    wide = own if broadened is None else bool(broadened)
    if wide is None:
        raise ValueError(
            "it does not say whether the spectrum was broadened; give broadened=True where "
            "lifetimes or an instrument are in it, else False"
        )
    move = _move(stated, zero, ENERGY_UNITS[used])
    energy = stated.energy * ENERGY_UNITS[used] + move
    about = dict(stated.about)
    if stated.fermi is not None:
        about[FERMI] = f"{stated.fermi * ENERGY_UNITS[used] + move:.4f} eV"
    if len(energy) > 1 and (np.diff(energy) < 0).all():
        energy, intensity = energy[::-1], intensity[::-1]
    if len(energy) < 2:
        raise ValueError(f"it holds {len(energy)} energies; at least two are needed")
    if not np.isfinite(energy).all():
        raise ValueError("its energies hold NaN or infinity; the file is damaged")
    if not (np.diff(energy) > 0).all():
        raise ValueError(
            "its energies do not ascend, each higher than the one before; one spectrum is needed"
        )
    if not np.isfinite(intensity).all():
        raise ValueError("its intensities hold NaN or infinity; the calculation went wrong")
    if not np.any(intensity):
        raise ValueError("its intensities are all zero; the calculation went wrong")
    return Fingerprint(energy, intensity, wide, stated.unit, name, stated.format, about)


def _column(stated: Stated, column: str | None) -> str:
    """Name of the intensity's column."""
    wanted = stated.column if column is None else str(column)
    known = ", ".join(map(repr, stated.columns))
    if wanted is None:
        raise ValueError(f"it has several columns; give column, one of {known}")
    if wanted not in stated.columns:
        raise ValueError(f"column is {wanted!r}; one of {known} is needed")
    return wanted


def _move(stated: Stated, zero: float | None, factor: float) -> float:
    """What is added to its energies, eV."""
    if zero is None:
        if stated.zero is None:
            raise ValueError(
                "it does not say where its energies are zero; give zero, the energy loss in eV "
                "that they count from, or zero=0 where they are losses"
            )
        return stated.zero
    given = validation.not_negative("zero", zero)
    if stated.zero is None:
        return given
    if not stated.movable:
        raise ValueError(f"zero is {given:g}, but its energies are losses already; leave zero out")
    return given - stated.threshold * factor


def _units() -> str:
    return ", ".join(map(repr, ENERGY_UNITS))
