"""What continua of an image share: found where it was put in, and heard from other pixels alone."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from eels_bayes.classifier.image_settling import LEAST_PIXELS, ByThemselves, moved, settled
from eels_bayes.classifier.pixel_columns import columns_of
from eels_bayes.classifier.reading_with_neighbours import Pixels, _apart
from eels_bayes.data.flags import Flag
from eels_bayes.forward_model.factor_mixture import log_likelihood
from eels_bayes.forward_model.fit import IMAGE_SHARE, image_variances
from eels_bayes.prediction.image_context import image_weights
from eels_bayes.prediction.pixel_states import pixel_states
from eels_bayes.prediction.shared_continuum import heard

EXPONENT = 1  # of the continuum's columns


@pytest.fixture(scope="module")
def model(quick_classifier):
    """Of a small series."""
    return quick_classifier.fitted.forward


def offsets(model, profile, level, image, component):
    """Offset (n, P) of each pixel's image by others of known components, and what is heard."""
    image, tells = np.unique(image, return_inverse=True)[1], component.sum(1) > 0
    of_pixels = heard(model, profile, level)
    none = np.zeros((len(image), 1), np.float32)
    pixels = ByThemselves(of_pixels, image, tells, none, none)
    ratio = np.where(tells[:, None], component, 1.0)
    found = np.zeros((image.max() + 1, of_pixels.space.columns.shape[1]))
    for _ in range(4):  # steps are not long
        offset = moved(pixels, ratio, found)
        found = np.stack([offset[image == i].mean(0) for i in range(len(found))])
    return offset, of_pixels


def shared_continuum(model, profile, level, image, component):
    """What of each profile is its image's."""
    offset, of_pixels = offsets(model, profile, level, image, component)
    return of_pixels.shift(offset)


def parts_within(model):
    """Components of the pixels of one image."""
    return replace(model, covariance=model.within).rotated_components()


def drawn(model, image, offset, seed=0, level=1e-3):
    """Profiles of the first component, with offsets (I, P) of their images; and the component."""
    rng = np.random.default_rng(seed)
    part, n = parts_within(model)[0], len(image)
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
    component[::3, :2] = [0.0, 1.0]
    white, noise = model.whiten(profile, level)
    columns = columns * model.white[:, None]
    score, information = np.zeros((80, columns.shape[1])), np.zeros((80, *[columns.shape[1]] * 2))
    parts = parts_within(model)
    for pixel, variance in enumerate(noise):
        part = parts[int(component[pixel].argmax())]
        covariance = variance * np.eye(len(columns)) + part.loadings @ part.loadings.T
        seen = np.linalg.solve(covariance, columns)
        score[pixel] = (white[pixel] - part.center) @ seen
        information[pixel] = columns.T @ seen
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


def test_slope_and_curvature_are_those_of_the_likelihood(model):
    """Of doubtful pixels, by differences."""
    n, n_parts = 40, len(model.components()[0])
    profile, level, _, _ = drawn(model, np.zeros(n, int), offsets_of(model, 1), level=3e-2)
    of_pixels = heard(model, profile, level)
    rng = np.random.default_rng(0)
    ratio = rng.uniform(0.2, 5.0, (n, n_parts))
    tells, of_class = np.arange(n) % 5 > 0, np.zeros((n_parts, 0), np.float32)
    place = 0.3 * rng.standard_normal(of_pixels.space.columns.shape[1])

    def told(at):
        return of_pixels.told(at, ratio, of_class, tells)

    here = told(place)
    alike = softmax(of_pixels.with_offsets(np.tile(place, (n, 1))), axis=1)
    np.testing.assert_allclose(here.component, alike, atol=1e-6)
    assert (here.score[~tells] == 0).all()
    curvature = here.information - here.missing
    for axis in range(3):
        beside = np.zeros_like(place)
        beside[axis] = 0.05
        ends = [told(place + sign * beside) for sign in (-1, 1)]
        change = -(ends[1].score - ends[0].score).sum(0) / 0.1
        np.testing.assert_allclose(curvature[axis], change, atol=0.02 * np.abs(curvature).max())


def test_components_are_as_likely_as_their_evidence_of_what_is_left(model):
    image = np.repeat([0, 1], [120, LEAST_PIXELS - 1])
    profile, level, component, _ = drawn(model, image, offsets_of(model, 2))
    offset, of_pixels = offsets(model, profile, level, image, component)
    found, shift = of_pixels.with_offsets(offset), of_pixels.shift(offset)
    (before, noise), (after, _) = (model.whiten(x, level) for x in (profile, profile - shift))
    whole = np.isclose(before - after, shift * model.white, atol=1e-5).all(1)  # none drawn in
    assert whole.mean() > 0.9
    after = before - shift * model.white
    weight = model.components()[1]
    parts = parts_within(model)
    expected = np.stack([log_likelihood(after, noise, part)[0] for part in parts], 1)
    found, expected = found[:, weight > 0], (expected + np.log(weight))[:, weight > 0]
    difference = found - expected
    # up to what no component spans, which is the same for all
    np.testing.assert_allclose(difference - difference[:, :1], 0.0, atol=1e-2)
    without = of_pixels.with_offsets(np.zeros_like(offset))[:, weight > 0]
    assert np.ptp((found - without)[image == 0], axis=1).max() > 0.1
    np.testing.assert_array_equal(found[image == 1], without[image == 1])


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


def test_mix_and_continuum_are_found_together(quick_classifier, spectra):
    """As Gibbs sampling of classes, offsets and weights finds them, with whole matrices."""
    fitted, settings = quick_classifier.fitted, quick_classifier._settings(False)
    weights = fitted.class_weights
    states = pixel_states(fitted.forward, weights)
    columns = columns_of(fitted, spectra, settings, states, None)
    pixels = Pixels(spectra, columns, states, weights)
    alone = pixels.known()
    apart = _apart(fitted, pixels, alone)
    by_image = settled(apart, states, weights)
    of_class = np.eye(len(weights))[states.label[states.of_dominant]]
    found = softmax(apart.heard.with_offsets(by_image.offset), axis=1)
    found = found * states.ratio_of_components(states.of_classes(by_image.others))
    found = found @ of_class / found.sum(1, keepdims=True)
    concentration = image_weights(found, spectra.image[alone.rows], weights).concentration
    told = sampled(apart.heard, spectra.image[alone.rows], of_class, weights, concentration)
    assert np.abs(found - told).mean() < 0.03
    assert np.abs(alone.component @ of_class - told).mean() > 0.06  # what it takes away matters


def test_images_of_few_pixels_have_the_mix_that_their_pixels_say(quick_classifier, spectra):
    fitted, settings = quick_classifier.fitted, quick_classifier._settings(False)
    few = spectra[spectra.position < LEAST_PIXELS - 5]
    states, weights = pixel_states(fitted.forward, fitted.class_weights), fitted.class_weights
    columns = columns_of(fitted, few, settings, states, None)
    pixels = Pixels(few, columns, states, weights)
    apart = _apart(fitted, pixels, pixels.known())
    found = settled(apart, states, weights)
    assert (found.offset == 0).all()
    expected = image_weights(apart.by_heads, apart.image, weights).others
    np.testing.assert_allclose(found.others, expected, atol=2e-3)


def sampled(of_pixels, image, of_class, overall, concentration, n_sweeps=400, n_first=100):
    """Class probabilities (n, K) over all weights and offsets of the images."""
    rng = np.random.default_rng(0)
    n_images = int(image.max()) + 1
    score, information = of_components(of_pixels)
    weight, offset = np.tile(overall, (n_images, 1)), np.zeros((n_images, score.shape[2]))
    log_of_class = np.log(of_class @ overall)
    mean = np.zeros((len(image), of_class.shape[1]))
    for sweep in range(n_sweeps):
        logs = of_pixels.with_offsets(offset[image]).astype(float) - log_of_class
        joint = softmax(logs + np.log(weight[image] @ of_class.T), axis=1)
        if sweep >= n_first:
            mean += joint @ of_class / (n_sweeps - n_first)
        which = (joint.cumsum(1) < rng.random((len(image), 1))).sum(1).clip(max=len(of_class) - 1)
        for i in range(n_images):
            mine = np.flatnonzero(image == i)
            counts = of_class[which[mine]].sum(0) + concentration * overall
            weight[i] = rng.dirichlet(counts) + 1e-12
            precision = np.eye(score.shape[2]) + information[mine, which[mine]].sum(0)
            root = np.linalg.cholesky(np.linalg.inv(precision))
            drawn_score = root.T @ score[mine, which[mine]].sum(0)
            offset[i] = root @ (drawn_score + rng.standard_normal(len(precision)))
    return mean


def of_components(of_pixels):
    """What each pixel tells in each component: scores (n, C, P), information (n, C, P, P)."""
    space = of_pixels.space
    columns, n_parts = space.columns.astype(float), len(space.center)
    score = np.empty((len(of_pixels.noise), n_parts, columns.shape[1]))
    information = np.empty((*score.shape, columns.shape[1]))
    for c in range(n_parts):
        spread = space.loadings[c].T @ space.loadings[c]
        for j, noise in enumerate(of_pixels.noise):
            seen = np.linalg.solve(spread + noise * np.eye(len(columns)), columns)
            score[j, c] = (of_pixels.target[j] - space.center[c]) @ seen
            information[j, c] = columns.T @ seen
    return score, information


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
