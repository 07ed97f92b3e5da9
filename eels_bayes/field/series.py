"""The same place in successive images: an axis more of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.field.graph import NONE, Graph


class Links(NamedTuple):
    """Which images of a series show the same places, and where.

    Attributes
    ----------
    before : ndarray (I,) of int
        Each image's index of the image before it that it is linked to; -1 for none.
    step : ndarray (I, A) of int
        Pixels that structures moved from there to here along each axis, numpy order; of images of
        fewer axes, the last ones.
    """

    before: NDArray[np.int64]
    step: NDArray[np.int64]


def linked_graph(
    graph: Graph,
    image: NDArray[np.int64],
    position: NDArray[np.int64],
    shapes: Sequence[tuple[int, ...]],
    links: Links,
) -> Graph:
    """A graph in which the same places of linked images are neighbours, too.

    Parameters
    ----------
    graph : Graph
        Of the pixels in their images.
    image, position : (n,) arrays of int
        As `grid_graph` takes them.
    shapes : sequence of tuple of int
        Of the images; those of linked ones are equal.
    links : Links

    Returns
    -------
    Graph
        With an axis in time, the last; the same graph where nothing is linked.
    """
    behind = np.flatnonzero(links.before != NONE)
    if len(behind) == 0:
        return graph
    n, rows_of = len(image), [np.flatnonzero(image == k) for k in range(len(shapes))]
    in_time = np.full((2, n), NONE, dtype=np.int64)
    turned = np.zeros(len(shapes), dtype=np.int64)  # images whose colours change places
    for here in behind.tolist():
        there, shape = int(links.before[here]), shapes[here]
        step = links.step[here][-len(shape) :]
        turned[here] = (turned[there] + 1 + step.sum()) % 2
        at = np.full(int(np.prod(shape)), NONE, dtype=np.int64)
        at[position[rows_of[there]]] = rows_of[there]
        cells = np.unravel_index(position[rows_of[here]], shape)
        moved = np.stack(cells) - step[:, None]
        inside = ((moved >= 0) & (moved < np.array(shape)[:, None])).all(0)
        rows = rows_of[here][inside]
        before = at[np.ravel_multi_index(tuple(moved[:, inside]), shape)]
        rows, before = rows[before != NONE], before[before != NONE]
        in_time[0, rows], in_time[1, before] = before, rows
    colour = (graph.colour + turned[image]) % 2
    return Graph(np.concatenate([graph.neighbour, in_time]), colour, image)
