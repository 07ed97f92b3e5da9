"""An index of pixels keeps their axis, or is refused."""

from dataclasses import dataclass

import numpy as np
import pytest

from eels_bayes.data.pixel_index import checked_index, per_pixel_fields, rows_of


@dataclass
class Container:
    intensity: np.ndarray
    flag: np.ndarray
    energy: np.ndarray


@pytest.mark.parametrize("index", [[2, 0], np.array([2, 0]), [False, True, True], slice(1, None)])
def test_an_index_that_keeps_the_axis_passes(index):
    values = np.arange(3)
    kept = values[checked_index(index)]
    assert kept.ndim == 1
    np.testing.assert_array_equal(kept, values[index])


@pytest.mark.parametrize("index", [0, np.int64(1), [[0, 1]], [0.5], ["a"], None])
def test_any_other_index_is_refused(index):
    with pytest.raises(TypeError, match=r"a slice, a 1-D array of integers or a 1-D mask"):
        checked_index(index)


def test_what_pixels_share_has_no_rows():
    container = Container(np.arange(6).reshape(3, 2), np.array([0, 1, 0]), np.array([680.0, 681.0]))
    names = per_pixel_fields(Container, shared=("energy",))
    assert names == ("intensity", "flag")
    rows = rows_of(container, names, np.array([2, 1]))
    assert rows.keys() == set(names)
    np.testing.assert_array_equal(rows["intensity"], [[4, 5], [2, 3]])
    np.testing.assert_array_equal(rows["flag"], [0, 1])
