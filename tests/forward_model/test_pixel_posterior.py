"""Evidence of single pixels: the numpy posterior and plain linear algebra, as one fixed network."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model import factor_mixture
from eels_bayes.forward_model.components import LEVELS, mixing_pairs
from eels_bayes.forward_model.continuum import Continuum
from eels_bayes.forward_model.edge_shapes import (
    LibraryFit,
    edge_shapes,
    mean_edges,
    unknown_shapes,
    unlike_all,
)
from eels_bayes.forward_model.foreign import Foreign
from eels_bayes.forward_model.misfit import Directions, Misfit, directions
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.pixel_posterior import UNKNOWN, PixelEvidence

ENERGY = np.arange(677, 737, 0.5)
BINS = np.arange(591.75, 800, 2.0)
WINDOW = (676.75, 736.75)
INSIDE = (WINDOW[0] < BINS) & (WINDOW[1] > BINS)


def library():
    """Three classes, the first with fingerprints of its own spread; two overlapping shapes."""
    step = 1 / (1 + np.exp(-(ENERGY - 688)))
    line = np.exp(-0.5 * ((ENERGY - 696) / 2) ** 2)
    rows = [step, 0.9 * step + 0.1 * line, step + 0.1 * line, 0.6 * step + 0.6 * line, 0 * step]
    overlap = [np.exp(-0.5 * ((ENERGY - c) / 3) ** 2) for c in (699, 722)]
    return FingerprintLibrary.from_arrays(
        ENERGY,
        np.stack(rows),
        [0, 0, 0, 1, 2],
        nuisances=np.stack(overlap),
        variations=Variations(shift=0.2, broadening=0.3, intensity=0.06),
    )


def make(pure=(0.4, 0.3, 0.2), seed=0):
    """A forward model with whatever numbers: evidence does not ask where they come from."""
    rng = np.random.default_rng(seed)
    lib = library()
    free = np.where(INSIDE, 0.0, 0.2 * rng.normal(size=(3, len(BINS))))
    continuum = Continuum(BINS, WINDOW, np.array([20.0, 3.0]), free)
    p = continuum.columns(BINS, lib).shape[1]
    width = np.sqrt(continuum.prior_variances(lib))
    turn = np.linalg.qr(np.eye(p) + 0.1 * rng.normal(size=(p, p)))[0]
    covariance = width[:, None] * (turn @ np.diag(rng.uniform(0.3, 1.0, p)) @ turn.T) * width
    mean = 0.3 * width * rng.normal(size=p)
    pairs = np.diag(np.array(pure))
    pairs[[0, 0, 1], [1, 2, 2]] = np.array([0.5, 0.3, 0.2]) * (1 - sum(pure))
    return ForwardModel(
        library=lib,
        library_fit=LibraryFit(),
        continuum=continuum,
        mean_profile=continuum.center(BINS) + 0.3 * INSIDE,
        middle=0.05 * rng.normal(size=len(BINS)),
        spread=rng.uniform(0.1, 0.2, len(BINS)),
        mean=mean,
        covariance=covariance,
        within=0.8 * covariance,
        class_weights=pairs.sum(1),
        pair_weights=pairs,
        level_weights=np.full((lib.n_classes, len(LEVELS)), 1.0 / len(LEVELS)),
        pairs=mixing_pairs(lib),  # the third has no edge: it mixes with none
        log_likelihood=np.zeros(1),
        misfit=Misfit.unknown(lib.n_classes, 0),
        along=Directions(np.zeros((len(BINS), 0)), np.ones(lib.n_classes), 1.0),
        foreign=Foreign.none(len(BINS), 0),
        noise=1.0,
    )


def draw(model, n, dose, rng, unknown=False):
    """Profiles of the model with Gaussian noise, their levels, components and edges (n, B).

    Where `unknown`, edges are those of unknown structures.
    """
    flat = np.ones(len(BINS))
    weight = model.components()[1]
    shapes = edge_shapes(BINS, model.library, LibraryFit(), flat, pairs=model.pairs)
    if unknown:
        shapes = unknown_shapes(BINS, model.library, flat)
        weight = None
    kind = rng.choice(len(shapes), n, p=weight)
    u = rng.multivariate_normal(model.mean, model.covariance, n)
    rate = model.continuum.center(BINS) + u @ model.continuum.columns(BINS, model.library).T
    edge = np.array(
        [
            shapes[c].mean + shapes[c].loadings @ rng.normal(size=shapes[c].loadings.shape[1])
            for c in kind
        ]
    )
    level = rng.uniform(0.5, 2.0, n) / (120 * dose)
    noise = rng.normal(size=rate.shape) * np.sqrt(level[:, None] * model.mean_profile)
    overlap = columns_of_overlap(model)[1]
    return rate + edge + noise, level, kind, edge + u @ overlap.T


def columns_of_overlap(model):
    """The continuum's columns, and those of them that the overlapping shapes have."""
    columns = model.continuum.columns(BINS, model.library)
    overlap = columns.copy()
    overlap[:, :-2] = 0.0
    return columns, overlap


def evidence(model, profile, level, module=None):
    module = module or evidence_of(model)
    as_tensors = (torch.as_tensor(x, dtype=torch.float32) for x in (profile, level))
    return module(*as_tensors)


@pytest.fixture(scope="module")
def model():
    return make()


# at high dose the logarithms are differences of large numbers: single precision shows
@pytest.mark.parametrize(("dose", "precision"), [(0.1, 1e-3), (1.0, 2e-3), (30.0, 2e-2)])
def test_log_probability_is_the_numpy_posterior(model, dose, precision, rng):
    profile, level, *_ = draw(model, 200, dose, rng)
    profile[0, 10], profile[1, 50] = 500.0, -500.0  # drawn in here as there
    target, noise = model.whiten(profile, level)
    parts = model.rotated_components()
    assert len({len(one.value) for one in parts}) > 1  # some are padded
    joint = np.stack(
        [factor_mixture.log_likelihood(target, noise, one)[0] for one in parts], axis=1
    )
    joint += np.log(model.components()[1])
    wanted = joint - logsumexp(joint, axis=1, keepdims=True)
    found = evidence(model, profile, level)
    np.testing.assert_allclose(found.noise, noise, rtol=1e-5)
    assert np.abs(found.log_probability.exp().numpy() - np.exp(wanted)).max() < precision
    likely = wanted > -8
    assert np.abs(found.log_probability.numpy() - wanted)[likely].max() < 5 * precision
    np.testing.assert_allclose(found.log_probability.exp().sum(1), 1.0, rtol=1e-5)


def dense(model, component, noise):
    """Means and covariances by plain linear algebra: of whitened bins, and with clean bins.

    Returns mean (B,) and covariance (B, B) of ``y``; mean (W,) of the clean spectrum in the
    window's bins, and its covariance (W, B) with ``y``.
    """
    white = model.white
    columns, _ = columns_of_overlap(model)
    shape = edge_shapes(BINS, model.library, LibraryFit(), np.ones(len(BINS)), pairs=model.pairs)[
        component
    ]
    edge = shape.loadings @ shape.loadings.T
    total = columns @ model.covariance @ columns.T + edge
    covariance = white[:, None] * total * white + noise * np.eye(len(BINS))
    mean = white * (columns @ model.mean + shape.mean)
    return mean, covariance


def conditional(model, component, target, noise):
    """Log-density of a whitened pixel under a component; mean of its noise in the window (W,)."""
    mean, covariance = dense(model, component, noise)
    log_density = multivariate_normal(mean, covariance).logpdf(target)
    return log_density, noise * np.linalg.solve(covariance, target - mean)[INSIDE]


@pytest.mark.parametrize("dose", [0.3, 3.0])
def test_residual_of_one_component_is_the_gaussian_conditional(dose, rng):
    # all weight on one class: the others keep a millionth
    model = make(pure=(0.0, 1.0, 0.0))
    profile, level, *_ = draw(model, 6, dose, rng)
    target, noise = model.whiten(profile, level)
    found = evidence(model, profile, level)
    for i in range(6):
        assert found.log_probability[i, 1].exp() > 0.999
        _, wanted = conditional(model, 1, target[i], noise[i])
        np.testing.assert_allclose(found.residual[i], wanted / np.sqrt(noise[i]), atol=5e-3)
    assert found.residual.shape == (6, INSIDE.sum())


def test_residual_and_probability_of_a_mixture_are_the_dense_ones(model, rng):
    profile, level, *_ = draw(model, 5, 0.1, rng)
    target, noise = model.whiten(profile, level)
    found = evidence(model, profile, level)
    weight = model.components()[1]
    for i in range(5):
        each = [conditional(model, c, target[i], noise[i]) for c in range(len(weight))]
        joint = np.log(np.maximum(weight, 1e-6)) + [one[0] for one in each]
        p = np.exp(joint - logsumexp(joint))
        assert 0.05 < p.max() < 0.999  # several have a say
        np.testing.assert_allclose(found.log_probability[i].exp(), p, atol=1e-3)
        wanted = p @ np.array([one[1] for one in each])
        np.testing.assert_allclose(found.residual[i], wanted / np.sqrt(noise[i]), atol=5e-3)


@pytest.mark.parametrize("dose", [0.1, 1.0, 30.0])
def test_factors_are_the_gaussian_conditional_of_every_component(model, dose, rng):
    profile, level, *_ = draw(model, 5, dose, rng)
    target, noise = model.whiten(profile, level)
    module = evidence_of(model)
    found = evidence(model, profile, level, module).factor.double().numpy()
    n_span, n_components = module.sizes[1:3]
    assert found.shape == (5, n_components, n_span)
    span, axes = module.span.double(), module.axes.double().view(n_span, -1, n_span)
    for c in range(n_components):
        along = (span @ axes[:, c]).numpy()
        mean, covariance = dense(model, c, 0.0)
        variance = module.variance[c].double().numpy()
        wide = variance.max()
        # principal ones: along them the component's deviations go their own ways, and nowhere else
        np.testing.assert_allclose(
            along.T @ covariance @ along, np.diag(variance), rtol=0, atol=1e-5 * wide
        )
        assert np.trace(covariance) == pytest.approx(variance.sum(), rel=1e-5)
        for i in range(5):
            measured = covariance + noise[i] * np.eye(len(BINS))
            wanted = along.T @ covariance @ np.linalg.solve(measured, target[i] - mean)
            np.testing.assert_allclose(
                found[i, c] * variance, wanted, rtol=0, atol=1e-3 * np.sqrt(wide)
            )


def test_classes_are_as_likely_as_they_turn_out(model, rng):
    profile, level, kind, _ = draw(model, 4000, 0.1, rng)
    p = evidence(model, profile, level).log_probability.double().exp().numpy()
    hit = kind[:, None] == np.arange(p.shape[1])
    # the mean probability of a component is how often it is there, overall and where it is likely
    error = np.sqrt(np.maximum((p * (1 - p)).sum(0), 1.0)) / len(p)
    assert (np.abs(p.mean(0) - hit.mean(0)) < 4 * error).all()
    for low, high in ((0.02, 0.2), (0.2, 0.5), (0.5, 0.9)):
        some = (p > low) & (p < high)
        assert some.sum() > 100
        tolerance = 4 * np.sqrt((p * (1 - p))[some].sum()) / some.sum()
        assert abs(p[some].mean() - hit[some].mean()) < tolerance


# An unknown structure


def with_modes(model):
    """The model with modes in which edges may be of another shape."""
    edges = mean_edges(BINS, model.library, LibraryFit())
    along = directions(BINS, edges, WINDOW)
    n_modes = along.shape.shape[1]
    misfit = Misfit.unknown(model.library.n_classes, n_modes)
    foreign = Foreign.none(len(BINS), n_modes)
    return dataclasses.replace(model, along=along, misfit=misfit, foreign=foreign)


@pytest.mark.parametrize("modes", [False, True])
@pytest.mark.parametrize(("dose", "precision"), [(0.1, 2e-3), (1.0, 5e-3), (30.0, 5e-2)])
def test_unknown_is_the_evidence_of_such_edges_over_the_librarys(
    model, dose, precision, modes, rng
):
    model = with_modes(model) if modes else model
    profile = np.concatenate([draw(model, 50, dose, rng, kind)[0] for kind in (False, True)])
    level = rng.uniform(0.5, 2.0, 100) / (120 * dose)
    profile[0, 10], profile[1, 50] = 500.0, -500.0
    target, noise = model.whiten(profile, level)
    columns = model.continuum.columns(BINS, model.library) * model.white[:, None]
    population = factor_mixture.Population(model.components()[1], model.mean, model.covariance)
    shapes = unknown_shapes(BINS, model.library, model.white)
    assert len(shapes) == len(UNKNOWN)
    if modes:
        edges = mean_edges(BINS, model.library, LibraryFit()) * model.white
        shapes.append(unlike_all(edges, model.along.shape * model.white[:, None]))
    others = [factor_mixture.rotated(columns, population, shape) for shape in shapes]

    def likelihood(parts):
        return np.stack(
            [factor_mixture.log_likelihood(target, noise, one)[0] for one in parts], axis=1
        )

    known = likelihood(model.rotated_components()) + np.log(model.components()[1])
    wanted = logsumexp(likelihood(others), axis=1) - logsumexp(known, axis=1)
    found = evidence(model, profile, level).unknown
    assert found.shape == (100,)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=precision)


def test_unknown_shapes_are_the_strongest_edge_moved_and_split(model):
    flat = np.ones(len(BINS))
    strongest = edge_shapes(BINS, model.library, LibraryFit(), flat)[0].mean
    shapes = unknown_shapes(BINS, model.library, flat)
    for (shift, split), shape in zip(UNKNOWN, shapes, strict=True):
        np.testing.assert_allclose(shape.loadings[:, 0], 0.1 * shape.mean)
        assert shape.mean.max() == pytest.approx(strongest.max(), rel=0.1)

        def half(edge):  # where the edge is half its height
            before = edge[: int(edge.argmax()) + 1]
            return np.interp(0.5 * edge.max(), before, BINS[: len(before)])

        assert half(shape.mean) - half(strongest) == pytest.approx(shift, abs=1.0)
        step = np.diff(shape.mean).max()
        assert (step < 0.8 * np.diff(strongest).max()) == (split > 0)


@pytest.mark.parametrize(("dose", "told_apart"), [(1.0, 0.8), (10.0, 0.95)])
def test_unknown_tells_such_edges_from_the_librarys(model, dose, told_apart, rng):
    profile, level, kind, _ = draw(model, 400, dose, rng)
    known = evidence(model, profile, level).unknown.numpy()
    profile, level, *_ = draw(model, 400, dose, rng, unknown=True)
    other = evidence(model, profile, level).unknown.numpy()
    assert known.mean() < -2.0 and other.mean() > 2.0
    assert (other[:, None] > known).mean() > told_apart
    # a pixel without any edge has least of an unknown one
    assert known[kind == 2].mean() < known[kind == 0].mean()


def test_the_librarys_posterior_does_not_ask_for_the_unknown(model, rng):
    profile, level, *_ = draw(model, 20, 1.0, rng)
    module = evidence_of(model)
    wanted = evidence(model, profile, level, module)
    module.offset.view(len(module.variance), -1)[module.n_known :] += 0.7
    found = evidence(model, profile, level, module)
    assert torch.equal(found.log_probability, wanted.log_probability)
    assert torch.equal(found.residual, wanted.residual)
    assert (found.unknown != wanted.unknown).all()


def test_scripted_is_eager(model, rng):
    profile, level, *_ = draw(model, 20, 1.0, rng)
    profile[3, 7] = 1e4
    module = evidence_of(model)
    scripted = torch.jit.script(module)
    for found, wanted in zip(
        evidence(model, profile, level, scripted), evidence(model, profile, level), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_pixel_is_the_same_alone_and_beside_a_broken_one(model, rng):
    profile, level, *_ = draw(model, 10, 1.0, rng)
    profile[4] = np.nan
    whole = evidence(model, profile, level)
    assert torch.isnan(whole.log_probability[4]).all()
    for i in (0, 9):
        alone = evidence(model, profile[i : i + 1], level[i : i + 1])
        for found, wanted in zip(alone, whole, strict=True):
            torch.testing.assert_close(found[0], wanted[i], rtol=1e-3, atol=1e-3)


def test_buffers_are_the_whole_state(model, rng):
    profile, level, *_ = draw(model, 10, 1.0, rng)
    module = evidence_of(model)
    assert list(module.parameters()) == []  # nothing of it is trained
    again = PixelEvidence(module.sizes)
    again.load_state_dict(module.state_dict())
    for found, wanted in zip(
        evidence(model, profile, level, again), evidence(model, profile, level), strict=True
    ):
        assert torch.equal(found, wanted)


def test_weights_of_zero_stay_possible(rng):
    model = make(pure=(0.5, 0.5, 0.0))
    module = evidence_of(model)
    assert torch.isfinite(module.log_weight).all()
    nothing = dataclasses.replace(model, pair_weights=np.diag([0.0, 0.0, 1.0]))
    profile, level, *_ = draw(nothing, 50, 30.0, rng)
    found = evidence(model, profile, level, module)
    # so clear a spectrum overrules the weights
    assert (found.log_probability.argmax(1) == 2).float().mean() > 0.9
