"""Spectra that are simulated elsewhere: inputs are written, results read once they are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eels_bayes.ab_initio.engine import Engine, EngineFailed
from eels_bayes.data.fingerprint_reading import read_fingerprint
from eels_bayes.data.single_fingerprint import Fingerprint

if TYPE_CHECKING:
    from ase import Atoms

NOTE = "site.json"  # where a site's spectrum is expected
LETTERS = 16  # of a folder's name


@dataclass(frozen=True)
class Files:
    """A folder with one folder a site, in which somebody else runs the code.

    A first call writes every site's structure, ``site.xyz`` with the absorber first, and the input
    of another engine where one is given, and says which results are missing. A later one reads
    them.

    Parameters
    ----------
    folder
        Of all sites.
    result
        Name of the file that the code writes in each of them, such as "xanes.dat".
    inputs
        Engine whose inputs are written besides.
    reading
        Arguments of `eels_bayes.read_fingerprint`: ``{"zero": 685.0}``.
    label
        What distinguishes these results from others: the code, its version, its settings.
    """

    folder: str
    result: str
    inputs: Engine | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    reads_anew = True  # somebody may put a better result in place of one; no field, no annotation

    @property
    def name(self) -> str:
        return "files"

    def settings(self) -> Mapping[str, object]:
        """What its results depend on."""
        known = asdict(self)
        known["inputs"] = None if self.inputs is None else dict(self.inputs.settings())
        known["reading"] = dict(self.reading)
        return known

    def write(self, folder: Path, atoms: Atoms, index: int, edge: str) -> None:
        """The site's own folder, and a note of it in the other."""
        order = [index, *(k for k in range(len(atoms)) if k != index)]
        text = json.dumps([atoms.numbers.tolist(), atoms.positions.round(6).tolist(), index, edge])
        text += json.dumps(atoms.cell.array.round(6).tolist())
        name = hashlib.sha256(text.encode()).hexdigest()[:LETTERS]
        place = Path(self.folder) / name
        place.mkdir(parents=True, exist_ok=True)
        atoms[order].write(place / "site.xyz", format="extxyz")
        if self.inputs is not None:
            self.inputs.write(place, atoms, index, edge)
        (folder / NOTE).write_text(json.dumps(str((place / self.result).absolute())))

    def run(self, folder: Path) -> None:
        """Nothing is run; the result is there or is not."""
        file = Path(json.loads((folder / NOTE).read_text()))
        if not file.exists():
            raise EngineFailed(f"{file} is not there yet; run the code in its folder")

    def read(self, folder: Path) -> Fingerprint:
        """The result, as `eels_bayes.read_fingerprint` reads it."""
        return read_fingerprint(json.loads((folder / NOTE).read_text()), **self.reading)
