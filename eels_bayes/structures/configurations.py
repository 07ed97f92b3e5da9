"""The symmetry-distinct ways to put species on the sites of a slab or a crystal."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Ints
from eels_bayes.optional_packages import needed
from eels_bayes.structures.colourings import MOST, all_colourings, distinct, n_colourings
from eels_bayes.structures.symmetry import site_permutations

if TYPE_CHECKING:
    from ase import Atoms

VACANCY = "vacancy"  # a species like others, which leaves no atom
TOLERANCE = 1e-3  # angstrom, which positions written with four decimals keep
MULTIPLICITY, CONFIGURATIONS = "multiplicity", "configurations"  # in `info`


def terminations(
    slab: Atoms,
    sites: str | Sequence[int],
    species: Mapping[str, int],
    *,
    supercell: Sequence[int] = (1, 1),
    tolerance: float = TOLERANCE,
) -> list[Atoms]:
    """The symmetry-distinct ways to put species on sites, each with its multiplicity.

    Every colouring of the sites is enumerated, and those that one of spglib's operations of the
    supercell carries into one another are counted as one. What stands on the sites at first does
    not matter, so that a slab with any termination will do, and so will a bulk crystal.

    Parameters
    ----------
    slab
        One cell of the structure.
    sites
        Its atoms that may be exchanged: their indices, or the symbol of all of them.
    species
        How many sites of the supercell each species takes: ``{"O": 6, "F": 2}``. "vacancy" is a
        species that leaves no atom.
    supercell
        How often the cell is repeated along its first two vectors, or along all three.
    tolerance
        By how much atoms may miss their symmetric places, angstrom.

    Returns
    -------
    list of ase.Atoms
        Their ``info`` holds ``multiplicity``, and ``configurations``: what all multiplicities add
        up to.

    Raises
    ------
    ValueError
        Species do not fill the sites, a name is no element, there are more than two million ways,
        or the structure has no volume.
    ImportError
        Without ASE and spglib.

    Examples
    --------
    >>> import eels_bayes as eb
    >>> slab = eb.structures.cr2tic2()
    >>> ways = eb.structures.terminations(slab, "O", {"O": 6, "F": 2}, supercell=(2, 2))
    >>> eb.structures.multiplicities(ways)
    [4, 12, 12]
    """
    species = _counts(species)
    repeated, where = _supercell(slab, sites, supercell)
    if sum(species.values()) != len(where):
        raise ValueError(
            f"species fill {sum(species.values())} sites, but the supercell has {len(where)}; "
            f'give them all, "{VACANCY}" included'
        )
    total = n_colourings(tuple(species.values()))
    if total > MOST:
        raise ValueError(
            f"species can stand on the sites in {total:,} ways, more than the {MOST:,} that can be "
            "enumerated; give a smaller supercell"
        )
    permutations = site_permutations(repeated, where, tolerance)
    rows, sizes = distinct(all_colourings(tuple(species.values())), permutations)
    names = list(species)
    return [
        labelled(occupied(repeated, where, [names[k] for k in row]), int(size), total)
        for row, size in zip(rows, sizes, strict=True)
    ]


def multiplicities(structures: Iterable[Atoms]) -> list[int]:
    """How many configurations each structure stands for.

    Parameters
    ----------
    structures
        As `terminations` or a point defect gives them; what states no multiplicity counts once.
    """
    return [int(one.info.get(MULTIPLICITY, 1)) for one in structures]


def labelled(atoms: Atoms, multiplicity: int, total: int) -> Atoms:
    """The same structure, which says in `info` how many it stands for, and of how many."""
    atoms.info |= {MULTIPLICITY: multiplicity, CONFIGURATIONS: total}
    return atoms


def occupied(atoms: Atoms, sites: Ints, species: Sequence[str]) -> Atoms:
    """A copy with these species, one a site; vacancies are taken out."""
    symbols = np.array(atoms.get_chemical_symbols(), dtype=object)
    symbols[sites] = species
    kept = symbols != VACANCY
    copy = atoms[kept]
    copy.set_chemical_symbols(symbols[kept].tolist())
    return copy


def site_indices(atoms: Atoms, sites: str | Sequence[int]) -> Ints:
    """Indices of atoms, from indices or a symbol; ValueError where there are none."""
    if isinstance(sites, str):
        found = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == sites)
        if not len(found):
            present = ", ".join(dict.fromkeys(atoms.get_chemical_symbols()))
            raise ValueError(f"sites is {sites!r}, but the structure holds {present or 'no atoms'}")
        return found
    given = np.asarray(sites)
    if given.ndim != 1 or not len(given) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"sites is {sites!r}; give indices of atoms, or a symbol such as 'O'")
    if given.min() < 0 or given.max() >= len(atoms) or len(np.unique(given)) < len(given):
        raise ValueError(
            f"sites are {given.tolist()}; give each once, 0 to {len(atoms) - 1} for this structure"
        )
    return given.astype(np.int64)


def check_atoms(name: str, atoms: object) -> None:
    """TypeError where something is no ``ase.Atoms``, such as a file's name."""
    if not isinstance(atoms, needed("ase", "structures", "a structure").Atoms):
        raise TypeError(f"{name} is a {type(atoms).__name__}; give ase.Atoms")


def check_element(name: str, symbol: object) -> str:
    """The symbol; ValueError where no element has it."""
    numbers = needed("ase.data", "structures", "a structure").atomic_numbers
    if not isinstance(symbol, str) or not numbers.get(symbol):  # X, of number 0, is none
        raise ValueError(f"{name} is {symbol!r}; give a symbol of an element, such as 'O'")
    return symbol


def repeats(supercell: Sequence[int]) -> tuple[int, int, int]:
    """Repetitions along three vectors, from two or three whole numbers."""
    try:
        given = [operator.index(n) for n in supercell]
    except TypeError:
        given = []
    if len(given) not in (2, 3) or min(given) < 1:
        raise ValueError(f"supercell is {supercell!r}; give whole numbers, such as (2, 2)")
    first, second, third = (*given, 1)[:3]
    return first, second, third


def _supercell(
    slab: Atoms, sites: str | Sequence[int], supercell: Sequence[int]
) -> tuple[Atoms, Ints]:
    """The repeated structure, and the indices of its sites."""
    check_atoms("slab", slab)
    where, times = site_indices(slab, sites), repeats(supercell)
    repeated = slab.repeat(times)
    repeated.info.clear()  # a multiplicity of the cell is none of the supercell
    copies = np.arange(np.prod(times))[:, None] * len(slab)
    return repeated, (copies + where).ravel()


def _counts(species: Any) -> dict[str, int]:
    """Numbers of sites by species, without those that take none."""
    if not isinstance(species, Mapping) or not species:
        raise ValueError(
            f"species is {species!r}; give numbers of sites, such as {{'O': 6, 'F': 2}}"
        )
    for symbol in species:
        if symbol != VACANCY:
            check_element("a species", symbol)
    counts = {name: validation.whole(f"species[{name!r}]", n, 0) for name, n in species.items()}
    return {name: n for name, n in counts.items() if n}
