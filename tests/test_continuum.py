"""The forward model's fit: against dense Gaussians, its monotony, and recovery of a known truth."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import eels_bayes as eb
from eels_bayes.continuum import (
    LibraryFit,
    basis,
    component_log_likelihood,
    fit_forward_model,
    mixing_pairs,
)
from eels_bayes.fingerprints import FingerprintLibrary, Variations
from eels_bayes.spectra import ImageInfo, Spectra

STEP = 0.5
ENERGY = np.arange(677, 737, STEP)  # the window
AXIS = np.arange(600, 737, STEP)
NORM = 30.0  # counts a channel of an intensity of 1
WEIGHTS = np.array([0.5, 0.3, 0.2])


def library(gain=1.0, shift=0.0):
    """Three classes, told apart by where their edge lies; one overlapping shape."""

    def edge(onset):
        step = 1 / (1 + np.exp(-(ENERGY - onset - shift) / 0.8))
        return step + np.exp(-0.5 * ((ENERGY - onset - shift - 6) / 2) ** 2)

    rows = gain * np.stack([edge(683), 0.7 * edge(690), 0.4 * edge(700)])
    overlap = np.exp(-0.5 * ((ENERGY - 722) / 3) ** 2)
    variations = Variations(shift=0.2, broadening=0.3, intensity=0.06)
    return FingerprintLibrary.from_arrays(
        ENERGY, rows, [0, 1, 2], nuisances=overlap, variations=variations
    )


def simulate(n=1500, seed=0, gain=1.0, shift=0.0, dose=4.0, weights=WEIGHTS):
    """Pixels drawn from the very model that is fitted, and their classes."""
    rng = np.random.default_rng(seed)
    shown = library(gain, shift)
    reference = np.array([20.0, 3.0])
    power, columns = basis(AXIS, reference, shown)
    u = rng.normal(size=(n, columns.shape[1])) * np.array([0.03, 0.05, *[0.001] * 8, 0.1])
    u[:, 0] += 0.02
    u[:, -1] += 0.2
    labels = rng.choice(3, n, p=weights)
    rate = power + u @ columns.T
    rate[:, -len(ENERGY) :] += shown.vary(n, rng, labels=labels)[0]
    norm = NORM * dose
    counts = rng.poisson(norm * rate).astype(np.float32)
    return make(counts, norm), labels


def make(counts, norm):
    n = len(counts)
    window = counts[:, -len(ENERGY) :] / np.float32(norm)
    return Spectra(
        intensity=window,
        sd=np.ones_like(window),
        energy=ENERGY,
        image=np.zeros(n, np.int64),
        position=np.arange(n),
        images=(ImageInfo((n,), (), {}, "", (600.0, STEP)),),
        flag=np.zeros(n, np.int64),
        context=np.zeros((n, 0), np.float32),
        background=np.tile(np.float32([20.0, 3.0]), (n, 1)),
        norm=np.full(n, norm, np.float32),
        shift=np.zeros(n, np.float32),
        counts=counts,
        gain=np.ones(n, np.float32),
        preprocessor=None,
    )


def fit(spectra, lib=None, **options):
    return fit_forward_model(spectra, lib or library(), show_progressbar=False, **options)


@pytest.fixture(scope="module")
def data():
    return simulate()


@pytest.fixture(scope="module")
def fitted(data):
    return fit(data[0])


def test_component_log_likelihood_is_the_dense_gaussians():
    rng = np.random.default_rng(1)
    n, n_bins, n_basis, n_factors = 7, 40, 5, 3
    columns = rng.normal(size=(n_bins, n_basis))
    root = np.linalg.cholesky(np.cov(rng.normal(size=(n_basis, 30))))
    mean = rng.normal(size=n_basis)
    shape = SimpleNamespace(
        mean=rng.normal(size=n_bins), loadings=0.5 * rng.normal(size=(n_bins, n_factors))
    )
    shape.loadings[:, 2] = 0.0  # a null direction, as a class without an edge has
    level = rng.uniform(0.05, 2.0, n)
    target = 3 * rng.normal(size=(n, n_bins))
    found, a, var, directions = component_log_likelihood(target, level, columns, root, mean, shape)
    loadings = np.concatenate([columns @ root, shape.loadings], axis=1)
    for i in range(n):
        dense = level[i] * np.eye(n_bins) + loadings @ loadings.T
        centre = columns @ mean + shape.mean
        wanted = multivariate_normal(centre, dense).logpdf(target[i])
        assert found[i] == pytest.approx(wanted, rel=1e-9)
        # the factors' posterior by conditioning the joint Gaussian
        gain = loadings.T @ np.linalg.inv(dense)
        np.testing.assert_allclose(
            directions @ a[i], gain @ (target[i] - centre), rtol=1e-8, atol=1e-10
        )
        posterior = np.eye(n_basis + n_factors) - gain @ loadings
        np.testing.assert_allclose(
            directions @ np.diag(var[i]) @ directions.T, posterior, atol=1e-9
        )


def test_basis_is_a_power_law_its_derivatives_and_the_overlapping_shapes():
    reference, lib = np.array([18.0, 2.7]), library()
    power, columns = basis(AXIS, reference, lib)
    np.testing.assert_allclose(power, 18.0 * (AXIS / 677) ** -2.7)
    h = 1e-5
    for column, nudge in ((0, np.array([18.0 * h, 0.0])), (1, np.array([0.0, h]))):
        other, _ = basis(AXIS, reference + nudge, lib)
        np.testing.assert_allclose((other - power) / h, columns[:, column], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(columns[-len(ENERGY) :, -1], lib.nuisances[0])
    assert (columns[: -len(ENERGY), -1] == 0).all()
    # the smooth modes hold nearly all of the random curve's unit variance, at every energy
    modes = columns[:, 2:-1] / power[:, None]
    variance = (modes**2).sum(1)
    assert variance.min() > 0.9 and variance.max() < 1 + 1e-6
    # and do not depend on the grid
    _, coarse = basis(AXIS[::3], reference, lib)
    assert np.abs(coarse - columns[::3]).max() < 0.02 * np.abs(columns).max()


def test_iterations_never_lower_the_likelihood(fitted):
    history = np.array(fitted.log_likelihood)
    assert len(history) > 3
    # What the steps increase is the likelihood with the weights', the mean's and the covariance's
    # prior, worth a few pixels of n = 1500, and the library's gain, shift and broadening move by an
    # approximate step: the bare likelihood may give back that little, once all else stands still.
    assert np.diff(history).min() > -1e-3
    assert history[-1] > history[0] + 0.05


def test_a_known_population_is_recovered(data, fitted):
    shares = np.bincount(data[1], minlength=3) / len(data[1])
    np.testing.assert_allclose(fitted.class_weights, shares, atol=0.03)
    np.testing.assert_allclose(fitted.pair_weights.sum(), 1.0)
    assert np.trace(fitted.pair_weights) > 0.85  # nothing is mixed here
    assert fitted.library_fit.gain == pytest.approx(1.0, abs=0.02)
    assert fitted.library_fit.shift == pytest.approx(0.0, abs=0.05)
    assert fitted.mean[0] == pytest.approx(0.02, abs=0.01)
    assert fitted.mean[-1] == pytest.approx(0.2, abs=0.04)
    sd = np.sqrt(np.diag(fitted.covariance))
    assert sd[0] == pytest.approx(0.03, rel=0.25)
    assert sd[-1] == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize(("gain", "shift"), [(1.2, 0.6), (0.85, -0.4)])
def test_the_librarys_gain_and_shift_are_recovered(gain, shift):
    spectra, labels = simulate(n=800, seed=3, gain=gain, shift=shift)
    model = fit(spectra)
    assert model.library_fit.gain == pytest.approx(gain, rel=0.03)
    assert model.library_fit.shift == pytest.approx(shift, abs=0.1)
    np.testing.assert_allclose(model.class_weights, np.bincount(labels) / 800, atol=0.05)
    # the model's library is the one the experiment shows
    truth = library(gain, shift).intensity
    assert np.abs(model.library.intensity - truth).max() < 0.1 * truth.max()


def test_given_class_weights_are_kept(data):
    weights = np.array([0.2, 0.2, 0.6])
    model = fit(data[0], class_weights=weights)
    pure = np.diag(model.pair_weights)
    np.testing.assert_allclose(pure / pure.sum(), weights)


def test_order_of_the_pixels_does_not_matter(data, fitted):
    order = np.random.default_rng(2).permutation(len(data[0]))
    other = fit(data[0][order])
    assert len(other.log_likelihood) == len(fitted.log_likelihood)
    np.testing.assert_allclose(other.class_weights, fitted.class_weights, atol=1e-5)
    np.testing.assert_allclose(other.mean, fitted.mean, atol=1e-5)
    np.testing.assert_allclose(other.covariance, fitted.covariance, atol=1e-6)
    assert other.library_fit.shift == pytest.approx(fitted.library_fit.shift, abs=1e-5)


def test_flagged_pixels_are_left_out(data, fitted):
    spectra = data[0]
    bad = dataclasses.replace(
        spectra[:50],
        intensity=np.full_like(spectra.intensity[:50], np.nan),
        counts=np.full_like(spectra.counts[:50], 1e9),
        background=np.full_like(spectra.background[:50], np.nan),
        flag=np.full(50, 2),
    )
    both = dataclasses.replace(
        spectra,
        **{
            f.name: np.concatenate([getattr(spectra, f.name), getattr(bad, f.name)])
            for f in dataclasses.fields(spectra)
            if f.name not in ("energy", "images", "preprocessor")
        },
    )
    model = fit(both)
    np.testing.assert_allclose(model.class_weights, fitted.class_weights, atol=1e-9)
    np.testing.assert_allclose(model.mean, fitted.mean, atol=1e-9)


def test_same_seed_same_fit_where_pixels_are_chosen(data, monkeypatch):
    monkeypatch.setattr("eels_bayes.continuum.FIT_PIXELS", 200)
    one, two, other = (fit(data[0], seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.mean, two.mean) and one.log_likelihood == two.log_likelihood
    assert not np.array_equal(one.mean, other.mean)
    np.testing.assert_allclose(one.class_weights, WEIGHTS, atol=0.1)


def test_a_library_without_overlap_and_a_class_without_edge():
    rows = np.concatenate([library().intensity[:1], np.zeros((1, len(ENERGY)))])
    lib = FingerprintLibrary.from_arrays(ENERGY, rows, [0, 1])
    spectra, _ = simulate(n=300, weights=np.array([1.0, 0.0, 0.0]))
    model = fit(spectra, lib, iterations=10)
    assert all(np.isfinite(x).all() for x in (model.mean, model.covariance, model.class_weights))
    assert model.class_weights[0] > 0.9


@pytest.mark.parametrize("shift", [-1.3, 0.0, 0.7])
def test_library_fit_moves_scales_and_broadens(shift):
    energy = np.arange(650, 750, 0.25)
    peak = np.exp(-0.5 * ((energy - 700) / 2) ** 2)
    shown = LibraryFit(gain=1.5, shift=shift, broadening=1.2).apply(energy, peak[None])[0]
    weight = shown / shown.sum()
    centre = weight @ energy
    assert shown.sum() == pytest.approx(1.5 * peak.sum(), rel=1e-6)
    assert centre == pytest.approx(700 + shift, abs=1e-6)
    assert weight @ (energy - centre) ** 2 == pytest.approx(4 + 1.2, rel=1e-4)


def test_library_off_the_window_is_an_error(data):
    short = FingerprintLibrary.from_arrays(ENERGY[:-10], library().intensity[:, :-10], [0, 1, 2])
    with pytest.raises(ValueError, match=r"cover 677 to 731.5 eV, but the axis asked"):
        fit(data[0], short)


def test_classes_that_may_share_a_pixel_are_neighbours_in_value():
    lib = library()
    assert mixing_pairs(lib) == [(0, 1), (0, 2), (1, 2)]
    valued = dataclasses.replace(lib, values=np.array([0.5, 0.0, 0.25]))
    assert mixing_pairs(valued) == [(1, 2), (0, 2)]
    spectra, _ = simulate(n=200)
    pair_weights = fit(spectra, valued, iterations=3).pair_weights
    assert pair_weights[0, 1] == 0 and (np.tril(pair_weights, -1) == 0).all()


def test_a_class_that_the_pixels_lack_keeps_a_little_weight():
    series = eb.simulate.annealing_series(n_images=2, shape=(12, 10), seed=0)
    # The first image, at room temperature, holds no pixel without fluorine; another may.
    assert (series.truth["fractions"][0, ..., -1] == 0).all()
    pre = eb.Preprocessor((677, 737), 0.5, background=(650, 680), normalize=(570, 592.5))
    model = fit(pre(series.signals[:1]), eb.FingerprintLibrary.example())
    assert (np.diag(model.pair_weights) > 0.5 / 120).all()
    assert model.class_weights.sum() == pytest.approx(1.0)
    assert model.class_weights[-1] < 0.05
