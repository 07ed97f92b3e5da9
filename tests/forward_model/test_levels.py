"""Classes that are there or not: edges are positive, and of any size."""

import dataclasses

import numpy as np
import pytest
import torch

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model import clean_edges
from eels_bayes.forward_model.class_weights import by_class, fit_weights, shared_out
from eels_bayes.forward_model.components import (
    LEVELS,
    MIXING,
    REACH,
    absent,
    components,
    dominant,
    mixing_pairs,
    n_single,
    of_one_size,
    shares,
)
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.prediction.pixel_states import pixel_states
from helpers.drawn_pixels import BINS, ENERGY, FINE, NORM, continued, fit, make

SPREAD = 0.5  # sd of the logarithm of the intensity


def edge(onset):
    step = 1 / (1 + np.exp(-(ENERGY - onset) / 0.8))
    return step + np.exp(-0.5 * ((ENERGY - onset - 6) / 2) ** 2)


def library(none=1, values=None):
    """Two classes with an edge, and one without at the place `none`."""
    rows = np.insert(np.stack([edge(683), edge(694)]), none, 0.0, axis=0)
    names = np.insert(["early", "late"], none, "none").tolist()
    variations = Variations(shift=0.2, broadening=0.3, intensity=0.06)
    return FingerprintLibrary.from_arrays(ENERGY, rows, names, values=values, variations=variations)


def pixels(weights, *, n=900, seed=0, dose=2.0):
    """Pixels whose intensities are log-normal, their classes and intensities (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=weights)
    size = np.exp(SPREAD * rng.normal(size=n) - 0.5 * SPREAD**2)
    shown = size[:, None] * library().vary(n, rng, labels=labels)[0]
    amplitude, exponent = rng.normal(1.0, 0.03, (n, 1)), rng.normal(3.0, 0.05, (n, 1))
    rate = 20 * amplitude * (FINE / ENERGY[0]) ** -exponent + continued(shown)
    norm = NORM * dose
    return make(rng.poisson(norm * rate).astype(np.float32), norm), labels, size


def probabilities(model, spectra):
    out = evidence_of(model)(torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level))
    return out.log_probability.double().exp().numpy() @ model.dominance()


@pytest.fixture(scope="module")
def drawn():
    return pixels([0.4, 0.4, 0.2])


@pytest.fixture(scope="module")
def fitted(drawn):
    return fit(drawn[0], library())


# --- what the components are


def test_levels_leave_no_gap_and_do_not_overlap():
    below = np.array(LEVELS) - REACH
    above = np.array(LEVELS) + REACH
    fourth = int(np.searchsorted(LEVELS, 1.0))
    np.testing.assert_allclose(below[1:fourth], above[: fourth - 1])
    np.testing.assert_allclose(below[fourth + 1 :], above[fourth:-1])
    # the fingerprints' own intensity is the one between
    assert above[fourth - 1] < 1.0 < below[fourth] and below[0] > 0.0


@pytest.mark.parametrize("none", [0, 1, 2])
def test_a_weak_edge_is_of_its_class_and_nothing_mixes_with_none(none):
    lib = library(none)
    there = [k for k in range(3) if k != none]
    assert absent(lib) == none and mixing_pairs(lib) == [tuple(there)]
    members = components(lib, mixing_pairs(lib))
    assert len(members) == 3 + 2 * len(LEVELS) + len(MIXING)
    assert n_single(lib) == 3 + 2 * len(LEVELS)
    for k, (a, b, share) in zip(dominant(lib, mixing_pairs(lib)), members, strict=True):
        assert (k == none) == (a == b == none)
        if b == none != a:
            assert k == a and share in LEVELS
    for row, (a, b, share) in zip(shares(lib, mixing_pairs(lib)), members, strict=True):
        assert row[a] == pytest.approx(share) and (row[none] > 0) == (a == b == none)


def test_levels_are_so_much_of_the_edge():
    lib = library()
    pairs = mixing_pairs(lib)
    shapes = edge_shapes(BINS, lib, LibraryFit(), np.ones(len(BINS)), pairs=pairs)
    for (a, b, share), shape in zip(components(lib, pairs), shapes, strict=True):
        if b == 1 != a:
            np.testing.assert_allclose(shape.mean, share * shapes[a].mean)
            # intensity varies by as much of the edge
            np.testing.assert_allclose(
                shape.loadings[:, 0], share * shapes[a].loadings[:, 0], atol=1e-12
            )


def test_of_values_no_edge_is_one_like_any_other():
    valued = library(values=[1.0, 0.0, 2.0])
    assert absent(valued) is None
    assert components(valued, mixing_pairs(valued))[3:5] == [(0, 1, 0.2), (0, 1, 0.4)]
    all_of_them = dataclasses.replace(library(), intensity=0.0 * library().intensity)
    assert absent(all_of_them) is None
    two = library().intensity * np.array([[1.0], [0.0], [0.0]])
    with pytest.raises(ValueError, match="'none', 'late' have no edge in the window"):
        absent(dataclasses.replace(library(), intensity=two))


def test_what_is_next_to_nothing_is_nothing():
    """Whatever moves or broadens the others: then it is decided once."""
    lib = library()
    rows = lib.intensity + 5e-4 * np.sin(ENERGY) * (lib.labels == 1)[:, None]
    same = of_one_size(dataclasses.replace(lib, intensity=rows))
    assert (same.intensity[1] == 0).all() and (
        same.intensity[[0, 2]] == lib.intensity[[0, 2]]
    ).all()


def test_weights_of_classes_are_those_of_all_their_levels(rng):
    lib = library()
    pairs = mixing_pairs(lib)
    weight = rng.dirichlet(np.ones(len(components(lib, pairs))))
    found = by_class(lib, pairs, weight)
    share = shares(lib, pairs) > 0
    single = n_single(lib)
    for k in range(3):
        alone = weight[:single][share[:single, k]].sum()
        mixed = (weight[single:] * shares(lib, pairs)[single:, k]).sum()
        assert found["class_weights"][k] == pytest.approx(alone + mixed)
    np.testing.assert_allclose(found["level_weights"].sum(1), 1.0)
    assert found["class_weights"].sum() == pytest.approx(1.0)
    # known weights of the classes hold for all their levels together
    wanted = np.array([0.2, 0.5, 0.3])
    responsibility = 1e6 * weight[None]
    weight, _ = shared_out(responsibility, np.array([1e6]), dominant(lib, ()), wanted)
    of_class = np.bincount(dominant(lib, ()), weight[:single])
    np.testing.assert_allclose(of_class / of_class.sum(), wanted)


# --- what the fit makes of them


def test_an_update_that_brings_the_class_without_an_edge_lets_sizes_vary(drawn):
    spectra, labels, _ = drawn
    lib = library()
    there = [0, 2]
    known = FingerprintLibrary.from_arrays(
        ENERGY, lib.intensity[there], ["early", "late"], variations=lib.variations
    )
    before = fit(spectra, known)
    assert before.library.variations.intensity > 0.2
    after = fit_weights(before, spectra, lib)
    assert after.library.variations.intensity == lib.variations.intensity
    p = probabilities(after, spectra)
    assert p[labels == 1, 1].mean() > 0.85 and p[labels != 1, 1].mean() < 0.1


def test_intensities_that_vary_much_leave_no_class_out(drawn, fitted):
    spectra, labels, size = drawn
    p = probabilities(fitted, spectra)
    assert (p.argmax(1) == labels).mean() > 0.97
    assert -np.log(p[np.arange(len(labels)), labels]).mean() < 0.08
    np.testing.assert_allclose(p.mean(0), [0.4, 0.4, 0.2], atol=0.04)
    weak = (labels != 1) & (size < 0.5)
    assert weak.sum() > 30 and p[weak, 1].mean() < 0.15
    # none of the bright ones is a structure that the library lacks
    assert len(fitted.foreign) == 0
    members, weight = fitted.components()
    assert weight.sum() == pytest.approx(1.0)
    level = np.array([share for _, _, share in members])
    there = np.array(dominant(fitted.library, fitted.pairs)) != 1
    mean = (weight * level)[there].sum() / weight[there].sum()
    assert fitted.library_fit.gain * mean == pytest.approx(1.0, abs=0.12)


def test_sizes_of_fingerprints_are_no_spread_of_their_class(drawn, fitted):
    lib = library()
    # each class in three sizes, of which the second differs in shape
    sizes, bend = np.array([[0.4], [1.0], [1.6]]), 0.05 * np.sin(ENERGY / 7) * (ENERGY > 690)
    rows = [sizes * row + [[0], [1], [0]] * bend * row.max() for row in lib.intensity]
    many = FingerprintLibrary.from_arrays(
        ENERGY, np.concatenate(rows), np.repeat(lib.class_names, 3), variations=lib.variations
    )
    same = of_one_size(many)
    for k in (0, 2):
        mean, of_class = many.class_spectra[k], same.intensity[same.labels == k]
        np.testing.assert_allclose(of_class @ mean, mean @ mean)
    p = probabilities(fit(drawn[0], many), drawn[0])
    assert np.abs(p - probabilities(fitted, drawn[0])).mean() < 0.02


@pytest.mark.parametrize("weights", [(0.02, 0.9, 0.08), (0.55, 0.05, 0.4)])
def test_few_with_an_edge_and_few_without_are_told_apart(weights):
    spectra, labels, _ = pixels(weights, seed=1)
    p = probabilities(fit(spectra, library()), spectra)
    there = labels != 1
    assert p[there, 1].mean() < 0.15 and 1 - p[~there, 1].mean() < 0.15


def test_neighbours_know_no_state_between_an_edge_and_none(fitted):
    states = pixel_states(fitted, fitted.dominant_weights)
    assert (states.share[:, 1] > 0).sum() == 1
    found = np.bincount(states.label, states.weight)
    np.testing.assert_allclose(found, fitted.dominant_weights, atol=1e-6)


def test_drawn_edges_are_as_large_as_those_of_the_pixels(drawn, fitted, rng):
    _, labels, size = drawn
    clean = clean_edges.population_edges(fitted, 20_000, rng)
    np.testing.assert_allclose(clean.fractions.sum(1), 1.0)
    assert (clean.fractions >= 0).all()
    there = clean.fractions[:, 1] == 0
    assert there.mean() == pytest.approx((labels != 1).mean(), abs=0.04)
    height = clean.spectra[there][:, ENERGY > 725].mean(1)
    true = size[labels != 1] * edge(683)[ENERGY > 725].mean()
    for q in (0.1, 0.5, 0.9):
        assert np.quantile(height, q) == pytest.approx(np.quantile(true, q), rel=0.15, abs=0.05)
    assert np.abs(clean.spectra[clean.fractions[:, 1] == 1]).max() < 0.05
    # single ones of given classes are of all sizes too
    given = np.repeat([0, 1, 2], 4000)
    single = clean_edges.single_edges(fitted, given, rng)
    np.testing.assert_array_equal(single.fractions, np.eye(3)[given])
    heights = single.spectra[given == 0][:, ENERGY > 725].mean(1)
    true = size[labels == 0] * edge(683)[ENERGY > 725].mean()
    for q in (0.1, 0.9):
        assert np.quantile(heights, q) == pytest.approx(np.quantile(true, q), rel=0.2, abs=0.05)
    # those of one class as well
    early = clean_edges.class_edges(fitted, 0, 5000, rng)
    assert (early.fractions.argmax(1) == 0).all()
    heights = early.spectra[:, ENERGY > 725].mean(1)
    assert np.quantile(heights, 0.1) < 0.6 * np.median(heights)
    none = clean_edges.class_edges(fitted, 1, 200, rng)
    assert (none.fractions[:, 1] == 1).all() and np.abs(none.spectra).max() < 0.05
