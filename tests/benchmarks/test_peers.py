"""The peers of the benchmarks: each a sound reading of the same spectra, without a label."""

import dataclasses
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import multivariate_normal

import eels_bayes as eb
from eels_bayes.forward_model.factor_mixture import log_likelihood
from eels_bayes.forward_model.fit import fit_forward_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from peers import (
    ABLATIONS,
    PEERS,
    dual_vae,
    em_mixture,
    forward_model,
    least_squares,
    nearest,
    pca_ratio,
    shared,
)

METHODS = PEERS | ABLATIONS

TRAINED = "dual VAE and GP (Hollenbach 2024)"
# How little is learned where a peer only has to run.
LITTLE = {
    TRAINED: {"epochs": 1, "n_draws": 5},
    "RapidEELS (2021)": {"epochs": 1, "n_draws": 100},
    "PCA(10), Gaussian process": {"n_draws": 40},
}
# Tested by themselves.
LEARNED = (TRAINED, "RapidEELS (2021)")
# Classes differ in height, not in shape: neither an angle nor a ratio tells them apart.
BLIND = ("PCA(10), nearest by cosine", "PCA(10), peak over shoulder")


@pytest.fixture(scope="module")
def library():
    return eb.FingerprintLibrary.example()


@pytest.fixture(scope="module")
def series():
    """An easy series: thirty times the dose."""
    return eb.simulate.annealing_series(n_images=8, shape=(8, 8), dose=30.0, seed=1)


@pytest.fixture(scope="module")
def spectra(series):
    pre = eb.Preprocessor(
        window=(677, 737),
        dispersion=0.25,
        background=(650, 680),
        normalize=(570, 592.5),
        align=(567.5, 627.5),
    )
    return pre(series.signals, show_progressbar=False)


@pytest.fixture(scope="module")
def labels(series):
    return series.truth.label.values.ravel()


@pytest.fixture(scope="module")
def mixture(spectra, library):
    return em_mixture.fit(spectra, library, show_progressbar=False)


def flagged(spectra, rows):
    """The same spectra, some of them unusable."""
    names = ("flag", "intensity", "sd", "background", "profile", "level", "counts")
    parts = {name: getattr(spectra, name).copy() for name in names}
    for name, part in parts.items():
        part[rows] = 1 if name == "flag" else np.nan
    return dataclasses.replace(spectra, **parts)


def with_intensity(spectra, rows):
    """Spectra of these intensities (n, L); the rest is that of some pixels."""
    some = spectra[np.arange(len(rows)) % len(spectra)]
    return dataclasses.replace(some, intensity=rows.astype(np.float32))


@pytest.mark.parametrize("name", METHODS)
def test_rows_are_probabilities_and_flagged_pixels_nan(name, spectra, library):
    read = partial(METHODS[name], seed=0, show_progressbar=False, **LITTLE.get(name, {}))
    if name.startswith("EM mixture"):
        read = partial(read, iterations=20)
    bad = np.array([0, 70, 511])
    with_flags = flagged(spectra, bad)
    found = read(with_flags, library)
    assert found.shape == (len(spectra), library.n_classes)
    assert np.isnan(found[bad]).all()
    rest = found[with_flags.ok]
    assert (rest >= 0).all()
    np.testing.assert_allclose(rest.sum(1), 1.0, rtol=1e-9)
    # An unusable pixel has no say in the others' classes.
    without = read(with_flags[with_flags.ok], library)
    np.testing.assert_allclose(rest, without, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in (*BLIND, *LEARNED)])
def test_peers_read_an_easy_series(name, spectra, library, labels):
    found = METHODS[name](spectra, library, show_progressbar=False)
    most_frequent = np.bincount(labels).max() / len(labels)
    assert eb.metrics.accuracy(found, labels) > most_frequent + 0.25


def test_dual_vae_learns_an_easy_series(spectra, library, labels):
    trained = dual_vae.train(spectra, epochs=12, show_progressbar=False)
    assert trained.history.shape == (12, 3) and trained.seconds > 0
    assert trained.history[-1, 0] < 0.6 * trained.history[0, 0]
    found = dual_vae.classify(trained, spectra, library, n_draws=20)
    most_frequent = np.bincount(labels).max() / len(labels)
    assert eb.metrics.accuracy(found, labels) > most_frequent + 0.1


def test_dual_vae_is_repeatable_and_leaves_the_global_generator_alone(spectra, library):
    state = torch.random.get_rng_state()
    some = spectra[:128]
    one, two, other = (
        dual_vae.probabilities(
            some, library, epochs=1, n_draws=5, seed=seed, show_progressbar=False
        )
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, two)
    assert not np.allclose(one, other, atol=1e-3)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_dual_vae_has_the_published_networks():
    vae = dual_vae.DualVAE(240)
    n_parameters = [
        sum(p.numel() for p in net.parameters())
        for net in (vae.clean_encoder.convolutions, vae.decoder)
    ]
    # The convolutions' 128 + 3616 + 3104 + 6208, and the decoder's total of the published summary.
    assert n_parameters == [13056, 29313]
    assert vae.noisy_encoder.dense.weight.shape == (16, 15 * 64)
    for n_channels in (240, 100, 239):
        other = dual_vae.DualVAE(n_channels)
        assert other.decoder(torch.zeros(2, 16)).shape == (2, n_channels)
        assert other.encode_clean(torch.zeros(2, n_channels))[0].shape == (2, 16)


def test_dual_vae_losses_are_those_of_the_paper():
    vae = dual_vae.DualVAE(32).eval()
    generator = torch.Generator().manual_seed(0)
    noisy, clean = torch.randn(2, 500, 32, generator=generator)
    with torch.no_grad():
        mean, log_var = vae.encode_clean(clean)
        q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            losses = vae.losses(noisy, clean)
            torch.manual_seed(3)
            z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
    wanted = [
        torch.nn.functional.l1_loss(vae.decoder(z), clean) * 32,
        kl.mean(),
        torch.nn.functional.l1_loss(vae.noisy_encoder(noisy), mean) * 16,
    ]
    torch.testing.assert_close(losses, torch.stack(wanted), rtol=1e-5, atol=1e-5)


def test_em_never_lowers_its_objective(mixture, spectra, library):
    by_image = em_mixture.fit(spectra, library, by_image=True, show_progressbar=False)
    for fitted in (mixture, by_image):
        assert len(fitted.objective) > 20
        assert np.diff(fitted.objective).min() > -1e-9
    assert by_image.weights.shape == (8, 4)
    np.testing.assert_allclose(by_image.weights.sum(1), 1.0)


def test_em_finds_the_classes_and_the_overlap(mixture, series, labels):
    shares = np.bincount(labels, minlength=4) / len(labels)
    np.testing.assert_allclose(mixture.weights[0], shares, atol=0.03)
    truth = series.truth.residual.values
    # The overlapping shape is the last but one coefficient; the last is the drift.
    assert mixture.mean[-2] == pytest.approx(truth.mean(), abs=0.1)
    assert np.sqrt(mixture.covariance[-2, -2]) == pytest.approx(truth.std(), rel=0.3)


def test_weights_by_image_follow_the_images(spectra, library, labels):
    fitted = em_mixture.fit(spectra, library, by_image=True, show_progressbar=False)
    shares = np.stack([np.bincount(labels[spectra.image == i], minlength=4) for i in range(8)]) / 64
    assert np.abs(fitted.weights - shares).max() < 0.12
    assert shares.std(0).max() > 0.2  # images do differ


def test_em_factors_are_the_dense_gaussians():
    rng = np.random.default_rng(0)
    rows, shapes = rng.normal(size=(5, 30)), rng.normal(size=(4, 30))
    level, mean, loadings = rng.uniform(0.1, 2.0, 5), rng.normal(size=4), rng.normal(size=(3, 4))
    loadings[2] = 0.0  # as a class without an edge has
    found = em_mixture._Pixels.of(rows, level, shapes).factors(mean, loadings)
    factors = loadings @ shapes
    first, second = np.zeros(3), np.zeros((3, 3))
    for i in range(5):
        dense = level[i] * np.eye(30) + factors.T @ factors
        wanted = multivariate_normal(mean @ shapes, dense).logpdf(rows[i])
        assert found.log_likelihood[i] == pytest.approx(wanted, rel=1e-9)
        gain = factors @ np.linalg.inv(dense)
        a = gain @ (rows[i] - mean @ shapes)
        first += a
        second += np.outer(a, a) + np.eye(3) - gain @ factors.T
    one, two = found.moments(np.ones(5))
    np.testing.assert_allclose(one, first, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(two, second, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("denoised", [False, True])
def test_least_squares_recovers_amplitudes_within_their_error(spectra, library, denoised):
    rng = np.random.default_rng(0)
    known = library.resample(spectra.energy)
    # Many pixels of little noise: else the denoising loses the overlap and learns the noise.
    n, noise = (4096, 0.2) if denoised else (512, 0.8)
    amplitude = rng.uniform(0.0, 1.2, n)
    brightest = known.class_spectra[0]
    clean = (
        amplitude[:, None] * brightest
        + rng.uniform(0.1, 0.4, (n, 1)) * known.nuisances[0]
        + rng.normal(0.0, 0.1, (n, 1))
    )
    noisy = with_intensity(spectra, clean + noise * rng.normal(size=clean.shape))
    fit = least_squares.amplitudes(noisy, library, denoised=denoised)
    z = (fit.value - amplitude * fit.classes[0]) / fit.error
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert z.std() == pytest.approx(1.0, rel=0.15)
    exact = least_squares.amplitudes(with_intensity(spectra, known.class_spectra), library)
    np.testing.assert_allclose(exact.value, exact.classes, atol=1e-6)
    assert exact.classes[0] == pytest.approx(1.0, abs=0.02)
    assert np.allclose(fit.classes[-1], 0.0)


def test_least_squares_needs_channels_to_spare(spectra, library):
    narrow = dataclasses.replace(
        spectra, energy=spectra.energy[:6], intensity=spectra.intensity[:, :6], sd=spectra.sd[:, :6]
    )
    with pytest.raises(ValueError, match="6 channels; a fit of 3 shapes needs at least 8"):
        least_squares.amplitudes(narrow, library)


def test_the_nearest_fingerprint_is_the_fingerprint_itself(spectra, library):
    known = library.resample(spectra.energy)
    rng = np.random.default_rng(0)
    rows = np.repeat(known.intensity, 20, axis=0)
    rows = rows + 0.01 * rng.normal(size=rows.shape)
    labels = np.repeat(known.labels, 20)
    found = nearest.by_distance(with_intensity(spectra, rows), library)
    assert (found.argmax(1) == labels).all() and found.max(1).min() > 0.99
    # The angle is blind to the height: a spectrum and its double are one.
    one, two = (
        nearest.by_angle(with_intensity(spectra, factor * rows[:180]), library) for factor in (1, 2)
    )
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)
    with_edge = labels[:180]
    assert (one.argmax(1) == with_edge).mean() > 0.9  # their shapes differ by little, but differ


def test_ratio_names_the_fingerprints_it_can_and_gives_no_doubt(spectra, library):
    known = library.resample(spectra.energy)
    rows = np.repeat(known.class_spectra, 5, axis=0) + 1e-6  # a flat spectrum has no components
    found = pca_ratio.probabilities(with_intensity(spectra, rows), library)
    assert (found.argmax(1) == np.repeat(np.arange(4), 5)).all()
    np.testing.assert_allclose(np.sort(found, axis=1), [[0.01, 0.01, 0.01, 0.97]] * 20)
    short = dataclasses.replace(
        spectra,
        energy=spectra.energy[60:],
        intensity=spectra.intensity[:, 60:],
        sd=spectra.sd[:, 60:],
    )
    with pytest.raises(ValueError, match=r"cover 692 to 736.75 eV; .* needs 687.5 to 701 eV"):
        pca_ratio.probabilities(short, library)


def test_denoising_keeps_ten_components(rng):
    clean = rng.normal(size=(300, 10)) @ rng.normal(size=(10, 60)) + rng.normal(size=60)
    np.testing.assert_allclose(shared.denoise(clean).spectra, clean, atol=1e-9)
    noise = rng.normal(size=(300, 60))
    left = shared.denoise(clean + noise).spectra - clean
    assert left.std() < 0.6  # sqrt(10 / 60) and what 300 spectra cost


def test_mixture_reads_the_bins_it_says(spectra):
    assert spectra.profile_energy[0] < 400 and spectra.profile_energy[-1] > 780
    some, everything = em_mixture.binned(spectra, (600.0, 788.0)), em_mixture.binned(spectra)
    assert 600 <= some.energy[0] - 1 < 602 and 786 > some.energy[-1] + 1 > 780
    np.testing.assert_array_equal(everything.energy, spectra.profile_energy)
    first = int(np.argmin(np.abs(spectra.profile_energy - some.energy[0])))
    np.testing.assert_array_equal(
        some.intensity, spectra.profile[:, first : first + len(some.energy)]
    )
    # a bin's variance: level times the mean of that bin, as bright as the pixel is
    noise = np.diff(some.intensity, 2, axis=1)[:, 60:] / np.sqrt(6.0)  # beyond the edge
    expected = some.level[:, None] * some.shape[61:-1]
    assert (noise**2 / expected).mean() == pytest.approx(1.0, abs=0.15)


def test_the_whole_spectrum_says_more(library):
    noisy = eb.simulate.annealing_series(n_images=12, shape=(10, 10), dose=1.0, seed=1)
    pre = eb.Preprocessor((677, 737), 0.5, (650, 680), (570, 592.5), (567.5, 627.5))
    spectra, labels = pre(noisy.signals, show_progressbar=False), noisy.truth.label.values.ravel()
    part, whole = (
        em_mixture.fit(spectra, library, whole=whole, show_progressbar=False)
        for whole in (False, True)
    )
    assert np.diff(whole.objective).min() > -1e-9
    nll = [eb.metrics.nll(mixture.probabilities, labels) for mixture in (part, whole)]
    assert nll[1] < nll[0] - 0.05


def test_forward_models_posterior_is_that_of_its_components(spectra, library):
    effort = eb.Effort(forward_iterations=10)
    model = fit_forward_model(spectra, library, effort=effort, show_progressbar=False)
    some = spectra[::5]
    target, noise = model.whiten(some.profile.astype(float), some.level.astype(float))
    log_joint = [log_likelihood(target, noise, one)[0] for one in model.rotated_components()]
    log_joint = np.stack(log_joint, axis=1) + np.log(model.components()[1])
    wanted = softmax(log_joint, axis=1) @ model.dominance()
    np.testing.assert_allclose(forward_model.posterior(model, some), wanted, atol=5e-3)


def test_mixed_pixels_count_for_the_class_that_dominates(spectra, library, labels):
    effort = eb.Effort(forward_iterations=2)
    model = fit_forward_model(spectra, library, effort=effort, show_progressbar=False)
    pairs = np.zeros((4, 4))
    pairs[1, 2] = 1.0
    model = dataclasses.replace(model, pair_weights=pairs)
    mine = spectra[np.isin(labels, (1, 2))]
    found = forward_model.posterior(model, mine)
    # the evidence leaves no component quite without weight
    assert np.median(found[:, [0, 3]].sum(1)) < 1e-3
    intensity, of_first = mine.intensity.mean(1), found[:, 1]
    assert intensity[of_first > 0.9].mean() > intensity[of_first < 0.1].mean() + 0.05
