"""The structures of a class as an ensemble: whether it is complete, and what each counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.structures.configurations import CONFIGURATIONS, multiplicities

if TYPE_CHECKING:
    from ase import Atoms

BOLTZMANN = 8.617333262e-5  # eV/K, CODATA 2018


def check_complete(name: str, structures: Sequence[Atoms]) -> None:
    """Refuse an ensemble that lacks some of its configurations.

    One of six configurations left out was seen to move two thirds of the weight.

    Raises
    ------
    ValueError
        Multiplicities do not add up to the number of configurations that the structures state, or
        compositions differ.
    """
    if not len(structures):
        raise ValueError(f"structures of {name!r} are none; give at least one")
    compositions = {str(one.symbols.formula.reduce()[0]) for one in structures}
    if len(compositions) > 1:
        raise ValueError(
            f"structures of {name!r} have the compositions {', '.join(sorted(compositions))}; "
            "give a class for each"
        )
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
        A temperature without energies, or energies without a temperature.
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
    above = np.asarray(energies) - np.min(energies)
    factors = counts * np.exp(-above / (BOLTZMANN * kelvin))
    share: Floats = factors / factors.sum()
    return share
