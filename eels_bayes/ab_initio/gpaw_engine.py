"""GPAW as an engine: plane waves and a core hole, in the interpreter that has GPAW."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eels_bayes import validation
from eels_bayes.ab_initio import gpaw_program
from eels_bayes.ab_initio.engine import EngineFailed, last_words, run_logged
from eels_bayes.ab_initio.gpaw_states import spectrum_of_states
from eels_bayes.data.single_fingerprint import Fingerprint

if TYPE_CHECKING:
    from ase import Atoms

PROGRAM, LOG = "site_by_gpaw.py", "gpaw.log"
VACUUM = 5.0  # angstrom, on either side where a structure is not periodic
# Version, and what tells one collection of setups from another. Setups are found as GPAW does.
PROBE = """
import json, os, gpaw, gpaw.xas, gpaw.atom.generator
files = {name: os.path.getsize(os.path.join(place, name))
         for place in reversed(gpaw.setup_paths) if os.path.isdir(place)
         for name in os.listdir(place)}
print(json.dumps([gpaw.__version__, sorted(files.items())]))
"""


@dataclass(frozen=True)
class Gpaw:
    """GPAW's unoccupied states in the potential of a core hole, and their dipole strengths.

    Spectra are K edges, cross-sections of one atom in square angstrom, not broadened. The cell is
    taken as it is: repeat a small one, or its core holes are neighbours. The hole's charge is
    balanced by a uniform one. Spins are paired unless the structure has magnetic moments.

    Energies are losses: the lowest empty state lies at the difference of two total energies, with
    the excited electron there and without a hole. The others follow by their eigenvalues.

    Parameters
    ----------
    hole
        Electrons that the 1s shell lacks: 1 (the final state's potential), or 0.5 (Slater's
        transition state).
    cutoff
        Of the plane waves, eV.
    k_density
        Points along a reciprocal vector, by its length: angstrom.
    above
        How far above the lowest empty state the states go, eV; what bounds the time.
    xc
        Functional, as GPAW names it.
    onset
        Energy loss of the lowest empty state, eV; saves the two further calculations that tell it.
    python
        The interpreter that has GPAW; by default this one, or the first ``python3`` of the path
        that can import it.
    seconds
        After which a site has failed.
    """

    hole: float = 1.0
    cutoff: float = 340.0
    k_density: float = 2.5
    above: float = 40.0
    xc: str = "PBE"
    onset: float | None = None
    python: str | None = None
    seconds: float = 86400.0

    broadens = False  # no field, no annotation

    def __post_init__(self) -> None:
        if self.hole not in (0.5, 1.0):
            raise ValueError(f"hole is {self.hole!r}; give 1 or 0.5")
        validation.positive("cutoff", self.cutoff, "eV")
        validation.positive("k_density", self.k_density, "angstrom")
        validation.positive("above", self.above, "eV")
        validation.positive("seconds", self.seconds, "s")
        if self.onset is not None:
            validation.positive("onset", self.onset, "eV")

    @property
    def name(self) -> str:
        return "gpaw"

    def settings(self) -> Mapping[str, object]:
        """What its results depend on; of GPAW its version and its setups' names and sizes.

        Raises
        ------
        ImportError
            No interpreter has GPAW, or the one that was given has not.
        """
        known = asdict(self)
        del known["seconds"], known["python"]
        known["gpaw"], known["setups"] = _with_gpaw(self.python)[1:]
        program = Path(gpaw_program.__file__).read_bytes()
        return known | {"program": hashlib.sha256(program).hexdigest()}

    def write(self, folder: Path, atoms: Atoms, index: int, edge: str) -> None:
        """``site.json``, and the script that reads it.

        Raises
        ------
        ValueError
            The edge is not a K edge, or 1s is a valence shell.
        """
        if edge != "K":
            raise ValueError(f"edge is {edge}; GPAW's core holes are in 1s, for K edges")
        if atoms.numbers[index] < 3:
            raise ValueError(f"{atoms.symbols[index]} has no core; its 1s states are valence")
        placed = atoms.copy()
        for axis in np.flatnonzero(~np.asarray(atoms.pbc)):
            placed.center(vacuum=VACUUM, axis=int(axis))
        lengths = np.linalg.norm(2 * np.pi * placed.cell.reciprocal(), axis=1)
        points = np.ceil(self.k_density * lengths - 1e-6).astype(int)
        given = {
            "numbers": atoms.numbers.tolist(),
            "positions": placed.positions.tolist(),
            "cell": placed.cell.array.tolist(),
            "magmoms": atoms.get_initial_magnetic_moments().tolist(),
            "index": index,
            "symbol": atoms.symbols[index],
            "k_points": np.where(atoms.pbc, points, 1).tolist(),
            "hole": self.hole,
            "cutoff": self.cutoff,
            "above": self.above,
            "xc": self.xc,
            "onset": self.onset,
        }
        (folder / gpaw_program.INPUT).write_text(json.dumps(given))
        shutil.copyfile(gpaw_program.__file__, folder / PROGRAM)

    def run(self, folder: Path) -> None:
        """The script, in the interpreter that has GPAW."""
        try:
            python = _with_gpaw(self.python)[0]
        except ImportError as error:
            raise EngineFailed(str(error)) from None
        run_logged([python, PROGRAM], folder, LOG, self.seconds)

    def read(self, folder: Path) -> Fingerprint:
        """The states of ``states.json`` on an even axis, each shared by the channels beside it."""
        file = folder / gpaw_program.OUTPUT
        if not file.exists():
            raise ValueError(f"it wrote no {file.name}; its last words: {last_words(folder / LOG)}")
        return spectrum_of_states(file, self.above)


@functools.lru_cache
def _with_gpaw(python: str | None) -> tuple[str, str, str]:
    """An interpreter that can import GPAW, GPAW's version, and a digest of its setups."""
    if python is None:
        found = [shutil.which("python3", path=one) for one in os.get_exec_path()]
        tried = list(dict.fromkeys([sys.executable, *filter(None, found)]))
    else:  # it is run in another folder
        tried = [os.path.abspath(shutil.which(python) or python)]
    for one in tried:
        try:
            asked = subprocess.run([one, "-c", PROBE], capture_output=True, text=True, check=True)
            version, setups = json.loads(asked.stdout.splitlines()[-1])
        except (OSError, subprocess.CalledProcessError, TypeError, ValueError, IndexError):
            continue
        return one, version, hashlib.sha256(json.dumps(setups).encode()).hexdigest()
    raise ImportError(
        f"no GPAW in {', '.join(tried)}: the engine Gpaw needs an interpreter that imports it; "
        "install GPAW (Debian has the package gpaw), or give python"
    )
