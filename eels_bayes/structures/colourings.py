"""Ways to put species on sites, and which of them symmetry makes alike.

A colouring gives each of S sites a species 0..C-1. Two are alike where a permutation of the group
carries one into the other; the number of those alike is a multiplicity, and multiplicities add up
to the number of all colourings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from eels_bayes.arrays import Ints

EXACT = 2**53  # whole numbers below are exact in double precision, in which products are fastest
MOST = 2_000_000  # colourings: some ten seconds with 18 sites; more is no ensemble to simulate
CHUNK = 1 << 22  # entries of one product, some 32 MB


def n_colourings(counts: Sequence[int]) -> int:
    """How many colourings there are with so many sites of each species: a multinomial."""
    left, product = sum(counts), 1
    for count in counts:
        product *= math.comb(left, count)
        left -= count
    return product


def all_colourings(counts: Sequence[int]) -> Ints:
    """Every colouring with so many sites of each species, shape (n, S), in lexicographic order.

    Parameters
    ----------
    counts
        Number of sites of species 0..C-1; their sum is S.
    """
    sites = sum(counts)
    rows = np.full((1, sites), -1, dtype=np.int64)
    for species, count in enumerate(counts[:-1]):
        if not count:
            continue
        free = np.nonzero(rows < 0)[1].reshape(len(rows), -1)
        picks = np.array(list(combinations(range(free.shape[1]), count)), dtype=np.int64)
        rows = np.repeat(rows, len(picks), axis=0)
        where = free[:, picks].reshape(len(rows), count)
        np.put_along_axis(rows, where, species, axis=1)
    rows[rows < 0] = len(counts) - 1
    return rows[np.lexsort(rows.T[::-1])]


def distinct(colourings: Ints, permutations: Ints) -> tuple[Ints, Ints]:
    """One colouring of each orbit, and the orbits' sizes.

    Each colouring is read as a number, its first site the highest digit, and stands for the orbit
    where no permutation of it reads lower.

    Parameters
    ----------
    colourings
        All of them, shape (n, S).
    permutations
        A group, shape (G, S): site i is carried to site permutations[g, i].

    Returns
    -------
    representatives
        Shape (m, S), in the order of `colourings`.
    sizes
        Shape (m,); they add up to n.
    """
    n, n_sites = colourings.shape
    base = int(colourings.max(initial=0)) + 1
    digits = max(1, int(math.log(EXACT, base))) if base > 1 else n_sites
    words = [slice(start, start + digits) for start in range(0, n_sites, digits)]
    # the site that site i is carried to has the weight of its place: colour @ weight[permutation]
    weights = []
    for word in words:
        weight = np.zeros(n_sites)
        length = len(range(*word.indices(n_sites)))
        weight[word] = float(base) ** np.arange(length - 1, -1, -1)
        weights.append(weight[permutations].T)
    lowest = np.empty((n, len(words)))
    step = max(1, CHUNK // len(permutations))
    for start in range(0, n, step):
        rows = colourings[start : start + step].astype(np.float64)
        ruled_out = np.zeros((len(rows), len(permutations)), dtype=bool)
        for k, weight in enumerate(weights):
            numbers = np.where(ruled_out, np.inf, rows @ weight)
            lowest[start : start + step, k] = numbers.min(axis=1)
            ruled_out |= numbers > lowest[start : start + step, k, None]
    _, first, sizes = np.unique(lowest, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    return colourings[first[order]], sizes[order]
