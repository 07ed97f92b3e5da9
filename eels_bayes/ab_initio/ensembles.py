"""The structures of a class as an ensemble: whether it is complete, and what each counts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eels_bayes import validation
from eels_bayes.ab_initio.kept_results import described
from eels_bayes.arrays import Floats
from eels_bayes.structures.configurations import CONFIGURATIONS, multiplicities

if TYPE_CHECKING:
    from ase import Atoms

ENERGY = "energy"  # in the `info` of a structure, eV
BOLTZMANN = 8.617333262e-5  # eV/K, CODATA 2018


def check_complete(name: str, structures: Sequence[Atoms]) -> None:
    """Refuse an ensemble that lacks some of its configurations.

    One of six configurations left out was seen to move two thirds of the weight.

    Raises
    ------
    ValueError
        Multiplicities do not add up to the number of configurations that the structures state,
        compositions differ, or a structure is there twice.
    """
    if not len(structures):
        raise ValueError(f"structures of {name!r} are none; give at least one")
    compositions = {str(one.symbols.formula.reduce()[0]) for one in structures}
    if len(compositions) > 1:
        raise ValueError(
            f"structures of {name!r} have the compositions {', '.join(sorted(compositions))}; "
            "give a class for each"
        )
    known: list[object] = []
    for k, one in enumerate(structures):
        if (text := described(one)) in known:
            raise ValueError(
                f"structures {known.index(text)} and {k} of {name!r} are the same; give each once, "
                "and how often it counts as info['multiplicity']"
            )
        known.append(text)
    stated = {one.info[CONFIGURATIONS] for one in structures if CONFIGURATIONS in one.info}
    if not stated:
        return
    counted = sum(multiplicities(structures))
    if stated != {counted}:
        wanted = ", ".join(str(one) for one in sorted(stated))
        raise ValueError(
            f"the ensemble of {name!r} is incomplete: its structures stand for {counted} of "
            f"{wanted} configurations; give all that `terminations` gave"
        )


def stated_energies(name: str, group: Sequence[Atoms]) -> Sequence[float] | None:
    """The energies that all structures of a class state, eV, or None.

    Raises
    ------
    ValueError
        Some state one and others do not.
    """
    found = [_energy(one) for one in group]
    known = [one for one in found if one is not None]
    if known and len(known) < len(found):
        raise ValueError(
            f"{len(known)} of {len(found)} structures of {name!r} have energies; give all, or none"
        )
    return known or None


def _energy(atoms: Atoms) -> float | None:
    """What a structure states in `info`, or as the result of a calculator, without working it out.

    ASE's readers put the energy of a file there.
    """
    if ENERGY in atoms.info:
        return float(atoms.info[ENERGY])
    if not hasattr(atoms.calc, "get_property"):
        return None
    with contextlib.suppress(NotImplementedError):
        value = atoms.calc.get_property(ENERGY, atoms, allow_calculation=False)
        return None if value is None else float(value)
    return None


def weights(
    name: str,
    structures: Sequence[Atoms],
    energies: Sequence[float] | None,
    temperature: float | None,
) -> Floats:
    """What each structure counts: its multiplicity times its Boltzmann factor; they sum to one.

    Parameters
    ----------
    name
        Of the class, for errors.
    structures
        n of one composition.
    energies
        Of each, eV a structure, or None where they are not known.
    temperature
        K; None counts multiplicities alone, as at any temperature that is high enough.

    Returns
    -------
    ndarray
        Shape (n,).

    Raises
    ------
    ValueError
        A temperature without energies, energies without a temperature, or one that is no number.
    """
    counts = np.array(multiplicities(structures), dtype=np.float64)
    if len(structures) == 1:
        return np.ones(1)
    if temperature is None:
        if energies is not None:
            raise ValueError(
                "temperature is missing: the energies of structures weigh them at one only; give "
                "that at which the sample took its order, K, or numpy.inf"
            )
        return counts / counts.sum()
    if energies is None:
        raise ValueError(
            f"temperature is given, but the structures of {name!r} have no energies; give relax, "
            "or info['energy'] of each in eV"
        )
    if temperature == np.inf:
        return counts / counts.sum()
    kelvin = validation.positive("temperature", temperature, "K")
    atoms = {len(one) for one in structures}
    if len(atoms) > 1:
        raise ValueError(
            f"structures of {name!r} have {sorted(atoms)} atoms; energies compare in one supercell"
        )
    if not np.isfinite(energies).all():
        raise ValueError(f"energies of {name!r} are {list(energies)}; give finite ones, eV")
    above = np.asarray(energies) - np.min(energies)
    with np.errstate(over="ignore"):  # near 0 K what lies above is infinitely far
        factors = counts * np.exp(-(above / BOLTZMANN) / kelvin)
    share: Floats = factors / factors.sum()
    return share
