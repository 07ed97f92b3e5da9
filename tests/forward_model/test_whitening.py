"""Whitening: arrays and tensors alike, and what is learned from pixels."""

import numpy as np
import pytest
import torch

from eels_bayes.forward_model.whitening import Whitening, whiten_tensors


@pytest.fixture
def pixels(rng):
    """Profiles (n, B) of about unit brightness with outliers, and their levels (n,)."""
    profile = rng.gamma(20.0, 0.05, (200, 12))
    profile[3, 4], profile[5, 6], profile[7] = 1e3, -1e3, 0.0
    return profile, rng.uniform(0.01, 0.1, 200)


def test_arrays_and_tensors_are_whitened_alike(pixels, rng):
    profile, level = pixels
    mean, center = rng.uniform(0.5, 2.0, 12), rng.uniform(0.5, 1.5, 12)
    whitening = Whitening(mean, center, rng.normal(0.0, 0.1, 12), rng.uniform(0.0, 0.3, 12))
    deviation, noise = whitening.apply(profile, level)
    buffers = (center, 1.0 / np.sqrt(mean), whitening.middle, whitening.spread, mean.mean())
    found = whiten_tensors(*(torch.as_tensor(x) for x in (profile, level, *buffers)))
    np.testing.assert_allclose(found[0].numpy(), deviation, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found[1].numpy(), noise, rtol=1e-12)


def test_middle_and_spread_are_those_among_pixels_without_noise(rng):
    level = np.full(20_000, 0.04)
    sd = np.array([0.0, 0.3, 1.0])
    deviation = rng.normal([0.0, 1.0, -2.0], np.sqrt(sd**2 + 0.04), (20_000, 3))
    deviation[:200] = 1e6  # spikes
    learned = Whitening.of(deviation, level, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(learned.middle, [0.0, 1.0, -2.0], atol=0.05)
    np.testing.assert_allclose(learned.spread[1:], sd[1:], rtol=0.05)
    assert learned.spread[0] < 0.06
