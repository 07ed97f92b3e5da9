"""Factor analysers: against dense Gaussians, the law of expectation-maximisation, recovery."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from eels_bayes.factors import (
    N_COMMON,
    PRIOR_PIXELS,
    Population,
    Shape,
    expectation,
    log_likelihood,
    maximisation,
    rotated,
)

P, Q = 4, 5  # coefficients of u; factors of a component, three of them common


def spread(rng, size):
    """A covariance that is not nearly singular."""
    root = rng.normal(size=(size, 2 * size))
    return root @ root.T / (2 * size)


def make(rng, n_bins=30, n_components=3):
    """Columns, a population and components, one of them without an edge."""
    columns = rng.normal(size=(n_bins, P))
    weight = rng.dirichlet(np.full(n_components, 5.0))
    population = Population(weight, rng.normal(size=P), spread(rng, P))
    shapes = [
        Shape(rng.normal(size=n_bins), 0.5 * rng.normal(size=(n_bins, Q)))
        for _ in range(n_components - 1)
    ]
    return columns, population, [*shapes, Shape(np.zeros(n_bins), np.zeros((n_bins, Q)))]


def draw(rng, n, columns, population, shapes, level):
    """Pixels of the model and their components."""
    kind = rng.choice(len(shapes), n, p=population.weight)
    u = rng.multivariate_normal(population.mean, population.covariance, n)
    factors = rng.normal(size=(n, Q))
    edges = np.array(
        [shapes[c].mean + shapes[c].loadings @ a for c, a in zip(kind, factors, strict=True)]
    )
    noise = np.sqrt(level)[:, None] * rng.normal(size=(n, len(columns)))
    return u @ columns.T + edges + noise, kind


def dense(columns, population, shape, level):
    """Mean and covariance of a component, and what its factors ``(u, a)`` bring to it."""
    loadings = np.concatenate(
        [columns @ np.linalg.cholesky(population.covariance), shape.loadings], axis=1
    )
    centre = columns @ population.mean + shape.mean
    return centre, loadings @ loadings.T + level * np.eye(len(columns)), loadings


def conditioned(columns, population, shape, level, target):
    """Posterior mean and covariance of the standardised factors by Gaussian conditioning."""
    centre, covariance, loadings = dense(columns, population, shape, level)
    gain = loadings.T @ np.linalg.inv(covariance)
    return gain @ (target - centre), np.eye(P + Q) - gain @ loadings


@pytest.mark.parametrize("n_bins", [30, 7])  # more bins than factors, and fewer
def test_log_likelihood_and_posterior_are_the_dense_gaussians(rng, n_bins):
    columns, population, shapes = make(rng, n_bins)
    shapes[0].loadings[:, 2] = 0.0  # a direction that shows nothing
    level = rng.uniform(0.05, 2.0, 6)
    target = 3 * rng.normal(size=(6, n_bins))
    for shape in shapes:
        one = rotated(columns, population, shape)
        found, mean, variance = log_likelihood(target, level, one)
        for i in range(6):
            centre, covariance, _ = dense(columns, population, shape, level[i])
            wanted = multivariate_normal(centre, covariance).logpdf(target[i])
            assert found[i] == pytest.approx(wanted, rel=1e-9)
            factors, doubt = conditioned(columns, population, shape, level[i], target[i])
            np.testing.assert_allclose(one.basis @ mean[i], factors, rtol=1e-7, atol=1e-9)
            np.testing.assert_allclose(
                one.basis @ np.diag(variance[i]) @ one.basis.T, doubt, atol=1e-9
            )


def test_expectation_sums_every_pixels_posterior(rng):
    columns, population, shapes = make(rng)
    level = rng.uniform(0.1, 1.0, 25)
    target, _ = draw(rng, 25, columns, population, shapes, level)
    found = expectation(target, level, columns, population, shapes)
    responsibility, first, second = np.zeros(3), np.zeros(P), np.zeros((P, P))
    common, square, edges, total = np.zeros(N_COMMON), np.zeros(N_COMMON), 0.0, 0.0
    for y, v in zip(target, level, strict=True):
        joint = np.log(population.weight) + [
            multivariate_normal(*dense(columns, population, shape, v)[:2]).logpdf(y)
            for shape in shapes
        ]
        total += logsumexp(joint)
        gamma = np.exp(joint - logsumexp(joint))
        responsibility += gamma
        for g, shape in zip(gamma, shapes, strict=True):
            mean, doubt = conditioned(columns, population, shape, v, y)
            moment = np.outer(mean, mean) + doubt
            first += g * mean[:P]
            second += g * moment[:P, :P]
            if shape is not shapes[-1]:  # without an edge, nothing of the library is seen
                common += g * mean[P : P + N_COMMON]
                square += g * np.diag(moment)[P : P + N_COMMON]
                edges += g
    np.testing.assert_allclose(found.responsibility, responsibility, rtol=1e-7)
    np.testing.assert_allclose(found.first, first, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.second, second, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.common, common / edges, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.common_square, square / edges, rtol=1e-6)
    assert found.n == 25
    assert found.log_likelihood == pytest.approx(total / 25, rel=1e-9)


def test_maximisation_takes_the_moments_of_u(rng):
    columns, now, shapes = make(rng)
    level = rng.uniform(0.1, 1.0, 25)
    target, _ = draw(rng, 25, columns, now, shapes, level)
    step = expectation(target, level, columns, now, shapes)
    prior = np.diag(rng.uniform(0.5, 2.0, P))
    found = maximisation(step, now, prior)
    # E[u] and E[u u'] summed over pixels, from those of the standardised coefficients
    root = np.linalg.cholesky(now.covariance)
    first = step.n * now.mean + root @ step.first
    cross = np.outer(root @ step.first, now.mean)
    second = root @ step.second @ root.T + cross + cross.T
    second += step.n * np.outer(now.mean, now.mean)
    precision = np.linalg.inv(now.covariance)
    mean = np.linalg.solve(step.n * precision + np.linalg.inv(prior), precision @ first)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
    around = np.outer(first, mean)
    scatter = second - around - around.T + step.n * np.outer(mean, mean)
    covariance = (scatter + PRIOR_PIXELS * prior) / (step.n + PRIOR_PIXELS)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.weight, (step.responsibility + 1) / (step.n + 3))


def log_prior(population, prior):
    """What `maximisation` adds to the log-likelihood, up to a constant."""
    inverse = np.linalg.inv(population.covariance)
    _, log_det = np.linalg.slogdet(population.covariance)
    wishart = -0.5 * PRIOR_PIXELS * (log_det + np.trace(prior @ inverse))
    mean = -0.5 * population.mean @ np.linalg.solve(prior, population.mean)
    return wishart + mean + np.log(population.weight).sum()


@pytest.mark.parametrize("n", [5, 400])  # few pixels, where the prior matters, and many
def test_no_step_lowers_the_posterior(rng, n):
    columns, truth, shapes = make(rng)
    level = rng.uniform(0.1, 1.0, n)
    target, _ = draw(rng, n, columns, truth, shapes, level)
    prior = np.diag(rng.uniform(0.5, 2.0, P))
    now = Population(np.full(3, 1 / 3), np.zeros(P), prior)
    bare, history = [], []
    for _ in range(40):
        step = expectation(target, level, columns, now, shapes)
        bare.append(step.log_likelihood)
        history.append(n * step.log_likelihood + log_prior(now, prior))
        now = maximisation(step, now, prior)
    assert np.diff(history).min() > -1e-8 * abs(history[-1])
    assert history[-1] > history[0] + 1.0
    if n == 400:  # the prior is worth a few pixels only
        assert np.diff(bare).min() > -1e-3
    # and where it ends nothing moves any more
    assert abs(history[-1] - history[-2]) < 0.05 * (history[1] - history[0])
    assert now.weight.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(now.covariance, now.covariance.T, rtol=1e-12, atol=1e-12)


def test_without_pixels_worth_mentioning_the_prior_stays(rng):
    columns, _, shapes = make(rng)
    prior = np.diag(rng.uniform(0.5, 2.0, P))
    start = Population(np.full(3, 1 / 3), np.zeros(P), prior)
    # a pixel of endless noise says nothing
    level = np.array([1e12])
    step = expectation(np.zeros((1, len(columns))), level, columns, start, shapes)
    found = maximisation(step, start, prior)
    np.testing.assert_allclose(found.weight, 1 / 3, atol=1e-6)
    np.testing.assert_allclose(found.mean, 0.0, atol=1e-6)
    np.testing.assert_allclose(found.covariance, prior, rtol=1e-6, atol=1e-9)


def test_the_population_of_data_drawn_from_the_model_is_recovered(rng):
    columns, truth, shapes = make(rng)
    n = 4000
    level = rng.uniform(0.05, 0.3, n)
    target, kind = draw(rng, n, columns, truth, shapes, level)
    prior = np.eye(P)
    now = Population(np.full(3, 1 / 3), np.zeros(P), prior)
    for _ in range(60):
        now = maximisation(expectation(target, level, columns, now, shapes), now, prior)
    np.testing.assert_allclose(now.weight, np.bincount(kind) / n, atol=0.01)
    sd = np.sqrt(np.diag(truth.covariance))
    np.testing.assert_allclose(now.mean / sd, truth.mean / sd, atol=0.1)
    np.testing.assert_allclose(
        now.covariance / np.outer(sd, sd), truth.covariance / np.outer(sd, sd), atol=0.12
    )
