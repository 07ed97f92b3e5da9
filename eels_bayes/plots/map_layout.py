"""Where maps, their colour bars and keys stand on a figure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.map_panel import Layer, Pixel, draw_line, draw_map, missing_pixels, scale_bar
from eels_bayes.plots.style import class_handles, flag_handle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def column_count(n: int, panel: tuple[float, float]) -> int:
    """Columns that make ``n`` panels landscape without leaving many places empty."""

    def cost(columns: int) -> float:
        return _landscape_cost(math.ceil(n / columns), columns, panel) + (-n % columns) / columns

    return min(range(1, n + 1), key=cost)


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


def panel_size(images: Sequence[NDArray[Any]], sizes: Sequence[Pixel]) -> tuple[float, float]:
    """Width and height in inches of a panel that holds the widest and the tallest image."""
    if any(image.ndim == 1 for image in images):
        return 3.2, 1.7
    tall = max(image.shape[0] * size.height for image, size in zip(images, sizes, strict=True))
    wide = max(image.shape[1] * size.width for image, size in zip(images, sizes, strict=True))
    area = min(6.0, max(1.5, 24.0 / len(images)))
    ratio = float(np.clip(wide / tall, 0.25, 4.0))
    return math.sqrt(area * ratio), math.sqrt(area / ratio)


def _landscape_cost(rows: int, columns: int, panel: tuple[float, float]) -> float:
    return abs(math.log(columns * panel[0] / (rows * (panel[1] + 0.2)) / 1.6))


def landscape(rows: int, columns: int, panel: tuple[float, float]) -> bool:
    """Whether the grid reads better with rows and columns swapped."""
    return _landscape_cost(columns, rows, panel) < _landscape_cost(rows, columns, panel)


class Block:
    """Geometry, in inches, of one quantity's panels, their titles and the key at their right."""

    gap = 0.08
    foot = 0.32  # room of the scale bar
    margin = 0.15

    def __init__(
        self,
        columns: int,
        panel: tuple[float, float],
        titles: Sequence[str] | None,
        factors: tuple[Sequence[str], Sequence[str]] | None,
        quantities: Sequence[Layer],
        sizes: Sequence[Pixel],
    ) -> None:
        images = quantities[0].images
        lines, n = any(image.ndim == 1 for image in images), len(images)
        self.sizes = sizes
        kinds = {(size, image.shape) for size, image in zip(sizes, images, strict=True)}
        self.one_bar = len(kinds) == 1
        self.columns, self.rows = columns, math.ceil(n / columns)
        self.panel, self.factors = panel, factors
        room = max(6, int(panel[0] / 0.072))
        self.titles = None if titles is None else [_wrap(title, room) for title in titles]
        deep = 0 if self.titles is None else max(title.count("\n") + 1 for title in self.titles)
        self.above = 0.16 * deep + (0.06 if deep else 0.0)
        self.head = 0.30 if any(layer.name for layer in quantities) else 0.08
        self.side = 0.0
        if factors is not None:
            self.head += 0.20
            self.side = 0.075 * max(map(len, factors[0])) + 0.12
        self.between = (self.gap, self.gap if self.one_bar else self.foot)
        if lines:  # room of their axes' labels
            self.between, self.foot = (0.55, 0.5), 0.45
            self.side += 0.45
        self.key = max(_key_width(layer) for layer in quantities)
        self.grid_width = columns * panel[0] + (columns - 1) * self.between[0]
        step = panel[1] + self.above + self.between[1]
        self.grid_height = self.rows * step - self.between[1]
        self.width = self.margin + self.side + self.grid_width + self.key
        self.height = self.head + self.grid_height + self.foot

    def blocks_across(self, n: int) -> int:
        if self.rows * self.columns > 1:
            return 1 if self.width > self.height else min(n, 2)
        ratios = [
            abs(math.log(c * self.width / (math.ceil(n / c) * self.height) / 1.8))
            for c in range(1, n + 1)
        ]
        return 1 + int(np.argmin(ratios))

    def draw(
        self,
        figure: Figure,
        layer: Layer,
        order: Sequence[int],
        left: float,
        top: float,
    ) -> None:
        total_width, total_height = figure.get_size_inches()

        def place(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
            """Inches from the block's upper left corner to figure fractions."""
            return (
                (left + x) / total_width,
                (top - y - h) / total_height,
                w / total_width,
                h / total_height,
            )

        x0 = self.margin + self.side
        if layer.name:
            at = place(x0, 0.0, 0.0, 0.06)
            figure.text(at[0], at[1], layer.name, weight="bold", size=10, va="top", ha="left")
        limits = layer.limits or _range(layer.images)
        axes: list[Axes] = []
        for slot, index in enumerate(order):
            row, column = divmod(slot, self.columns)
            x = x0 + column * (self.panel[0] + self.between[0])
            y = self.head + row * (self.panel[1] + self.above + self.between[1]) + self.above
            ax = figure.add_axes(place(x, y, *self.panel), label=f"map {index}")
            axes.append(ax)
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
                if row == 0:
                    ax.set_title(self.factors[1][column], pad=4)
                if column == 0 and image.ndim == 2:
                    ax.set_ylabel(self.factors[0][row], rotation=0, ha="right", va="center")
        x = x0 + self.grid_width + 0.15
        flagged = any(missing_pixels(image, layer).any() for image in layer.images)
        if layer.class_names is None and any(image.ndim == 2 for image in layer.images):
            length = min(self.grid_height - self.above, 2.4)
            y = self.head + self.above
            bar = figure.add_axes(place(x, y, 0.13, length), label="colour bar")
            source = next(ax.images[0] for ax in axes if ax.images)
            colorbar = figure.colorbar(source, cax=bar, label=layer.unit)
            colorbar.outline.set_linewidth(0.5)
            colorbar.locator = _ticks(length)
            colorbar.update_ticks()
            below = y + length + 0.12
            keys = []
        else:
            below = self.head + self.above
            keys = class_handles(layer.class_names) if layer.class_names is not None else []
        if flagged:
            keys.append(flag_handle())
        if keys:
            at = place(x, below, 0.0, 0.0)
            figure.legend(
                handles=keys,
                loc="upper left",
                bbox_to_anchor=at[:2],
                borderaxespad=0.0,
                borderpad=0.0,
                handlelength=1.2,
            )


def _key_width(layer: Layer) -> float:
    if layer.class_names is None:
        return 0.95
    return 0.62 + 0.07 * max(7, *(len(name) for name in layer.class_names))


def _ticks(length: float) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=max(3, int(length / 0.4)), steps=[1, 2, 2.5, 5, 10])


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
    finite = np.concatenate([image[np.isfinite(image)].ravel() for image in images])
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)
