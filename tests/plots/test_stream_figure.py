"""A stream's figure shows what came, where it came, and how late."""

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import plots
from eels_bayes.active.decisions import ACTIONS
from eels_bayes.plots.stream_figure import WHOM
from helpers import tiny_models
from helpers.every_figure import stream

NAMES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def keys(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def maps(figure: Any) -> list[Any]:
    return [ax for ax in figure.axes if ax.images and ax.get_title()]


def test_places_show_their_last_reading_and_white_until_then() -> None:
    results = stream(7, 3)
    results[6].number = 0  # read again, as class 0 of 6 % 3
    results[0].reading.labels = 2
    results[2].reading.labels = -1
    figure = plots.live_stream(results, NAMES, (2, 4))
    classes, doubt = maps(figure)
    shown, hidden = classes.images
    assert shown.get_array().tolist() == [[0, 1, None, 0], [1, 2, None, None]]
    # what did not come is white, what came and is flagged is not
    np.testing.assert_array_equal(
        np.ma.getmaskarray(hidden.get_array()), [[True] * 4, [True, True, False, False]]
    )
    assert doubt.images[0].get_array()[0, 0] == pytest.approx(0.6)
    assert doubt.images[0].get_clim() == (0.0, pytest.approx(np.log(3)))
    assert keys(classes) == [*NAMES, "flagged"]
    (heading,) = (text.get_text() for text in figure.findobj(plt.Text) if "places" in str(text))
    assert heading == "6 of 8 places read"


def test_what_is_asked_is_counted_by_place() -> None:
    asked = ["accept", "measure again", "accept", "measure again", "look"]
    results = stream(5)
    results[3].number = 1  # the same place asks twice
    figure = plots.live_stream(results, [*NAMES, "d"], (5,), asked=asked)
    last = maps(figure)[-1]
    assert last.get_title() == "asked of"
    assert keys(last) == ["nobody: accept (2)", "the microscope: measure again (1)", "look (1)"]


@pytest.mark.filterwarnings("ignore:fit:UserWarning")
def test_a_live_stream_draws_what_was_decided_of_it() -> None:
    assert tuple(WHOM) == ACTIONS
    fast = tiny_models.compiled()
    results = list(eb.LiveClassifier(fast, policy="block").run(iter(tiny_models.counts())))
    assert len(results) == 20
    fields = zip(*(result.reading for result in results), strict=True)
    reading = type(results[0].reading)(*(np.array(field) for field in fields))
    asked = eb.decide(reading, eb.Costs(error=1.0, frame=0.01)).action
    figure = plots.live_stream(results, fast.class_names, (5, 4), asked=asked, frame_time=2.5)
    classes, _, last = maps(figure)
    read = reading.labels.reshape(5, 4)
    np.testing.assert_array_equal(classes.images[0].get_array().filled(-1), read)
    counted = [int(key.rpartition("(")[2].rstrip(")")) for key in keys(last)]
    assert sum(counted) == 20 and len(counted) == len(set(asked))


def test_latencies_have_the_quantiles_that_are_seen_and_the_frame() -> None:
    def said(n: int, **frame: float) -> list[str]:
        results = stream(n)
        for k, result in enumerate(results):
            result.number = k % 8
        figure = plots.live_stream(results, [*NAMES, "d"], (2, 4), **frame)
        return [line.get_label() for line in figure.axes[-1].get_lines()]

    assert said(8) == ["50 % below 1.44 ms"]
    assert [name.split(" ")[0] for name in said(1000)] == ["50", "99", "99.9"]
    assert said(8, frame_time=1.5)[-1] == "a frame, 1.5 ms: 37.5 % come later"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"results": []}, ValueError, "results is empty"),
        ({"shape": (2, 2)}, ValueError, r"number 5; a scan of \(2, 2\) has 4 places"),
        ({"shape": (1, 2, 3)}, ValueError, "rows and columns, or points of a line"),
        ({"asked": ["accept"]}, ValueError, "one entry a result: 6, got 1"),
        ({"frame_time": 0.0}, ValueError, "frame_time"),
        ({"class_names": ["a"]}, ValueError, "labels"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], error: type, match: str) -> None:
    given = {"results": stream(6, 3), "class_names": NAMES, "shape": (2, 3)} | change
    results, names, shape = (given.pop(key) for key in ("results", "class_names", "shape"))
    with pytest.raises(error, match=match):
        plots.live_stream(results, names, shape, **given)


def test_a_negative_number_is_no_place() -> None:
    results = stream(6, 3)
    results[2].number = -1
    with pytest.raises(ValueError, match=r"number -1; a scan of \(2, 3\) has 6 places"):
        plots.live_stream(results, NAMES, (2, 3))
