"""Factor analysers: against dense Gaussians, the law of expectation-maximisation, recovery."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from eels_bayes.forward_model.factor_mixture import (
    PRIOR_PIXELS,
    Images,
    Population,
    Shape,
    expectation,
    log_likelihood,
    maximisation,
    rotated,
    weights_of_images,
)
from eels_bayes.forward_model.factor_moments import N_COMMON
from eels_bayes.forward_model.image_offsets import offsets, pooled, recentred

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
    common, square, learned = np.zeros((3, N_COMMON))
    edges = total = 0.0
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
            moment, own = np.outer(mean, mean) + doubt, slice(P, P + N_COMMON)
            first += g * mean[:P]
            second += g * moment[:P, :P]
            if shape is not shapes[-1]:  # without an edge, nothing of the library is seen
                common += g * mean[own]
                square += g * mean[own] ** 2
                learned += g * (1.0 - np.diag(doubt)[own])
                edges += g
    np.testing.assert_allclose(found.responsibility, responsibility[None], rtol=1e-7)
    np.testing.assert_allclose(found.first, first[None], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.second, second, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.common.mean, common / edges, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.common.square, square / edges, rtol=1e-6)
    np.testing.assert_allclose(found.common.information, learned / edges, rtol=1e-6)
    assert found.n == 25
    assert found.log_likelihood == pytest.approx(total / 25, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_quick_step_says_the_same_in_any_unit(rng, unit):
    columns, population, shapes = make(rng)
    level = unit**2 * rng.uniform(0.05, 0.2, 200)
    columns = unit * columns
    shapes = [Shape(unit * shape.mean, unit * shape.loadings) for shape in shapes]
    target, _ = draw(rng, 200, columns, population, shapes, level)
    given = (target, level, columns, population, shapes)
    exact, quick = expectation(*given), expectation(*given, quick=True)
    assert quick.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-3)
    np.testing.assert_allclose(quick.responsibility, exact.responsibility, atol=0.02)
    np.testing.assert_allclose(quick.second, exact.second, rtol=1e-3, atol=0.05)


def test_maximisation_takes_the_moments_of_u(rng):
    columns, now, shapes = make(rng)
    level = rng.uniform(0.1, 1.0, 25)
    target, _ = draw(rng, 25, columns, now, shapes, level)
    step = expectation(target, level, columns, now, shapes)
    prior = np.diag(rng.uniform(0.5, 2.0, P))
    found = maximisation(step, now, prior)
    # E[u] and E[u u'] summed over pixels, from those of the standardised coefficients
    root = np.linalg.cholesky(now.covariance)
    moved = root @ step.first[0]
    first = step.n * now.mean + moved
    cross = np.outer(moved, now.mean)
    second = root @ step.second @ root.T + cross + cross.T
    second += step.n * np.outer(now.mean, now.mean)
    precision = np.linalg.inv(now.covariance)
    mean = np.linalg.solve(step.n * precision + np.linalg.inv(prior), precision @ first)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
    around = np.outer(first, mean)
    scatter = second - around - around.T + step.n * np.outer(mean, mean)
    covariance = (scatter + PRIOR_PIXELS * prior) / (step.n + PRIOR_PIXELS)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.weight, (step.responsibility[0] + 1) / (step.n + 3))


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


# Images


def images_of(rng, population, n_images):
    """Images that differ."""
    weight = rng.dirichlet(np.full(len(population.weight), 1.0), n_images)
    return Images(weight, rng.normal(size=(n_images, P)))


def test_an_image_is_a_population_of_its_own(rng):
    columns, population, shapes = make(rng)
    images, image = images_of(rng, population, 3), rng.integers(0, 3, 40)
    level = rng.uniform(0.1, 1.0, 40)
    target, _ = draw(rng, 40, columns, population, shapes, level)
    found = expectation(target, level, columns, population, shapes, images, image)
    second, total = np.zeros((P, P)), 0.0
    for i, (weight, offset) in enumerate(zip(images.weight, images.offset, strict=True)):
        here = image == i
        own = Population(weight, population.mean + offset, population.covariance)
        alone = expectation(target[here], level[here], columns, own, shapes)
        np.testing.assert_allclose(found.responsibility[i], alone.responsibility[0], rtol=1e-9)
        np.testing.assert_allclose(found.first[i], alone.first[0], rtol=1e-7, atol=1e-9)
        second += alone.second
        total += alone.n * alone.log_likelihood
    np.testing.assert_allclose(found.second, second, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.pixels, np.bincount(image))
    assert found.log_likelihood == pytest.approx(total / 40)


def test_offsets_are_the_images_means_shrunk_by_their_prior(rng):
    columns, population, shapes = make(rng)
    images, image = images_of(rng, population, 3), rng.integers(0, 3, 40)
    u = rng.multivariate_normal(population.mean, population.covariance, 40)
    u += rng.normal(size=(3, P))[image]
    # without noise or edges every u is known
    step = expectation(
        u @ columns.T, np.full(40, 1e-10), columns, population, shapes[-1:] * 3, images, image
    )
    variances = rng.uniform(0.1, 1.0, P)
    found = offsets(step, population, images, variances)
    precision, doubt = np.linalg.inv(population.covariance), np.zeros((P, P))
    means, scatter = np.zeros((3, P)), np.zeros((P, P))
    for i in range(3):
        rest = u[image == i] - population.mean
        covariance = np.linalg.inv(len(rest) * precision + np.diag(1 / variances))
        means[i] = covariance @ precision @ rest.sum(0)
        doubt += len(rest) / 40 * covariance
        rest = rest - found.mean[i]
        scatter += rest.T @ rest
    np.testing.assert_allclose(found.mean, means - means.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.covariance, doubt, rtol=1e-6, atol=1e-9)
    # the statistics about the new offsets
    moved = recentred(step, population, images, found)
    root = np.linalg.cholesky(population.covariance)
    np.testing.assert_allclose(
        root @ moved.second @ root.T, scatter + 40 * doubt, rtol=1e-4, atol=1e-5
    )
    again = offsets(moved, population, Images(images.weight, found.mean), variances)
    np.testing.assert_allclose(again.mean, found.mean, rtol=1e-6, atol=1e-9)


def test_images_do_not_blur_the_population(rng):
    columns, truth, shapes = make(rng)
    images, image = images_of(rng, truth, 6), np.repeat(np.arange(6), 700)
    level = rng.uniform(0.05, 0.3, len(image))
    parts = [
        draw(rng, 700, columns, Population(w, truth.mean + o, truth.covariance), shapes, v)[0]
        for w, o, v in zip(images.weight, images.offset, level.reshape(6, -1), strict=True)
    ]
    now = Population(np.full(3, 1 / 3), np.zeros(P), np.eye(P))
    own = Images.alike(now, 6)
    for _ in range(60):
        step = expectation(np.concatenate(parts), level, columns, now, shapes, own, image)
        found = offsets(step, now, own, np.ones(P))
        step = recentred(step, now, own, found)
        now = maximisation(step, now, np.eye(P))
        own = Images(weights_of_images(step.responsibility, step.pixels, now.weight), found.mean)
    np.testing.assert_allclose(own.weight, images.weight, atol=0.05)
    sd = np.sqrt(np.diag(truth.covariance))
    error = (now.covariance - truth.covariance) / np.outer(sd, sd)
    assert np.abs(error).max() < 0.1
    # together they are spread by what sets the images apart, too
    together = pooled(now, own, step.pixels)
    apart = np.cov(images.offset.T, bias=True)
    error = (together.covariance - truth.covariance - apart) / np.outer(sd, sd)
    assert np.abs(error).max() < 0.2
    centre = (together.mean - truth.mean - images.offset.mean(0)) / sd
    assert np.abs(centre).max() < 0.1
