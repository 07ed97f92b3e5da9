"""``eels-bayes fingerprints files``: a library of what simulation codes and databases wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter

from eels_bayes import validation
from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.make_fingerprints import named_files, written
from eels_bayes.command_line.options import Band
from eels_bayes.data.broadening import broaden
from eels_bayes.data.fingerprint_reading import read_fingerprint
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.single_fingerprint import Fingerprint


def of_files(
    classes: list[str],
    /,
    *,
    out: Path,
    format: str | None = None,
    unit: str | None = None,
    zero: float | None = None,
    broadened: Literal["yes", "no"] | None = None,
    column: str | None = None,
    core_hole: float | None = None,
    instrument: float = 0.0,
    window: Band | None = None,
    step: float = 0.25,
    values: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    value_name: str = "value",
) -> Answer:
    """Make a library of files of simulation codes, databases or columns.

    Parameters
    ----------
    classes
        name=file, a class as often as it has files: oxide=site0/xmu.dat oxide=site1/xmu.dat.
    out
        Library file to write.
    format
        feff, fdmnes, ocean, xspectra, optados, telnes, materials_project, xdi, athena, hyperspy,
        columns; by default as the files show.
    unit
        Of their energies, where they do not say: eV, keV, Ry, Ha.
    zero
        Energy loss at which their energies are zero, eV, where they do not say.
    broadened
        Whether they were broadened, where they do not say.
    column
        That of the intensity, where there are several.
    core_hole
        Full width of the core hole, eV, for files that were not broadened.
    instrument
        Full width of the instrument's Gaussian, eV, that is added.
    window
        Energies of the library, eV; by default what all files cover.
    step
        Of these, eV.
    values
        A number for each class.
    value_name
        What the values are.
    """
    options = {"unit": unit, "zero": zero, "column": column}
    wide = None if broadened is None else broadened == "yes"
    files: dict[str, list[Fingerprint]] = {}
    sharp = False
    for name, file in named_files(classes):
        one = read_fingerprint(file, format, broadened=wide, **options)  # type: ignore[arg-type]
        sharp |= not one.broadened
        if core_hole is not None or instrument:
            hole = None if one.broadened else core_hole
            one = broaden(one, core_hole=hole, instrument=instrument)
        files.setdefault(name, []).append(one)
    if core_hole is not None and not sharp:
        raise ValueError("--core-hole is given, but all files were broadened already; leave it out")
    if values is not None and len(values) != len(files):
        raise ValueError(
            f"--values holds {len(values)} numbers; give one for each of {list(files)}"
        )
    energy = None
    if window is not None:
        width = validation.positive("--step", step, "eV")
        energy = np.arange(window[0], window[1] + 1e-6 * width, width)
    library = FingerprintLibrary.from_files(
        files,
        energy=energy,
        values=None if values is None else dict(zip(files, values, strict=True)),
        value_name=value_name,
    )
    return written(library, out)
