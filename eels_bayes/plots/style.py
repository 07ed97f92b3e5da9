"""Colours, style and legend entries that all figures share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eels_bayes.plots.page import text_scale

# Eight colours told apart by every kind of colour vision (Okabe and Ito, Color Universal Design,
# 2008), in an order of our own: neighbours in it differ most.
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
FLAGGED = "0.87"  # grey behind the hatching of flagged pixels
# Weight of white (1) or of a dark grey (0.2) in the colours of the first, second and third eight
# classes; chosen by eye.
SHADES = ((0.0, 0.0), (0.5, 1.0), (0.45, 0.2))
HATCH, HATCH_COLOR = "//////", "0.55"  # of flagged pixels: seen in print too
DARKER = 0.65  # of a class's colour, for what is drawn over its points: chosen by eye
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
    # Titles and class names are what users and files call things: "$" is no formula there, nor "_"
    # or "%" a command of TeX. Axes with powers of ten need `plain_decades`.
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
}
_TEXT = tuple(key for key in _STYLE if key.endswith("size"))


@contextmanager
def figure_style() -> Iterator[Any]:
    """Draw in the package's style and leave the user's settings as they were; gives pyplot."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    sizes = {key: text_scale() * _STYLE[key] for key in _TEXT}
    with mpl.rc_context(_STYLE | sizes):
        yield plt


def plain_decades(axis: Any) -> None:
    """Label a logarithmic axis by plain numbers, as formulas are not drawn."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def class_colors(n_classes: int) -> list[tuple[float, float, float]]:
    """RGB colour of each class: Okabe and Ito's eight, then the same lighter and darker.

    Parameters
    ----------
    n_classes : int

    Returns
    -------
    list of (float, float, float)
        Red, green and blue in [0, 1], one for each class; from the 25th on they repeat.

    Examples
    --------
    >>> from eels_bayes import plots
    >>> len(set(plots.class_colors(24)))
    24
    """
    from matplotlib.colors import to_rgb

    def shade(color: str, tier: int) -> tuple[float, float, float]:
        weight, target = SHADES[tier % len(SHADES)]
        red, green, blue = ((1 - weight) * part + weight * target for part in to_rgb(color))
        return red, green, blue

    size = len(OKABE_ITO)
    return [shade(OKABE_ITO[k % size], k // size) for k in range(n_classes)]


def condition_colors(n_conditions: int) -> list[Any]:
    """Colours of conditions in their order, dark to bright: order is seen, in print too."""
    import matplotlib as mpl
    import numpy as np

    return list(mpl.colormaps["viridis"](np.linspace(0.0, 0.9, n_conditions)))


def class_handles(class_names: Sequence[str]) -> list[Any]:
    """A patch of each class's colour for a legend."""
    from matplotlib.patches import Patch

    colors = class_colors(len(class_names))
    return [
        Patch(fc=color, ec="0.3", lw=0.4, label=name)
        for color, name in zip(colors, class_names, strict=True)
    ]


def flag_handle() -> Any:
    """A hatched patch for a legend."""
    from matplotlib.patches import Patch

    return Patch(fc=FLAGGED, ec=HATCH_COLOR, hatch=HATCH, lw=0, label="flagged")


def darker(color: tuple[float, float, float]) -> tuple[float, float, float]:
    """The colour of what is drawn over points of this colour."""
    red, green, blue = (DARKER * part for part in color)
    return red, green, blue
