"""Configurations: their number by Burnside's count, their multiplicities by brute force."""

import math
from collections import Counter
from itertools import permutations, product

import ase.build
import ase.io
import numpy as np
import pytest
from ase.utils.structure_comparator import SymmetryEquivalenceCheck
from hypothesis import given, settings
from hypothesis import strategies as st

from eels_bayes import structures
from eels_bayes.structures.colourings import all_colourings, distinct, n_colourings
from eels_bayes.structures.configurations import VACANCY
from eels_bayes.structures.symmetry import site_permutations


def cycle_lengths(permutation):
    left, lengths = set(range(len(permutation))), []
    while left:
        start = site = left.pop()
        length = 1
        while (site := permutation[site]) != start:
            left.discard(site)
            length += 1
        lengths.append(length)
    return lengths


def fixed_colourings(lengths, counts):
    """How many colourings with these counts give every cycle one species."""
    ways = Counter({tuple(counts): 1})
    for length in lengths:
        step = Counter()
        for left, n in ways.items():
            for k, count in enumerate(left):
                if count >= length:
                    step[(*left[:k], count - length, *left[k + 1 :])] += n
        ways = step
    return ways[(0,) * len(counts)]


def burnside(group, counts):
    """The number of orbits: the mean number of colourings that an element of the group fixes."""
    total = sum(fixed_colourings(cycle_lengths(one.tolist()), counts) for one in group)
    assert total % len(group) == 0
    return total // len(group)


def geometric_group(atoms, sites):
    """The site permutations of every rigid motion that keeps the structure, found without spglib.

    Whole matrices that keep the cell's metric, with every translation from one atom to another.
    """
    cell, places = np.asarray(atoms.cell), atoms.get_scaled_positions()
    kinds = atoms.numbers.copy()
    kinds[sites] = 1000
    metric = cell @ cell.T
    whole = [np.array(v) - 1 for v in np.ndindex(3, 3, 3)]
    images = [[v for v in whole if abs(v @ metric @ v - metric[k, k]) < 1e-6] for k in range(3)]
    found = set()
    for columns in product(*images):
        turn = np.stack(columns, axis=1)
        # x' = turn x in fractions of the cell: lengths stay where turn' metric turn is the metric
        if np.abs(turn.T @ metric @ turn - metric).max() > 1e-6:
            continue
        anchor = np.flatnonzero(kinds == min(set(kinds), key=list(kinds).count))
        for target in anchor:
            image = places @ turn.T
            image += places[target] - image[anchor[0]]
            apart = image[:, None] - places[None]
            apart -= np.round(apart)
            near = (np.linalg.norm(apart @ cell, axis=-1) < 1e-3) & (kinds[:, None] == kinds)
            if near.any(axis=1).all():
                index = near.argmax(axis=1)[sites]
                order = {int(site): k for k, site in enumerate(sites)}
                found.add(tuple(order[int(i)] for i in index))
    return np.array(sorted(found))


SLAB = structures.cr2tic2()
ROCK_SALT = ase.build.bulk("MgO", "rocksalt", a=4.21, cubic=True)
CASES = {
    "slab 1x1": (SLAB, "O", (1, 1)),
    "slab 2x2": (SLAB, "O", (2, 2)),
    "slab 3x1": (SLAB, "O", (3, 1)),
    "rock salt": (ROCK_SALT, "O", (2, 1, 1)),
    "surface": (ase.build.fcc111("Al", (1, 1, 3), vacuum=8.0, periodic=True), [2], (3, 2)),
}


def sites_of(case):
    cell, sites, supercell = CASES[case]
    large = cell.repeat((*supercell, 1)[:3])
    one = [i for i, s in enumerate(cell.symbols) if s == sites] if sites == "O" else sites
    copies = len(large) // len(cell)
    return large, np.array([i + k * len(cell) for k in range(copies) for i in one])


@pytest.mark.parametrize("case", CASES)
def test_the_group_is_that_of_geometry(case):
    large, sites = sites_of(case)
    found = site_permutations(large, sites, 1e-3)
    assert {tuple(row) for row in found.tolist()} == {
        tuple(row) for row in geometric_group(large, sites).tolist()
    }


@pytest.mark.parametrize("case", CASES)
def test_the_number_is_burnsides_and_multiplicities_add_up(case):
    cell, sites, supercell = CASES[case]
    large, where = sites_of(case)
    group = geometric_group(large, where)
    for n in range(len(where) + 1):
        kinds = {"F": n, "Cl": (len(where) - n) // 2, VACANCY: (len(where) - n + 1) // 2}
        found = structures.terminations(cell, sites, kinds, supercell=supercell)
        counts = [count for count in kinds.values() if count]
        assert len(found) == burnside(group, counts)
        total = math.factorial(len(where)) // math.prod(math.factorial(c) for c in counts)
        assert sum(structures.multiplicities(found)) == total
        assert {one.info["configurations"] for one in found} == {total}


def test_fluorine_on_a_2x2_slab_of_cr2tic2():
    ways = [
        structures.multiplicities(
            structures.terminations(SLAB, "O", {"O": 8 - n, "F": n}, supercell=(2, 2))
        )
        for n in range(9)
    ]
    assert [len(one) for one in ways] == [1, 1, 3, 3, 6, 3, 3, 1, 1]
    assert [sum(one) for one in ways] == [math.comb(8, n) for n in range(9)]
    assert sorted(ways[4]) == sorted([6, 24, 24, 2, 8, 6])
    assert [sorted(one) for one in ways] == [sorted(one) for one in reversed(ways)]


def test_no_two_are_alike_and_none_is_missing():
    """ASE's comparison of structures, which knows nothing of groups, finds each way once."""
    kinds = {"O": 2, "F": 1, VACANCY: 1}
    found = structures.terminations(SLAB, "O", kinds, supercell=(2, 1))
    large, sites = SLAB.repeat((2, 1, 1)), np.array([0, 6, 7, 13])
    same = SymmetryEquivalenceCheck(to_primitive=False)
    counted = Counter()
    for row in set(permutations([8, 8, 9, 0])):
        one = large.copy()
        one.numbers[sites] = row
        one = one[one.numbers > 0]
        alike = [k for k, other in enumerate(found) if same.compare(one, other)]
        assert len(alike) == 1
        counted[alike[0]] += 1
    assert [counted[k] for k in range(len(found))] == structures.multiplicities(found)


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(lambda c: 0 < sum(c) < 9),
    seed=st.integers(0, 1000),
)
def test_orbits_of_a_random_group(counts, seed):
    """Against following each colouring through the group, for groups that spglib never gives."""
    n = sum(counts)
    rng = np.random.default_rng(seed)
    group = {tuple(range(n))}
    turn = tuple(np.roll(np.arange(n), 1).tolist())  # of larger sets, all permutations are too many
    generators = [tuple(rng.permutation(n).tolist()) for _ in range(2)] if n < 6 else [turn]
    while True:
        more = {tuple(g[i] for i in one) for one in group for g in generators} | group
        if more == group:
            break
        group = more
    group = np.array(sorted(group))
    rows = all_colourings(counts)
    assert len(rows) == n_colourings(counts) == len({tuple(row) for row in rows.tolist()})
    representatives, sizes = distinct(rows, group)
    orbits = {frozenset(tuple(row[one].tolist()) for one in group) for row in rows}
    assert len(representatives) == len(orbits) == burnside(group, counts)
    own = {orbit for orbit in orbits for r in representatives if tuple(r.tolist()) in orbit}
    assert own == orbits
    for row, size in zip(representatives, sizes, strict=True):
        assert [len(o) for o in orbits if tuple(row.tolist()) in o] == [size]


def test_more_sites_than_a_number_has_digits():
    """50 sites of three species: no double holds one colouring as a number."""
    group = np.array([np.roll(np.arange(50), k) for k in range(50)])
    rows = all_colourings([48, 1, 1])
    _, sizes = distinct(rows, group)
    assert len(sizes) == 49 and set(sizes) == {50}


def test_what_stands_on_the_sites_at_first_does_not_matter():
    kinds = {"O": 3, "F": 1}
    mixed = SLAB.copy()
    mixed.symbols[6] = "Cl"
    one = structures.terminations(SLAB, [0, 6], kinds, supercell=(2, 1))
    other = structures.terminations(mixed, [0, 6], kinds, supercell=(2, 1))
    assert structures.multiplicities(one) == structures.multiplicities(other)
    assert all((a.numbers == b.numbers).all() for a, b in zip(one, other, strict=True))


def test_structures_keep_cell_atoms_and_multiplicity_in_a_file(tmp_path):
    found = structures.terminations(SLAB, "O", {"O": 5, "F": 2, VACANCY: 1}, supercell=(2, 2))
    for one in found:
        assert one.symbols.formula.count() == {"Ti": 4, "C": 8, "Cr": 8, "O": 5, "F": 2}
        np.testing.assert_allclose(one.cell, SLAB.repeat((2, 2, 1)).cell)
    ase.io.write(tmp_path / "ways.xyz", found)
    back = ase.io.read(tmp_path / "ways.xyz", index=":")
    assert structures.multiplicities(back) == structures.multiplicities(found)
    assert "multiplicity" not in SLAB.info


def test_a_structure_without_a_word_counts_once():
    assert structures.multiplicities([SLAB]) == [1]


@pytest.mark.parametrize(
    ("kinds", "options", "message"),
    [
        ({"O": 1}, {}, "species fill 1 sites, but the supercell has 2; give them all, .vacancy"),
        ({"Q": 2}, {}, "a species is 'Q'; give a symbol of an element"),
        ({"X": 2}, {}, "a species is 'X'; give a symbol"),
        ({}, {}, "species is {}; give numbers of sites"),
        ({"O": -1, "F": 3}, {}, r"species\['O'\] must be a whole number of at least 0, got -1"),
        ({"O": 2}, {"supercell": (2, 0)}, r"supercell is \(2, 0\); give whole numbers"),
        ({"O": 2}, {"supercell": 2}, "supercell is 2; give whole numbers"),
        ({"O": 2}, {"tolerance": 0.0}, "tolerance is 0; a finite number above zero in angstrom"),
        ({"O": 16, "F": 16}, {"supercell": (4, 4)}, "in 601,080,390 ways, more than the 2,000,000"),
    ],
)
def test_what_cannot_be_is_refused(kinds, options, message):
    with pytest.raises(ValueError, match=message):
        structures.terminations(SLAB, "O", kinds, **options)


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ("S", "sites is 'S', but the structure holds O, Cr, C, Ti"),
        ([], r"sites is \[\]; give indices"),
        ([0.5], r"sites is \[0.5\]; give indices"),
        ([0, 0], r"sites are \[0, 0\]; give each once, 0 to 6"),
        ([7], r"sites are \[7\]; give each once"),
    ],
)
def test_sites_that_are_none_are_refused(sites, message):
    with pytest.raises(ValueError, match=message):
        structures.terminations(SLAB, sites, {"O": 2})


def test_what_is_no_structure_is_refused():
    with pytest.raises(TypeError, match=r"slab is a str; give ase\.Atoms"):
        structures.terminations("slab.cif", "O", {"O": 2})
    flat = SLAB.copy()
    flat.cell[2] = 0.0
    with pytest.raises(ValueError, match="no volume; give three cell vectors"):
        structures.terminations(flat, "O", {"O": 2})
    twice = SLAB + SLAB[3:4]
    with pytest.raises(ValueError, match=r"spglib finds no symmetry .* do atoms lie on one"):
        structures.terminations(twice, [0, 6], {"O": 2})
