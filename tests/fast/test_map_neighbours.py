"""Whole signals by the fast path with their neighbours: frame by frame, as a finished scan."""

import dask.array as da
import numpy as np
import pytest

import eels_bayes as eb
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")


def frames():
    """Whole numbers of counts (2, 6, 3, E)."""
    rng = np.random.default_rng(0)
    counts = np.tile(tiny_models.counts(), (2, 1))[:36]
    return rng.poisson(counts).astype("uint16").reshape(2, 6, 3, -1)


@pytest.fixture(scope="module")
def fast():
    return tiny_models.compiled()


def test_one_image_is_what_a_finished_scan_is(fast):
    counts = frames()[0]
    found = fast.map(counts, shift=0.0, context="neighbours")
    reading = fast(counts.reshape(18, -1), 0.0)
    scan = eb.LiveMap(fast, (6, 3))
    scan.add(reading, np.arange(18))
    scan.finish()
    np.testing.assert_allclose(found.probabilities, scan.probabilities, atol=2e-3)
    np.testing.assert_array_equal(found.labels, found.probabilities.argmax("class"))
    np.testing.assert_allclose(found.neighbours, scan.neighbours, atol=0.02)
    assert np.abs(found.probabilities.values.reshape(18, -1) - reading.probabilities).max() > 0.02
    assert found.neighbours.units == "nats"
    np.testing.assert_array_equal(found.novelty.values.ravel(), reading.novelty)


def test_total_is_that_of_the_probabilities_and_the_rest_is_not_made_up(fast):
    found = fast.map(frames()[0], shift=0.0, context="neighbours")
    alone = fast.map(frames()[0], shift=0.0)
    p = found.probabilities.values
    np.testing.assert_allclose(found.total, -(p * np.log(p)).sum(-1), atol=1e-5)
    np.testing.assert_allclose(found.neighbours, alone.total - found.total, atol=1e-5)
    for name in ("aleatoric", "encoder", "classifier", "value", "value_sd"):
        assert np.isnan(found[name]).all()


def test_frames_are_no_neighbours_and_flagged_pixels_stay_so(fast):
    counts = frames().astype("float32")
    counts[0, 2, 1] = np.nan
    found = fast.map(counts, shift=0.0, context="neighbours")
    assert found.probabilities.shape[:3] == (2, 6, 3)
    assert found.labels[0, 2, 1] == -1 and np.isnan(found.neighbours[0, 2, 1])
    assert (found.labels >= 0).sum() == 35 and np.isfinite(found.neighbours).sum() == 35
    # the order of frames does not matter, as they say nothing to one another
    turned = fast.map(counts[::-1].copy(), shift=0.0, context="neighbours")
    np.testing.assert_allclose(found.probabilities[1], turned.probabilities[0], atol=5e-3)


def test_a_lazy_signal_is_read_at_once_and_the_same(fast):
    expected = fast.map(frames(), shift=0.0, context="neighbours")
    found = fast.map(da.from_array(frames()), shift=0.0, context="neighbours")
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_nothing_that_can_be_read_is_flagged_all_over(fast):
    found = fast.map(np.zeros((4, 3, len(fast.energy))), shift=0.0, context="neighbours")
    assert (found.labels == -1).all() and np.isnan(found.neighbours).all()


def test_a_spectrum_without_neighbours_has_no_axis(fast):
    counts = frames()[0]
    found = fast.map(counts[0, 0], shift=0.0, context="neighbours")
    assert found.neighbours.dims == () and found.probabilities.dims == ("class",)
    # a line of one pixel is the same
    line = fast.map(counts[0, :1], shift=0.0, context="neighbours")
    np.testing.assert_array_equal(found.probabilities, line.probabilities[0])


def test_impossible_contexts_are_refused(fast, tmp_path):
    with pytest.raises(ValueError, match="context is 'image'"):
        fast.map(frames(), context="image")
    with pytest.raises(ValueError, match="leave path out"):
        fast.map(frames(), tmp_path / "map.zarr", context="neighbours")
