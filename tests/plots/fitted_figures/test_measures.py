"""The numbers that figures show follow their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eels_bayes.plots.fitted_figures.component_peers import (
    component_labels,
    rebuilt_from_components,
)
from eels_bayes.plots.fitted_figures.measures import (
    MOST_FOR_SILHOUETTE,
    bootstrap_mean,
    signal_to_noise_db,
    silhouette_of_pixels,
    silhouettes,
)


@given(st.floats(0.1, 10), st.floats(0.01, 10))
def test_signal_to_noise_is_a_ratio_of_powers(scale, noise):
    reference = scale * np.sin(np.linspace(0, 9, 50)) + scale
    error = noise * np.resize([1.0, -1.0], 50)
    expected = 10 * np.log10((reference**2).mean() / noise**2)
    assert signal_to_noise_db(reference + error, reference) == pytest.approx(expected)
    # Ten times as little error is 20 dB more, whatever the unit.
    better = signal_to_noise_db(3 * (reference + error / 10), 3 * reference)
    assert better == pytest.approx(expected + 20)


def test_signal_to_noise_of_nothing():
    assert signal_to_noise_db(np.ones(3), np.ones(3)) == np.inf
    assert signal_to_noise_db(np.ones(3), np.zeros(3)) == -np.inf
    # An offset is an error: a correlation would not see it.
    assert signal_to_noise_db(np.ones(3) + 1, np.ones(3)) == 0


def test_bootstrap_intervals_hold_the_mean(rng):
    held = sum(
        low <= 0 <= high
        for seed in range(100)
        for _, low, high in [bootstrap_mean(rng.normal(size=80), seed=seed, n_draws=300)]
    )
    assert 88 <= held <= 100
    assert all(np.isnan(bootstrap_mean([np.nan])))


def test_what_is_alike_in_an_image_widens_the_interval(rng):
    image = np.repeat(np.arange(10), 50)
    values = rng.normal(size=10)[image] + 0.1 * rng.normal(size=500)
    alone, grouped = bootstrap_mean(values), bootstrap_mean(values, groups=image)
    assert grouped.mean == pytest.approx(alone.mean)
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)


def test_silhouettes_tell_what_is_apart(rng):
    labels = np.repeat([0, 1], 60)
    apart = rng.normal(size=(120, 3)) + 8 * labels[:, None]
    mixed = rng.normal(size=(120, 5))
    found = silhouettes(apart, mixed, labels)
    assert found.first.low > 0.6 > 0.2 > found.second.high
    assert found.difference.mean == pytest.approx(found.first.mean - found.second.mean)
    assert np.isnan(silhouette_of_pixels(apart, np.zeros(120))).all()
    # Rows without a class or a number have no say.
    worse = np.concatenate([apart, np.full((1, 3), np.nan), apart[:1]])
    more = silhouettes(worse, np.resize(mixed, (122, 5)), np.append(labels, [0, -1]))
    assert more.first.mean == pytest.approx(found.first.mean)


def test_of_many_pixels_some_are_compared(rng):
    n = MOST_FOR_SILHOUETTE + 50
    points = rng.normal(size=(n, 2))
    same = silhouettes(points, points, np.arange(n) % 2)
    assert same.first == same.second and same.difference == (0, 0, 0)


def test_components_keep_the_mean_and_take_noise_away(spectra):
    rebuilt, scores = rebuilt_from_components(spectra)
    ok = spectra.ok
    np.testing.assert_allclose(rebuilt[ok].mean(0), spectra.intensity[ok].mean(0), atol=1e-5)
    assert rebuilt[ok].std(0).mean() < spectra.intensity[ok].std(0).mean()
    assert scores.shape == (len(spectra), 10)
    with pytest.raises(ValueError, match="two usable pixels or more, got 1"):
        rebuilt_from_components(spectra[:1])


def test_ratio_and_distance_name_the_fingerprints_themselves():
    energy = np.arange(680.0, 710.0)
    shoulder, peak = ((energy >= low) & (energy < low + 5) for low in (687, 696))
    known = np.array([2.0 * peak + shoulder, 1.0 * peak + shoulder, 0.0 * peak])
    bands = ((687, 691), (696, 700))
    rows = np.concatenate([known, known[:2] * 0.8, np.full((1, 30), np.nan)])
    assert component_labels(rows, energy, known, bands).tolist() == [0, 1, 2, 0, 1, -1]
    assert component_labels(rows, energy, known, None).tolist()[:3] == [0, 1, 2]
    with pytest.raises(ValueError, match="no channel lies between 500 and 510 eV"):
        component_labels(rows, energy, known, ((500, 510), (696, 700)))
