"""Which structure to simulate next: what no class explains asks for what would look like it."""

import copy

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import ab_initio, active, structures
from eels_bayes.ab_initio.surroundings import Guess
from eels_bayes.active import structure_choice
from eels_bayes.active.missing_structure import MissingStructure
from helpers.toy_engine import Toy

EXAMPLE = eb.FingerprintLibrary.example()
HOLE, FAR = "25 % F, C missing", "12.5 % F, Ti missing"
WORDS = {"edge": "F K", "per": "Cr"}


def cell(fluorine):
    """One configuration with so many of 8 sites fluorine."""
    kinds = {"O": 8 - fluorine, "F": fluorine}
    one = structures.terminations(structures.cr2tic2(), "O", kinds, supercell=(2, 2))[-1]
    one.info.clear()
    return one


def without(atoms, element):
    """The structure with the atom of an element gone that lies nearest to fluorine."""
    sites = [k for k, one in enumerate(atoms.symbols) if one == element]
    fluorine = [k for k, one in enumerate(atoms.symbols) if one == "F"]
    apart = atoms.get_all_distances(mic=True)[np.ix_(sites, fluorine)].min(1)
    one = atoms.copy()
    del one[sites[int(apart.argmin())]]
    return one


@pytest.fixture(scope="module")
def candidates():
    """The four of the example, which are simulated, and two with a vacancy."""
    known = {"50 % F": 4, "25 % F": 2, "12.5 % F": 1, "0 % F": 0}
    found = [active.Candidate(name, cell(n), value=n / 8) for name, n in known.items()]
    found.append(active.Candidate(HOLE, without(cell(2), "C"), cost=5.0, value=0.25))
    found.append(active.Candidate(FAR, without(cell(1), "Ti"), cost=5.0, value=0.125))
    return found


@pytest.fixture(scope="module")
def edge_of_hole():
    """What nobody knows before it is simulated: the edge of 25 % moved by 4 eV."""
    row = EXAMPLE.class_spectra[EXAMPLE.class_names.index("25 % F")]
    return eb.Fingerprint(
        EXAMPLE.energy, np.interp(EXAMPLE.energy - 4.0, EXAMPLE.energy, row), True
    )


@pytest.fixture(scope="module")
def holed(quick_classifier, edge_of_hole):
    """Spectra of a map with such vacancies, and which pixels are of them."""
    none = EXAMPLE.class_spectra[EXAMPLE.class_names.index("0 % F")]
    library = eb.FingerprintLibrary.from_arrays(
        EXAMPLE.energy,
        [edge_of_hole.intensity, none],
        [HOLE, "0 % F"],
        values=[0.25, 0.0],
        nuisances=EXAMPLE.nuisances,
    )
    series = eb.simulate.annealing_series(2, (10, 8), dose=10.0, seed=5, library=library)
    spectra = quick_classifier.preprocessor(series.signals, show_progressbar=False)
    return spectra, series.truth["label"].to_numpy().ravel() == 0


def test_a_map_that_is_explained_asks_for_nothing(quick_classifier, spectra, candidates):
    gain = active.structure_gain(quick_classifier, spectra, candidates, **WORDS)
    assert (gain[:4] == 0.0).all() and (gain >= 0.0).all()
    assert gain.sum() < 0.05 * len(spectra)


def test_a_map_that_is_not_asks_for_what_looks_like_it(quick_classifier, holed, candidates):
    pixels, hole = holed
    gain = active.structure_gain(quick_classifier, pixels, candidates, **WORDS)
    assert gain[4] > 0.5 * hole.sum() and gain[4] > 5.0 * gain[5]
    assert gain.sum() < len(pixels)
    order = [5, 0, 4, 3, 2, 1]
    again = active.structure_gain(quick_classifier, pixels, [candidates[k] for k in order], **WORDS)
    np.testing.assert_allclose(again, gain[order], rtol=1e-3, atol=1e-2)


def test_evidence_is_of_what_no_class_may_look_like(quick_classifier, spectra, holed, candidates):
    """A class's own edge adds nothing; the vacancy's is seen, and its pixels are those it has."""
    model = quick_classifier.fitted.forward
    known = model.library.class_spectra[model.library.class_names.index("25 % F")]
    guess = Guess(known[None], np.array([0.5]))
    (shape,) = structure_choice._shapes(model, candidates[4:5], guess)
    of_class = MissingStructure(model, spectra).gain(shape)
    assert of_class.evidence < 2.0
    pixels, hole = holed
    found = MissingStructure(model, pixels).gain(shape)
    assert found.evidence > 50.0
    assert found.pixels == pytest.approx(hole.sum(), rel=0.1)


def test_what_the_fit_found_beside_all_is_said_at_the_end():
    ended = structure_choice._Expected(np.zeros(2), 0.2, HOLE, 3.0, 40.0).why()
    assert ended.startswith("the simulated structures explain the map")
    assert "about 40 pixels look alike and like none of all these" in ended


def test_the_loop_finds_it_learns_it_and_ends(quick_classifier, holed, candidates, edge_of_hole):
    pixels, hole = holed
    clf, seen = copy.deepcopy(quick_classifier), []

    def oracle(candidate):
        assert candidate.name == HOLE, "nothing else is worth a simulation"
        return edge_of_hole

    search = active.simulate_structures(
        clf, pixels, candidates, oracle, **WORDS, after_each=seen.append
    )
    history = search.simulated
    assert [one.name for one in history] == [HOLE] and seen == history
    assert history[0].pixels > 5.0 and history[0].cost == 5.0 and not history[0].error
    assert search.ended.startswith("the simulated structures explain the map")
    assert search.missing < 0.5
    pred = clf.predict(pixels, show_progressbar=False)
    found = np.array(pred.class_names)[pred.labels] == HOLE
    assert found[hole].mean() > 0.9 and found[~hole].mean() < 0.1
    assert quick_classifier.class_names == EXAMPLE.class_names


def test_what_costs_more_than_it_saves_is_not_simulated(quick_classifier, holed, candidates):
    def oracle(candidate):
        raise AssertionError

    words = WORDS | {"error": 0.01}
    search = active.simulate_structures(quick_classifier, holed[0], candidates, oracle, **words)
    assert search.simulated == [] and search.missing > 0.99
    assert "fewer than a simulation costs" in search.ended and HOLE in search.ended


def test_a_simulation_that_fails_is_put_aside(quick_classifier, holed, candidates):
    def oracle(candidate):
        raise ab_initio.EngineFailed("SCF did not converge")

    with pytest.warns(UserWarning, match=f"{HOLE} is put aside: EngineFailed: SCF did not"):
        search = active.simulate_structures(
            quick_classifier, holed[0], candidates[:5], oracle, **WORDS
        )
    assert [one.error for one in search.simulated] == ["EngineFailed: SCF did not converge"]
    assert search.ended == "every candidate is simulated or put aside"


def test_as_many_are_simulated_as_allowed(quick_classifier, holed, candidates):
    """What fails counts: it was paid for."""

    def oracle(candidate):
        raise ab_initio.EngineFailed("out of memory")

    with pytest.warns(UserWarning, match="out of memory"):
        search = active.simulate_structures(
            quick_classifier, holed[0], candidates, oracle, **WORDS, most=1
        )
    assert len(search.simulated) == 1 and "1 is simulated, as many as allowed" in search.ended


def test_the_simulator_brings_energy_and_unit_of_the_library(tmp_path, candidates):
    (tmp_path / "log").mkdir()
    toy = Toy(str(tmp_path / "log"))
    found = active.simulator("F K", factor=2.0, moved=3.0, engine=toy, per="Cr")(candidates[4])
    made = ab_initio.fingerprints({HOLE: candidates[4].structures}, "F K", engine=toy, per="Cr")
    np.testing.assert_allclose(found.energy, made.energy + 3.0)
    np.testing.assert_allclose(found.intensity, 2.0 * made.intensity[0])


def test_what_cannot_be_weighed_is_refused(quick_classifier, spectra, candidates):
    def gain(given, **words):
        return active.structure_gain(quick_classifier, spectra, given, **WORDS | words)

    with pytest.raises(ValueError, match=r"candidates hold \['0 % F'\] more than once"):
        gain([*candidates, candidates[3]])
    with pytest.raises(ValueError, match="none of the library's classes is a candidate that"):
        gain(candidates[3:])
    with pytest.raises(ValueError, match=r"the value of 'x' is None, but the library has values"):
        gain([*candidates, active.Candidate("x", cell(1))])
    with pytest.raises(ValueError, match=r"per is 'Mo', which a structure \(.*\) does not hold"):
        gain(candidates, per="Mo")
    with pytest.raises(ValueError, match="edge is 'F'; give element and shell"):
        gain(candidates, edge="F")
    with pytest.raises(ValueError, match="no pixel of spectra is usable"):
        gain_of_none = spectra[np.zeros(0, dtype=int)]
        active.structure_gain(quick_classifier, gain_of_none, candidates, **WORDS)
    with pytest.raises(ValueError, match="structures of 'x' are none"):
        active.Candidate("x", ())
    with pytest.raises(ValueError, match="cost"):
        active.Candidate("x", cell(1), cost=0.0)
    with pytest.raises(TypeError, match="a structure of 'x' is a str"):
        active.Candidate("x", "POSCAR")
