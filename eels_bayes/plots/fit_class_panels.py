"""Mean spectrum over the fingerprint, and mean residual with its band, of every class of a fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.page import key_above, label_all, panels_across
from eels_bayes.plots.style import class_colors

MOST_COLUMNS = 4  # panels a row: more are too narrow to read energies from
BAND = 2.0  # standard errors of a mean residual that are shaded
BAND_COLOR = "0.85"
LEAST_RESIDUAL = 0.5  # sd of a pixel up to which residuals are shown at least
ROOM = 1.15  # of the largest value up to which an axis reaches

Floats = NDArray[np.float64]


def panel_grid(n_classes: int) -> tuple[int, int]:
    """Rows and columns of pairs of panels."""
    columns = panels_across(min(max(n_classes, 2), MOST_COLUMNS))
    return math.ceil(n_classes / columns), columns


def class_panels(
    figure: Any,
    energy: Floats,
    class_names: Sequence[str],
    arrays: dict[str, Floats],
    pixels: Floats,
) -> None:
    """Draw them on a figure or a part of one; arguments as of `fit_figure.fit_overview`."""
    rows, columns = panel_grid(len(class_names))
    taken, colors = pixels > 0, class_colors(len(class_names))
    grid = figure.subplots(
        2 * rows, columns, sharex=True, squeeze=False, height_ratios=(1.4, 1.0) * rows
    )
    for ax in grid.flat:
        ax.set_visible(False)
    for k, name in enumerate(class_names):
        row, column = divmod(k, columns)
        pair = grid[2 * row, column], grid[2 * row + 1, column]
        n = max(1, round(pixels[k])) if taken[k] else "no"
        title = f"{name}: {n} pixel" + ("" if n in (1, "no") else "s")
        of_class = {key: array[k] for key, array in arrays.items()}
        _pair(pair, energy, of_class, colors[k], title, seen=bool(taken[k]))
    _same_limits(grid, arrays, taken)
    for row in range(rows):
        grid[2 * row, 0].set_ylabel("edge units")
        grid[2 * row + 1, 0].set_ylabel("residual (sd)")
    key_above(figure, _handles())
    label_all(figure, "energy loss (eV)")


def _pair(
    pair: tuple[Any, Any],
    energy: Floats,
    arrays: dict[str, Floats],
    color: Any,
    title: str,
    *,
    seen: bool,
) -> None:
    """Mean spectrum over fingerprint; below, the mean residual with its band."""
    upper, lower = pair
    for ax in pair:
        ax.set_visible(True)
        ax.axhline(0, color="0.8", lw=0.8)
        ax.margins(x=0)
    upper.plot(energy, arrays["fingerprint"], color=color, lw=2.2, alpha=0.75)
    upper.set_title(title)
    upper.tick_params(labelbottom=False)
    lower.tick_params(labelbottom=True)
    if not seen:
        return
    upper.plot(energy, arrays["edge_fit"], color="0.15", lw=0.8)
    upper.plot(energy, arrays["edge"], ".", color="0.15", ms=4)
    reach = BAND * arrays["band"]
    lower.fill_between(energy, -reach, reach, color=BAND_COLOR, lw=0)
    lower.plot(energy, arrays["residual"], ".-", color=color, ms=3, lw=1.0)


def _handles() -> list[Any]:
    """Of the legend; a fingerprint has its class's colour."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color="0.6", lw=2.2, label="fingerprint"),
        Line2D([], [], color="0.15", lw=0.8, label="fit"),
        Line2D([], [], color="0.15", ls="", marker=".", ms=4, label="mean of its pixels"),
        Patch(fc=BAND_COLOR, lw=0, label=f"{BAND:g} standard errors"),
    ]


def _same_limits(grid: NDArray[Any], arrays: dict[str, Floats], taken: NDArray[np.bool_]) -> None:
    """One intensity axis and one residual axis for all classes."""
    shown = np.concatenate([arrays["edge"][taken].ravel(), arrays["fingerprint"].ravel()])
    low, high = min(0.0, float(shown.min())), max(0.0, float(shown.max()))
    room = (ROOM - 1.0) * (high - low)
    reach = [np.abs(arrays["residual"][taken]), BAND * arrays["band"][taken]]
    most = max([LEAST_RESIDUAL, *(float(r.max()) for r in reach if r.size)])
    for row, axes in enumerate(grid):
        for ax in axes:
            if row % 2:
                ax.set_ylim(-ROOM * most, ROOM * most)
            else:
                ax.set_ylim(low - room, high + room)
