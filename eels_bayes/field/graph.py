"""Which pixels lie beside one another: from their coordinates in their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NONE = -1  # in place of a neighbour that is not there


class Graph(NamedTuple):
    """Neighbours of n pixels along A axes of their images, the fastest axis first.

    Attributes
    ----------
    neighbour : ndarray (2 A, n) of int
        Rows of the neighbours before and behind along each axis; -1 where there is none. A pixel
        is behind (2 a + 1) that pixel which is before it (2 a).
    colour : ndarray (n,) of int
        0 or 1: no two neighbours have the same.
    image : ndarray (n,) of int, optional
        Each pixel's image, where the last axis is that from image to image.
    """

    neighbour: NDArray[np.int64]
    colour: NDArray[np.int64]
    image: NDArray[np.int64] | None = None

    @property
    def n_axes(self) -> int:
        """Axes of the images."""
        return len(self.neighbour) // 2 - (self.image is not None)


def grid_graph(
    image: NDArray[np.int64], position: NDArray[np.int64], shapes: Sequence[tuple[int, ...]]
) -> Graph:
    """Neighbours of pixels of one or of many images, of any number of axes.

    Pixels that are not among the rows are no one's neighbours. Images do not touch.

    Parameters
    ----------
    image, position : (n,) arrays of int
        Index of the pixel's image, and flat C-order index in its navigation shape.
    shapes : sequence of tuple of int
        Navigation shape of each image, numpy order.

    Returns
    -------
    Graph

    Raises
    ------
    ValueError
        If a place occurs twice.
    """
    n, most = len(position), max((len(shape) for shape in shapes), default=0)
    sizes = np.array([int(np.prod(shape)) for shape in shapes], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else np.zeros(1, np.int64)
    place = first[image] + position
    row = np.full(int(sizes.sum()), NONE, dtype=np.int64)
    row[place] = np.arange(n)
    if n and (row >= 0).sum() < n:
        raise ValueError(
            f"{n - int((row >= 0).sum())} pixels are of a place that another row is of; "
            "combine(...) frames of one place first, or read them one by one"
        )
    # length of each axis and the step along it, of every pixel's own image
    lengths = np.ones((len(shapes), most), dtype=np.int64)
    for which, shape in enumerate(shapes):
        lengths[which, : len(shape)] = shape[::-1]
    steps = np.cumprod(np.column_stack([np.ones(len(shapes), np.int64), lengths]), axis=1)
    neighbour = np.full((2 * most, n), NONE, dtype=np.int64)
    colour = np.zeros(n, dtype=np.int64)
    for axis in range(most):
        step, length = steps[image, axis], lengths[image, axis]
        along = position // step % length
        colour += along
        for side, (there, sign) in enumerate([(along > 0, -1), (along < length - 1, 1)]):
            neighbour[2 * axis + side, there] = row[place[there] + sign * step[there]]
    return Graph(neighbour, colour % 2)


def by_colour(graph: Graph) -> NDArray[np.intp]:
    """Rows of a graph, those of colour 0 first: no two of one colour are neighbours."""
    return np.argsort(graph.colour, kind="stable")


def part_of(graph: Graph, rows: NDArray[np.intp]) -> Graph:
    """Some pixels of a graph, in this order; those that are left out are no one's neighbours.

    Parameters
    ----------
    graph : Graph
        Of n pixels.
    rows : (m,) array of int
    """
    place = np.full(len(graph.colour) + 1, NONE, dtype=np.int64)  # the last is where -1 points to
    place[rows] = np.arange(len(rows))
    image = None if graph.image is None else graph.image[rows]
    return Graph(place[graph.neighbour[:, rows]], graph.colour[rows], image)
