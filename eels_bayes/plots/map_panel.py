"""One map or line in its panel: colours, missing pixels, scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.page import points
from eels_bayes.plots.style import FLAGGED, HATCH, HATCH_COLOR, class_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Powers of ten of a metre: what a HyperSpy axis may call its units.
METRES = {"pm": -12, "Å": -10, "A": -10, "nm": -9, "µm": -6, "μm": -6, "um": -6, "mm": -3, "m": 0}
BAR_SHARE = 0.3  # of a map's width that its scale bar takes at most: seen at once, no frame
BAR_STEPS = (1, 2, 5)  # times a power of ten: the lengths that a scale bar may have
BAR_NAMES = (("mm", -3, 1e-3), ("µm", -6, 1e-6), ("nm", -9, 1e-10))  # unit, power, least metres
ROUNDING = 1e-9  # relative: a length that misses a round number by less is that number
BAR_DROP = 0.07  # inches from a map to its scale bar
BAR_TEXT_DROP = 1.6  # times that to the bar's text
LINE_MARGIN = 0.06  # of the scale's span, above and below a line: its marks are not cut


class Pixel(NamedTuple):
    """Size of a pixel along the rows' and the columns' axis, and the unit of both ('' if none)."""

    height: float = 1.0
    width: float = 1.0
    unit: str = ""


class Layer(NamedTuple):
    """One quantity over several images.

    Attributes
    ----------
    name : str
        Heading of the layer's block of panels.
    images : sequence of ndarray
        Maps (rows, columns) or line scans (pixels,); NaN (classes: -1) where flagged.
    unit : str
        Unit of the values, written at the colour bar.
    cmap : str
        A matplotlib colour map.
    limits : (float, float) or None
        Colour scale; by default the range over all images of the layer, so that they compare.
    class_names : sequence of str or None
        Given for integer class maps, which get the classes' colours and a legend.
    """

    name: str
    images: Sequence[NDArray[Any]]
    unit: str = ""
    cmap: str = "viridis"
    limits: tuple[float, float] | None = None
    class_names: Sequence[str] | None = None


def missing_pixels(image: NDArray[Any], layer: Layer) -> NDArray[np.bool_]:
    """Where an image of this layer has no value: a negative class, or a number not finite."""
    if layer.class_names is not None:
        return np.asarray(image < 0)
    return ~np.isfinite(image)


def _colors(layer: Layer, limits: tuple[float, float]) -> tuple[Any, Any]:
    """Colour map and norm of a layer: the classes' colours, or its own over the limits."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize

    if layer.class_names is not None:
        n = len(layer.class_names)
        return ListedColormap(class_colors(n)), BoundaryNorm(np.arange(n + 1) - 0.5, n)
    return mpl.colormaps[layer.cmap], Normalize(*limits)


def draw_map(
    ax: Axes, image: NDArray[Any], layer: Layer, limits: tuple[float, float], size: Pixel
) -> None:
    """An image (rows, columns) in its colours, what is missing hatched."""
    cmap, norm = _colors(layer, limits)
    hidden = np.ma.masked_array(image, missing_pixels(image, layer))
    # What is masked is transparent: the axes' own hatched background shows through.
    ax.imshow(
        hidden, cmap=cmap, norm=norm, interpolation="nearest", aspect=size.height / size.width
    )
    ax.patch.set(facecolor=FLAGGED, hatch=HATCH, edgecolor=HATCH_COLOR, linewidth=0)
    ax.set(xticks=[], yticks=[])
    ax.set_anchor("N")
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.5)


def draw_line(
    ax: Axes,
    image: NDArray[Any],
    layer: Layer,
    limits: tuple[float, float],
    size: Pixel,
    *,
    label: bool,
) -> None:
    """A line scan (pixels,) over the distance, as a curve or as the classes' colours.

    ``label`` says whether the axis' unit is written, as for the first panel of a row.
    """
    distance = np.arange(len(image)) * size.width
    missing = missing_pixels(image, layer)
    half = size.width / 2
    for start in distance[missing]:
        ax.axvspan(start - half, start + half, facecolor=FLAGGED, hatch=HATCH, ec=HATCH_COLOR, lw=0)
    if layer.class_names is not None:
        colors = class_colors(len(layer.class_names))
        for start, k in zip(distance[~missing], image[~missing].astype(int), strict=True):
            ax.axvspan(start - half, start + half, facecolor=colors[k], lw=0)
        ax.set(yticks=[], ylim=(0, 1))
    else:
        values = np.where(missing, np.nan, image.astype(float))
        ax.plot(distance, values, "o-", color="0.15", ms=3, lw=1)
        room = LINE_MARGIN * (limits[1] - limits[0])
        ax.set_ylim(limits[0] - room, limits[1] + room)
        if label and layer.unit:
            ax.set_ylabel(layer.unit)
    ax.set_xlim(distance[0] - half, distance[-1] + half)
    ax.set_xlabel(f"distance ({size.unit})" if size.unit else "pixel")


def nice_length(extent: float, unit: str) -> tuple[float, str] | None:
    """A round length for a scale bar: 1, 2 or 5 times a power of ten, at most 30 % of ``extent``.

    Parameters
    ----------
    extent : float
        Width of the map.
    unit : str
        Of ``extent``: pm, Å, nm, µm, mm or m.

    Returns
    -------
    (float, str) or None
        The length in units of ``extent``, and as text such as "5 nm". None where ``unit`` is no
        length, as for an axis without calibration, or ``extent`` not positive.

    Examples
    --------
    >>> from eels_bayes import plots
    >>> plots.nice_length(22.8, "nm")
    (5.0, '5 nm')
    """
    if unit not in METRES or not extent > 0:
        return None
    power = METRES[unit]
    metres = BAR_SHARE * extent * 10.0**power
    decade = 10.0 ** math.floor(math.log10(metres) + ROUNDING)
    # The largest of 1, 2, 5 times a power of ten that fits.
    bar = max(step * decade for step in BAR_STEPS if step * decade <= metres * (1 + ROUNDING))
    for name, exponent, least in BAR_NAMES:
        if bar >= least * (1 - ROUNDING):
            return bar / 10.0**power, f"{bar / 10.0**exponent:.3g} {name}"
    return bar / 10.0**power, f"{bar / 1e-12:.3g} pm"


def scale_bar(ax: Axes, shape: tuple[int, ...], size: Pixel) -> None:
    """Below the map, where it hides no pixel."""
    from matplotlib.transforms import ScaledTranslation

    bar = nice_length(shape[1] * size.width, size.unit)
    if bar is None:
        return
    length, blend = bar[0] / size.width, ax.get_xaxis_transform()
    figure: Any = ax.get_figure(root=True)

    def below(inches: float) -> Any:
        """Along the map, so far below it whatever room a layout gives the map."""
        return blend + ScaledTranslation(0.0, -points(inches), figure.dpi_scale_trans)

    ax.plot(
        [-0.5, -0.5 + length],
        [0.0, 0.0],
        transform=below(BAR_DROP),
        color="0.1",
        lw=2.5,
        clip_on=False,
        solid_capstyle="butt",
        label="scale bar",
        scalex=False,
        scaley=False,
    )
    at = below(BAR_TEXT_DROP * BAR_DROP)
    ax.text(-0.5, 0.0, bar[1], transform=at, ha="left", va="top", size=points(8))
