"""Figures of maps: layers, classes and series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.plots.map_fit import fitting
from eels_bayes.plots.map_grid import arranged
from eels_bayes.plots.map_layout import MARGIN
from eels_bayes.plots.map_panel import Layer, Pixel
from eels_bayes.plots.page import points
from eels_bayes.plots.style import figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


HEADING_ROOM = 0.35  # inches above all blocks: room of the only image's title
HEADING_TOP = 0.08  # inches from the page's edge to it
HEADING_SIZE = 11  # points, larger than a quantity's name


def maps(
    images: Sequence[ArrayLike],
    titles: Sequence[str] | None = None,
    *,
    name: str = "",
    unit: str = "",
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    pixels: Sequence[Pixel] | None = None,
    columns: int | None = None,
) -> Figure:
    """Maps of one quantity over several images, with one colour scale.

    Parameters
    ----------
    images : sequence of array_like
        Maps (rows, columns) or line scans (pixels,); NaN where flagged, drawn hatched grey.
    titles : sequence of str, optional
        One for each image.
    name, unit : str
        Name of the quantity and unit of its values.
    cmap : str
        A matplotlib colour map.
    limits : (float, float), optional
        Values of its ends; by default the range over all images.
    pixels : sequence of Pixel, optional
        Size of a pixel in each image, for the scale bar and the aspect ratio.
    columns : int, optional
        Panels a row; by default what makes the figure landscape.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no image, one of more than two axes, or not one title and pixel an image.
    """
    layer = Layer(name, [np.asarray(image) for image in images], unit, cmap, limits)
    return layers([layer], titles, pixels=pixels, columns=columns)


def class_maps(
    labels: Sequence[ArrayLike],
    class_names: Sequence[str],
    titles: Sequence[str] | None = None,
    *,
    name: str = "",
    pixels: Sequence[Pixel] | None = None,
    columns: int | None = None,
) -> Figure:
    """Class of each pixel over several images, with a legend; -1 is flagged, hatched grey.

    Parameters
    ----------
    labels : sequence of array_like of int
        Maps (rows, columns) or line scans (pixels,) of classes 0..K-1; -1 where flagged.
    class_names : (K,) sequence of str
    titles : sequence of str, optional
        One for each image.
    name : str
        Heading of the maps.
    pixels : sequence of Pixel, optional
        Size of a pixel in each image, for the scale bar and the aspect ratio.
    columns : int, optional
        Panels a row; by default what makes the figure landscape.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        As :func:`maps`, and if a label has no name.
    """
    images = [np.asarray(image) for image in labels]
    layer = Layer(name, images, class_names=tuple(class_names))
    return layers([layer], titles, pixels=pixels, columns=columns)


def series_maps(
    images: Sequence[Sequence[ArrayLike]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    name: str = "",
    unit: str = "",
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    class_names: Sequence[str] | None = None,
    pixels: Pixel | None = None,
) -> Figure:
    """Maps over a two-factor series, say area by temperature, with the factors as headings.

    Parameters
    ----------
    images : nested sequence of array_like
        ``images[i][j]`` belongs to ``row_names[i]`` and ``column_names[j]``. The figure swaps
        rows and columns where that makes it landscape.
    row_names, column_names : sequence of str
        Headings of the rows and of the columns.
    name, unit : str
        Name of the quantity and unit of its values.
    cmap : str
        A matplotlib colour map.
    limits : (float, float), optional
        Values of its ends; by default the range over all images.
    class_names : (K,) sequence of str, optional
        Given where the images are integer class maps.
    pixels : Pixel, optional
        Size of a pixel, the same in all images.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the grid of images does not match the names, and as :func:`maps`.
    """
    if [len(row) for row in images] != [len(column_names)] * len(row_names):
        raise ValueError(
            f"images must be a grid of {len(row_names)} x {len(column_names)} maps as row_names "
            f"and column_names say, got rows of {[len(row) for row in images]}"
        )
    flat = [np.asarray(image) for row in images for image in row]
    layer = Layer(name, flat, unit, cmap, limits, class_names)
    return layers(
        [layer],
        pixels=None if pixels is None else [pixels] * len(flat),
        factors=(row_names, column_names),
    )


def layers(
    quantities: Sequence[Layer],
    titles: Sequence[str] | None = None,
    *,
    pixels: Sequence[Pixel] | None = None,
    columns: int | None = None,
    factors: tuple[Sequence[str], Sequence[str]] | None = None,
    widest: float | None = None,
) -> Figure:
    """Several quantities over the same images: a block of panels for each quantity.

    Titles of the form "area 2, 600 °C" that make a full grid become its row and column headings.

    Parameters
    ----------
    quantities : sequence of Layer
        All over the same images.
    titles : sequence of str, optional
        One for each image.
    pixels : sequence of Pixel, optional
        Size of a pixel in each image, for the scale bar and the aspect ratio.
    columns : int, optional
        Panels a row in each block, in print as many of them as there is room for; by default what
        makes the figure landscape.
    factors : (row names, column names), optional
        The images are a grid of these, rows first.
    widest : float, optional
        Width of a page in inches: maps of wider figures are made smaller, texts are not.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        As :func:`maps`, or if the quantities differ in the number of images.
    """
    n = _check_layers(quantities, titles, pixels)
    columns = None if columns is None else validation.whole("columns", columns)
    if factors is not None and len(factors[0]) * len(factors[1]) != n:
        raise ValueError(
            f"factors must make a grid of {n} images, got {len(factors[0])} x {len(factors[1])}"
        )
    sizes = list(pixels) if pixels is not None else [Pixel()] * n
    grid = arranged(quantities[0].images, sizes, titles, columns, factors)
    # What all panels share is said once: by headings, or above the only image's quantities.
    heading = grid.titles[0] if grid.titles is not None and n == 1 < len(quantities) else ""
    if heading or grid.factors is not None:
        grid = grid._replace(titles=None)
    block, across = fitting(grid, quantities, sizes, widest)
    with figure_style() as plt:
        down = math.ceil(len(quantities) / across)
        room = HEADING_ROOM if heading else 0.0
        width, height = across * block.width, down * block.height + room
        figure = plt.figure(figsize=(width, height))
        if heading:
            at = MARGIN / width, 1 - HEADING_TOP / height
            figure.text(*at, heading, size=points(HEADING_SIZE), va="top")
        for index, layer in enumerate(quantities):
            left = (index % across) * block.width
            top = height - room - (index // across) * block.height
            block.draw(figure, layer, left, top)
    return figure


def _check_layers(
    quantities: Sequence[Layer], titles: Sequence[str] | None, pixels: Sequence[Pixel] | None
) -> int:
    """The number of images, once everything agrees on it."""
    if not quantities or not len(quantities[0].images):
        raise ValueError("images is empty; at least one map is needed")
    n = len(quantities[0].images)
    for layer in quantities:
        if len(layer.images) != n:
            raise ValueError(
                f"quantities must cover the same images, got {n} of {quantities[0].name!r} and "
                f"{len(layer.images)} of {layer.name!r}"
            )
        if layer.limits is not None:
            _check_limits(layer.limits)
        for image in layer.images:
            if image.ndim not in (1, 2) or not image.size:
                raise ValueError(
                    "images must be maps (rows, columns) or line scans (pixels,) with at least one "
                    f"pixel, got shape {image.shape}"
                )
            if layer.class_names is None:
                validation.numbers("images", image)
            else:
                validation.labels("labels", image, len(layer.class_names))
    for what, values in (("titles", titles), ("pixels", pixels)):
        if values is not None and len(values) != n:
            raise ValueError(f"{what} must have one entry an image: {n}, got {len(values)}")
    return n


def _check_limits(limits: object) -> None:
    """Refuse what is no pair of numbers, the lower one first."""
    wanted = "a pair (low, high) of finite numbers is needed"
    try:
        low, high = (validation.real(end) for end in limits)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise TypeError(f"limits is {limits!r}; {wanted}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"limits is ({low:g}, {high:g}); {wanted}")
