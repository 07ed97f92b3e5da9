"""Point defects: one for each kind that symmetry tells apart, and layers that are moved."""

import ase.build
import numpy as np
import pytest

from eels_bayes import structures

SLAB = structures.cr2tic2()


def test_vacancies_are_counted_by_orbit():
    found = structures.vacancies(SLAB, "C", supercell=(2, 2))
    assert structures.multiplicities(found) == [8]
    assert found[0].symbols.formula.count() == {"O": 8, "Cr": 8, "C": 7, "Ti": 4}
    # an atom of another kind on one face: carbon near it, carbon far from it, and more
    marked = structures.substitutions(SLAB, "O", "F", supercell=(2, 2))[0]
    ways = structures.vacancies(marked, "C")
    assert sum(structures.multiplicities(ways)) == 8 and len(ways) > 1


def test_a_vacancy_is_a_termination_with_one_site_empty():
    one = structures.vacancies(SLAB, "O", supercell=(2, 2))
    other = structures.terminations(SLAB, "O", {"O": 7, "vacancy": 1}, supercell=(2, 2))
    assert structures.multiplicities(one) == structures.multiplicities(other) == [8]


def test_a_substitution_keeps_all_other_atoms():
    (found,) = structures.substitutions(SLAB, "Ti", "Cr")
    assert found.symbols.formula.count() == {"O": 2, "Cr": 3, "C": 2}
    np.testing.assert_array_equal(found.positions, SLAB.positions)
    assert found.info == {"multiplicity": 1, "configurations": 1}


def test_antisites_are_pairs_by_distance():
    """In rock salt with cubic cells every pair of one distance and direction is alike."""
    cell = ase.build.bulk("MgO", "rocksalt", a=4.21, cubic=True)
    found = structures.antisites(cell, "Mg", "O")
    # an oxygen is a neighbour along x, y or z, or opposite through the middle of the cell
    assert structures.multiplicities(found) == [12, 4]
    assert [one.info["apart"] for one in found] == pytest.approx([4.21 / 2, 4.21 * np.sqrt(0.75)])
    for one in found:
        assert one.symbols.formula.count() == {"Mg": 4, "O": 4}
        assert (one.numbers != cell.numbers).sum() == 2
    nearest = structures.antisites(cell, "Mg", "O", within=2.2)
    assert structures.multiplicities(nearest) == [12]
    assert nearest[0].info["configurations"] == 12


def test_a_shifted_layer_moves_and_the_rest_stays():
    moved = structures.shifted_layer(SLAB, [6], (1 / 3, -1 / 3), rise=0.2)
    np.testing.assert_array_equal(moved.positions[:6], SLAB.positions[:6])
    step = moved.positions[6] - SLAB.positions[6]
    np.testing.assert_allclose(step, [*(SLAB.cell[0] - SLAB.cell[1])[:2] / 3, 0.2], atol=1e-12)


def test_a_layer_without_a_third_vector_rises_along_its_normal():
    layer = SLAB.copy()
    layer.set_cell([SLAB.cell[0], SLAB.cell[1], [0, 0, 0]])
    layer.pbc = (True, True, False)
    moved = structures.shifted_layer(layer, [6], (0.0, 0.0), rise=0.5)
    np.testing.assert_allclose(moved.positions[6] - SLAB.positions[6], [0, 0, 0.5], atol=1e-12)


def test_symmetry_repeats_nothing_where_a_structure_ends():
    """Four layers of a crystal in a cell without vacuum: alike in a crystal, not in a film."""
    crystal = ase.build.bulk("Cu", "fcc", a=3.6, cubic=True).repeat((1, 1, 2))
    assert structures.multiplicities(structures.vacancies(crystal, "Cu")) == [8]
    crystal.pbc = (True, True, False)
    film = structures.vacancies(crystal, "Cu")
    assert structures.multiplicities(film) == [4, 4]
    crystal.pbc = False
    assert sum(structures.multiplicities(structures.vacancies(crystal, "Cu"))) == 8
    across = structures.terminations(SLAB, "O", {"O": 6, "F": 2}, supercell=(2, 2))
    open_slab = SLAB.copy()
    open_slab.pbc = (True, True, False)
    same = structures.terminations(open_slab, "O", {"O": 6, "F": 2}, supercell=(2, 2))
    assert structures.multiplicities(same) == structures.multiplicities(across)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"first and second both hold \['Cr'\]"):
        structures.antisites(SLAB, [1], [5])
    with pytest.raises(ValueError, match=r"species is 'O', which the atoms \[0, 6\] are already"):
        structures.substitutions(SLAB, "O", "O")
    with pytest.raises(ValueError, match=r"rise is nan; give a height"):
        structures.shifted_layer(SLAB, [6], (0, 0), rise=float("nan"))
    with pytest.raises(TypeError, match=r"atoms is a str; give ase\.Atoms"):
        structures.vacancies("slab.xyz", "O")
    with pytest.raises(ValueError, match=r"first and second both hold the atoms \[3\]"):
        structures.antisites(SLAB, [3], "Ti")
    with pytest.raises(ValueError, match="no pair of first and second lies within 1 angstrom"):
        structures.antisites(SLAB, "Cr", "Ti", within=1.0)
    with pytest.raises(ValueError, match="species is 'Unobtainium'; give a symbol"):
        structures.substitutions(SLAB, "Ti", "Unobtainium")
    with pytest.raises(ValueError, match="sites is 'N', but the structure holds"):
        structures.vacancies(SLAB, "N")
    with pytest.raises(ValueError, match=r"shift is 0.5; give two fractions of the cell"):
        structures.shifted_layer(SLAB, [6], 0.5)
    words = r"atom 6 \(O\) comes within 0.9. angstrom of atom 5 \(Cr\); give another shift"
    with pytest.raises(ValueError, match=words):
        structures.shifted_layer(SLAB, [6], (2 / 3, 1 / 3))
