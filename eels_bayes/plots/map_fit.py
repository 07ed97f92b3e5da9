"""Maps that fit a page: smaller, and in print fewer a row."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np

from eels_bayes.plots.map_grid import Arrangement
from eels_bayes.plots.map_layout import Block
from eels_bayes.plots.map_panel import Layer, Pixel
from eels_bayes.plots.page import INCH, PANEL, paper

LEAST_WIDTH = 0.45  # of a map, inches: smaller ones show no structure
LEAST_IN_A_ROW = 0.5  # of a map in print, inches, before there are fewer a row
TALLEST = 9.3  # inches: a page of print with its caption
LEAST_SIDE = 0.35  # of a map's longer side, inches, where many have to fit a page of print
TOLERANCE = 0.1  # inches by which maps may be taller before that is said
LEAST_BLOCK = 1.6  # of a block of one map with its key in print, inches


def fitting(
    grid: Arrangement,
    quantities: Sequence[Layer],
    sizes: Sequence[Pixel],
    widest: float | None,
) -> tuple[Block, int]:
    """Block of the maps of a quantity, and how many stand side by side.

    ``widest`` is the width of a page in inches that a block is made to fit; in print all blocks
    that stand side by side fit the paper.
    """
    block = Block(grid, quantities, sizes)
    across, page = block.blocks_across(len(quantities)), paper()
    if page is None:
        if widest is not None and block.width > widest:
            block = _smaller(block, widest, grid, quantities, sizes)
        return block, block.blocks_across(len(quantities))
    page = page if widest is None else min(page, widest)
    if block.rows * block.columns == 1:
        across = max(1, min(across, int(page / LEAST_BLOCK)))
    else:
        if across * block.width > page or _too_tall(block, len(quantities), across) > 0:
            grid = _full_rows(block, grid, page)
            block = Block(grid, quantities, sizes)
        across = max(1, min(across, int(page / block.width)))
    if block.width > page / across:
        block = _smaller(block, page / across, grid, quantities, sizes)
    if across * block.width > page + TOLERANCE:
        warnings.warn(
            f"the maps take {INCH * across * block.width:.0f} mm of width where "
            f"{INCH * page:.0f} mm are wanted: names of classes or titles are too long for it",
            UserWarning,
            stacklevel=3,
        )
    over = _too_tall(block, len(quantities), across)
    if over > 0 and not block.lines:
        block = _shorter(block, over, grid, quantities, sizes)
        over = _too_tall(block, len(quantities), across)
    if over > TOLERANCE:
        height = INCH * math.ceil(len(quantities) / across) * block.height
        warnings.warn(
            f"the maps take {height:.0f} mm of height at a width of {INCH * page:.0f} mm, "
            "more than a page has: draw fewer images or quantities, or a wider figure",
            UserWarning,
            stacklevel=3,
        )
    return block, across


def _too_tall(block: Block, n_quantities: int, across: int) -> float:
    """Inches that each block is too tall by for all to stand on a page; below 0 where none is."""
    down = math.ceil(n_quantities / across)
    return block.height - TALLEST / down


def _smaller(
    block: Block,
    widest: float,
    grid: Arrangement,
    quantities: Sequence[Layer],
    sizes: Sequence[Pixel],
) -> Block:
    """The block with smaller maps; with the least ones where none make it fit."""
    width, height = grid.panel
    smaller = max(LEAST_WIDTH, width - (block.width - widest) / block.columns)
    panel = min(width, smaller), height * min(1.0, smaller / width)
    return Block(grid._replace(panel=panel), quantities, sizes)


def _shorter(
    block: Block,
    over: float,
    grid: Arrangement,
    quantities: Sequence[Layer],
    sizes: Sequence[Pixel],
) -> Block:
    """The block with its maps shorter, so that it takes so much less height if they can be."""
    width, height = block.panel
    least = min(1.0, max(LEAST_SIDE / max(width, height), block.least_width / width))
    factor = max(least, 1.0 - over / (block.rows * height))
    return Block(grid._replace(panel=(factor * width, factor * height)), quantities, sizes)


def _full_rows(block: Block, grid: Arrangement, page: float) -> Arrangement:
    """The grid with as many columns as the page has room for; headings change places for it."""
    gap = block.between[0]
    least = PANEL if block.lines else LEAST_IN_A_ROW
    room = page - (block.width - block.grid_width)
    most = max(1, int((room + gap) / (least + gap)))
    if grid.factors is None:
        n = len(grid.order)
        return grid._replace(columns=math.ceil(n / math.ceil(n / most)))
    rows, columns = grid.factors
    if len(columns) <= most or len(rows) >= len(columns):
        return grid
    order = np.reshape(grid.order, (len(rows), len(columns))).T.ravel().tolist()
    return grid._replace(order=order, columns=len(rows), factors=(columns, rows))
