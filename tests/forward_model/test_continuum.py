"""The continuum's linear model: the same on every axis, silent inside the window, learned."""

import dataclasses

import numpy as np
import pytest

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.continuum import (
    N_FREE,
    TAIL,
    Continuum,
    extended,
    learn_continuum,
    tail,
)

WINDOW = (676.75, 736.75)
BINS = np.arange(601.75, 830, 2.0)
INSIDE = (WINDOW[0] < BINS) & (WINDOW[1] > BINS)
FINE = np.arange(601.0, 831, 0.5)
REFERENCE = np.array([20.0, 3.0])
LEVEL = 0.01


def library():
    """Two classes and two overlapping shapes on the window's channels."""
    energy = np.arange(677, 737, 0.5)
    step = 1 / (1 + np.exp(-(energy - 690)))
    overlap = [np.exp(-0.5 * ((energy - c) / 3) ** 2) for c in (710, 725)]
    return FingerprintLibrary.from_arrays(
        energy,
        np.stack([step, 0.4 * step]),
        [0, 1],
        values=[1.0, 0.4],
        nuisances=np.stack([overlap[0], 2 * overlap[1]]),
        variations=Variations(shift=0.1),
    )


@pytest.fixture
def continuum(rng):
    """With an offset and three free shapes that nothing smooths."""
    return Continuum(
        BINS, WINDOW, REFERENCE, np.where(INSIDE, 0.0, rng.normal(size=(4, len(BINS))))
    )


def peak(energy, centre, width=3.0):
    return np.exp(-0.5 * ((energy - centre) / width) ** 2)


def power_law(energy, amplitude=20.0, exponent=3.0):
    return amplitude * (energy / WINDOW[0]) ** -exponent


def test_columns_are_a_power_laws_derivatives_smooth_modes_free_and_overlapping_shapes(continuum):
    columns = continuum.columns(FINE, library())
    np.testing.assert_allclose(continuum.power_law(FINE), power_law(FINE))
    h = 1e-6
    for column, nudge in ((0, np.array([20.0 * h, 0.0])), (1, np.array([0.0, h]))):
        other = dataclasses.replace(continuum, reference=REFERENCE + nudge).power_law(FINE)
        wanted = (other - power_law(FINE)) / h
        np.testing.assert_allclose(columns[:, column], wanted, rtol=1e-4, atol=1e-4)
    # the nuisances come last, in their order, and the free shapes before them
    shapes = extended(library(), FINE).nuisances
    np.testing.assert_allclose(columns[:, -2:], shapes.T)
    in_bins = continuum.columns(BINS, library())
    np.testing.assert_allclose(in_bins[:, -5:-2], continuum.free[1:].T)
    np.testing.assert_allclose(continuum.center(BINS), power_law(BINS) + continuum.free[0])


def test_smooth_modes_are_a_random_curve_of_unit_variance(continuum):
    columns = continuum.columns(FINE, library())
    modes = columns[:, 2:-5] / power_law(FINE)[:, None]
    length = (WINDOW[1] - WINDOW[0]) / 2.4
    inside = (BINS[0] <= FINE) & (BINS[-1] >= FINE)
    energy, modes = FINE[inside], modes[inside]
    kernel = np.exp(-0.5 * ((energy[:, None] - energy) / length) ** 2)
    assert np.abs(modes @ modes.T - kernel).max() < 0.03
    assert modes.shape[1] < 20  # and not one more than needed


def test_another_axis_shows_the_same_curves(continuum):
    lib = library()
    fine = np.sort(np.concatenate([BINS, BINS + 0.37, BINS - 0.61]))
    at = np.isin(fine, BINS)
    np.testing.assert_allclose(
        continuum.columns(fine, lib)[at], continuum.columns(BINS, lib), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(continuum.center(fine)[at], continuum.center(BINS), rtol=1e-12)
    # what is smooth is nearly its own mean over a bin
    channels = BINS[:, None] + np.array([-0.75, -0.25, 0.25, 0.75])
    means = continuum.columns(channels.ravel(), lib).reshape(len(BINS), 4, -1).mean(1)
    smooth = slice(0, -5)
    error = np.abs(means - continuum.columns(BINS, lib))[2:-2, smooth]
    assert error.max() < 0.02 * np.abs(means).max()


@pytest.mark.parametrize("axis", [BINS, FINE, np.arange(650, 740, 0.25)])
def test_free_shapes_are_silent_inside_the_window(continuum, axis):
    inside = (axis > WINDOW[0]) & (axis < WINDOW[1])
    columns = continuum.columns(axis, library())
    assert (columns[inside, -5:-2] == 0).all()
    beside = (axis < WINDOW[0]) | (axis > WINDOW[1])
    assert (columns[beside, -5:-2] != 0).all()
    np.testing.assert_allclose(continuum.center(axis)[inside], power_law(axis[inside]))
    # up to the window's ends the nearest bin holds: nothing is interpolated across them
    edges = np.array([WINDOW[0] - 0.01, WINDOW[1] + 0.01])
    last, first = np.flatnonzero(WINDOW[0] > BINS)[-1], np.flatnonzero(WINDOW[1] < BINS)[0]
    np.testing.assert_allclose(
        continuum.columns(edges, library())[:, -5:-2], continuum.free[1:, [last, first]].T
    )


def test_one_sided_profiles_have_one_side_only():
    below = BINS[WINDOW[1] > BINS]
    free = np.where(below < WINDOW[0], 1.0, 0.0)[None].repeat(2, axis=0)
    columns = Continuum(below, WINDOW, REFERENCE, free).columns(FINE, library())
    assert (columns[WINDOW[0] > FINE, -3] == 1).all()
    assert (columns[WINDOW[0] < FINE, -3] == 0).all()


def test_prior_variances_fit_the_columns(continuum):
    lib = library()
    found = continuum.prior_variances(lib)
    assert found.shape == (continuum.columns(BINS, lib).shape[1],)
    assert (found > 0).all()
    np.testing.assert_allclose(found[:2], [0.05**2, 0.1**2])
    # 15 % of an edge of overlap, whatever unit its shape has
    np.testing.assert_allclose(found[-2:], [0.15**2, 0.075**2], rtol=0.01)
    bare = dataclasses.replace(lib, nuisances=lib.nuisances[:0])
    assert len(continuum.prior_variances(bare)) == continuum.columns(BINS, bare).shape[1]


def test_an_extended_library_has_nothing_before_and_a_tail_behind():
    lib = library()
    wide = extended(lib, FINE)
    np.testing.assert_array_equal(tail(lib, lib.energy), 1.0)
    before, behind = lib.energy[0] > FINE, lib.energy[-1] < FINE
    own = ~before & ~behind
    for found, given in ((wide.intensity, lib.intensity), (wide.nuisances, lib.nuisances)):
        np.testing.assert_allclose(found[:, own], given, atol=1e-12)
        assert (found[:, before] == 0).all()
        fall = (lib.energy[-1] / FINE[behind]) ** TAIL
        np.testing.assert_allclose(found[:, behind], given[:, -1:] * fall)
    assert wide.class_names == lib.class_names and wide.variations == lib.variations
    np.testing.assert_array_equal(wide.values, lib.values)
    bare = dataclasses.replace(lib, nuisances=lib.nuisances[:0])
    assert extended(bare, FINE).nuisances.shape == (0, len(FINE))


def learned(profile, energy=BINS, seed=0, **options):
    level = np.full(len(profile), LEVEL)
    rng = np.random.default_rng(seed)
    return learn_continuum(energy, profile, level, WINDOW, REFERENCE, library(), rng, **options)


def spectra(rng, shape=0.0, n=600):
    """Power laws of varying amplitude and edges with tails, plus `shape` (n, B), and noise."""
    edge = extended(library(), BINS).intensity[rng.integers(2, size=n)]
    rate = power_law(BINS) * rng.normal(1.0, 0.02, (n, 1)) + edge + shape
    return rate + np.sqrt(LEVEL * rate) * rng.normal(size=rate.shape)


def test_what_varies_beside_the_window_is_learned(rng):
    low, high = 1.5 * peak(BINS, 640), 0.8 * peak(BINS, 780)
    strength = rng.normal(size=(3000, 2))
    profile = spectra(rng, low + 0.5 * high + strength @ np.array([low, high]), 3000)
    found = learned(profile)
    assert (found.free[:, INSIDE] == 0).all()
    beside = ~INSIDE
    # below the window the center is the mean
    below, above = WINDOW[0] > BINS, WINDOW[1] < BINS
    np.testing.assert_allclose(found.center(BINS)[below], profile.mean(0)[below])
    # above, it is what neither the smooth columns nor the edges' tails can show, and no more
    lib, white = library(), 1 / np.sqrt(profile.mean(0)[above])
    smooth = np.delete(found.columns(BINS, lib), slice(-2 - N_FREE, -2), axis=1)
    shown = np.concatenate([smooth, extended(lib, BINS).intensity.T], axis=1)
    shown = shown[above] * white[:, None]
    missing = (profile.mean(0) - found.center(BINS))[above] * white
    fitted, *_ = np.linalg.lstsq(shown, missing, rcond=1e-6)
    np.testing.assert_allclose(shown @ fitted, missing, atol=1e-4)
    offset = found.free[0, above] * white
    span, value, _ = np.linalg.svd(shown, full_matrices=False)
    assert np.abs(span[:, value > 1e-5 * value[0]].T @ offset).max() < 1e-3 * np.linalg.norm(offset)
    assert np.linalg.norm(offset) > 3 * np.sqrt(above.sum() * LEVEL / 3000)  # the mean's noise
    # the free shapes hold the variance of what varies, as far as nothing smooth shows it
    free, white = found.free[1:, beside], 1 / np.sqrt(profile.mean(0)[beside])
    assert free.shape[0] == N_FREE
    smooth = np.concatenate(
        [
            np.delete(found.columns(BINS, lib), slice(-2 - N_FREE, -2), axis=1),
            extended(lib, BINS).intensity.T,
        ],
        axis=1,
    )
    span, value, _ = np.linalg.svd(smooth[beside] * white[:, None], full_matrices=False)
    span = span[:, value > 1e-5 * value[0]]
    varied = np.array([low, high])[:, beside] * white
    varied = varied - (varied @ span) @ span.T
    wanted, covariance = varied.T @ np.cov(strength.T) @ varied, (free * white).T @ (free * white)
    assert np.linalg.norm(covariance - wanted) < 0.15 * np.linalg.norm(wanted)
    assert np.linalg.norm(varied) ** 2 > 10 * LEVEL  # above a pixel's noise


def test_noise_alone_teaches_no_shape(rng):
    found = learned(spectra(rng))
    white = 1 / np.sqrt(power_law(BINS))
    # the principal components of noise stand only a little above its mean variance
    assert np.abs(found.free[1:] * white).max() < 0.4 * np.sqrt(LEVEL)
    above = WINDOW[1] < BINS
    # edges' tails above the window are not part of the continuum
    tails = extended(library(), BINS).intensity[:, above].mean(0)
    assert np.abs(found.free[0, above]).max() < 0.15 * tails.max()


def test_short_profiles_leave_no_room_for_free_shapes(rng):
    near = (BINS > 660) & (BINS < 745)
    found = learned(spectra(rng)[:, near], BINS[near])
    assert found.free.shape == (1, near.sum())
    assert found.columns(BINS[near], library()).shape[0] == near.sum()
    assert np.isfinite(found.columns(FINE, library())).all()


def test_the_choice_of_pixels_is_seeded(rng):
    profile = spectra(rng, rng.normal(size=(600, 1)) * peak(BINS, 640))
    one, two, other = (learned(profile, seed=seed, n_pixels=100).free for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
