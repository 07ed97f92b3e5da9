"""Pixels read with their neighbours: every field follows, holes and places are respected."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from eels_bayes import Flag, load_model
from helpers import tiny_models

pytestmark = [
    pytest.mark.filterwarnings("ignore:fit:UserWarning"),
    pytest.mark.filterwarnings("ignore:predict:UserWarning"),
]


def read(spectra, context="neighbours"):
    return tiny_models.fitted().predict(spectra, context=context, show_progressbar=False)


@pytest.fixture(scope="module")
def spectra():
    return tiny_models.spectra()


@pytest.fixture(scope="module")
def prediction(spectra):
    return read(spectra)


def flagged(spectra, rows):
    flag = spectra.flag.copy()
    flag[rows] = int(Flag.DEAD)
    return dataclasses.replace(spectra, flag=flag)


def test_every_field_follows(spectra, prediction):
    alone = read(spectra, "pixel")
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1.0, rtol=1e-5)
    parts = prediction.aleatoric + prediction.encoder + prediction.classifier
    np.testing.assert_allclose(parts, prediction.total, atol=1e-4)
    np.testing.assert_allclose(prediction.neighbours, alone.total - prediction.total, atol=1e-6)
    np.testing.assert_array_equal(alone.neighbours, 0.0)
    assert alone.map_posterior is None
    # what neighbours say changes the class and with it the value, not what is like nothing known
    assert (prediction.value != alone.value).any()
    np.testing.assert_array_equal(prediction.novelty, alone.novelty)


def test_the_order_of_the_pixels_does_not_matter(spectra, prediction):
    order = np.random.default_rng(0).permutation(len(spectra))
    mixed = read(spectra[order])
    np.testing.assert_allclose(mixed.probabilities, prediction.probabilities[order], atol=2e-3)


def test_a_hole_is_flagged_and_its_neighbours_are_read(spectra, prediction):
    rows = np.array([3, 7, 25])
    holed = read(flagged(spectra, rows))
    assert (holed.labels[rows] == -1).all() and np.isnan(holed.probabilities[rows]).all()
    assert np.isnan(holed.neighbours[rows]).all()
    others = np.setdiff1d(np.arange(len(spectra)), rows)
    assert np.isfinite(holed.probabilities[others]).all()
    assert (holed.map_posterior.draw(5)[:, rows] == -1).all()
    nothing = read(flagged(spectra, np.arange(len(spectra))))
    assert not nothing.ok.any() and nothing.map_posterior is None


def test_one_pixel_and_places_twice(spectra):
    one = read(spectra[:1])
    assert one.ok.all() and one.map_posterior.coupling.strength.isfinite().all()
    with pytest.raises(ValueError, match=r"of a place that another row is of; combine"):
        read(spectra[[0, 1, 1]])


def test_areas_are_of_whole_maps(spectra, prediction):
    area = prediction.class_area(0.8, n_draws=60, seed=1)
    assert area.mean.shape == (len(spectra.images), len(prediction.class_names))
    sizes = np.bincount(spectra.image)
    np.testing.assert_allclose(area.mean.sum(1), sizes)
    assert (area.low % 1 == 0).all() and (area.low <= area.high).all()
    wide = prediction.class_area(0.98, n_draws=60, seed=1)
    assert (wide.low <= area.low).all() and (wide.high >= area.high).all()
    # some of the pixels: of these alone
    part = prediction[spectra.image == 0].class_area(n_draws=20)
    np.testing.assert_allclose(part.mean.sum(1), [sizes[0], 0])
    # pixel by pixel, the mean is that of the probabilities
    alone = read(spectra, "pixel")
    found = alone.class_area(n_draws=4000, seed=2).mean
    for k in range(len(sizes)):
        expected = alone.probabilities[spectra.image == k].sum(0)
        np.testing.assert_allclose(found[k], expected, atol=0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"level": 1.5}, "level"), ({"n_draws": 0}, "n_draws"), ({"seed": -1}, "seed")],
)
def test_impossible_areas_are_refused(prediction, options, message):
    with pytest.raises(ValueError, match=message):
        prediction.class_area(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_draws": 0}, "n_draws must be a whole"), ({"n_draws": 3, "seed": None}, "seed must be")],
)
def test_impossible_draws_of_maps_are_refused(prediction, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        prediction.map_posterior.draw(**options)


def test_exports_and_figure_have_it(prediction):
    assert prediction.to_xarray()["neighbours"].attrs["units"] == "nats"
    assert len(prediction.to_signals()["neighbours"]) == len(prediction.images)
    titles = [text.get_text() for text in prediction.plot_maps(images=0).findobj(Text)]
    assert "Taken away by other pixels" in titles
    alone = read(tiny_models.spectra(), "pixel").plot_maps(images=0)
    assert "Taken away by other pixels" not in [text.get_text() for text in alone.findobj(Text)]


def test_classes_that_labels_alone_tell_of_are_read(spectra):
    clf = copy.deepcopy(tiny_models.fitted())
    ok = np.flatnonzero(spectra.ok)
    clf.update(spectra[ok[:2]], ["oxide", "oxide"], show_progressbar=False)
    found = clf.predict(spectra, context="neighbours", show_progressbar=False)
    assert found.probabilities.shape == (len(spectra), len(clf.class_names))
    np.testing.assert_allclose(found.probabilities[ok].sum(1), 1.0, atol=1e-4)
    alone = clf.predict(spectra, show_progressbar=False)
    np.testing.assert_array_equal(found.novelty, alone.novelty)


def test_intervals_of_the_value_are_those_that_hold_mixed_pixels(spectra, prediction, tmp_path):
    """A model file has them, too."""
    clf = tiny_models.fitted()
    alone, value = read(spectra, "pixel"), clf.fitted.value
    np.testing.assert_array_equal(alone.value_reach, value.reach)
    np.testing.assert_array_equal(prediction.value_reach, value.reach_of_mixed)
    np.testing.assert_array_equal(read(spectra, "series").value_reach, value.reach_of_mixed)
    assert (prediction.value_reach >= alone.value_reach).all()
    assert (prediction.value_reach > alone.value_reach).any()
    clf.save(tmp_path / "model.eels")
    again = load_model(tmp_path / "model.eels")
    torch.testing.assert_close(
        again.fitted.value.reach_of_mixed, value.reach_of_mixed, rtol=0, atol=0
    )
