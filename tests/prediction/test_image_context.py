import numpy as np
import pyro
import pytest
from scipy import stats

from eels_bayes.prediction.image_context import CONCENTRATION, image_weights

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


def test_weights_of_different_images_are_found():
    truth = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8], [0.5, 0.3, 0.2]])
    p, image, labels = pixels(truth, 800)
    found = image_weights(p, image, OVERALL)
    realised = np.array([np.bincount(labels[image == i], minlength=3) / 800 for i in range(4)])
    assert np.abs(found.mean - realised).max() < 0.06
    np.testing.assert_allclose(found.mean.sum(1), 1.0)
    assert (found.sd > 0).all()
    # the probabilities improve where the images differ
    mine = p * found.mean[image] / OVERALL
    mine /= mine.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    assert -np.log(mine[rows, labels]).mean() < -np.log(p[rows, labels]).mean() - 0.1


def test_nothing_is_lost_where_all_images_share_one_mix():
    p, image, labels = pixels(np.tile(OVERALL, (12, 1)), 300)
    found = image_weights(p, image, OVERALL)
    assert found.concentration > np.exp(CONCENTRATION[0])
    mine = p * found.mean[image] / OVERALL
    mine /= mine.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(mine[rows, labels]).mean() + np.log(p[rows, labels]).mean()
    assert loss < 0.005


def test_posterior_equals_a_grid():
    overall = np.array([0.6, 0.4])
    rng = np.random.default_rng(3)
    x = 1.2 * (rng.random(25) < 0.85) + rng.standard_normal(25)
    joint = stats.norm.pdf(x[:, None], [0.0, 1.2]) * overall
    p = joint / joint.sum(1, keepdims=True)
    found = image_weights(p, np.zeros(25, dtype=int), overall)

    log_c = np.linspace(-3, 8, 120)
    w = (np.arange(400) + 0.5) / 400
    prior_c = stats.norm.pdf(log_c, *CONCENTRATION)
    prior_w = np.array(
        [stats.beta.pdf(w, np.exp(c) * overall[0], np.exp(c) * overall[1]) for c in log_c]
    )
    likelihood = np.exp(np.log(w * p[:, :1] / overall[0] + (1 - w) * p[:, 1:] / overall[1]).sum(0))
    posterior = prior_c @ prior_w * likelihood
    mean = (posterior * w).sum() / posterior.sum()
    sd = np.sqrt((posterior * (w - mean) ** 2).sum() / posterior.sum())
    # the guide is one Dirichlet an image: right to a part of the posterior's own width
    assert found.mean[0, 0] == pytest.approx(mean, abs=0.35 * sd)
    assert found.sd[0, 0] == pytest.approx(sd, rel=0.4)


def test_same_seed_same_weights_and_no_trace_in_the_parameter_store():
    p, image, _ = pixels(np.tile(OVERALL, (3, 1)), 50)
    before = set(pyro.get_param_store().keys())
    one, two = (image_weights(p, image, OVERALL, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.mean, two.mean)
    assert set(pyro.get_param_store().keys()) == before


def test_an_image_without_pixels_gets_the_prior():
    p, image, _ = pixels(np.tile(OVERALL, (2, 1)), 100)
    found = image_weights(p, np.where(image == 1, 2, image), OVERALL)
    assert found.mean.shape == (3, 3)
    assert np.abs(found.mean[1] - OVERALL).max() < 0.15
