"""How maps stand in a grid: the panels' size, rows and columns, headings and order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.map_panel import Pixel

# The layout's numbers were chosen by looking at figures of 1 to 48 images, not tuned.
LINE_PANEL = (3.2, 1.7)  # inches: width and height of a line scan's panel, wide enough to read
TOTAL_AREA = 24.0  # square inches that all maps of a quantity share: fills a landscape page
PANEL_AREA = (1.5, 6.0)  # square inches: least and most of one map
PANEL_RATIO = (0.25, 4.0)  # width over height: beyond, a map is a line on the page
TITLE_ROOM = 0.2  # inches of a panel's title, for the page's shape
PAGE_RATIO = 1.6  # width over height that a figure of many panels aims at: landscape, near 16:10
FEWEST_WITH_HEADINGS = 4  # images: fewer make no grid of two factors
MOST_LINES_IN_A_COLUMN = 4  # line scans that stand above one another, to share the distance's axis

Factors = tuple[Sequence[str], Sequence[str]]


class Arrangement(NamedTuple):
    """Where each image stands.

    Attributes
    ----------
    order : list of int
        Index of the image in each place, row by row.
    columns : int
        Places a row.
    panel : (float, float)
        Width and height of a panel in inches.
    titles : sequence of str or None
        One for each image.
    factors : (row names, column names) or None
        Headings, which say what titles would.
    """

    order: list[int]
    columns: int
    panel: tuple[float, float]
    titles: Sequence[str] | None
    factors: Factors | None


def arranged(
    images: Sequence[NDArray[Any]],
    sizes: Sequence[Pixel],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    factors: Factors | None = None,
) -> Arrangement:
    """The grid of images: as asked for, else by their titles, else what makes a landscape page."""
    n, panel = len(images), panel_size(images, sizes)
    if any(image.ndim == 1 for image in images):
        return _arranged_lines(n, panel, titles, columns, factors)
    order = list(range(n))
    if factors is None and titles is not None and columns is None and n >= FEWEST_WITH_HEADINGS:
        factors, order = factors_of(titles)
    if factors is None:
        columns = column_count(n, panel) if columns is None else columns
        return Arrangement(order, columns, panel, titles, None)
    if landscape(len(factors[0]), len(factors[1]), panel):
        order = np.reshape(order, (len(factors[0]), len(factors[1]))).T.ravel().tolist()
        factors = (factors[1], factors[0])
    return Arrangement(order, len(factors[1]), panel, titles, factors)


def _arranged_lines(
    n: int,
    panel: tuple[float, float],
    titles: Sequence[str] | None,
    columns: int | None,
    factors: Factors | None,
) -> Arrangement:
    """The grid of line scans: their own axes take the headings' room, so all have titles."""
    if factors is not None:
        titles = [f"{row}, {column}" for row in factors[0] for column in factors[1]]
        columns = len(factors[1])
    elif columns is None:
        columns = 1 if n <= MOST_LINES_IN_A_COLUMN else column_count(n, panel)
    return Arrangement(list(range(n)), columns, panel, titles, None)


def panel_size(images: Sequence[NDArray[Any]], sizes: Sequence[Pixel]) -> tuple[float, float]:
    """Width and height in inches of a panel that holds the widest and the tallest image."""
    if any(image.ndim == 1 for image in images):
        return LINE_PANEL
    tall = max(image.shape[0] * size.height for image, size in zip(images, sizes, strict=True))
    wide = max(image.shape[1] * size.width for image, size in zip(images, sizes, strict=True))
    least, most = PANEL_AREA
    area = min(most, max(least, TOTAL_AREA / len(images)))
    ratio = float(np.clip(wide / tall, *PANEL_RATIO))
    return math.sqrt(area * ratio), math.sqrt(area / ratio)


def column_count(n: int, panel: tuple[float, float]) -> int:
    """Columns that make ``n`` panels landscape without leaving many places empty."""

    def cost(columns: int) -> float:
        return _landscape_cost(math.ceil(n / columns), columns, panel) + (-n % columns) / columns

    return min(range(1, n + 1), key=cost)


def landscape(rows: int, columns: int, panel: tuple[float, float]) -> bool:
    """Whether the grid reads better with rows and columns swapped."""
    return _landscape_cost(columns, rows, panel) < _landscape_cost(rows, columns, panel)


def _landscape_cost(rows: int, columns: int, panel: tuple[float, float]) -> float:
    """How far the page's shape is from landscape: the logarithm of the ratio of the ratios."""
    return abs(math.log(columns * panel[0] / (rows * (panel[1] + TITLE_ROOM)) / PAGE_RATIO))


def factors_of(
    titles: Sequence[str],
) -> tuple[tuple[list[str], list[str]] | None, list[int]]:
    """Row and column names where the titles are a full grid of "row, column", else none."""
    plain = list(range(len(titles)))
    pairs = [tuple(part.strip() for part in title.split(",")) for title in titles]
    if any(len(pair) != 2 for pair in pairs):
        return None, plain
    first, second = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
    where = {pair: index for index, pair in enumerate(pairs)}
    full = len(where) == len(titles) == len(first) * len(second)
    if not full or min(len(first), len(second)) < 2:
        return None, plain
    return (first, second), [where[row, column] for row in first for column in second]
