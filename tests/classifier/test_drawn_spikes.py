"""Spikes of drawn pixels: noise alone in classes that are the mean, lines stand out of it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from eels_bayes.classifier.drawn_spikes import USUAL, drawn_spikes

N, CHANNELS, BESIDE = 3000, 160, 240
LINE = 80  # channel of a narrow line


def source(gain=1.0, readout=0.0):
    """What is asked of a reinsertion: an axis, the detector's noise, and channels beside."""
    return SimpleNamespace(
        energy=np.arange(CHANNELS) * 0.25,
        detector_step=0.25,
        gain=np.full(10, gain),
        readout=readout,
        preprocessor=SimpleNamespace(typical=torch.ones(CHANNELS + BESIDE)),
    )


def electrons(heights, seed=0):
    """Counts of classes whose line is so high, in units of their background."""
    generator = torch.Generator().manual_seed(seed)
    rate = torch.full((len(heights), CHANNELS), 500.0)
    rate[:, LINE] *= 1.0 + torch.tensor(heights)
    return [torch.poisson(row.expand(N, -1), generator=generator) for row in rate]


def measured(n, n_channels, seed):
    return norm.ppf(np.random.default_rng(seed).random(n) ** (1.0 / n_channels))


def test_noise_alone_stands_out_as_that_of_all_channels():
    """Where classes have no lines, and too few pixels are measured to scale by."""
    none = np.zeros(0), np.zeros((0, 2))
    found = drawn_spikes(source(), electrons([0.0, 0.0]), *none, np.random.default_rng(0))
    assert found.shape == (2, N) and found.dtype == np.float32
    wanted = measured(N, CHANNELS + BESIDE, 1)
    assert np.quantile(found, [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(wanted, [0.1, 0.5, 0.9]), rel=0.02
    )


def test_a_rare_class_with_a_line_stands_out_by_it():
    few = np.full(40, 3.5), np.tile([0.9, 0.1], (40, 1))
    flat, line = drawn_spikes(source(), electrons([0.0, 0.3]), *few, np.random.default_rng(0))
    assert np.median(line) > np.median(flat) + 2.0
    # a line of 30 %, a tenth of which is in the mean: 27 % over the noise of 500 counts
    assert np.median(line) == pytest.approx(0.27 * 500 / np.sqrt(500 * 1.03), rel=0.1)
    # of pixels that all have it, it is the mean's
    most = np.full(40, 3.5), np.tile([0.0, 1.0], (40, 1))
    _, line = drawn_spikes(source(), electrons([0.0, 0.3]), *most, np.random.default_rng(0))
    assert np.median(line) < np.median(flat) + 0.3


def test_gain_and_readout_are_the_detectors():
    """In electrons noise is the same whatever the gain; readout widens what is expected."""
    none = np.zeros(0), np.zeros((0, 1))

    def median(gain, readout):
        what = source(gain, readout), electrons([0.0])
        return np.median(drawn_spikes(*what, *none, np.random.default_rng(0))[0])

    assert median(4.0, 0.0) == median(1.0, 0.0)
    # 8,000 counts of variance are 500 electrons': half of the noise, which draws here lack
    assert median(4.0, 8000.0) < median(1.0, 0.0)
    assert median(4.0, 8000.0) == median(1.0, 500.0)


def test_detectors_that_scatter_more_are_followed_class_by_class():
    """As far as there are pixels of a class; one that has none is as all together."""
    rng = np.random.default_rng(3)
    label = np.arange(900) % 2
    spikes = measured(900, CHANNELS + BESIDE, 4) * np.array([1.0, 1.5])[label]
    probability = np.eye(3)[label]
    found = drawn_spikes(source(), electrons([0.0, 0.0, 0.0]), spikes, probability, rng)
    at = np.quantile(found, USUAL, axis=1)
    own = [np.quantile(spikes[label == k], USUAL) for k in (0, 1)]
    assert at[:2] == pytest.approx(own, rel=0.04)
    assert at[2] == pytest.approx(np.quantile(spikes, USUAL), rel=0.04)


def test_sizes_are_measured_ones_whatever_their_distribution():
    """As of a series that is not aligned; which pixels stand out are the drawn ones."""
    rng = np.random.default_rng(5)
    spikes = 3.5 + rng.exponential(2.0, 4000)
    counts = electrons([0.0, 0.3])
    few = np.zeros(0), np.zeros((0, 2))
    plain = drawn_spikes(source(), counts, *few, np.random.default_rng(0))
    found = drawn_spikes(source(), counts, spikes, np.tile([1.0, 0.0], (4000, 1)), rng)
    at = [0.05, 0.5, 0.95, 0.99]
    assert np.quantile(found[0], at) == pytest.approx(np.quantile(spikes, at), rel=0.1)
    assert np.corrcoef(np.argsort(np.argsort(found[0])), np.argsort(np.argsort(plain[0])))[0, 1] > 0


@pytest.mark.parametrize("n", [1000, 100_000])
def test_a_class_that_no_pixel_has_is_as_all_together_however_many_there_are(n):
    """The others' spikes, which are the measured ones, say nothing of its line."""
    few = measured(n, CHANNELS + BESIDE, 6), np.tile([1.0, 0.0], (n, 1))
    _, line = drawn_spikes(source(), electrons([0.0, 0.4]), *few, np.random.default_rng(0))
    assert np.median(line) == pytest.approx(0.4 * 500 / np.sqrt(500), rel=0.1)
