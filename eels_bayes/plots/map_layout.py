"""Where maps, their colour bars and keys stand on a figure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.map_grid import Arrangement
from eels_bayes.plots.map_panel import Layer, Pixel, draw_line, draw_map, missing_pixels, scale_bar
from eels_bayes.plots.page import points, text_scale
from eels_bayes.plots.style import class_handles, flag_handle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches, for the fonts of `style`; chosen so that no text meets another (tests look for overlaps).
MARGIN = 0.15  # left of a block, and between its maps and their key
GAP = 0.08  # between maps that share one scale bar
FOOT = 0.32  # below a map: room of its scale bar
LINE_GAPS = (0.55, 0.5)  # between line scans: room of their axes' labels
LINE_FOOT = 0.45  # below line scans: the distance's label
LINE_SIDE = 0.45  # left of line scans: the unit's label
TITLE_LINE = 0.16  # height of one line of a panel's title
TITLE_PAD = 0.06  # between a title and its panel
TITLE_CHARACTER = 0.072  # mean width of a character of a title
HEAD = 0.30  # above a block that has a name
HEAD_WITHOUT_NAME = 0.08  # above a block that has none
NAME_HEIGHT = 0.06  # from the block's top to its name
NAME_LINE = 0.17  # height of one more line of a name
NAME_CHARACTER = 0.088  # mean width of a character of a name, bold
COLUMN_HEADING = 0.20  # height of the columns' headings
ROW_CHARACTER = 0.075  # mean width of a character of a row's heading
ROW_PAD = 0.12  # between a row's heading and its first map
BAR_WIDTH = 0.13  # of a colour bar
LONGEST_BAR = 2.4  # of a colour bar: longer ones are no easier to read
BELOW_BAR = 0.12  # between a colour bar and the legend below it
BAR_TICK = 0.4  # of a colour bar, a tick
KEY_OF_BAR = 0.95  # width of a colour bar with its numbers and unit
KEY_PATCH = 0.62  # width of a legend's patch and the room around it
KEY_CHARACTER = 0.07  # mean width of a legend's character

FEWEST_TITLE_CHARACTERS = 6  # of a line of a title, however narrow the panel
FEWEST_KEY_CHARACTERS = 7  # of the legend: the word "flagged"
FEWEST_BAR_TICKS = 3  # a scale of two numbers shows no steps
BLOCKS_RATIO = 1.8  # width over height of a page of one-panel blocks: chosen, not tuned


class Corner(NamedTuple):
    """Upper left corner of a block and the size of its page, in inches from the lower left."""

    left: float
    top: float
    page_width: float
    page_height: float

    def place(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        """From inches right of and below the corner to figure fractions (left, bottom, w, h)."""
        return (
            (self.left + x) / self.page_width,
            (self.top - y - h) / self.page_height,
            w / self.page_width,
            h / self.page_height,
        )


class Block:
    """Geometry, in inches, of one quantity's panels, their titles and the key at their right.

    Parameters
    ----------
    arrangement : Arrangement
        With the titles that stand above panels; none where these are said elsewhere.
    quantities : sequence of Layer
        All that are drawn in such a block: their names and keys set its size.
    sizes : sequence of Pixel
        One for each image.
    """

    def __init__(
        self, arrangement: Arrangement, quantities: Sequence[Layer], sizes: Sequence[Pixel]
    ) -> None:
        images = quantities[0].images
        panel = arrangement.panel
        self.order, self.columns, self.factors = (
            arrangement.order,
            arrangement.columns,
            arrangement.factors,
        )
        self.sizes, self.panel = sizes, panel
        scale = self.scale = text_scale()
        self.rows = math.ceil(len(images) / self.columns)
        kinds = {(size, image.shape) for size, image in zip(sizes, images, strict=True)}
        self.one_bar = len(kinds) == 1
        # a panel that is narrower has a title as wide as its neighbour's
        heads = self.factors[1] if self.factors is not None else arrangement.titles or ()
        longest = max((min(len(head), FEWEST_TITLE_CHARACTERS) for head in heads), default=0)
        self.least_width = scale * TITLE_CHARACTER * longest
        self.titles, self.above = _wrapped(arrangement.titles, panel[0])
        named = any(layer.name for layer in quantities)
        self.head = scale * (HEAD if named else HEAD_WITHOUT_NAME)
        self.side, self.foot = 0.0, scale * FOOT
        if self.factors is not None:
            self.head += scale * COLUMN_HEADING
            self.side = scale * (ROW_CHARACTER * max(map(len, self.factors[0])) + ROW_PAD)
        self.between = (scale * GAP, scale * (GAP if self.one_bar else FOOT))
        self.lines = any(image.ndim == 1 for image in images)
        if self.lines:
            self.between = (scale * LINE_GAPS[0], scale * LINE_GAPS[1])
            self.foot = scale * LINE_FOOT
            self.side += scale * LINE_SIDE
        self.grid_width = self.columns * panel[0] + (self.columns - 1) * self.between[0]
        step = panel[1] + self.above + self.between[1]
        self.grid_height = self.rows * step - self.between[1]
        key = max(_key_width(layer) for layer in quantities)
        self.margin = scale * MARGIN
        self.width = self.margin + self.side + self.grid_width + key
        room = int((self.width - 2 * self.margin - self.side) / (scale * NAME_CHARACTER))
        room = max(FEWEST_TITLE_CHARACTERS, room)
        self.names = {q.name: "\n".join(textwrap.wrap(q.name, room)) for q in quantities}
        self.head += scale * NAME_LINE * max(name.count("\n") for name in self.names.values())
        self.height = self.head + self.grid_height + self.foot

    def blocks_across(self, n: int) -> int:
        """How many of n such blocks stand side by side."""
        if self.rows * self.columns > 1:
            return 1 if self.width > self.height else min(n, 2)
        ratios = [
            abs(math.log(c * self.width / (math.ceil(n / c) * self.height) / BLOCKS_RATIO))
            for c in range(1, n + 1)
        ]
        return 1 + int(np.argmin(ratios))

    def draw(self, figure: Figure, layer: Layer, left: float, top: float) -> None:
        """Draw one quantity, with the block's upper left corner at these inches of the page."""
        corner = Corner(left, top, *figure.get_size_inches())
        if layer.name:
            at = corner.place(self.margin + self.side, 0.0, 0.0, NAME_HEIGHT)
            name = self.names[layer.name]
            figure.text(at[0], at[1], name, weight="bold", size=points(10), va="top", ha="left")
        panels = self._draw_panels(figure, corner, layer)
        below = self.head + self.above
        if layer.class_names is None and any(image.ndim == 2 for image in layer.images):
            below = self._draw_colorbar(figure, corner, layer, panels)
        self._draw_key(figure, corner, layer, below)

    def _draw_panels(self, figure: Figure, corner: Corner, layer: Layer) -> list[Axes]:
        """A panel for each image, row by row."""
        limits = layer.limits or _range(layer.images)
        panels: list[Axes] = []
        for slot, index in enumerate(self.order):
            row, column = divmod(slot, self.columns)
            x = self.margin + self.side + column * (self.panel[0] + self.between[0])
            y = self.head + row * (self.panel[1] + self.above + self.between[1]) + self.above
            ax = figure.add_axes(corner.place(x, y, *self.panel), label=f"map {index}")
            image, size = layer.images[index], self.sizes[index]
            if image.ndim == 1:
                draw_line(ax, image, layer, limits, size, label=column == 0)
            else:
                draw_map(ax, image, layer, limits, size)
                if not self.one_bar or slot == (self.rows - 1) * self.columns:
                    scale_bar(ax, image.shape, size)
            if self.titles is not None:
                ax.set_title(self.titles[index], pad=3)
            if self.factors is not None:
                _write_headings(ax, self.factors, row, column)
            panels.append(ax)
        return panels

    def _draw_colorbar(
        self, figure: Figure, corner: Corner, layer: Layer, panels: Sequence[Axes]
    ) -> float:
        """The scale of the maps' colours; inches from the block's top to what may stand below."""
        length = min(self.grid_height - self.above, LONGEST_BAR)
        y = self.head + self.above
        bar = figure.add_axes(
            corner.place(self._key_left, y, self.scale * BAR_WIDTH, length), label="colour bar"
        )
        source = next(ax.images[0] for ax in panels if ax.images)
        colorbar = figure.colorbar(source, cax=bar, label=layer.unit)
        colorbar.outline.set_linewidth(0.5)
        colorbar.locator = _ticks(length)
        colorbar.update_ticks()
        return y + length + self.scale * BELOW_BAR

    def _draw_key(self, figure: Figure, corner: Corner, layer: Layer, top: float) -> None:
        """A legend of the classes and of flagged pixels, where there are any."""
        handles = class_handles(layer.class_names) if layer.class_names is not None else []
        if any(missing_pixels(image, layer).any() for image in layer.images):
            handles.append(flag_handle())
        if handles:
            at = corner.place(self._key_left, top, 0.0, 0.0)
            figure.legend(
                handles=handles,
                loc="upper left",
                bbox_to_anchor=at[:2],
                borderaxespad=0.0,
                borderpad=0.0,
                handlelength=1.2,
            )

    @property
    def _key_left(self) -> float:
        """Inches from the block's left to its colour bar or legend."""
        return self.margin + self.side + self.grid_width + self.margin


def _write_headings(
    ax: Axes, factors: tuple[Sequence[str], Sequence[str]], row: int, column: int
) -> None:
    """The column's name above the first row, the row's name left of the first column."""
    if row == 0:
        ax.set_title(factors[1][column], pad=4)
    if column == 0:
        ax.set_ylabel(factors[0][row], rotation=0, ha="right", va="center")


def _key_width(layer: Layer) -> float:
    """Inches that a colour bar or legend takes."""
    if layer.class_names is None:
        return text_scale() * KEY_OF_BAR
    longest = max(FEWEST_KEY_CHARACTERS, *(len(name) for name in layer.class_names))
    return text_scale() * (KEY_PATCH + KEY_CHARACTER * longest)


def _ticks(length: float) -> Any:
    """Round numbers along a colour bar of this length in inches."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(
        nbins=max(FEWEST_BAR_TICKS, int(length / (text_scale() * BAR_TICK))),
        steps=[1, 2, 2.5, 5, 10],
    )


def _wrapped(titles: Sequence[str] | None, width: float) -> tuple[list[str] | None, float]:
    """Titles that fit panels of this width in inches, and the height that the deepest takes."""
    if titles is None:
        return None, 0.0
    room = max(FEWEST_TITLE_CHARACTERS, int(width / (text_scale() * TITLE_CHARACTER)))
    wrapped = [_wrap(title, room) for title in titles]
    deepest = max(title.count("\n") + 1 for title in wrapped)
    return wrapped, text_scale() * (TITLE_LINE * deepest + TITLE_PAD)


def _wrap(title: str, room: int) -> str:
    """At most two lines of ``room`` characters: neighbours' titles must not run together.

    Of a longer title the beginning and the end stay, where a series' titles differ.
    """
    lines = textwrap.wrap(title, room, break_on_hyphens=False)
    if len(lines) > 2:
        end = textwrap.wrap(title[::-1], room - 2, break_on_hyphens=False)[0][::-1]
        lines = [lines[0], f"… {end}"]
    return "\n".join(lines)


def _range(images: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Least and largest finite value; an interval around it where there is but one."""
    finite = np.concatenate([image[np.isfinite(image)].ravel() for image in images])
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)
