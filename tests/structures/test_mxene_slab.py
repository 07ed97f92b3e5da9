"""The built-in slab: its layers, its symmetry, and distances that chromium carbides have."""

import warnings

import numpy as np
import pytest
import spglib
from ase.data import covalent_radii

from eels_bayes import structures


@pytest.mark.parametrize("termination", ["O", "F", "Cl"])
def test_it_is_the_slab_that_it_says(termination):
    slab = structures.cr2tic2(termination)
    order = np.argsort(slab.positions[:, 2])
    assert [slab.symbols[i] for i in order] == [
        termination,
        "Cr",
        "C",
        "Ti",
        "C",
        "Cr",
        termination,
    ]
    assert slab.get_tags().tolist() == [1, 0, 0, 0, 0, 0, 1]
    kinds = (np.asarray(slab.cell), slab.get_scaled_positions(), slab.numbers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        assert spglib.get_spacegroup(kinds, symprec=1e-3) == "P-3m1 (164)"
    # every atom has the coordination of rock salt: six neighbours, and three at the surface
    apart = slab.repeat((3, 3, 1)).get_all_distances(mic=True)
    radii = covalent_radii[slab.repeat((3, 3, 1)).numbers]
    bonded = (apart > 0) & (apart < 1.15 * (radii[:, None] + radii))
    carbon = slab.repeat((3, 3, 1)).numbers == 6
    metal = np.isin(slab.repeat((3, 3, 1)).numbers, [22, 24])
    assert (bonded[np.ix_(carbon, metal)].sum(axis=1) == 6).all()
    assert (bonded[np.ix_(metal, ~metal)].sum(axis=1) == 6).all()
    assert 1.9 < apart[np.ix_(carbon, metal)].min() < 2.3


def test_the_vacuum_is_what_is_asked_for():
    slab = structures.cr2tic2(vacuum=9.0)
    assert slab.cell[2, 2] - np.ptp(slab.positions[:, 2]) == pytest.approx(9.0)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="termination is 'OH'; give a symbol"):
        structures.cr2tic2("OH")
    with pytest.raises(ValueError, match="vacuum must be at least 5 angstrom, got 2"):
        structures.cr2tic2(vacuum=2.0)
