"""What a simulation costs, before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eels_bayes import validation
from eels_bayes.ab_initio.site_runs import distinct_sites, element_and_shell
from eels_bayes.structures.configurations import check_atoms

if TYPE_CHECKING:
    from ase import Atoms


def simulation_cost(
    structures: Atoms | Sequence[Atoms],
    edge: str,
    *,
    site: float,
    relaxation: float = 0.0,
    growth: float = 0.0,
) -> float:
    """What the simulation of an ensemble costs.

    Parameters
    ----------
    structures
        Of one class.
    edge
        Element and shell, "F K".
    site
        Cost of a site, in any unit: seconds of a run, money, wrong pixels it may save.
    relaxation
        Cost of relaxing one structure.
    growth
        Both grow as this power of the number of atoms, relative to the first structure's: 0 for a
        code that takes a cluster of its own size (FEFF, FDMNES), up to 3 for plane waves.

    Returns
    -------
    float
        Sites that symmetry makes alike count once.

    Raises
    ------
    ValueError
        There is no structure, or a number is negative.
    TypeError
        A structure is none.
    """
    group = [structures] if hasattr(structures, "get_chemical_symbols") else list(structures)
    if not group:
        raise ValueError("structures are none; give at least one")
    for one in group:
        check_atoms("a structure", one)
    site = validation.not_negative("site", site)
    relaxation = validation.not_negative("relaxation", relaxation)
    growth = validation.not_negative("growth", growth)
    absorber, _ = element_and_shell(edge)
    sizes = [(len(one) / len(group[0])) ** growth for one in group]
    return float(
        sum(
            size * (site * len(distinct_sites(one, absorber)) + relaxation)
            for one, size in zip(group, sizes, strict=True)
        )
    )
