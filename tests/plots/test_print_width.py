"""Every figure fits a column of print, with text that can be read there."""

import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from eels_bayes import plots
from eels_bayes.plots.page import LEAST_TEXT
from helpers import tiny_models
from helpers.drawn_texts import overlaps
from helpers.every_figure import FIGURES, FITTED

COLUMN, PAGE = 85.0, 175.0  # mm
INCH = 25.4  # mm
# Not of one panel, whose names in these tests are longer than a panel of a column is wide.
LONG_NAMES = {"layers", "maps", "class_maps", "series_maps", "predictive_p_values"}


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def written(figure: Any) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def check(figure: Any) -> None:
    """The figure is as wide as the column at most, and its text large enough."""
    assert figure.get_figwidth() * INCH <= COLUMN + 1e-6
    assert min(text.get_fontsize() for text in written(figure)) >= LEAST_TEXT
    # what has the size of the screen was forgotten
    assert max(text.get_fontsize() for text in written(figure)) < 9.0


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_arrays_fit(name: str) -> None:
    with plots.print_width(COLUMN):
        figure = FIGURES[name][0]()
    check(figure)
    if name not in LONG_NAMES:
        assert overlaps(figure) == []


@pytest.fixture(scope="module")
def fitted() -> tuple[Any, Any, Any]:
    """A classifier, its spectra and what it reads in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what so small a fit is bad at
        clf = tiny_models.fitted()
    spectra = tiny_models.spectra()
    return clf, spectra, clf.predict(spectra, show_progressbar=False)


@pytest.mark.filterwarnings("ignore:the maps take:UserWarning")
@pytest.mark.parametrize("name", FITTED)
def test_figures_of_a_classifier_fit(fitted: tuple[Any, Any, Any], name: str) -> None:
    with plots.print_width(COLUMN):
        figure = FITTED[name][0](*fitted)
    check(figure)
    assert overlaps(figure) == []


def test_the_screen_is_as_before_and_after(rng: np.random.Generator) -> None:
    def drawn() -> tuple[float, float]:
        figure = plots.maps([rng.random((6, 6))] * 4, list("abcd"), name="content")
        return figure.get_figwidth(), written(figure)[0].get_fontsize()

    before = drawn()
    with plots.print_width(COLUMN):
        within = drawn()
        with plots.print_width(PAGE):
            assert drawn()[0] > within[0]
        assert drawn() == within
    assert drawn() == before and before[0] > within[0] and before[1] > within[1]
    with pytest.raises(RuntimeError, match="left"), plots.print_width(COLUMN):
        raise RuntimeError("left")
    assert drawn() == before


def test_maps_of_a_series_turn_where_a_row_is_too_long(rng: np.random.Generator) -> None:
    images = [[rng.random((9, 9)) for _ in range(8)] for _ in range(2)]
    areas, temperatures = ["area 1", "area 2"], [f"{100 * k} °C" for k in range(8)]
    with plots.print_width(PAGE):
        wide = plots.series_maps(images, areas, temperatures)
    with plots.print_width(COLUMN):
        tall = plots.series_maps(images, areas, temperatures)
    first = {figure: figure.axes[0].get_title() for figure in (wide, tall)}
    assert first == {wide: "0 °C", tall: "area 1"}
    np.testing.assert_array_equal(tall.axes[1].images[0].get_array(), images[1][0])
    np.testing.assert_array_equal(tall.axes[2].images[0].get_array(), images[0][1])
    assert overlaps(tall) == overlaps(wide) == []


def test_maps_that_are_taller_than_a_page_say_so(rng: np.random.Generator) -> None:
    many = [plots.Layer(f"quantity {k}", [rng.random((3, 5))] * 2) for k in range(15)]
    with (
        plots.print_width(COLUMN),
        pytest.warns(UserWarning, match="more than a page has: draw fewer images or quantities"),
    ):
        plots.layers(many, ["image 1", "image 2"])


def test_names_that_are_wider_than_the_paper_say_so(rng: np.random.Generator) -> None:
    name = "a class whose name is longer than any column is wide in print"
    with plots.print_width(60), pytest.warns(UserWarning, match="mm of width where 60 mm are"):
        plots.class_maps([rng.integers(0, 2, (4, 5))], (name, "other"), ["image"])


def test_the_page_of_maps_is_the_narrower_of_both(rng: np.random.Generator) -> None:
    quantities = [plots.Layer(f"quantity {k}", [rng.random((6, 6))]) for k in range(4)]
    with plots.print_width(PAGE):
        figure = plots.layers(quantities, ["image"], widest=3.5)
        whole = plots.layers(quantities, ["image"])
    assert figure.get_size_inches()[0] <= 3.5 + 0.01 < whole.get_size_inches()[0]


@pytest.mark.parametrize(
    ("width", "error", "match"),
    [
        (3.35, ValueError, "width is 3.35 mm; at least 60 mm are needed"),
        (-85, ValueError, "width"),
        ("85 mm", TypeError, "width"),
    ],
)
def test_no_width_of_a_column_is_refused(width: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match), plots.print_width(width):
        pass
