"""Colours, style and legend entries that all figures share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

OKABE_ITO = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
FLAGGED = "0.87"
_STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    "savefig.dpi": 150.0,
}


@contextmanager
def figure_style() -> Iterator[Any]:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context(_STYLE):
        yield plt


def class_colors(n_classes: int) -> list[tuple[float, float, float]]:
    """RGB colour of each class: Okabe and Ito's eight, then the same lighter and darker."""
    from matplotlib.colors import to_rgb

    def shade(color: str, tier: int) -> tuple[float, float, float]:
        weight, target = ((0.0, 0.0), (0.5, 1.0), (0.45, 0.2))[tier % 3]
        red, green, blue = ((1 - weight) * part + weight * target for part in to_rgb(color))
        return red, green, blue

    return [shade(OKABE_ITO[k % 8], k // 8) for k in range(n_classes)]


def class_handles(class_names: Sequence[str]) -> list[Any]:
    from matplotlib.patches import Patch

    colors = class_colors(len(class_names))
    return [
        Patch(fc=color, ec="0.3", lw=0.4, label=name)
        for color, name in zip(colors, class_names, strict=True)
    ]


def flag_handle() -> Any:
    from matplotlib.patches import Patch

    return Patch(fc=FLAGGED, ec="0.55", hatch="//////", lw=0, label="flagged")


def darker(color: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (0.65 * part for part in color)
    return red, green, blue
