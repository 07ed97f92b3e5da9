"""What fingerprints miss: learned in closed form, as wide as it is, nothing where all is right."""

import numpy as np
import pytest

from eels_bayes.forward_model.factor_mixture import Population, Shape, expectation
from eels_bayes.forward_model.factor_moments import N_COMMON, SHIFT, ShiftMoments
from eels_bayes.forward_model.misfit import (
    LEAST_MISFIT,
    Directions,
    Misfit,
    directions,
    negligible_out,
    spread_by_misfit,
    with_misfit,
)
from eels_bayes.forward_model.misfit_step import LEAST_INFORMATION, improved, log_density

ENERGY = 640.0 + np.arange(40.0)
WINDOW = (649.5, 669.5)
EDGES = np.array([2.0, 1.0, 0.0])[:, None] * np.exp(-0.5 * ((ENERGY - 658.0) / 3.0) ** 2)
ALONG = directions(ENERGY, EDGES, WINDOW)
N_MODES = ALONG.shape.shape[1]
COLUMNS = np.stack([np.ones(40), np.linspace(-1.0, 1.0, 40)], axis=1)
POPULATION = Population(np.array([0.5, 0.3, 0.2]), np.zeros(2), 0.01 * np.eye(2))
SHARE = np.eye(3)


def shapes() -> list[Shape]:
    """The three classes, with small factors of their own."""
    return [
        Shape(edge, np.stack([0.05 * edge, 0.1 * np.gradient(edge), 0.0 * edge], axis=1))
        for edge in EDGES
    ]


def pixels(n, misfit, noise, seed=0):
    """Pixels (n, B), their noise levels and classes, of a misfit known."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, n, p=POPULATION.weight)
    weight = SHARE[label] * ALONG.amplitude
    along = misfit.shared[label] * ALONG.amplitude[label, None]
    along = along + misfit.pixel * weight.sum(1)[:, None] * rng.standard_normal((n, N_MODES))
    scale = 1.0 + 0.05 * rng.standard_normal(n)
    level = noise * rng.uniform(0.5, 2.0, n)
    target = scale[:, None] * EDGES[label] + along @ ALONG.shape.T
    target += 0.1 * rng.standard_normal((n, 2)) @ COLUMNS.T
    return target + np.sqrt(level)[:, None] * rng.standard_normal(target.shape), level, label


def step(target, level, misfit):
    """One E-step of all three classes."""
    seen = with_misfit(shapes(), SHARE, ALONG, misfit)
    return expectation(target, level, COLUMNS, POPULATION, seen, n_misfit=N_MODES)


def learned(target, level, steps=60):
    """Scales and shared misfit after so many steps, and the objective of each; it stands still."""
    misfit, climbed = Misfit.unknown(3, N_MODES), []
    for _ in range(steps):
        found = step(target, level, misfit)
        still = ShiftMoments(*(np.zeros_like(part) for part in found.shift))
        new, _ = improved(misfit, found.misfit, still, SHARE, ALONG.amplitude)
        climbed.append(found.log_likelihood + log_density(misfit, new.covariance) / len(target))
        misfit = new
    return misfit, np.array(climbed)


def truth(pixel: float, shared: float, seed: int = 1) -> Misfit:
    """A misfit drawn at these scales."""
    rng = np.random.default_rng(seed)
    unknown = Misfit.unknown(3, N_MODES)
    return Misfit(pixel, shared, shared * rng.standard_normal((3, N_MODES)), unknown.covariance)


def test_a_misfit_is_where_the_edge_is() -> None:
    outside = (WINDOW[0] > ENERGY) | (WINDOW[1] < ENERGY)
    assert (ALONG.shape[outside] == 0).all()
    sd = np.sqrt((ALONG.shape**2).sum(1))
    assert 655 < ENERGY[sd.argmax()] < 661
    np.testing.assert_allclose(ALONG.amplitude / ALONG.amplitude[0], [1.0, 0.5, 0.0])
    assert np.sqrt((ALONG.amplitude**2).mean()) == pytest.approx(1.0)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_a_misfit_is_relative_to_the_library(factor: float) -> None:
    found = directions(ENERGY, factor * EDGES, WINDOW)
    np.testing.assert_allclose(found.shape, factor * ALONG.shape, rtol=1e-9)
    np.testing.assert_allclose(found.amplitude, ALONG.amplitude)


def test_a_library_without_any_edge_misses_nothing() -> None:
    found = directions(ENERGY, 0.0 * EDGES, WINDOW)
    assert np.isfinite(found.amplitude).all()
    assert (found.shape == 0).all()


def test_shift_and_what_is_shared_are_the_generalised_least_squares_estimate() -> None:
    """Of one class alone, with everything else integrated out."""
    misfit = truth(0.05, 0.1)
    target, level, label = pixels(60, misfit, 1e-3)
    target, level = target[label == 0], level[label == 0]
    only = Population(np.ones(1), POPULATION.mean, POPULATION.covariance)
    edge = shapes()[:1]
    old = Misfit(0.05, 0.1, np.zeros((1, N_MODES)), 0.01 * np.eye(N_MODES)[None, :, None])
    along = Directions(ALONG.shape, ALONG.amplitude[:1], ALONG.norm)
    seen = with_misfit(edge, np.ones((1, 1)), along, old)
    found = expectation(target, level, COLUMNS, only, seen, n_misfit=N_MODES)
    new, move = improved(old, found.misfit, found.shift, np.ones((1, 1)), along.amplitude)

    misses = along.amplitude[0] * ALONG.shape
    moves = edge[0].loadings[:, [SHIFT]]
    spread = np.concatenate([COLUMNS * 0.1, edge[0].loadings, 0.05 * misses], axis=1)
    design = np.concatenate([moves, misses], axis=1)
    precision = np.diag(np.repeat([LEAST_INFORMATION, 1.0 / 0.1**2], [1, N_MODES]))
    towards = np.zeros(len(precision))
    for row, variance in zip(target, level, strict=True):
        inverse = np.linalg.inv(spread @ spread.T + variance * np.eye(40))
        precision += design.T @ inverse @ design
        towards += design.T @ inverse @ (row - edge[0].mean)
    both = np.linalg.solve(precision, towards)
    np.testing.assert_allclose(move, both[0], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(new.shared[0], both[1:], rtol=1e-5, atol=1e-8)
    covariance = np.linalg.inv(precision[1:, 1:])  # where the library stands so
    np.testing.assert_allclose(new.covariance[0, :, 0], covariance, rtol=1e-5, atol=1e-9)
    assert len(edge[0].loadings.T) == N_COMMON


@pytest.mark.parametrize(("pixel", "shared"), [(0.05, 0.1), (0.08, 0.03), (0.03, 0.3)])
def test_both_scales_are_found(pixel: float, shared: float) -> None:
    true = truth(pixel, shared).shared
    target, level, _ = pixels(1500, truth(pixel, shared), 1e-3)
    found, climbed = learned(target, level)
    assert found.pixel == pytest.approx(pixel, rel=0.1)
    # as far as these coefficients show it, of classes with an edge
    assert found.shared_sd == pytest.approx(np.sqrt((true[:2] ** 2).mean()), rel=0.1)
    assert (np.diff(climbed) > -1e-6).all()
    for k in (0, 1):
        error = (found.shared[k] - true[k]) @ ALONG.shape.T
        assert np.abs(error).max() < 0.05 * np.abs(EDGES[k]).max() + 2e-2


def test_a_right_library_is_left_alone() -> None:
    target, level, _ = pixels(1500, truth(0.0, 0.0), 1e-3)
    found, _ = learned(target, level)
    assert found.pixel < 0.02
    assert found.shared_sd < 0.02


def test_a_class_that_no_pixel_takes_keeps_its_doubt() -> None:
    target, level, label = pixels(600, truth(0.05, 0.1), 1e-3)
    found, _ = learned(target[label == 0], level[label == 0], steps=30)
    doubt = [np.trace(found.covariance[k, :, k]) / N_MODES for k in (0, 1)]
    assert doubt[0] < 0.5 * doubt[1]
    assert doubt[1] == pytest.approx(found.shared_sd**2, rel=0.2)


def test_no_scale_falls_to_nothing() -> None:
    found, _ = learned(*pixels(300, truth(0.0, 0.0), 1.0)[:2], steps=200)
    assert found.pixel >= LEAST_MISFIT
    assert found.shared_sd >= LEAST_MISFIT


@pytest.mark.parametrize("weight", [(1.0, 0.0, 0.0), (0.4, 0.6, 0.0), (0.0, 0.0, 0.0)])
def test_draws_have_the_spread_that_pixels_are_read_with(weight) -> None:
    rng = np.random.default_rng(3)
    root = 0.1 * rng.standard_normal((3 * N_MODES, 3 * N_MODES)) / np.sqrt(N_MODES)
    covariance = (root @ root.T).reshape(3, N_MODES, 3, N_MODES)
    misfit = Misfit(0.05, 0.1, np.zeros((3, N_MODES)), covariance)
    weights = np.array(weight) * np.array([1.4, 0.7, 0.0])
    drawn = misfit.draw(np.tile(weights, (40_000, 1)), rng)
    spread = misfit.spread(weights)
    covariance = spread @ spread.T
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.03 * covariance.max())


def test_what_noise_hides_is_left_out() -> None:
    misfit = truth(0.1, 0.1)
    for noise in (1e-6, 1e-2, 1e6):
        for shape in spread_by_misfit(shapes(), SHARE, ALONG, misfit, noise):
            left = shape.loadings[:, N_COMMON:]
            assert ((left**2).sum(0) > 0.01 * noise).all()
    whole = ALONG.shape @ misfit.spread(ALONG.amplitude * SHARE[0])
    np.testing.assert_allclose(
        negligible_out(whole, 0.0) @ negligible_out(whole, 0.0).T, whole @ whole.T, atol=1e-9
    )
    wide = spread_by_misfit(shapes(), SHARE, ALONG, misfit, 1e6)
    assert all(shape.loadings.shape[1] == N_COMMON for shape in wide)


def test_other_classes_keep_what_is_known_of_them() -> None:
    target, level, _ = pixels(600, truth(0.05, 0.1), 1e-3)
    found, _ = learned(target, level, steps=10)
    other = found.of_classes([1, None, 0])
    np.testing.assert_array_equal(
        other.shared, [found.shared[1], 0 * found.shared[0], found.shared[0]]
    )
    np.testing.assert_array_equal(other.covariance[0, :, 2], found.covariance[1, :, 0])
    np.testing.assert_array_equal(other.covariance[0, :, 1], 0 * found.covariance[0, :, 0])
    np.testing.assert_allclose(other.covariance[1, :, 1], found.shared_sd**2 * np.eye(N_MODES))
    along = ALONG.of_classes([1, None, 0], EDGES[[0, 0, 0]])
    np.testing.assert_allclose(along.amplitude, ALONG.amplitude[[1, 0, 0]])
