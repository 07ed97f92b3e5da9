"""Errors of where the library stands: their scores are derivatives, and estimates scatter so."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.forward_model.factor_mixture import log_likelihood
from eels_bayes.forward_model.standing_error import scores, standing_error
from helpers.model_pixels import whitened_pixels


@pytest.fixture(scope="module")
def model(quick_classifier):
    return quick_classifier.fitted.forward


def pixels(model, n, noise, seed):
    """Whitened pixels (n, B) of the model itself, and their noise (n,)."""
    return whitened_pixels(model, n, noise, seed), np.full(n, noise)


def log_evidence(model, target, noise, parts):
    """Of every component (n, C), nats."""
    fits = [log_likelihood(target, noise, part)[0] for part in parts]
    return np.stack(fits, axis=1) + np.log(model.components()[1])


def centers(model, library):
    """Mean of each component (C, B) if the library, as shown, were another."""
    return np.array([part.center for part in replace(model, library=library).rotated_components()])


def test_scores_are_derivatives_of_the_likelihood(model):
    target, noise = pixels(model, 60, 0.02, 0)
    parts, library = model.rotated_components(), model.library
    found = scores(
        model, target, noise, parts, softmax(log_evidence(model, target, noise, parts), axis=1)
    )

    def derivative(moved, step):
        """By central differences of the components' means."""
        ends = [
            [
                part._replace(center=part.center + sign * by)
                for part, by in zip(parts, moved, strict=True)
            ]
            for sign in (0.5, -0.5)
        ]
        ahead, behind = (logsumexp(log_evidence(model, target, noise, end), axis=1) for end in ends)
        return (ahead - behind) / step

    def close(column, expected, tolerance):
        size = np.abs(expected).max()
        np.testing.assert_allclose(found[:, column], expected, rtol=0, atol=tolerance * size)

    brighter = replace(library, intensity=1.001 * library.intensity)
    close(0, derivative(centers(model, brighter) - centers(model, library), 1e-3), 1e-3)
    # the library's own channels show a move, but for what leaves the window
    width, step = library.energy[1] - library.energy[0], 0.02
    moved = shift_and_broaden(library.intensity, step / width, 0.0)
    by = centers(model, replace(library, intensity=moved)) - centers(model, library)
    close(1, derivative(by, step), 0.03)
    k, mode, n_modes = 1, 2, model.along.shape.shape[1]
    along = model.along.shape[:, mode] * model.white
    by = 1e-3 * (model.shares()[:, k] * model.along.amplitude[k])[:, None] * along
    close(3 + k * n_modes + mode, derivative(by, 1e-3), 1e-3)


def test_errors_are_those_of_as_many_pixels(model):
    parts = model.rotated_components()

    def errors(n):
        target, noise = pixels(model, n, 0.02, 1)
        share = softmax(log_evidence(model, target, noise, parts), axis=1)
        return standing_error(model, target, noise, parts, share)

    few, many = errors(500), errors(8000)
    assert (many > 0).all() and (many < few).all()
    # of sixteen times as many a quarter, as far as it is not expected beforehand
    assert 0.25 < many[1] / few[1] < 0.5


def test_no_pixels_know_nothing(model):
    parts, n_bins = model.rotated_components(), len(model.mean_profile)
    found = standing_error(
        model, np.zeros((0, n_bins)), np.zeros(0), parts, np.zeros((0, len(parts)))
    )
    assert np.isfinite(found).all() and (found > 10.0).all()
