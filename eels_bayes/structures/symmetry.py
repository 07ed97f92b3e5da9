"""What the symmetry of a structure does to some of its sites, by spglib."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Floats, Ints
from eels_bayes.optional_packages import needed

if TYPE_CHECKING:
    from ase import Atoms

LEAST_VOLUME = 1e-6  # cubic angstrom: two cell vectors are parallel, or one is zero
PLACEHOLDER = 1000  # a kind that no element is: the sites are one kind, whatever stands on them


def site_permutations(atoms: Atoms, sites: Ints, tolerance: float) -> Ints:
    """Where each symmetry operation carries each site, whatever species stand on the sites.

    Parameters
    ----------
    atoms
        The whole structure; a slab needs a cell with vacuum.
    sites
        Indices of S atoms, all of which are taken for one species.
    tolerance
        By how much atoms may miss their images, angstrom.

    Returns
    -------
    ndarray
        Shape (G, S): site i is carried to site result[g, i]. A group, the identity among them.

    Raises
    ------
    ValueError
        The cell has no volume, or atoms lie on one another.
    ImportError
        Without spglib.
    """
    kinds = atoms.numbers.copy()
    kinds[sites] = PLACEHOLDER
    return _permutations(atoms, kinds, sites, tolerance)


def atom_permutations(atoms: Atoms, tolerance: float) -> Ints:
    """Where each symmetry operation carries each atom, shape (G, number of atoms).

    As `site_permutations`, but of the structure as it is.
    """
    return _permutations(atoms, atoms.numbers, np.arange(len(atoms)), tolerance)


def _permutations(atoms: Atoms, kinds: Ints, sites: Ints, tolerance: float) -> Ints:
    """Where each operation that keeps the kinds carries each site."""
    spglib = needed("spglib", "structures", "the symmetry of a structure")
    tolerance = validation.positive("tolerance", tolerance, "angstrom")
    cell = np.asarray(atoms.cell)
    if abs(np.linalg.det(cell)) < LEAST_VOLUME:
        raise ValueError(
            "the structure's cell has no volume; give three cell vectors, for a slab with vacuum"
        )
    places = atoms.get_scaled_positions(wrap=True)
    refused = "spglib finds no symmetry of the structure; do atoms lie on one another?"
    try:
        with warnings.catch_warnings():
            # of each call, well or not, until the process sets a switch of spglib's
            warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
            found = spglib.get_symmetry((cell, places, kinds.astype(np.intc)), symprec=tolerance)
    except spglib.SpglibError as error:
        raise ValueError(f"{refused} ({error})") from error
    if found is None:
        raise ValueError(refused)
    here = places[sites]
    ends = ~np.asarray(atoms.pbc)
    rows = []
    for turn, move in zip(found["rotations"], found["translations"], strict=True):
        carried, cells = _carried(here, here @ turn.T + move, cell, tolerance)
        # spglib repeats along all three vectors: what needs that where the structure ends is none
        if not turn[ends][:, ~ends].any() and not np.ptp(cells[:, ends], axis=0).any():
            rows.append(carried)
    return np.unique(rows, axis=0)


def _carried(here: Floats, there: Floats, cell: Floats, tolerance: float) -> tuple[Ints, Floats]:
    """Which of the places `here` (S, 3), in fractions of the cell, each of `there` lies on.

    And how many cells away, shape (S, 3).
    """
    apart = there[:, None] - here[None]
    cells = np.round(apart)
    distance = np.linalg.norm((apart - cells) @ cell, axis=-1)
    nearest = distance.argmin(axis=1)
    # spglib lets an atom miss by the tolerance, and rounds its translations besides
    if distance.min(axis=1).max() > 3 * tolerance or len(set(nearest)) < len(here):
        raise ValueError(
            f"sites are carried onto no site within the tolerance of {tolerance:g} angstrom; "
            "give atoms nearer to their symmetric places, or another tolerance"
        )
    return nearest, cells[np.arange(len(here)), nearest]
