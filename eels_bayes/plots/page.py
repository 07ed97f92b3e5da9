"""How wide a figure is and how large its text: for the screen, or for a column of print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from eels_bayes import validation

PAGE = 6.9  # inches: two print columns, 175 mm
COLUMN = 4.5  # inches: what is narrower is one column
INCH = 25.4  # mm
PRINTED = 7.0 / 9.0  # text in print over text on the screen: 7 points in place of 9
LEAST_TEXT = 6.0  # points: smaller text is not read in print
NARROWEST = 60.0  # mm: what is narrower holds no axis with its numbers
PANEL = 1.4  # inches: a panel of spectra in print is no narrower
# Inches that a legend's column takes in print besides its text, and a character of it.
KEY_MARK, KEY_CHARACTER = 0.42, 0.049

_width: ContextVar[float | None] = ContextVar("width of a figure in print, inches", default=None)


@contextmanager
def print_width(width: float) -> Iterator[None]:
    """Draw the figures of this package for print, at most so wide, with text of 6 to 9 points.

    Figures are made for the screen. Made smaller by a text program, their text shrinks with them;
    drawn for a width, panels are fewer a row and all text keeps its size. Save them as they are:
    ``bbox_inches="tight"`` gives them another width.

    Parameters
    ----------
    width : float
        Of the column or page in mm, at least 60: journals have 85 to 90 for one column, 170 to 180
        for two.

    Raises
    ------
    TypeError, ValueError
        If the width is no number, or less than 60.

    Examples
    --------
    With ``clf`` a fitted classifier and ``spectra`` what it was fitted to::

        with eb.plots.print_width(85):
            figure = eb.plots.spatial_averages(clf, spectra)
        figure.savefig("figure_2.pdf")
    """
    width = validation.positive("width", width, "mm")
    if width < NARROWEST:
        raise ValueError(f"width is {width:g} mm; at least {NARROWEST:g} mm are needed")
    token = _width.set(width / INCH)
    try:
        yield
    finally:
        _width.reset(token)


def paper() -> float | None:
    """Width in print, inches; None for the screen."""
    return _width.get()


def narrow() -> bool:
    """Whether it is one column of print: no room for a legend beside a panel."""
    widest = paper()
    return widest is not None and widest < COLUMN


def text_scale() -> float:
    """Size of all text, and of the room that it takes, over that on the screen."""
    return 1.0 if paper() is None else PRINTED


def points(size: float) -> float:
    """Points of a text that has this size on the screen."""
    return size * text_scale()


def sized(width: float, height: float) -> tuple[float, float]:
    """Inches of a figure that has these on the screen: no wider than the paper."""
    widest = paper()
    if widest is None:
        return width, height
    narrower = min(1.0, widest / width)
    return width * narrower, height * max(PRINTED, narrower)


def panels_across(most: int, least: float = PANEL) -> int:
    """Panels a row: ``most``, in print as many of them as are ``least`` inches wide."""
    widest = paper()
    return most if widest is None else max(1, min(most, int(widest / least)))


def key_columns(names: Sequence[str], most: int | None = None) -> int:
    """Columns of a legend as wide as the figure: all in a row, in print as many as there is room.

    ``most`` is the largest number wanted.
    """
    most, widest = len(names) if most is None else min(most, len(names)), paper()
    if widest is None:
        return max(1, most)
    column = KEY_MARK + KEY_CHARACTER * max(map(len, names), default=0)
    return max(1, min(most, int(widest / column)))


def key_above(
    figure: Any, handles: Sequence[Any], *, most: int | None = None, **title: str
) -> None:
    """A legend above all panels, as wide as the figure."""
    columns = key_columns([handle.get_label() for handle in handles], most)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, **title)


def label_all(figure: Any, x: str, y: str = "") -> None:
    """Labels of the axes of all panels, once for the figure."""
    figure.supxlabel(x, size=points(9))
    if y:
        figure.supylabel(y, size=points(9))
