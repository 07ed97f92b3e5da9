"""What lies around absorbers, and the edges that structures are guessed to have by it.

Alike surroundings have alike edges: a Gaussian process over what lies around the absorbers (species
and distances, means over an ensemble) guesses the edge of a structure from those of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eels_bayes.ab_initio.cluster import around
from eels_bayes.arrays import Floats
from eels_bayes.structures.configurations import multiplicities

if TYPE_CHECKING:
    from ase import Atoms

RADIUS = 5.0  # angstrom around an absorber that its edge depends on: beyond, little is scattered
STEP, WIDTH = 0.2, 0.25  # angstrom: of the distances that are told apart; chosen, not tuned
DISTANCES = np.arange(STEP, RADIUS, STEP)  # angstrom
NEAR = 0.5  # of the median distance of surroundings: within, edges are alike; chosen, not tuned
NOISE = 0.03  # variance of a known edge, of what edges differ by: it fits no experiment exactly


class Surroundings(NamedTuple):
    """Of the absorbers in an ensemble.

    Attributes
    ----------
    absorbers : float
        For each atom of the counted element.
    density : dict of int to (R,) array
        What lies around one at `DISTANCES`, by atomic number; empty without absorbers.
    """

    absorbers: float
    density: dict[int, Floats]


class Guess(NamedTuple):
    """Edges of C classes before they are simulated.

    Attributes
    ----------
    edge : (C, N) array
        In the unit of the known ones.
    doubt : (C,) array
        What is not known of the deviation from the mean, 0 to 1: its sd over that beforehand.
    """

    edge: Floats
    doubt: Floats


def surroundings(structures: Sequence[Atoms], absorber: str, per: str) -> Surroundings:
    """Means over an ensemble by multiplicity.

    A neighbour at a distance r weighs as 1 / r^2, as the wave that it scatters back does.

    Raises
    ------
    ValueError
        A structure does not hold the counted element.
    """
    share = np.array(multiplicities(structures), dtype=float)
    density: dict[int, Floats] = {}
    absorbers, seen = 0.0, 0.0
    for one, weight in zip(structures, share / share.sum(), strict=True):
        symbols = one.get_chemical_symbols()
        if per not in symbols:
            raise ValueError(f"per is {per!r}, which a structure ({one.symbols}) does not hold")
        absorbers += weight * symbols.count(absorber) / symbols.count(per)
        for index in np.flatnonzero(np.array(symbols) == absorber):
            near = around(one, int(index), RADIUS)
            seen += weight
            for z, r in zip(near.numbers[1:].tolist(), near.distances[1:], strict=True):
                line = weight / r**2 * np.exp(-0.5 * ((DISTANCES - r) / WIDTH) ** 2)
                density[z] = density[z] + line if z in density else line
    return Surroundings(float(absorbers), {z: line / seen for z, line in density.items()})


def guessed(places: Sequence[Surroundings], known: Mapping[int, Floats]) -> Guess:
    """The edges of all classes, from those of some.

    Per absorber, an edge is the mean of the known ones and a Gaussian process of unit variance,
    whose squared exponential kernel has half the median distance of surroundings for its length.

    Parameters
    ----------
    places
        Of C classes.
    known
        Edges (N,) of classes by their number; those without absorbers say nothing.

    Raises
    ------
    ValueError
        None of the known ones has absorbers.
    """
    count = np.array([one.absorbers for one in places])
    seen = [k for k in known if count[k] > 0]
    if not seen:
        raise ValueError(
            "none of the library's classes is a candidate that holds the absorber: give the "
            "structures of those that are simulated as candidates of their names"
        )
    kinds = sorted({z for one in places for z in one.density})
    nothing = np.zeros(len(DISTANCES))
    where = np.array([[one.density.get(z, nothing) for z in kinds] for one in places])
    where = where.reshape(len(places), -1)
    apart = np.sqrt(((where[:, None] - where[None]) ** 2).sum(-1))
    some = apart[np.ix_(count > 0, count > 0)]
    length = NEAR * float(np.median(some[some > 0])) if (some > 0).any() else 1.0
    alike = np.exp(-0.5 * (apart / length) ** 2)
    edges = np.array([known[k] / count[k] for k in seen])
    mean = edges.mean(0)
    covariance = alike[np.ix_(seen, seen)] + NOISE * np.eye(len(seen))
    weight = np.linalg.solve(covariance, alike[seen]).T
    doubt = np.sqrt(np.clip(1.0 - (weight * alike[:, seen]).sum(1), 0.0, 1.0))
    return Guess(count[:, None] * (mean + weight @ (edges - mean)), doubt)
