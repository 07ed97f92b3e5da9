"""The benchmark's thick samples: what they lose is what their low losses say."""

import sys
from pathlib import Path

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.data.plural_scattering import scattering

pytest.importorskip("exspy")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import thickness as benchmark


def test_shares_follow_poisson_statistics() -> None:
    once, twice = benchmark.scattered_share(np.array([0.4, 0.8]))
    np.testing.assert_allclose(once.sum(), 1.0)
    np.testing.assert_allclose(once[0], np.exp(-0.4), rtol=1e-3)
    np.testing.assert_allclose(np.convolve(once, once)[:1000], twice[:1000], atol=1e-6)


def test_the_low_loss_says_what_the_core_loss_lost() -> None:
    series, (low_loss,) = benchmark.simulate(0.8, 1.0, 3, 1, (6, 6))
    share = benchmark.scattered_share(0.8 * series.truth["thickness"].to_numpy().ravel())
    found = scattering(low_loss, benchmark.CHANNEL, 800).mean
    np.testing.assert_allclose(np.cumsum(found)[40:], np.cumsum(share.mean(0))[40:800], atol=0.01)


def test_without_thickness_nothing_is_lost() -> None:
    series, _ = benchmark.simulate(0.0, 50.0, 3, 1, (6, 6))
    model = series.model
    mean = eb.simulate.mean_counts(series.truth.isel(image=0), model, dose=50.0).to_numpy()
    counts = series.signals[0].data
    deviation = (counts - mean[..., benchmark.BEFORE :]) / np.sqrt(mean[..., benchmark.BEFORE :])
    assert abs(deviation.mean()) < 0.02 and abs(deviation.std() - 1.0) < 0.02
