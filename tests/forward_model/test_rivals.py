"""Where one class stands alone, the class that would explain its pixels as well is found."""

import dataclasses

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.rivals import SAME_UNIT, rivals

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


def test_without_an_edge_none_is_a_rival(twins):
    model, library = twins
    assert all(r.off == np.inf for r in rivals(model, library, 0.0 * shown(*twins, 0)))
