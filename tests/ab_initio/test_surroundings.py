"""Edges guessed from what lies around absorbers; costs that are known before anything is run."""

import numpy as np
import pytest

from eels_bayes import ab_initio, structures
from eels_bayes.ab_initio.surroundings import DISTANCES, guessed, surroundings

SLAB = structures.cr2tic2()


def ways(fluorine):
    kinds = {"O": 8 - fluorine, "F": fluorine}
    return structures.terminations(SLAB, "O", kinds, supercell=(2, 2))


def test_surroundings_count_absorbers_and_neighbours():
    one = surroundings(ways(2), "F", "Cr")
    assert one.absorbers == pytest.approx(2 / 8)
    bond = ways(2)[0].get_all_distances(mic=True)[0]
    nearest = bond[(bond > 0.1) & (ways(2)[0].numbers == 24)].min()
    assert DISTANCES[one.density[24].argmax()] == pytest.approx(nearest, abs=0.2)
    assert surroundings(ways(0), "F", "Cr").density == {}
    # whatever the supercell, and whichever of those that symmetry makes alike
    full = surroundings([structures.cr2tic2("F")], "F", "Cr")
    large = surroundings([structures.cr2tic2("F").repeat((2, 2, 1))], "F", "Cr")
    for z, line in full.density.items():
        np.testing.assert_allclose(line, large.density[z], rtol=1e-9)
    turned = ways(1)[0].copy()
    turned.rotate(60, "z", rotate_cell=True)
    for z, line in surroundings(ways(1), "F", "Cr").density.items():
        np.testing.assert_allclose(line, surroundings([turned], "F", "Cr").density[z], rtol=1e-6)


def test_a_guess_is_sure_of_what_is_known_and_of_what_is_alike():
    places = [surroundings(ways(n), "F", "Cr") for n in (0, 1, 2, 4)]
    hole = ways(1)[0].copy()
    del hole[[k for k, one in enumerate(hole.symbols) if one == "C"][-1]]
    places.append(surroundings([hole], "F", "Cr"))
    energy = np.linspace(0.0, 1.0, 11)
    known = {0: 0.0 * energy, 1: 1 / 8 * (1 + energy), 3: 4 / 8 * (1 + 0.9 * energy)}
    guess = guessed(places, known)
    for k in (1, 3):
        np.testing.assert_allclose(guess.edge[k], known[k], rtol=0.01)
        assert guess.doubt[k] < 0.2
    assert (guess.edge[0] == 0.0).all()
    between = guess.edge[2] / (2 / 8)
    assert (between <= 1 + energy + 1e-9).all() and (between >= 1 + 0.9 * energy - 1e-9).all()
    assert guess.doubt[4] > guess.doubt[2] > guess.doubt[1]
    alone = guessed(places, {1: known[1]})
    np.testing.assert_allclose(alone.edge[3], 4 * known[1])
    assert (alone.doubt >= guess.doubt - 1e-9).all()
    with pytest.raises(ValueError, match="none of the library's classes is a candidate that holds"):
        guessed(places, {0: known[0]})


def test_a_cost_counts_what_is_run():
    group = ways(2)
    n_sites = len(ab_initio.fingerprints({"a": group}, "F K", engine=_Flat()).sites)
    assert ab_initio.simulation_cost(group, "F K", site=10.0) == 10.0 * n_sites
    assert ab_initio.simulation_cost(group, "F K", site=0.0, relaxation=2.0) == 2.0 * len(group)
    assert ab_initio.simulation_cost(ways(0), "F K", site=10.0) == 0.0
    one = structures.cr2tic2("F")
    both = [one, one.repeat((2, 1, 1))]
    single = ab_initio.simulation_cost(one, "F K", site=1.0, growth=3.0)
    assert ab_initio.simulation_cost(both, "F K", site=1.0, growth=3.0) == single * 9
    with pytest.raises(ValueError, match="structures are none"):
        ab_initio.simulation_cost([], "F K", site=1.0)
    with pytest.raises(ValueError, match="site"):
        ab_initio.simulation_cost(one, "F K", site=-1.0)
    with pytest.raises(ValueError, match="edge is 'K'; give element and shell"):
        ab_initio.simulation_cost(one, "K", site=1.0)
    with pytest.raises(TypeError, match="a structure is a int"):
        ab_initio.simulation_cost([3], "F K", site=1.0)


class _Flat:
    """An engine that gives the same edge for every site."""

    name = "flat"

    def settings(self):
        return {}

    def write(self, folder, atoms, index, edge):
        pass

    def run(self, folder):
        pass

    def read(self, folder):
        from eels_bayes.data.single_fingerprint import Fingerprint

        energy = np.arange(680.0, 700.0)
        return Fingerprint(energy, 1.0 / (1.0 + np.exp(690.0 - energy)), True)
