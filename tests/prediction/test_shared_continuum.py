"""What continua of an image share: found where it was put in, and heard from other pixels alone."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from eels_bayes.data.flags import Flag
from eels_bayes.forward_model.factor_mixture import log_likelihood
from eels_bayes.forward_model.fit import IMAGE_SHARE, image_variances
from eels_bayes.prediction import shared_continuum as module
from eels_bayes.prediction.shared_continuum import LEAST_PIXELS

EXPONENT = 1  # of the continuum's columns


@pytest.fixture(scope="module")
def model(quick_classifier):
    """Of a small series."""
    return quick_classifier.fitted.forward


def shared_continuum(*given):
    """What of each profile is its image's."""
    return module.shared_continuum(*given)[0]


def drawn(model, image, offset, seed=0, level=1e-3):
    """Profiles of the first component, with offsets (I, P) of their images; and the component."""
    rng = np.random.default_rng(seed)
    part, n = model.rotated_components()[0], len(image)
    columns = model.continuum.columns(model.continuum.energy, model.library)
    factors = rng.standard_normal((n, len(part.value)))
    white = part.center + factors @ part.loadings.T
    white += np.sqrt(level) * rng.standard_normal(white.shape)
    profile = model.continuum.center(model.continuum.energy) + white / model.white
    profile += offset[image] @ columns.T
    component = np.zeros((n, len(model.components()[0])))
    component[:, 0] = 1.0
    return profile, np.full(n, level), component, columns


def offsets_of(model, n_images, seed=1):
    variances = IMAGE_SHARE * model.continuum.prior_variances(model.library)
    offset = np.zeros((n_images, len(variances)))
    offset[:, EXPONENT] = np.random.default_rng(seed).normal(
        0, variances[EXPONENT] ** 0.5, n_images
    )
    return offset


def test_what_was_put_in_is_taken_out(model):
    image = np.repeat(np.arange(4), 400)
    offset = offsets_of(model, 4)
    profile, level, component, columns = drawn(model, image, offset)
    shift = shared_continuum(model, profile, level, image, component)
    expected = offset[image] @ columns.T
    left = np.square(shift - expected).sum(1).mean() / np.square(expected).sum(1).mean()
    assert left < 0.1


def test_a_pixel_hears_of_the_others_alone(model):
    image = np.zeros(LEAST_PIXELS + 10, int)
    profile, level, component, _ = drawn(model, image, np.zeros((1, len(model.mean))))
    before = shared_continuum(model, profile, level, image, component)
    profile[0] *= 1.02
    moved = shared_continuum(model, profile, level, image, component) - before
    # what the pixel tells is taken back for itself, and heard by all others
    assert np.abs(moved[0]).max() < 0.2 * np.abs(moved[1:]).max(1).min()


def test_few_pixels_and_other_images_tell_nothing(model):
    image = np.repeat([0, 1], [LEAST_PIXELS - 1, 60])
    offset = offsets_of(model, 2)
    profile, level, component, _ = drawn(model, image, offset)
    shift = shared_continuum(model, profile, level, image, component)
    assert (shift[image == 0] == 0).all() and np.abs(shift[image == 1]).max() > 0
    alone = image == 1
    only = shared_continuum(model, profile[alone], level[alone], image[alone], component[alone])
    np.testing.assert_allclose(only, shift[alone], atol=2e-5)  # single precision


def test_it_is_what_whole_matrices_give(model):
    """Of pixels that are of two components; each by all others, whatever one tells."""
    image = np.repeat([0, 1], 40)
    profile, level, component, columns = drawn(model, image, offsets_of(model, 2))
    component[:, :2] = [0.7, 0.3]
    white, noise = model.whiten(profile, level)
    columns = columns * model.white[:, None]
    score, information = np.zeros((80, columns.shape[1])), np.zeros((80, *[columns.shape[1]] * 2))
    for part, share in zip(model.rotated_components()[:2], (0.7, 0.3), strict=True):
        for pixel, variance in enumerate(noise):
            covariance = variance * np.eye(len(columns)) + part.loadings @ part.loadings.T
            seen = np.linalg.solve(covariance, columns)
            score[pixel] += share * (white[pixel] - part.center) @ seen
            information[pixel] += share * columns.T @ seen
    prior = image_variances(model.continuum.prior_variances(model.library), model.library)
    expected = []
    for pixel in range(80):
        rows = (image == image[pixel]) & (np.arange(80) != pixel)
        precision = np.diag(1.0 / prior) + information[rows].sum(0)
        expected.append(np.linalg.solve(precision, score[rows].sum(0)))
    expected = expected @ columns.T / model.white
    found = shared_continuum(model, profile, level, image, component)
    # but for directions along which images hardly differ
    np.testing.assert_allclose(found, expected, atol=3e-3 * np.abs(expected).max())


def test_components_are_likelier_by_as_much_as_their_evidence(model):
    """That of what is left of the profiles over that of the profiles."""
    image = np.repeat([0, 1], [120, LEAST_PIXELS - 1])
    profile, level, component, _ = drawn(model, image, offsets_of(model, 2))
    shift, likelier = module.shared_continuum(model, profile, level, image, component)
    (before, noise), (after, _) = (model.whiten(x, level) for x in (profile, profile - shift))
    whole = np.isclose(before - after, shift * model.white, atol=1e-5).all(1)  # none drawn in
    assert whole.mean() > 0.9
    expected = np.stack(
        [
            log_likelihood(after, noise, part)[0] - log_likelihood(before, noise, part)[0]
            for part in model.rotated_components()
        ],
        1,
    )
    assert np.ptp(expected[image == 0], axis=1).max() > 0.1
    np.testing.assert_allclose(likelier[whole], expected[whole], atol=1e-2)
    np.testing.assert_array_equal(likelier[image == 1], 0.0)


def test_pixels_that_are_not_to_tell_hear_all_the_same(model):
    image = np.repeat([0, 1, 2], [200, 60, 40])
    profile, level, component, _ = drawn(model, image, offsets_of(model, 3))
    silent = np.r_[0:100, 260:300]
    component[silent] = 0.0
    profile[silent] *= 3.0
    shift = shared_continuum(model, profile, level, image, component)
    rest = np.setdiff1d(np.arange(len(image)), silent)
    only = shared_continuum(model, profile[rest], level[rest], image[rest], component[rest])
    np.testing.assert_allclose(shift[rest], only, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(shift[260:], 0.0)
    heard = shift[:100]
    np.testing.assert_allclose(heard, np.broadcast_to(heard[0], heard.shape), rtol=1e-4, atol=1e-6)
    assert np.abs(heard[0] - shift[100:200].mean(0)).max() < 0.1 * np.abs(heard[0]).max()


@pytest.mark.parametrize("times", [0.7, 1.3])
def test_what_the_model_does_not_describe_turns_no_classes(quick_classifier, spectra, times):
    """A third of each image, of another continuum than any, is as if it were flagged."""
    odd = spectra.position < len(spectra) / len(spectra.images) / 3
    profile = np.where(odd[:, None], times * spectra.profile, spectra.profile)
    strange = replace(spectra, profile=profile.astype(np.float32))
    flagged = replace(spectra, flag=np.where(odd, int(Flag.DEAD), spectra.flag))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "predict: .* novelty above", UserWarning)
        first, second = (
            quick_classifier.predict(x, context="neighbours", show_progressbar=False)
            for x in (strange, flagged)
        )
    change = np.abs(first.probabilities - second.probabilities)[~odd]
    assert np.nanmean(change) < 0.02


def test_images_are_read_without_what_they_share(quick_classifier, spectra):
    """A series whose profiles all lean by as much is read as it was, with its neighbours."""
    model = quick_classifier.fitted.forward
    columns = model.continuum.columns(model.continuum.energy, model.library)
    variances = model.continuum.prior_variances(model.library)
    lean = np.sqrt(IMAGE_SHARE * variances[EXPONENT]) * columns[:, EXPONENT]
    moved = replace(spectra, profile=(spectra.profile + lean).astype(np.float32))

    def changed(context):
        first, second = (
            quick_classifier.predict(x, context=context, show_progressbar=False)
            for x in (spectra, moved)
        )
        return np.nanmean(np.abs(first.probabilities - second.probabilities))

    alone = changed("pixel")
    assert changed("neighbours") < 0.7 * alone and changed("image") < 0.7 * alone
