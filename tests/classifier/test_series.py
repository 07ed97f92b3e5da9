"""A series read by its places in all images: what is linked, what is not, and what it says."""

import dataclasses
import warnings

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.data.spectra import ImageInfo, without_counts
from eels_bayes.prediction.linked_images import linked_images
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")
KNOWN = r"predict: images not linked to the one before them: "


def read(spectra, context="series", **how):
    return tiny_models.fitted().predict(spectra, context=context, show_progressbar=False, **how)


@pytest.fixture(scope="module")
def spectra():
    return tiny_models.spectra()


@pytest.fixture(scope="module")
def series():
    """Five images of one area, each of another part of it, and the parts' corners."""
    size = {"n_images": 5, "shape": (28, 22), "seed": 2, "persistent": 1.0}
    whole = eb.simulate.annealing_series(**size).signals
    corners = np.array([[2, 2], [2, 2], [4, 1], [3, 3], [0, 2]])
    parts = [s.inav[x : x + 18, y : y + 24] for s, (y, x) in zip(whole, corners, strict=True)]
    return tiny_models.preprocessor()(parts, show_progressbar=False), corners


def still(spectra):
    """No image moved."""
    return np.zeros((len(spectra.images), 2))


def test_a_displaced_series_is_linked_where_it_belongs(series):
    spectra, corners = series
    links, apart = linked_images(spectra)
    assert links.before.tolist() == [-1, 0, 1, 2, 3] and not apart
    np.testing.assert_array_equal(links.step[1:], -np.diff(corners, axis=0))
    given = linked_images(spectra, corners[0] - corners + 0.3)
    np.testing.assert_array_equal(given.links.step, links.step)


def test_an_image_of_another_area_stays_unlinked(series):
    spectra, _ = series
    other = spectra.counts.copy()
    mine = np.flatnonzero(spectra.image == 2)
    other[mine] = other[np.random.default_rng(0).permutation(mine)]
    found = linked_images(dataclasses.replace(spectra, counts=other))
    assert found.links.before.tolist() == [-1, 0, -1, -1, 3]
    assert list(found.apart) == [2, 3]
    assert "2, 3 (not found again" in found.problem
    assert (found.links.step[2:4] == 0).all()


def test_what_cannot_be_linked_is_read_as_with_neighbours(spectra):
    with pytest.warns(
        UserWarning, match=KNOWN + r"1 \(not found again: .*give displacement=\.\.\."
    ):
        apart = read(spectra)
    beside = read(spectra, "neighbours")
    np.testing.assert_array_equal(apart.probabilities, beside.probabilities)
    assert apart.map_posterior.links.before.tolist() == [-1, -1]
    assert beside.map_posterior.links is None
    np.testing.assert_array_equal(apart.map_posterior.follows, 1.0)


def test_what_moved_is_not_measured_without_counts(spectra):
    bare = without_counts(spectra)
    with pytest.raises(ValueError, match=r"these spectra do not hold; make them with counts=True"):
        read(bare)
    given = [read(one, displacement=still(spectra)) for one in (bare, spectra)]
    np.testing.assert_array_equal(*(pred.probabilities for pred in given))
    # of signals it is, as they are read with what is needed
    with pytest.warns(UserWarning, match=KNOWN):
        read(tiny_models.signals())


def test_one_image_needs_no_link(spectra):
    one = spectra[spectra.image == 1]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="predict: images")
        found = read(one)
    np.testing.assert_array_equal(found.probabilities, read(one, "neighbours").probabilities)


@pytest.mark.parametrize(
    ("shape", "reason"), [((4, 5), "of another shape"), ((), "a single spectrum")]
)
def test_images_without_common_places_are_named(spectra, shape, reason):
    info = spectra.images[1]
    first = spectra.images[0] if shape else ImageInfo((), (), {}, "", info.energy)
    images = (first, ImageInfo(shape, info.axes, {}, "", info.energy))
    rows = np.array([0, 20])
    some = dataclasses.replace(spectra[rows], images=images, position=np.zeros(2, int))
    found = linked_images(some, np.zeros((2, 2 if shape else 0)))
    assert (found.links.before == -1).all()
    assert found.apart[1].startswith(reason)


@pytest.mark.filterwarnings("ignore:predict:UserWarning")
def test_every_field_follows_the_series(spectra):
    alone, beside = read(spectra, "pixel"), read(spectra, "neighbours")
    pred = read(spectra, displacement=still(spectra))
    assert pred.map_posterior.links.before.tolist() == [-1, 0]
    assert (pred.probabilities != beside.probabilities).any()
    np.testing.assert_allclose(pred.neighbours, alone.total - pred.total, atol=1e-6)
    follows = pred.map_posterior.follows
    assert follows.shape == (2, 4, 4) and (follows[0] == 1).all() and (follows[1] != 1).any()
    area = pred.class_area(n_draws=20)
    np.testing.assert_allclose(area.mean.sum(1), np.bincount(spectra.image))
    part = pred[spectra.image == 1]
    np.testing.assert_array_equal(part.map_posterior.follows, follows)
    # a hole in one image leaves its place in the other
    flag = spectra.flag.copy()
    flag[3] = int(eb.Flag.DEAD)
    holed = read(dataclasses.replace(spectra, flag=flag), displacement=still(spectra))
    assert holed.labels[3] == -1 and np.isfinite(holed.probabilities[4:]).all()


@pytest.mark.filterwarnings("ignore:predict:UserWarning")
@pytest.mark.parametrize(
    ("displacement", "error", "message"),
    [
        (np.zeros(2), ValueError, r"displacement has shape \(2,\); \(2, 2\) is needed: images"),
        ([[0, 0], [0, np.nan]], ValueError, "displacement is not finite everywhere; leave it out"),
        ("none", TypeError, "displacement is 'none'; an array of real numbers"),
    ],
)
def test_impossible_displacements_are_refused(spectra, displacement, error, message):
    with pytest.raises(error, match=message):
        read(spectra, displacement=displacement)


def test_a_displacement_needs_a_series(spectra):
    with pytest.raises(ValueError, match="displacement is for context='series'; leave it out"):
        read(spectra, "neighbours", displacement=still(spectra))
