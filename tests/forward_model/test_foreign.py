"""Structures that the library lacks: found where there is one, and paid for as evidence asks."""

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from eels_bayes.forward_model.acceleration import State
from eels_bayes.forward_model.class_weights import fit_weights
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.factor_mixture import Images, Population, Shape, Unknown, expectation
from eels_bayes.forward_model.factor_moments import N_COMMON
from eels_bayes.forward_model.foreign import (
    UNLIKE,
    Foreign,
    Projection,
    foreign_shapes,
    learned,
    log_density,
)
from eels_bayes.forward_model.foreign_search import exchanged
from eels_bayes.forward_model.misfit import Misfit, directions
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.window_fit import window_fit
from helpers.drawn_pixels import WEIGHTS, fit, library, simulate

ENERGY = 640.0 + np.arange(30.0)
EDGE = np.exp(-0.5 * ((ENERGY - 656.0) / 3.0) ** 2)
ALONG = directions(ENERGY, EDGE[None], (647.5, 664.5))
N_MODES = ALONG.shape.shape[1]
COLUMNS = np.stack([np.ones(30), np.linspace(-1.0, 1.0, 30)], axis=1)
POPULATION = Population(np.ones(1), np.zeros(2), 0.01 * np.eye(2))
AS_IS = Projection(np.ones(30), np.eye(30))
OWN = Misfit.unknown(1, N_MODES)
FAR = Shape(EDGE + 100.0, np.zeros((30, N_COMMON + N_MODES)))  # a class that nothing is of


def structure(rng, share=0.5):
    """One structure of some shape, as if it were believed."""
    common = 0.05 * np.stack([EDGE, np.gradient(EDGE), 0.0 * EDGE], axis=1)
    return Foreign(
        np.array([share]),
        EDGE[None],
        common[None],
        0.1 * rng.standard_normal((1, N_MODES)),
        np.eye(N_MODES)[None],
    )


def expected(target, level, foreign):
    """An E-step in which each pixel is surely of the structure."""
    (shape,) = foreign_shapes(foreign, ALONG, OWN, AS_IS)
    others = [Unknown(shape, float(foreign.share[0]))]
    return expectation(target, level, COLUMNS, POPULATION, [FAR], n_misfit=N_MODES, others=others)


@pytest.fixture
def pixels(rng):
    """Pixels of one structure, and their noise levels."""
    level = rng.uniform(0.001, 0.002, 12)
    shape = EDGE + ALONG.shape @ (0.2 * rng.standard_normal(N_MODES))
    return shape + np.sqrt(level)[:, None] * rng.standard_normal((12, 30)), level


def covariances(level, foreign):
    """Of each pixel (n, B, B), its shape given."""
    (shape,) = foreign_shapes(foreign, ALONG, OWN, AS_IS)
    spread = np.concatenate([0.1 * COLUMNS, shape.loadings], axis=1)
    return [spread @ spread.T + v * np.eye(30) for v in level]


def test_a_shape_is_learned_as_generalised_least_squares_has_it(pixels, rng):
    target, level = pixels
    before = structure(rng)
    step = expected(target, level, before)
    assert step.other_pixels == pytest.approx(12.0)
    found = learned(before, step.other_pixels, step.n, step.other_misfit, OWN.pixel)
    precision, towards = np.eye(N_MODES) / UNLIKE**2, np.zeros(N_MODES)
    for row, covariance in zip(target, covariances(level, before), strict=True):
        seen = np.linalg.solve(covariance, ALONG.shape)
        precision, towards = precision + ALONG.shape.T @ seen, towards + (row - EDGE) @ seen
    np.testing.assert_allclose(found.shared[0], np.linalg.solve(precision, towards), atol=1e-7)
    np.testing.assert_allclose(found.covariance[0], np.linalg.inv(precision), atol=1e-8)


def test_the_objective_is_the_evidence_with_the_shape_integrated_out(pixels, rng):
    target, level = pixels
    before = structure(rng)
    step = expected(target, level, before)
    best = learned(before, step.other_pixels, step.n, step.other_misfit, OWN.pixel)
    step = expected(target, level, best)
    # every pixel is of the structure: its share's own parts are known
    shares = np.log(best.share).sum() + np.log1p(-best.share.sum())
    objective = step.n * step.log_likelihood + log_density(best, best.covariance) - shares
    objective -= step.n * np.log(best.share[0])
    whole = np.kron(np.ones((12, 12)), UNLIKE**2 * ALONG.shape @ ALONG.shape.T)
    for i, covariance in enumerate(covariances(level, best)):
        whole[30 * i : 30 * (i + 1), 30 * i : 30 * (i + 1)] += covariance
    exact = multivariate_normal(np.tile(EDGE, 12), whole).logpdf(target.ravel())
    assert objective == pytest.approx(exact, abs=1e-4)


def test_a_state_with_structures_survives_as_a_vector(rng):
    state = State(
        POPULATION,
        Images.alike(POPULATION, 2),
        LibraryFit(gain=2.0, shift=1.0, broadening=0.3),
        library(),
        OWN,
        structure(rng, share=0.3),
    )
    width = np.array([0.5, 2.0])
    back = state.replaced(state.vector(width), width)
    np.testing.assert_allclose(back.foreign.share, state.foreign.share)
    np.testing.assert_allclose(back.foreign.shared, state.foreign.shared)
    np.testing.assert_allclose(back.misfit.shared, OWN.shared)
    assert back.library_fit.shift == pytest.approx(1.0)
    without = dataclasses.replace(state, foreign=Foreign.none(30, N_MODES))
    back = without.replaced(without.vector(width), width)
    assert len(back.foreign) == 0
    np.testing.assert_allclose(back.population.covariance, POPULATION.covariance)


def test_no_structures_change_nothing():
    none = Foreign.none(30, N_MODES)
    assert log_density(none, none.covariance) == 0.0
    assert foreign_shapes(none, ALONG, OWN, AS_IS) == []


# In whole fits


def without(k):
    """The library without one class."""
    whole = library()
    kept = whole.labels != k
    return dataclasses.replace(
        whole,
        intensity=whole.intensity[kept],
        labels=np.arange(kept.sum()),
        class_names=tuple(n for i, n in enumerate(whole.class_names) if i != k),
    )


@pytest.fixture(scope="module")
def lacking():
    """Pixels of three classes, and the fit of a library that lacks one, a fifth of the pixels."""
    spectra, labels = simulate(n=500, seed=5, weights=np.array([0.5, 0.2, 0.3]))
    return spectra, labels, fit(spectra, without(1), iterations=45)


def test_a_structure_that_is_left_out_is_found(lacking):
    spectra, labels, model = lacking
    assert model.foreign.share == pytest.approx([np.mean(labels == 1)], abs=0.03)
    found = evidence_of(model)(torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level))
    assert roc_auc_score(labels == 1, found.unknown.numpy()) > 0.99


def test_what_is_left_out_looks_as_it_does(lacking):
    spectra, _, model = lacking
    report = window_fit(model, spectra.profile.astype(float), spectra.level.astype(float))
    truth = fit(spectra, iterations=30)
    edge = window_fit(truth, spectra.profile.astype(float), spectra.level.astype(float)).fingerprint
    off = np.linalg.norm(report.fingerprint[2] - edge[1]) / np.linalg.norm(edge[1])
    assert off < 0.1
    assert report.class_pixels.sum() == pytest.approx(500)
    assert report.class_pixels[2] == pytest.approx(100, abs=20)


def test_nothing_is_found_where_nothing_is_lacking():
    for seed in range(3):
        spectra, _ = simulate(n=400, seed=seed, weights=WEIGHTS, dose=(1.0, 4.0, 20.0)[seed])
        assert len(fit(spectra, iterations=30).foreign) == 0


def test_a_structure_is_found_beside_a_fingerprint_that_is_off():
    """Most pixels would rather be of a free shape than of that class, which is no structure."""
    whole = library()
    intensity = whole.intensity.copy()
    intensity[0] *= 1.0 + 3.0 * np.exp(-0.5 * ((whole.energy - 700.0) / 2.0) ** 2)
    shown = dataclasses.replace(whole, intensity=intensity)
    weights = np.array([0.6, 0.1, 0.3])
    spectra, labels = simulate(n=400, seed=5, weights=weights, dose=6.0, shown=shown)
    model = fit(spectra, without(1), iterations=45)
    assert model.foreign.share == pytest.approx([np.mean(labels == 1)], abs=0.03)


def test_a_fingerprint_that_is_added_takes_the_structures_pixels(lacking):
    spectra, labels, model = lacking
    kept = fit_weights(model, spectra, without(1))
    assert kept.foreign.share == pytest.approx(model.foreign.share, abs=0.02)
    added = fit_weights(model, spectra, library_after(without(1)))
    assert len(added.foreign) == 0
    assert added.class_weights[2] == pytest.approx(np.mean(labels == 1), abs=0.05)


def library_after(first):
    """The library with the class that was left out, behind the others."""
    whole = library()
    return dataclasses.replace(
        first,
        intensity=np.concatenate([first.intensity, whole.intensity[whole.labels == 1]]),
        labels=np.arange(3),
        class_names=(*first.class_names, whole.class_names[1]),
    )


# Where the library moves over what it lacks


@pytest.fixture(scope="module")
def without_mn2():
    """LaMnO3, SrMnO3 and MnO of one laboratory, and the two oxides that another one measured."""
    pytest.importorskip("exspy")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from manganese import bed, novel

    if not bed.REFERENCES.is_file():
        pytest.skip(f"{bed.REFERENCES} is absent")
    of = dataclasses.replace(bed.Bed(), pixels=256, mixed=0.0)
    names = bed.SETS["Data2"]
    sample = bed.series(names, of, 1.0, 1, shares=novel._shares(names, 0, 0.2))
    known = bed.library(bed.SETS["Data3"][1:], of, valences=bed.VALENCES[1:])
    return bed.preprocess(sample.signals), sample.label, known


def test_a_class_gives_back_the_pixels_of_what_the_library_lacks(without_mn2):
    """The library moved by 0.6 to 1 eV takes Mn2+ for Mn3+, and Mn3+ is what is found beside it."""
    spectra, labels, known = without_mn2
    model = fit(spectra, known, iterations=45)
    assert model.foreign.share == pytest.approx([np.mean(labels == 0)], abs=0.04)
    assert abs(model.library_fit.shift) < 0.4
    found = evidence_of(model)(torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level))
    assert roc_auc_score(labels[spectra.ok] == 0, found.unknown.numpy()) > 0.99


@pytest.mark.parametrize("most", [0.6, 0.999])
def test_a_class_and_a_structure_change_places(rng, most):
    shared = np.array([0.02, 0.1])[:, None] * rng.standard_normal((2, N_MODES))
    edges = EDGE + shared @ ALONG.shape.T
    population = dataclasses.replace(POPULATION, weight=np.array([most, 1.0 - most]))
    state = State(
        population,
        Images.alike(population, 1),
        LibraryFit(),
        library(),
        dataclasses.replace(Misfit.unknown(2, N_MODES), shared=shared),
        structure(rng, share=0.1),
    )
    problem = SimpleNamespace(
        edges=lambda _: edges, white=np.ones(30), basis=np.eye(30), along=ALONG, directions=ALONG
    )
    first, second = exchanged(problem, state)
    for k, new in ((1, first), (0, second)):  # the one that misses most comes first
        off = new.foreign.edges(ALONG)[0] - edges[k]
        assert np.linalg.norm(off) < 0.02 * np.linalg.norm(edges[k])
        # beside a class of nearly all pixels there is room for the others
        assert new.foreign.share == pytest.approx([min(population.weight[k], 0.9)])
        assert not new.misfit.shared.any()
