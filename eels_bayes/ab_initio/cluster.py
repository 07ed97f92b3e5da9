"""The atoms around an absorber, periodic images included, as codes of real space take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eels_bayes.arrays import Floats, Ints

if TYPE_CHECKING:
    from ase import Atoms


class Cluster(NamedTuple):
    """Atoms around an absorber, which comes first, by distance.

    Attributes
    ----------
    numbers : (n,) array of int
        Atomic numbers.
    positions : (n, 3) array
        Relative to the absorber, angstrom.
    distances : (n,) array
        From the absorber, angstrom.
    """

    numbers: Ints
    positions: Floats
    distances: Floats


def around(atoms: Atoms, index: int, radius: float) -> Cluster:
    """All atoms and images within a radius of one atom.

    Raises
    ------
    ValueError
        There are none, or one lies on the absorber.
    """
    cell, periodic = np.asarray(atoms.cell), np.asarray(atoms.pbc)
    reach = [0, 0, 0]
    if periodic.any():
        full = np.asarray(atoms.cell.complete())
        inverse = np.linalg.norm(np.linalg.inv(full), axis=0)  # 1 / distance of lattice planes
        spread = np.ptp(atoms.get_scaled_positions(wrap=False), axis=0)
        reach = [
            int(np.ceil(radius * inverse[k] + spread[k])) if periodic[k] else 0 for k in range(3)
        ]
    shifts = np.array(list(np.ndindex(*(2 * n + 1 for n in reach)))) - reach
    places = (atoms.positions[None] + (shifts @ cell)[:, None]).reshape(-1, 3)
    relative = places - atoms.positions[index]
    distance = np.linalg.norm(relative, axis=1)
    near = np.flatnonzero(distance <= radius)
    near = near[np.argsort(np.round(distance[near], 6), kind="stable")]
    numbers = np.tile(atoms.numbers, len(shifts))[near]
    if len(near) < 2:
        raise ValueError(f"no atom lies within {radius:g} angstrom of atom {index}; give more")
    if distance[near[1]] < 0.3:
        raise ValueError(f"an atom lies {distance[near[1]]:.2f} angstrom from atom {index}")
    return Cluster(numbers.astype(np.int64), relative[near], distance[near])
