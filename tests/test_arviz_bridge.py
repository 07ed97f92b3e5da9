"""What is asked of ArviZ comes to the same by its versions below and above 1."""

import numpy as np
import pytest
from scipy import stats

from eels_bayes.arviz_bridge import pareto_smoothed

TAIL = 150  # of 2,000 draws, the largest: a tail has three times the square root of all


@pytest.fixture
def log_weight(rng):
    """Log weights of three targets, whose tails are short, moderate and hopeless; any constant."""
    draws = rng.standard_normal((3, 2000))
    return draws * np.array([[0.3], [1.0], [8.0]]) + np.array([[0.0], [700.0], [-900.0]])


def test_small_weights_stay_and_no_weight_grows_beyond_the_largest(log_weight):
    before = log_weight.copy()
    smoothed, k = pareto_smoothed(log_weight)
    np.testing.assert_array_equal(log_weight, before)
    assert smoothed.shape == log_weight.shape and k.shape == (3,)
    for found, given in zip(smoothed, log_weight, strict=True):
        small = np.argsort(given)[:-TAIL]
        np.testing.assert_allclose(found[small], given[small], rtol=0, atol=1e-9)
        assert found.max() <= given.max() + 1e-9
        assert stats.spearmanr(found, given).statistic > 1 - 1e-9  # the order stays


def test_k_tells_light_tails_from_heavy_ones(log_weight):
    assert (np.diff(pareto_smoothed(log_weight)[1]) > 0).all()
    assert pareto_smoothed(log_weight)[1][0] < 0.5 and pareto_smoothed(log_weight)[1][2] > 0.7


@pytest.mark.parametrize("shape", [0.2, 0.6, 1.2])
def test_k_is_the_shape_of_the_large_weights_tail(shape, rng):
    # No weight is below 1: the inverse weights have no tail, should they be taken for these.
    weights = stats.genpareto(shape).rvs((20, 2000), random_state=rng) + 1.0
    _, k = pareto_smoothed(np.log(weights))
    assert k.mean() == pytest.approx(shape, abs=0.1)
