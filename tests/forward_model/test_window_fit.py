"""What a forward model leaves of pixels: as much as it should of its own, more of others."""

import dataclasses

import numpy as np
import pytest
import torch

from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.factor_mixture import log_likelihood
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.window_fit import _directions, _score, share_error, window_fit
from helpers.model_pixels import whitened_pixels


@pytest.fixture(scope="module")
def model(quick_classifier):
    return quick_classifier.fitted.forward


def drawn(model, n, level, seed):
    """Profiles (n, B) of the model itself, and their noise levels (n,)."""
    deviation = whitened_pixels(model, n, level, seed)
    center = model.continuum.center(model.continuum.energy)
    profile = center + deviation / model.white
    brightness = profile.mean(1) / model.mean_profile.mean()
    return profile, level / brightness  # the same noise in all


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("level", [1e-3, 1e-2, 0.3])
def test_pixels_of_the_model_itself_leave_what_they_should(model, level, seed):
    """However much of the noise the posterior mean follows, and by class as well."""
    found = window_fit(model, *drawn(model, 1500, level, seed))
    assert found.chi_square == pytest.approx(1.0, abs=4 * found.chi_square_error)
    assert found.chi_square_error < 0.02
    off = (found.class_chi_square - 1.0) / found.class_chi_square_error
    assert np.abs(off).max() < 4.0
    assert np.abs(found.residual / found.band).max() < 5.0
    np.testing.assert_allclose(((found.residual / found.band) ** 2).mean(), 1.0, atol=0.5)


@pytest.mark.parametrize("level", [1e-2, 0.3])
def test_pixels_of_one_class_scatter_as_it_does(model, level):
    found = window_fit(model, *drawn(model, 1500, level, 2))
    off = (found.edge_scatter - 1.0) / found.edge_scatter_error
    assert np.abs(off).max() < 4.0 and found.edge_scatter_error.max() < 0.3


def test_pixels_of_two_sizes_scatter_more(model):
    """Half of the pixels of the strongest class show less of its edge."""
    edges = mean_edges(model.continuum.energy, model.library, LibraryFit())
    k = int(np.abs(edges).sum(1).argmax())
    weights = np.zeros_like(model.pair_weights)
    weights[k, k] = 1.0
    alone = dataclasses.replace(model, pair_weights=weights)
    profile, level = drawn(alone, 600, 0.01, 1)
    weaker = 0.3 * edges[k] * (np.arange(600) % 2)[:, None]
    one, two = (window_fit(alone, it, level) for it in (profile, profile - weaker))
    assert one.edge_scatter[k] == pytest.approx(1.0, abs=4 * one.edge_scatter_error[k])
    assert two.edge_scatter[k] > 1.25 + 4 * two.edge_scatter_error[k]


def test_the_scatter_along_an_edge_is_that_of_the_covariance(model, rng):
    """By the inverse of the whole covariance, pixel by pixel."""
    part = model.rotated_components()[0]
    direction, noise = rng.standard_normal(len(part.center)), np.array([0.01, 0.2])
    target = part.center + rng.standard_normal((2, len(direction)))
    _, factor, _ = log_likelihood(target, noise, part)
    found = _score(target, noise, part, factor, direction)
    for row, level, score in zip(target, noise, found, strict=True):
        inverse = np.linalg.inv(level * np.eye(len(direction)) + part.loadings @ part.loadings.T)
        shown = direction @ inverse @ (row - part.center)
        assert score == pytest.approx(shown / np.sqrt(direction @ inverse @ direction))


def test_where_a_class_has_no_edge_the_strongest_tells():
    edges = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]])
    np.testing.assert_array_equal(_directions(edges), [[2.0, 1.0], [1.0, 0.0], [2.0, 1.0]])
    assert not _directions(0.0 * edges).any()


def test_bands_hold_the_scatter_of_mean_residuals(model):
    fits = [window_fit(model, *drawn(model, 100, 0.01, seed)) for seed in range(40)]
    sd = np.std([fit.residual for fit in fits], axis=0)
    band = np.mean([fit.band for fit in fits], axis=0)
    assert np.median(sd / band) == pytest.approx(1.0, abs=0.1)
    errors = [fit.chi_square_error for fit in fits]
    assert np.std([fit.chi_square for fit in fits]) == pytest.approx(np.mean(errors), rel=0.35)


@pytest.mark.parametrize("wrong", [0.25, 4.0])
def test_a_wrong_noise_is_seen(model, wrong):
    profile, level = drawn(model, 300, 0.01, 0)
    found = window_fit(model, profile, wrong * level)
    assert found.chi_square == pytest.approx(1.0 / wrong, rel=0.3)
    # and takes no part in whether mean residuals stand out
    assert ((found.residual / found.band) ** 2).mean() < 2.0


def test_another_shape_stands_out_of_the_band(model):
    profile, level = drawn(model, 300, 0.01, 0)
    energy = model.continuum.energy
    found = window_fit(model, profile, level)
    line = np.where(np.abs(energy - 700.0) < 2.0, 0.4 / model.white, 0.0)
    other = window_fit(model, profile + line, level)
    many = other.class_pixels > 30
    assert many.any()
    for residual, band in zip(other.residual[many], other.band[many], strict=True):
        assert np.abs(residual / band).max() > 6.0
        assert abs(other.energy[np.abs(residual).argmax()] - 700.0) < 4.0
    assert other.chi_square > found.chi_square + 10 * found.chi_square_error


def test_parts_sum_to_what_the_encoder_reads(model, spectra):
    """Residuals of the components, by responsibility, are those of the mixture's posterior mean."""
    found = window_fit(model, spectra.profile.astype(float), spectra.level.astype(float))
    evidence = evidence_of(model)(
        torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level)
    )
    total = evidence.residual.double().sum(0).numpy()
    np.testing.assert_allclose(found.class_pixels @ found.residual, total, atol=0.02)
    share = evidence.log_probability.double().exp().numpy() @ model.dominance()
    np.testing.assert_allclose(found.class_pixels, share.sum(0), rtol=1e-3)
    assert found.class_pixels.sum() == pytest.approx(len(spectra)) == found.n_pixels


def test_mean_spectra_differ_from_their_fit_by_the_residual(model):
    profile, level = drawn(model, 50, 0.01, 3)
    found = window_fit(model, profile, level)
    inside = np.isin(model.continuum.energy, found.energy)
    left = (found.edge - found.edge_fit) * model.white[inside]
    np.testing.assert_allclose(left, 0.1 * found.residual, atol=1e-9)  # one noise in all pixels


def test_the_order_of_pixels_does_not_matter(model, spectra):
    profile, level = spectra.profile.astype(float), spectra.level.astype(float)
    one, other = window_fit(model, profile, level), window_fit(model, profile[::-1], level[::-1])
    for field in dataclasses.fields(one):
        np.testing.assert_allclose(
            getattr(one, field.name), getattr(other, field.name), rtol=1e-6, atol=1e-9
        )


def test_fingerprints_are_those_of_the_experiment(model, spectra):
    found = window_fit(model, spectra.profile.astype(float), spectra.level.astype(float))
    fine = model.library.energy
    shown = np.array([np.interp(found.energy, fine, row) for row in model.library.class_spectra])
    np.testing.assert_allclose(found.fingerprint, shown, atol=0.1 * shown.max())
    # where a class is pure, its pixels look as it does
    strongest = shown.sum(1).argmax()
    assert np.corrcoef(found.edge[strongest], found.fingerprint[strongest])[0, 1] > 0.9


def test_a_class_without_pixels_has_no_figures_that_are_not_numbers(model):
    profile, level = drawn(model, 1, 1e-6, 0)
    found = window_fit(model, profile, level)
    assert found.class_pixels.min() < 1e-6
    for field in dataclasses.fields(found):
        assert np.isfinite(getattr(found, field.name)).all(), field.name


def test_shares_of_labelled_pixels_have_the_error_of_counts(rng):
    label = rng.choice(3, 4000, p=[0.6, 0.3, 0.1])
    share = np.bincount(label) / len(label)
    error = np.sqrt(share * (1 - share) / len(label))
    np.testing.assert_allclose(share_error(np.eye(3)[label]), error, rtol=0.01)


@pytest.mark.parametrize("apart", [1.0, 2.0])
def test_the_error_of_shares_is_how_they_scatter(apart):
    """Of classes as far apart as that, in sd of a pixel; maximum likelihood of many samples."""
    rng, center, true = np.random.default_rng(5), apart * np.arange(3), np.array([0.5, 0.3, 0.2])
    found, errors = [], []
    for _ in range(60):
        x = rng.normal(center[rng.choice(3, 3000, p=true)], 1.0)
        likelihood, share = np.exp(-0.5 * (x[:, None] - center) ** 2), true
        for _ in range(300):
            probability = likelihood * share
            probability /= probability.sum(1, keepdims=True)
            share = probability.mean(0)
        found.append(share)
        errors.append(share_error(probability))
    np.testing.assert_allclose(np.mean(errors, 0), np.std(found, 0), rtol=0.25)
    assert (np.mean(errors, 0) > 1.2 * np.sqrt(true * (1 - true) / 3000)).all()
