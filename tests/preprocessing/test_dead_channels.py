"""Dead channels are found, short runs filled, and living ones left alone."""

import numpy as np
import pytest

from eels_bayes.preprocessing.dead_channels import dead_channels, fill_dead_channels


def poisson(rate: float, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(rate, shape).astype(np.float32)


@pytest.mark.parametrize("n", [1, 3, 500])
@pytest.mark.parametrize("rate", [0.02, 0.5, 5.0, 80.0])
def test_living_channels_are_not_called_dead(n: int, rate: float) -> None:
    assert not dead_channels(poisson(rate, (n, 400))).any()


@pytest.mark.parametrize("value", [0.0, 77.0, -3.0])
def test_dead_and_stuck_channels_are_found_and_filled(value: float) -> None:
    counts = poisson(60.0, (40, 100))
    counts[:, [20, 50, 51]] = value
    before = counts.copy()
    filled, which, left = fill_dead_channels(counts)
    assert np.flatnonzero(which).tolist() == [20, 50, 51]
    assert not left.any()
    np.testing.assert_array_equal(counts, before)
    np.testing.assert_allclose(filled[:, 20], (before[:, 19] + before[:, 21]) / 2)
    np.testing.assert_allclose(filled[:, 50], (2 * before[:, 49] + before[:, 52]) / 3, rtol=1e-6)


def test_channels_that_are_nan_everywhere_are_dead_but_not_in_one_pixel() -> None:
    counts = poisson(60.0, (40, 100))
    counts[:, 30] = np.nan
    counts[7, 60] = np.nan
    assert np.flatnonzero(dead_channels(counts)).tolist() == [30]
    assert not dead_channels(counts[:1]).any()


def test_a_single_spectrum_shows_dead_zeros_only_where_counts_are_high() -> None:
    counts = poisson(100.0, (1, 60))
    counts[0, 30] = 0
    assert np.flatnonzero(dead_channels(counts)).tolist() == [30]
    assert not dead_channels(counts / 20, gain=1.0).any()


def test_long_runs_and_ends_are_left_and_named() -> None:
    counts = poisson(60.0, (40, 100))
    counts[:, :3] = 0
    counts[:, 40:49] = 0
    same, filled, left = fill_dead_channels(counts)
    assert not filled.any()
    assert np.flatnonzero(left).tolist() == [0, 1, 2, *range(40, 49)]
    np.testing.assert_array_equal(same, counts)


def test_a_blank_image_has_no_dead_channels() -> None:
    assert not dead_channels(np.zeros((5, 50), np.float32)).any()
