"""Neighbours are mutual, of the other colour, and one step away along one axis of one image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eels_bayes.field.graph import NONE, grid_graph

SHAPES = st.lists(
    st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple), min_size=1, max_size=3
)


@st.composite
def pixels(draw):
    """Some pixels of some images, in any order."""
    shapes = draw(SHAPES)
    places = [(i, p) for i, shape in enumerate(shapes) for p in range(int(np.prod(shape)))]
    chosen = draw(st.lists(st.sampled_from(places), unique=True, max_size=30))
    image, position = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
    return shapes, image, position


@given(pixels())
def test_neighbours_are_those_one_step_away(case):
    shapes, image, position = case
    graph = grid_graph(image, position, shapes)
    cells = [
        np.array(np.unravel_index(p, shapes[i] or (1,)))
        for i, p in zip(image, position, strict=True)
    ]
    most = max(len(shape) for shape in shapes)
    assert graph.neighbour.shape == (2 * most, len(image))
    for side, rows in enumerate(graph.neighbour):
        for one in range(len(image)):
            step = np.zeros(len(cells[one]), dtype=int)
            axis, sign = side // 2, 2 * (side % 2) - 1
            expected = NONE
            if axis < len(shapes[image[one]]):
                step[-1 - axis] = sign
                there = [
                    other
                    for other in range(len(image))
                    if image[other] == image[one] and (cells[other] == cells[one] + step).all()
                ]
                expected = there[0] if there else NONE
            assert rows[one] == expected
            if expected != NONE:
                assert graph.neighbour[side ^ 1, expected] == one
                assert graph.colour[expected] != graph.colour[one]


def test_a_place_that_occurs_twice_is_refused():
    with pytest.raises(ValueError, match=r"1 pixels are of a place .*combine\(...\) frames"):
        grid_graph(np.zeros(3, int), np.array([0, 1, 1]), [(2, 2)])
