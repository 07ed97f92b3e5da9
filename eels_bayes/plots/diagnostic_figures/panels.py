"""Panels of equal size and their shared labels, for diagnostic figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from eels_bayes.plots.page import key_above, label_all, panels_across, sized

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LEAST_SHARE = 0.55  # of a panel's width on the screen, that it has in print at least
BAND = "0.85"  # grey of what a calibrated model would scatter by


def panel_grid(
    plt: Any, n: int, panel: tuple[float, float], **shared: bool
) -> tuple[Any, list[Axes]]:
    """A figure of n panels of the given size in inches, at most as many rows as columns."""
    columns = panels_across(min(n, max(3, math.ceil(math.sqrt(n)))), LEAST_SHARE * panel[0])
    rows = math.ceil(n / columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=sized(max(3.8, 0.6 + panel[0] * columns), 0.9 + panel[1] * rows),
        squeeze=False,
        layout="constrained",
        **shared,
    )
    for ax in grid.flat[n:]:
        ax.remove()
    for k, ax in enumerate(grid.flat[:n]):
        ax.tick_params(labelbottom=k + columns >= n)
        ax.yaxis.get_major_locator().set_params(integer=True)
    return figure, list(grid.flat[:n])


def shared_labels(figure: Figure, x: str, y: str, keyed: Axes | None) -> None:
    """Axis labels of all panels, and the legend of the panel ``keyed``, once for the figure."""
    label_all(figure, x, y)
    if keyed is not None:
        key_above(figure, keyed.get_legend_handles_labels()[0])
