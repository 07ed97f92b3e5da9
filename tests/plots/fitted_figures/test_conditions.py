"""Which image was taken at which temperature, and where its pixels stand."""

from types import SimpleNamespace

import numpy as np
import pytest

from eels_bayes.plots.fitted_figures.conditions import conditions_of, pixel_size, placed


def images(*titles):
    return [SimpleNamespace(title=title, shape=(2, 3), axes=()) for title in titles]


def test_temperatures_are_read_from_titles():
    where = conditions_of(images("450 C, area 1", "25 °C, area 1", "SI 450degC (2)"))
    assert where.names == ["25 °C", "450 °C"] and where.numeric
    assert where.of_image.tolist() == [1, 0, 1]
    assert where.label == "temperature (°C)"
    assert where.titles() == ["area 1, 450 °C", "area 1, 25 °C", "area 2, 450 °C"]


@pytest.mark.parametrize("title", ["3 Cr layers", "EELS 12 C60", "v1.450 C", ""])
def test_what_is_no_temperature_is_none(title):
    where = conditions_of(images("450 C", title))
    assert not where.numeric and len(where.names) == 2 and where.label == "image"


def test_titles_that_end_alike_are_numbered():
    where = conditions_of(images(*(f"{k} EELS spectrum image (high loss)" for k in range(3))))
    assert where.names == ["image 0", "image 1", "image 2"] == where.titles()


def test_given_conditions_are_taken():
    where = conditions_of(images("450 C", "25 C", ""), [3.0, 1.0, 3.0], unit="h")
    assert where.names == ["1 h", "3 h"] and where.label == "condition (h)"
    words = conditions_of(images("a", "b"), ["annealed", "as grown"])
    assert words.names == ["annealed", "as grown"] and not words.numeric
    with pytest.raises(ValueError, match="one for each of 2 images, got 1"):
        conditions_of(images("a", "b"), [1.0])
    with pytest.raises(ValueError, match="finite numbers, or words"):
        conditions_of(images("a", "b"), [1.0, np.nan])


def test_pixels_stand_where_they_were_measured(spectra, rng):
    some = spectra[rng.permutation(len(spectra))[:50]]
    values = some.position.astype(float)
    for image, info in enumerate(some.images):
        shown = placed(values, some, image)
        assert shown.shape == info.shape
        there = np.isfinite(shown)
        assert there.sum() == (some.image == image).sum()
        np.testing.assert_array_equal(shown.ravel()[there.ravel()], np.flatnonzero(there.ravel()))
    labels = placed(np.zeros(len(some), dtype=int), some, 0)
    assert set(np.unique(labels)) == {-1, 0}


def test_pixels_of_unlike_units_are_squares(spectra):
    assert pixel_size(spectra.images[0]) == (4.0, 4.0, "nm")
    axes = ({"scale": 2.0, "units": "nm"}, {"scale": 3.0, "units": "s"})
    assert pixel_size(SimpleNamespace(axes=axes)) == (1.0, 1.0, "")
    assert pixel_size(SimpleNamespace(axes=())) == (1.0, 1.0, "")
    assert pixel_size(SimpleNamespace(axes=axes[:1])) == (1.0, 2.0, "nm")


def test_three_axes_are_no_map(spectra):
    deep = SimpleNamespace(
        images=[SimpleNamespace(shape=(1, 2, 3))], image=np.zeros(6), position=np.arange(6)
    )
    with pytest.raises(ValueError, match="3 navigation axes; maps need at most two"):
        placed(np.zeros(6), deep, 0)
