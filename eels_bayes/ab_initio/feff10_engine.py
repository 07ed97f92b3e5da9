"""FEFF10 as an engine, by the package feff10-rs, whose wheel holds the program."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from eels_bayes import validation
from eels_bayes.ab_initio.cluster import around
from eels_bayes.ab_initio.engine import last_words, run_logged
from eels_bayes.data.fingerprint_reading import read_fingerprint
from eels_bayes.data.single_fingerprint import Fingerprint
from eels_bayes.optional_packages import needed

if TYPE_CHECKING:
    from ase import Atoms

LOG = "feff.log"
# What makes a near-edge spectrum, of FEFF10's eighteen programs.
STAGES = ["RDINP", "ATOMIC", "POT", "SCREEN", "XSPH", "FMS", "MKGTR", "PATH", "GENFMT", "FF2X"]
# In a process of its own: FEFF prints to the terminal, and its errors end a process.
PROGRAM = f"""
import feff10
config = feff10.FeffConfig.from_file(
    ".", "feff.inp", stages=[getattr(feff10.Stage, one) for one in {STAGES!r}]
)
feff10.FeffPipeline(config).run()
"""


@dataclass(frozen=True)
class Feff10:
    """FEFF10's full multiple scattering around one atom with a core hole.

    Its spectra are cross-sections of one atom, in square angstrom, broadened by the core hole and
    the self-energy. Energies are FEFF's own, some eV off those of an experiment.

    Parameters
    ----------
    radius
        Of the cluster and of multiple scattering, angstrom.
    scf
        Radius within which the potential is made self-consistent, angstrom; by default it is not,
        which takes a tenth of the time.
    k_max
        Largest wave number of the electron, per angstrom: 4 is 61 eV above the threshold.
    seconds
        After which a site has failed.
    """

    radius: float = 6.0
    scf: float | None = None
    k_max: float = 4.0
    seconds: float = 3600.0

    broadens = True  # no field, no annotation

    def __post_init__(self) -> None:
        validation.positive("radius", self.radius, "angstrom")
        validation.positive("k_max", self.k_max, "per angstrom")
        validation.positive("seconds", self.seconds, "s")
        if self.scf is not None:
            validation.positive("scf", self.scf, "angstrom")

    @property
    def name(self) -> str:
        return "feff10"

    def settings(self) -> Mapping[str, object]:
        """What its results depend on."""
        needed("feff10", "feff", "the engine Feff10")
        known = asdict(self) | {"feff10-rs": version("feff10-rs")}
        del known["seconds"]
        return known

    def write(self, folder: Path, atoms: Atoms, index: int, edge: str) -> None:
        """``feff.inp``: one potential for the absorber, and one for each element around it."""
        symbols = needed("ase.data", "structures", "a structure").chemical_symbols
        cluster = around(atoms, index, self.radius)
        kinds = {int(z): k for k, z in enumerate(dict.fromkeys(cluster.numbers[1:].tolist()), 1)}
        lines = [f"EDGE {edge}", "S02 1.0", "CONTROL 1 1 1 1 1 1", "PRINT 0 0 0 0 0 0"]
        lines += ["EXCHANGE 0 0.0 0.0", f"FMS {self.radius:g}"]
        lines += [f"XANES {self.k_max:g} 0.05 0.0", "COREHOLE RPA"]
        if self.scf is not None:
            lines.append(f"SCF {self.scf:g} 0 30 0.2 1")
        lines += ["POTENTIALS", f"0 {cluster.numbers[0]} {symbols[cluster.numbers[0]]}"]
        lines += [f"{k} {z} {symbols[z]}" for z, k in kinds.items()]
        lines.append("ATOMS")
        for number, (place, z) in enumerate(zip(cluster.positions, cluster.numbers, strict=True)):
            kind = kinds[int(z)] if number else 0
            lines.append("{:.6f} {:.6f} {:.6f}".format(*place) + f" {kind} {symbols[z]}")
        (folder / "feff.inp").write_text("\n".join([*lines, "END"]) + "\n")

    def run(self, folder: Path) -> None:
        """FEFF10 in a process of its own."""
        run_logged([sys.executable, "-c", PROGRAM], folder, LOG, self.seconds)

    def read(self, folder: Path) -> Fingerprint:
        """Its ``xmu.dat``."""
        if not (folder / "xmu.dat").exists():
            raise ValueError(f"it wrote no xmu.dat; its last words: {last_words(folder / LOG)}")
        return read_fingerprint(folder / "xmu.dat", "feff")
