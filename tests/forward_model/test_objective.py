"""What the fit climbs: plain steps raise it, and its parts are what they are said to be."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from eels_bayes.forward_model.factor_mixture import (
    PRIOR_PIXELS,
    Images,
    Population,
    Shape,
    expectation,
    log_likelihood,
    maximisation,
    rotated,
)
from eels_bayes.forward_model.image_offsets import offsets, recentred
from eels_bayes.forward_model.objective import log_prior

P, B = 3, 12
Floats = NDArray[np.float64]


def problem(rng: np.random.Generator, n_images: int, pixels: int) -> dict[str, Floats]:
    """Pixels of images with offsets of their own; one component without factors of its own."""
    columns = rng.standard_normal((B, P))
    image = np.repeat(np.arange(n_images), pixels)
    offset = 0.7 * rng.standard_normal((n_images, P))
    u = 0.4 + offset[image] + 0.5 * rng.standard_normal((len(image), P))
    level = rng.uniform(0.5, 1.5, len(image))
    noise = np.sqrt(level)[:, None] * rng.standard_normal((len(image), B))
    return {"columns": columns, "image": image, "target": u @ columns.T + noise, "level": level}


@pytest.mark.parametrize(("n_images", "pixels"), [(60, 2), (40, 3), (3, 40), (1, 100)])
def test_plain_steps_raise_it(rng: np.random.Generator, n_images: int, pixels: int) -> None:
    data = problem(rng, n_images, pixels)
    prior, variances = 0.3 * np.eye(P), np.full(P, 0.4)
    shape = Shape(np.zeros(B), np.zeros((B, 3)))
    population = Population(np.ones(1), np.zeros(P), prior)
    images = Images.alike(population, n_images)
    history = []
    for _ in range(25):
        step = expectation(
            data["target"],
            data["level"],
            data["columns"],
            population,
            [shape],
            images,
            data["image"],
        )
        here = log_prior(population, images, step.pixels, prior, variances)
        history.append(step.log_likelihood + here)
        found = offsets(step, population, images, variances)
        moved = recentred(step, population, images, found)
        population = maximisation(moved, population, prior)
        images = Images(np.ones((n_images, 1)), found.mean)
    assert history[-1] > history[0] + 0.01
    # offsets are centred after they were found, which costs next to nothing
    assert min(np.diff(history)) > -1e-3


def test_it_bounds_the_evidence_of_the_offsets(rng: np.random.Generator) -> None:
    """Their posterior integrated out exactly: one image of one pixel is a plain Gaussian."""
    data = problem(rng, 1, 1)
    covariance, variances = 0.5 * np.eye(P), np.full(P, 0.4)
    population = Population(np.ones(1), np.full(P, 0.4), covariance)
    columns, level = data["columns"], float(data["level"][0])
    shape = Shape(np.zeros(B), np.zeros((B, 3)))

    def given(offset: Floats) -> float:
        part = rotated(columns, population, shape)
        pixel = data["target"] - offset @ columns.T
        here = log_prior(
            population, Images(np.ones((1, 1)), offset), np.ones(1), covariance, variances
        )
        return float(log_likelihood(pixel, data["level"], part)[0][0]) + here

    best = max(given(offset) for offset in _climbed(given))
    of_nothing = log_prior(
        population, Images(np.ones((1, 1)), np.zeros((1, P))), np.ones(1), covariance, variances
    )
    spread = 0.5 * np.log1p(variances / 0.5).sum()  # of the offsets' own term, taken out again
    wide = columns @ (covariance + np.diag(variances)) @ columns.T + level * np.eye(B)
    exact = stats.multivariate_normal(columns @ population.mean, wide).logpdf(data["target"][0])
    assert best <= exact + of_nothing + spread + 1e-6
    assert best > exact + of_nothing + spread - 3.0


def _climbed(function: object) -> list[Floats]:
    """Offsets (1, P) that raise a function, found by chance and small steps."""
    rng, found = np.random.default_rng(0), np.zeros((1, P))
    for k in range(3000):
        tried = found + 0.5 * 0.998**k * rng.standard_normal((1, P))
        if function(tried) > function(found):  # type: ignore[operator]
            found = tried
    return [found]


def test_a_covariance_of_its_own_prior_is_the_likeliest(rng: np.random.Generator) -> None:
    images = Images(np.ones((1, 1)), np.zeros((1, P)))
    prior = np.diag([0.2, 1.0, 3.0])

    def at(factor: float) -> float:
        population = Population(np.ones(1), np.zeros(P), factor * prior)
        # offsets that cannot be
        return log_prior(population, images, np.ones(1), prior, np.full(P, 1e-12))

    assert at(1.0) > max(at(0.9), at(1.1))
    slope = (at(1.001) - at(0.999)) / 0.002
    assert slope == pytest.approx(0.0, abs=1e-3)
    curve = (at(1.01) - 2 * at(1.0) + at(0.99)) / 1e-4
    assert curve == pytest.approx(-0.5 * PRIOR_PIXELS * P, rel=0.05)
