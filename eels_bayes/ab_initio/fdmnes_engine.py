"""FDMNES as an engine: the user's own program, which no registry has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eels_bayes import validation
from eels_bayes.ab_initio.cluster import around
from eels_bayes.ab_initio.engine import last_words, run_logged
from eels_bayes.data.fingerprint_reading import read_fingerprint
from eels_bayes.data.single_fingerprint import Fingerprint

if TYPE_CHECKING:
    from ase import Atoms

LOG, INPUT, OUTPUT = "fdmnes.log", "site.txt", "out"
BOX = 1.0  # angstrom: the unit in which the cluster's coordinates are given


@dataclass(frozen=True)
class Fdmnes:
    """FDMNES around one atom, by finite differences or by multiple scattering.

    The cluster is given as a molecule, so that the spectrum is that of one atom, in Mbarn. It is
    not broadened; energies count from the edge that FDMNES tabulates.

    Parameters
    ----------
    program
        The program's file.
    radius
        Of the cluster, angstrom.
    green
        Multiple scattering with muffin tins (fast), in place of finite differences.
    energies
        Begin, step, bend, step, end: as FDMNES's keyword Range takes them, eV.
    keywords
        Further lines of the input, as they are.
    seconds
        After which a site has failed.
    """

    program: str
    radius: float = 6.0
    green: bool = False
    energies: tuple[float, ...] = (-8.0, 0.2, 10.0, 0.4, 30.0, 1.0, 60.0)
    keywords: tuple[str, ...] = ()
    seconds: float = 86400.0

    broadens = False  # no field, no annotation

    def __post_init__(self) -> None:
        if not Path(self.program).is_file():
            raise ValueError(f"program is {self.program!r}; the file of FDMNES is needed")
        validation.positive("radius", self.radius, "angstrom")
        validation.positive("seconds", self.seconds, "s")
        if len(self.energies) < 3 or len(self.energies) % 2 == 0:
            raise ValueError(
                f"energies is {self.energies}; give begin, step, end, or more steps between"
            )

    @property
    def name(self) -> str:
        return "fdmnes"

    def settings(self) -> Mapping[str, object]:
        """What its results depend on; of the program its name and size."""
        known = dataclasses.asdict(self)
        del known["seconds"]
        known["program"] = [Path(self.program).name, Path(self.program).stat().st_size]
        return known

    def write(self, folder: Path, atoms: Atoms, index: int, edge: str) -> None:
        """``fdmfile.txt``, which names the input, and the input itself."""
        cluster = around(atoms, index, self.radius)
        lines = ["Filout", f" {OUTPUT}", "", "Range"]
        lines += [" " + " ".join(f"{one:g}" for one in self.energies), ""]
        lines += ["Radius", f" {self.radius:g}", "", "Edge", f" {edge}", "", "Absorber", " 1", ""]
        lines += ["Green", ""] if self.green else []
        lines += [*self.keywords, ""] if self.keywords else []
        lines += ["Molecule", f" {BOX:g} {BOX:g} {BOX:g} 90. 90. 90."]
        lines += [
            f" {z} " + " ".join(f"{one:.6f}" for one in place / BOX)
            for z, place in zip(cluster.numbers, cluster.positions, strict=True)
        ]
        (folder / INPUT).write_text("\n".join([*lines, "", "End"]) + "\n")
        (folder / "fdmfile.txt").write_text(f"1\n\n{INPUT}\n")

    def run(self, folder: Path) -> None:
        """The program, in the folder."""
        run_logged([str(Path(self.program).absolute())], folder, LOG, self.seconds)

    def read(self, folder: Path) -> Fingerprint:
        """The spectrum before its convolution."""
        file = folder / f"{OUTPUT}.txt"
        if not file.exists():
            raise ValueError(f"it wrote no {file.name}; its last words: {last_words(folder / LOG)}")
        return read_fingerprint(file, "fdmnes")
