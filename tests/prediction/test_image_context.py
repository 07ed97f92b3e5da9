"""Class weights of images: exact references, laws, and how they are found."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eels_bayes.prediction.image_context import (
    CONCENTRATION,
    LEAST_COUNTS,
    climbed,
    image_weights,
    labels_worth,
    pixels_of,
)

OVERALL = np.array([0.5, 0.3, 0.2])


def pixels(weights, n, separation=1.5, seed=0):
    """Probabilities under OVERALL of pixels whose classes follow each image's own weights."""
    rng = np.random.default_rng(seed)
    centres = separation * np.arange(len(OVERALL))
    image = np.repeat(np.arange(len(weights)), n)
    labels = np.concatenate([rng.choice(len(OVERALL), n, p=w) for w in weights])
    x = centres[labels] + rng.standard_normal(len(labels))
    joint = stats.norm.pdf(x[:, None], centres) * OVERALL
    return joint / joint.sum(1, keepdims=True), image, labels


def loss(p, others, labels):
    """Mean surprise, nats, where others' weights are each pixel's prior."""
    mine = p * others / OVERALL
    mine /= mine.sum(1, keepdims=True)
    return -np.log(mine[np.arange(len(labels)), labels]).mean()


def model(ratio, image, n_images, overall):
    """The hierarchical prior as Pyro has it: its definition."""
    least = torch.tensor(LEAST_COUNTS * len(overall), dtype=torch.float64)
    prior = dist.LogNormal(*(torch.tensor(x, dtype=torch.float64) for x in CONCENTRATION))
    concentration = pyro.sample("concentration", prior)
    pyro.factor("least", torch.where(concentration < least, -torch.inf, 0.0))
    with pyro.plate("images", n_images):
        weights = pyro.sample("weights", dist.Dirichlet(concentration * overall))
    with pyro.plate("pixels", len(image)):
        pyro.factor("pixel", (weights[image] * ratio).sum(-1).log())


def test_weights_of_different_images_are_found():
    truth = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8], [0.5, 0.3, 0.2]])
    p, image, labels = pixels(truth, 800)
    found = image_weights(p, image, OVERALL)
    realised = np.array([np.bincount(labels[image == i], minlength=3) / 800 for i in range(4)])
    assert np.abs(found.mean - realised).max() < 0.06
    np.testing.assert_allclose(found.mean.sum(1), 1.0)
    assert (found.sd > 0).all()
    # the probabilities improve where the images differ
    assert loss(p, found.others, labels) < loss(p, OVERALL, labels) - 0.1


@pytest.mark.parametrize("separation", [0.3, 1.5])
def test_nothing_is_lost_where_all_images_share_one_mix(separation):
    p, image, labels = pixels(np.tile(OVERALL, (12, 1)), 300, separation)
    found = image_weights(p, image, OVERALL)
    assert found.concentration > np.exp(CONCENTRATION[0])
    assert loss(p, found.others, labels) - loss(p, OVERALL, labels) < 0.005


def test_many_images_of_few_pixels_stay_near_the_overall_weights():
    # a few doubtful pixels must not talk one another into one class
    p, image, labels = pixels(np.tile(OVERALL, (200, 1)), 3, separation=0.7)
    found = image_weights(p, image, OVERALL)
    assert loss(p, found.others, labels) - loss(p, OVERALL, labels) < 0.03


def test_posterior_equals_a_grid():
    overall = np.array([0.6, 0.4])
    rng = np.random.default_rng(3)
    p, image = [], np.repeat(np.arange(3), 25)
    for share in (0.85, 0.2, 0.5):
        x = 1.2 * (rng.random(25) < share) + rng.standard_normal(25)
        joint = stats.norm.pdf(x[:, None], [0.0, 1.2]) * overall
        p.append(joint / joint.sum(1, keepdims=True))
    found = image_weights(np.concatenate(p), image, overall)

    log_c = np.linspace(math.log(2 * LEAST_COUNTS), 9, 120)
    w = (np.arange(400) + 0.5) / 400
    prior_w = np.array(
        [stats.beta.pdf(w, np.exp(c) * overall[0], np.exp(c) * overall[1]) for c in log_c]
    )
    likelihood = np.array(
        [
            np.exp(np.log(np.outer(w, q[:, 0] / 0.6) + np.outer(1 - w, q[:, 1] / 0.4)).sum(1))
            for q in p
        ]
    )
    evidence = prior_w @ likelihood.T  # of each concentration and image
    share = stats.norm.pdf(log_c, *CONCENTRATION) * evidence.prod(1)
    of_c = prior_w[:, None] * likelihood
    mean = (share / share.sum()) @ ((of_c @ w) / of_c.sum(2))
    square = (share / share.sum()) @ ((of_c @ w**2) / of_c.sum(2))
    sd = np.sqrt(square - mean**2)
    assert np.abs(found.mean[:, 0] - mean).max() < 0.35 * sd.min()
    np.testing.assert_allclose(found.sd[:, 0], sd, rtol=0.3)


def test_what_is_climbed_is_the_posterior_of_the_model():
    p, image, _ = pixels(np.array([[0.8, 0.1, 0.1], [0.1, 0.5, 0.4]]), 40)
    data = pixels_of(p / OVERALL, image)
    given_all = (torch.tensor(p / OVERALL), torch.tensor(image), 2, torch.tensor(OVERALL))
    concentration = torch.tensor(6.0, dtype=torch.float64)

    def log_joint(weights):
        values = {"concentration": concentration, "weights": torch.tensor(weights)}
        trace = pyro.poutine.trace(pyro.poutine.condition(model, values)).get_trace(*given_all)
        # the density of the logarithms has the weights themselves for its Jacobian
        return float(trace.log_prob_sum()) + np.log(weights).sum()

    one, other = np.random.default_rng(0).dirichlet(np.ones(3), (2, 2))
    climb = [data.log_posterior(6.0 * OVERALL, weights).sum() for weights in (one, other)]
    assert climb[1] - climb[0] == pytest.approx(log_joint(other) - log_joint(one))


def test_certain_pixels_are_counted():
    labels, image = np.array([0, 0, 1, 2, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1, 1])
    certain = pixels_of(np.eye(3)[labels] / OVERALL, image)
    weights = np.tile(OVERALL, (2, 1))
    expected = np.array([[2.0, 1.0, 1.0], [0.0, 3.0, 0.0]]) + 4.0 * OVERALL
    found = climbed(certain, 4.0 * OVERALL, weights)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True))
    np.testing.assert_allclose(labels_worth(certain, found), [4.0, 3.0])


def test_pixels_that_say_nothing_are_worth_no_label():
    silent = pixels_of(np.ones((5, 3)), np.array([0, 0, 0, 1, 1]))
    weights = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    np.testing.assert_allclose(labels_worth(silent, weights), 0.0, atol=1e-12)
    found = image_weights(np.tile(OVERALL, (5, 1)), silent.image, OVERALL)
    np.testing.assert_allclose(found.mean, [OVERALL, OVERALL])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), counts=st.floats(0.1, 300.0), separation=st.floats(0.1, 4.0))
def test_each_step_raises_the_log_posterior(seed, counts, separation):
    p, image, _ = pixels(np.tile(OVERALL, (3, 1)), 15, separation, seed)
    data, prior = pixels_of(p / OVERALL, image), counts * OVERALL
    weights = np.random.default_rng(seed).dirichlet(np.ones(3), 3)
    before = data.log_posterior(prior, weights)
    for _ in range(5):
        weights = climbed(data, prior, weights)
        after = data.log_posterior(prior, weights)
        assert (after >= before - 1e-9).all()
        before = after


def test_every_start_ends_at_one_top():
    p, image, _ = pixels(np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]), 60)
    data, ends = pixels_of(p / OVERALL, image), []
    for start in ([0.98, 0.01, 0.01], [0.01, 0.01, 0.98]):
        weights = np.tile(start, (2, 1))
        for _ in range(1000):
            weights = climbed(data, 8.0 * OVERALL, weights)
        ends.append(weights)
    np.testing.assert_allclose(*ends, atol=1e-8)


def test_a_pixel_alone_in_its_image_hears_nothing():
    p, _, _ = pixels(np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]), 20)
    found = image_weights(p, np.arange(40), OVERALL)
    np.testing.assert_allclose(found.others, np.tile(OVERALL, (40, 1)))


def test_the_order_of_pixels_does_not_matter(rng):
    p, image, _ = pixels(np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]), 50)
    order = rng.permutation(100)
    found, moved = image_weights(p, image, OVERALL), image_weights(p[order], image[order], OVERALL)
    np.testing.assert_allclose(moved.mean, found.mean, atol=1e-10)
    np.testing.assert_allclose(moved.others, found.others[order], atol=1e-10)


def test_the_order_of_images_and_classes_does_not_matter():
    p, image, _ = pixels(np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]), 50)
    found = image_weights(p, image, OVERALL)
    other = image_weights(p[:, ::-1], 1 - image, OVERALL[::-1])
    np.testing.assert_allclose(other.mean, found.mean[::-1, ::-1], atol=1e-10)


def test_an_image_without_pixels_gets_the_prior():
    p, image, _ = pixels(np.tile(OVERALL, (2, 1)), 100)
    found = image_weights(p, np.where(image == 1, 2, image), OVERALL)
    assert found.mean.shape == (3, 3)
    np.testing.assert_allclose(found.mean[1], OVERALL)
