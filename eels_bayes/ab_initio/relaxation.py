"""Relaxation of structures by any calculator of ASE, and their energies."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes import validation
from eels_bayes.ab_initio.engine import EngineFailed
from eels_bayes.ab_initio.kept_results import described, keep, kept, key_of
from eels_bayes.optional_packages import needed

if TYPE_CHECKING:
    from ase import Atoms


def chgnet() -> Any:
    """CHGNet's calculator on the processor; its weights come with the package."""
    dynamics = needed("chgnet.model.dynamics", "relax", "relaxation by CHGNet")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints each time that it is made
        return dynamics.CHGNetCalculator(use_device="cpu")


KNOWN = {"chgnet": chgnet}


def _name(made: Callable[[], Any]) -> str:
    """Module and name of a function or class; '' where it has none of its own."""
    name = getattr(made, "__qualname__", "")
    return "" if not name or "<" in name else f"{made.__module__}.{name}"


def _version(package: str) -> str:
    """A package of the extra with its version."""
    needed(package, "relax", "relaxation")
    return f"{package} {version(package)}"


@dataclass(frozen=True)
class Relaxation:
    """How structures are relaxed: positions in a cell that stays.

    Parameters
    ----------
    calculator
        "chgnet", or a function that makes a calculator of ASE, such as its class: work that goes
        to other processes makes its own.
    force
        Largest force at the end, eV per angstrom.
    steps
        After which a structure has failed.
    label
        What distinguishes this calculator's results from others', such as its model and version;
        by default the function's name, or CHGNet's version.

    Raises
    ------
    ValueError, TypeError
        A number is none, or a calculator without a name has no label.
    """

    calculator: str | Callable[[], Any] = "chgnet"
    force: float = 0.05
    steps: int = 300
    label: str = ""

    def __post_init__(self) -> None:
        validation.positive("force", self.force, "eV per angstrom")
        validation.whole("steps", self.steps)
        if isinstance(self.calculator, str):
            validation.choice("calculator", self.calculator, tuple(KNOWN))
        elif not callable(self.calculator):
            raise TypeError(
                f"calculator is a {type(self.calculator).__name__}; give 'chgnet' or a function "
                "that makes a calculator of ASE"
            )
        elif not self.label and not _name(self.calculator):
            raise ValueError(
                "label is missing: the calculator's function has no name; say what it is and which "
                "version, so that kept results are not taken for others'"
            )

    def settings(self) -> dict[str, object]:
        """What its results depend on."""
        made = self.calculator
        name = self.label or (_version(made) if isinstance(made, str) else _name(made))
        return {"calculator": name, "force": self.force, "steps": self.steps}

    def relaxed(self, atoms: Atoms) -> tuple[Atoms, float]:
        """The relaxed structure and its energy, eV.

        Raises
        ------
        EngineFailed
            Forces stay too large, or become no numbers.
        """
        optimize = needed("ase.optimize", "structures", "relaxation")
        make = KNOWN[self.calculator] if isinstance(self.calculator, str) else self.calculator
        moving = atoms.copy()
        moving.calc = make()
        done = optimize.BFGS(moving, logfile=None).run(fmax=self.force, steps=self.steps)
        energy = float(moving.get_potential_energy())
        largest = float(np.linalg.norm(moving.get_forces(), axis=1).max())
        if not done or not np.isfinite([energy, largest]).all():
            raise EngineFailed(
                f"not relaxed after {self.steps} steps: the largest force is {largest:.3g} eV per "
                "angstrom"
            )
        moving.calc = None
        return moving, energy


def relaxation_key(relaxation: Relaxation, atoms: Atoms) -> str:
    """The name of a structure's relaxation."""
    return key_of(relaxation=relaxation.settings(), structure=described(atoms))


def relax_one(relaxation: Relaxation, atoms: Atoms, folder: str, key: str) -> str:
    """Relax a structure unless its result is there; '' or what went wrong, in words."""
    try:
        if kept(Path(folder), key) is not None:
            return ""
        moved, energy = relaxation.relaxed(atoms)
        keep(Path(folder), key, {"positions": moved.positions.tolist(), "energy": energy})
    except Exception as error:  # a calculator's own, of any kind: it is reported with its words
        return f"{type(error).__name__}: {error}"
    return ""


def relaxed_as_kept(atoms: Atoms, folder: Path, key: str) -> tuple[Atoms, float]:
    """The structure with the positions of its kept result, and its energy, eV."""
    result = kept(folder, key)
    if result is None:
        raise EngineFailed("its result is not there, or damaged")
    moved = atoms.copy()
    moved.positions[:] = result["positions"]
    return moved, float(result["energy"])
