"""Texts of a drawn figure that cannot be read."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Text


def overlaps(figure: Any) -> list[tuple[str, str]]:
    """Pairs of texts of a drawn figure that lie on one another, and texts that leave the page."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    # Matplotlib keeps tick labels beyond an axis' limits, undrawn: leave those to it.
    ticks = {
        id(label)
        for ax in figure.findobj(Axes)
        for axis in (ax.xaxis, ax.yaxis)
        for label in axis.get_ticklabels()
    }
    shown = [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and id(text) not in ticks
    ]
    page = figure.bbox
    found = [
        (name, "the page's edge")
        for name, box in shown
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < -1 or box.y1 > page.y1 + 1
    ]
    for i, (name, box) in enumerate(shown):
        for other, at in shown[:i]:
            width = min(box.x1, at.x1) - max(box.x0, at.x0)
            height = min(box.y1, at.y1) - max(box.y0, at.y0)
            if width > 1 and height > 2:
                found.append((name, other))
    return found
