"""Classes that would explain the pixels of others as well are found, alone or several."""

import dataclasses
import types
from itertools import permutations

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.other_standings import _by_place
from eels_bayes.forward_model.rivals import EXCHANGED, SAME_UNIT, _assigned, exchange, rivals

ENERGY = np.arange(677.0, 737.0, 0.25)


def lines(at, ratio):
    """Two lines of the given ratio on nothing, the first at ``at`` eV."""
    first, second = (np.exp(-0.5 * ((ENERGY - at - by) / 1.5) ** 2) for by in (0.0, 12.0))
    return 0.3 * (first + ratio * second)


@pytest.fixture(scope="module")
def twins(quick_classifier):
    """A model and its library: the first two classes are one another moved by 1 eV."""
    forward = quick_classifier.fitted.forward
    library = eb.FingerprintLibrary.from_arrays(
        ENERGY, [lines(695.0, 0.5), lines(696.0, 0.5), lines(695.0, 1.5)], range(3)
    )
    return dataclasses.replace(forward, library_fit=LibraryFit()), library


def shown(model, library, k):
    """What the window's bins show of pixels of a class, where the library stands right."""
    energy, (low, high) = model.continuum.energy, model.continuum.window
    here = dataclasses.replace(
        library.resample(model.library.energy), variations=model.library.variations
    )
    edge = mean_edges(energy, here, LibraryFit())[k]
    return edge[(energy > low) & (energy < high)]


def test_a_class_that_is_another_moved_explains_it(twins):
    model, library = twins
    own, moved, other = rivals(model, library, shown(*twins, 0))
    assert (own.shift, own.factor) == pytest.approx((0.0, 1.0)) and own.off < 1e-6
    assert moved.shift == pytest.approx(-1.0, abs=0.15)
    assert moved.factor == pytest.approx(1.0, abs=0.05)
    assert moved.off < 0.1 < 3 * moved.off + 0.1 < other.off
    back, own, _ = rivals(model, library, shown(*twins, 1))
    assert back.shift == pytest.approx(1.0, abs=0.15) and own.off < 1e-6


def test_where_the_library_stands_is_where_rivals_begin(twins):
    """The same pixels by a library that is 5 eV off, too weak, and too sharp."""
    model, library = twins
    edge = shown(model, library, 1)
    off = dataclasses.replace(library, energy=library.energy - 5.0, intensity=library.intensity / 9)
    fit = LibraryFit(gain=9.0, shift=5.0, moved=5.0)
    moved, own, _ = rivals(dataclasses.replace(model, library_fit=fit), off, edge)
    for by, found in ((1.0, moved), (0.0, own)):
        assert found.shift == pytest.approx(by, abs=0.15)
        assert found.factor == pytest.approx(1.0, abs=0.05) and found.off < 0.1


def test_a_library_in_the_unit_of_the_data_stays_in_it(twins):
    model, library = twins
    edge = shown(*twins, 0)
    intensity = library.intensity * np.array([[1.0], [2.0], [1.0]])
    twice = dataclasses.replace(library, intensity=intensity)
    found = rivals(model, twice, edge)[1]
    assert found.factor == pytest.approx(1.0 / SAME_UNIT) and found.off > 0.5
    elsewhere = dataclasses.replace(model, library_fit=LibraryFit(gain=20.0))
    found = rivals(elsewhere, twice, 20.0 * edge)[1]
    assert found.factor == pytest.approx(0.5, abs=0.05) and found.off < 0.1


def test_a_fit_begins_again_where_another_class_explains_the_only_one(twins):
    model, library = twins
    edge = np.array([shown(model, library, k) for k in range(3)])

    def places(only=0, factor=1.0, fingerprint=edge):
        found = {"only_class": lambda _: only, "edge": factor * edge, "fingerprint": fingerprint}
        return _by_place(model, library, types.SimpleNamespace(**found))

    (elsewhere,) = places(only=1)
    assert elsewhere.shift == pytest.approx(1.0, abs=0.15)
    assert elsewhere.gain == pytest.approx(1.0, abs=0.05)
    # what no class explains has no other place, though all explain it as well
    assert places(only=1, factor=-1.0) == []
    assert places(only=1, fingerprint=0.0 * edge) == []
    assert places(only=None) == []


def test_without_an_edge_none_is_a_rival(twins):
    model, library = twins
    assert all(r.off == np.inf for r in rivals(model, library, 0.0 * shown(*twins, 0)))


@pytest.fixture(scope="module")
def ladder(quick_classifier):
    """A model and its library: four classes of one shape, each half as strong as the one before."""
    forward = quick_classifier.fitted.forward
    library = eb.FingerprintLibrary.from_arrays(
        ENERGY, [lines(695.0, 0.5) * 0.5**k for k in range(4)], range(4)
    )
    return dataclasses.replace(forward, library_fit=LibraryFit()), library


def test_classes_that_stand_for_one_another_are_found(ladder):
    """Edges whose shape no fingerprint has: every rung of the ladder explains them as well."""
    model, library = ladder
    energy, (low, high) = model.continuum.energy, model.continuum.window
    at = energy[(energy > low) & (energy < high)]
    other = 0.3 * np.exp(-0.5 * ((at - 702.0) / 6.0) ** 2)
    edges = np.array([0.0 * other, other, 0.5 * other, 0.25 * other])
    found = exchange(model, library, edges, np.array([0.0, 1e4, 1e4, 1e4]))
    assert (found.of, found.by) == ((1, 2, 3), (0, 1, 2))
    assert found.off == pytest.approx(found.own, rel=0.05) and found.own > 0.1
    # one factor for the whole ladder: half of what explains it as read, on either grid
    assert found.factor < 2.0
    assert exchange(model, library, edges, np.zeros(4)) is None
    assert exchange(model, library, 0.0 * edges, np.full(4, 1e4)) is None


def test_where_fingerprints_explain_what_is_read_none_are_looked_for(ladder):
    model, library = ladder
    edges = np.array([shown(model, library, k) for k in range(4)])
    assert exchange(model, library, edges, np.full(4, 1e4)) is None


def test_shapes_tell_classes_that_sizes_do_not(twins):
    model, library = twins
    edges = np.array([shown(model, library, k) for k in range(3)])
    at = np.linspace(0.0, 12.0, edges.shape[1])
    bent = edges * (1.0 + 0.6 * np.sin(at))
    found = exchange(model, library, bent, np.full(3, 1e4))
    assert found is not None and found.own > 0.1
    assert found.off > 1.5 * found.own


@pytest.mark.parametrize("seed", range(8))
def test_the_assignment_is_the_best_of_all_that_change_enough(seed):
    rng = np.random.default_rng(seed)
    off, read = rng.exponential(size=(3, 5)), np.array([0, 2, 3])
    off[range(3), read] *= 0.1
    share = rng.dirichlet(np.ones(3))
    every = [
        (sum(off[p, j] for p, j in enumerate(by)), by)
        for by in permutations(range(5), 3)
        if share @ (np.array(by) != read) >= EXCHANGED
    ]
    least, by = min(every)
    total, found = _assigned(off, read, share, np.inf)
    assert share @ (found != read) >= EXCHANGED
    # each edge is denied its own class in turn: never better than the best of all
    assert total >= least - 1e-12
    if share.min() >= EXCHANGED:
        assert total == pytest.approx(least) and tuple(found) == by
    assert _assigned(off, read, share, least - 1e-9) is None
