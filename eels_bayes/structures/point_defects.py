"""Point defects of a structure, one of each kind that symmetry tells apart; and shifted layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Ints
from eels_bayes.optional_packages import needed
from eels_bayes.structures.configurations import (
    TOLERANCE,
    VACANCY,
    check_atoms,
    check_element,
    labelled,
    occupied,
    repeats,
    site_indices,
)
from eels_bayes.structures.symmetry import atom_permutations

if TYPE_CHECKING:
    from ase import Atoms

NEAREST = 0.6  # of the sum of two covalent radii: what is nearer is an error, not a defect; chosen


def vacancies(
    atoms: Atoms,
    sites: str | Sequence[int],
    *,
    supercell: Sequence[int] = (1, 1),
    tolerance: float = TOLERANCE,
) -> list[Atoms]:
    """The structure without one atom, for each symmetry-distinct atom of some.

    Parameters
    ----------
    atoms
        The structure.
    sites
        Atoms that may be missing: their indices, or the symbol of all of them.
    supercell
        How often the structure is repeated first, along two vectors or three.
    tolerance
        By how much atoms may miss their symmetric places, angstrom.

    Returns
    -------
    list of ase.Atoms
        With ``multiplicity`` (how many atoms are alike) and ``configurations`` (how many there are
        at all) in their ``info``.

    Raises
    ------
    ValueError
        There are no such atoms, or the structure has no volume.
    ImportError
        Without ASE and spglib.
    """
    return _single(atoms, sites, VACANCY, supercell, tolerance)


def substitutions(
    atoms: Atoms,
    sites: str | Sequence[int],
    species: str,
    *,
    supercell: Sequence[int] = (1, 1),
    tolerance: float = TOLERANCE,
) -> list[Atoms]:
    """The structure with one atom replaced, for each symmetry-distinct atom of some.

    Parameters
    ----------
    atoms
        The structure.
    sites
        Atoms that may be replaced: their indices, or the symbol of all of them.
    species
        Symbol of what stands there instead.
    supercell, tolerance
        As in `vacancies`.

    Returns
    -------
    list of ase.Atoms
        As of `vacancies`.

    Raises
    ------
    ValueError
        There are no such atoms, the species is no element, or stands there already.
    ImportError
        Without ASE and spglib.
    """
    check_atoms("atoms", atoms)
    check_element("species", species)
    _, (where,) = _repeated(atoms, [sites], (1, 1))
    if held := [int(k) for k in where if atoms.symbols[k] == species]:
        raise ValueError(f"species is {species!r}, which the atoms {held} are already")
    return _single(atoms, sites, species, supercell, tolerance)


def antisites(
    atoms: Atoms,
    first: str | Sequence[int],
    second: str | Sequence[int],
    *,
    within: float = np.inf,
    supercell: Sequence[int] = (1, 1),
    tolerance: float = TOLERANCE,
) -> list[Atoms]:
    """The structure with one atom of each of two kinds exchanged, for each distinct pair.

    Parameters
    ----------
    atoms
        The structure.
    first, second
        Atoms that change places: indices, or symbols, such as "Cr" and "Ti".
    within
        Largest distance of the two, angstrom; by default any.
    supercell, tolerance
        As in `vacancies`.

    Returns
    -------
    list of ase.Atoms
        As of `vacancies`, by distance of the pair; ``info["apart"]`` holds it, angstrom.

    Raises
    ------
    ValueError
        There are no such atoms, an atom or an element is of both kinds, or no pair lies within the
        distance.
    ImportError
        Without ASE and spglib.
    """
    large, (ones, others) = _repeated(atoms, [first, second], supercell)
    if common := set(ones.tolist()) & set(others.tolist()):
        raise ValueError(f"first and second both hold the atoms {sorted(common)}; give two kinds")
    if alike_ones := set(large.symbols[ones]) & set(large.symbols[others]):
        raise ValueError(f"first and second both hold {sorted(alike_ones)}; give two elements")
    moves = atom_permutations(large, tolerance)
    apart = large.get_all_distances(mic=True)
    pairs = [(i, j) for i in ones for j in others if apart[i, j] <= within]
    if not pairs:
        raise ValueError(f"no pair of first and second lies within {within:g} angstrom")
    alike: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, j in pairs:
        standard = min(zip(moves[:, i].tolist(), moves[:, j].tolist(), strict=True))
        alike.setdefault(standard, []).append((i, j))
    found = []
    for orbit in sorted(alike.values(), key=lambda orbit: round(apart[orbit[0]], 6)):
        i, j = orbit[0]
        one = large.copy()
        one.numbers[[i, j]] = one.numbers[[j, i]]
        one.info["apart"] = float(apart[i, j])
        found.append(labelled(one, len(orbit), len(pairs)))
    return found


def shifted_layer(
    atoms: Atoms, layer: str | Sequence[int], shift: Sequence[float], *, rise: float = 0.0
) -> Atoms:
    """The structure with some atoms displaced together, such as terminations on other hollows.

    Parameters
    ----------
    atoms
        The structure.
    layer
        The atoms: indices, or the symbol of all of them.
    shift
        In fractions of the first two cell vectors: ``(1/3, 2/3)`` leads from one hollow of a
        hexagonal layer to another.
    rise
        Along the third cell vector besides, angstrom; may be negative.

    Returns
    -------
    ase.Atoms

    Raises
    ------
    ValueError
        There are no such atoms, or a shifted one comes within 0.6 of the sum of the covalent radii
        of another.
    ImportError
        Without ASE.
    """
    check_atoms("atoms", atoms)
    radii = needed("ase.data", "structures", "a structure").covalent_radii
    where = site_indices(atoms, layer)
    given, height = validation.numbers("shift", shift), validation.numbers("rise", rise)
    if given.shape != (2,) or not np.isfinite(given).all():
        raise ValueError(f"shift is {shift!r}; give two fractions of the cell, such as (1/3, 2/3)")
    if height.ndim or not np.isfinite(height):
        raise ValueError(f"rise is {rise!r}; give a height in angstrom")
    moved = atoms.copy()
    up = moved.cell.complete()[2]  # of a layer without a third vector, its normal
    moved.positions[where] += given @ np.asarray(moved.cell)[:2] + height * up / np.linalg.norm(up)
    touch = radii[moved.numbers][:, None] + radii[moved.numbers][None]
    ratio = moved.get_all_distances(mic=True) / touch
    np.fill_diagonal(ratio, np.inf)
    still = np.setdiff1d(np.arange(len(moved)), where)
    if len(still) and ratio[np.ix_(where, still)].min() < NEAREST:
        i, j = np.unravel_index(ratio[np.ix_(where, still)].argmin(), (len(where), len(still)))
        one, other = int(where[i]), int(still[j])
        raise ValueError(
            f"shifted, atom {one} ({moved.symbols[one]}) comes within "
            f"{moved.get_distance(one, other, mic=True):.2f} angstrom of atom {other} "
            f"({moved.symbols[other]}); give another shift, or a rise"
        )
    return moved


def _single(
    atoms: Atoms,
    sites: str | Sequence[int],
    species: str,
    supercell: Sequence[int],
    tolerance: float,
) -> list[Atoms]:
    """One structure for each orbit of the sites, with that species on one of them."""
    large, (where,) = _repeated(atoms, [sites], supercell)
    moves = atom_permutations(large, tolerance)
    allowed = set(where.tolist())
    found = []
    while allowed:
        site = min(allowed)
        orbit = allowed & set(moves[:, site].tolist())
        allowed -= orbit
        one = occupied(large, np.array([site]), [species])
        found.append(labelled(one, len(orbit), len(where)))
    return found


def _repeated(
    atoms: Atoms, groups: Sequence[str | Sequence[int]], supercell: Sequence[int]
) -> tuple[Atoms, list[Ints]]:
    """The repeated structure, and each group's indices in it."""
    check_atoms("atoms", atoms)
    times = repeats(supercell)
    large = atoms.repeat(times)
    large.info.clear()
    copies = np.arange(np.prod(times))[:, None] * len(atoms)
    return large, [(copies + site_indices(atoms, group)).ravel() for group in groups]
