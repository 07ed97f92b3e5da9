"""One map or line in its panel: colours, missing pixels, scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.style import FLAGGED, class_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Powers of ten of a metre: what a HyperSpy axis may call its units.
_METRES = {"pm": -12, "Å": -10, "A": -10, "nm": -9, "µm": -6, "μm": -6, "um": -6, "mm": -3, "m": 0}


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
    if layer.class_names is not None:
        return np.asarray(image < 0)
    return ~np.isfinite(image)


def _colors(layer: Layer, limits: tuple[float, float]) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize

    if layer.class_names is not None:
        n = len(layer.class_names)
        return ListedColormap(class_colors(n)), BoundaryNorm(np.arange(n + 1) - 0.5, n)
    return mpl.colormaps[layer.cmap], Normalize(*limits)


def draw_map(
    ax: Axes, image: NDArray[Any], layer: Layer, limits: tuple[float, float], size: Pixel
) -> None:
    cmap, norm = _colors(layer, limits)
    hidden = np.ma.masked_array(image, missing_pixels(image, layer))
    # What is masked is transparent: the axes' own hatched background shows through.
    ax.imshow(
        hidden, cmap=cmap, norm=norm, interpolation="nearest", aspect=size.height / size.width
    )
    ax.patch.set(facecolor=FLAGGED, hatch="//////", edgecolor="0.55", linewidth=0)
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
    distance = np.arange(len(image)) * size.width
    missing = missing_pixels(image, layer)
    half = size.width / 2
    for start in distance[missing]:
        ax.axvspan(start - half, start + half, facecolor=FLAGGED, hatch="//////", ec="0.55", lw=0)
    if layer.class_names is not None:
        colors = class_colors(len(layer.class_names))
        for start, k in zip(distance[~missing], image[~missing].astype(int), strict=True):
            ax.axvspan(start - half, start + half, facecolor=colors[k], lw=0)
        ax.set(yticks=[], ylim=(0, 1))
    else:
        values = np.where(missing, np.nan, image.astype(float))
        ax.plot(distance, values, "o-", color="0.15", ms=3, lw=1)
        room = 0.06 * (limits[1] - limits[0])
        ax.set_ylim(limits[0] - room, limits[1] + room)
        if label and layer.unit:
            ax.set_ylabel(layer.unit)
    ax.set_xlim(distance[0] - half, distance[-1] + half)
    ax.set_xlabel(f"distance ({size.unit})" if size.unit else "pixel")


def nice_length(extent: float, unit: str) -> tuple[float, str] | None:
    """Length of a scale bar of about 30 % of ``extent``: in units of ``extent``, and as text.

    None where ``unit`` is no length, as for an axis without calibration.
    """
    if unit not in _METRES or not extent > 0:
        return None
    power = _METRES[unit]
    metres = 0.3 * extent * 10.0**power
    decade = 10.0 ** math.floor(math.log10(metres) + 1e-9)
    # The largest of 1, 2, 5 times a power of ten that fits.
    bar = max(step * decade for step in (1, 2, 5) if step * decade <= metres * (1 + 1e-9))
    for name, exponent, least in (("mm", -3, 1e-3), ("µm", -6, 1e-6), ("nm", -9, 1e-10)):
        if bar >= least * (1 - 1e-9):
            return bar / 10.0**power, f"{bar / 10.0**exponent:.3g} {name}"
    return bar / 10.0**power, f"{bar / 1e-12:.3g} pm"


def scale_bar(ax: Axes, shape: tuple[int, ...], size: Pixel) -> None:
    """Below the map, where it hides no pixel."""
    bar = nice_length(shape[1] * size.width, size.unit)
    if bar is None:
        return
    length = bar[0] / size.width
    blend = ax.get_xaxis_transform()
    drop = 0.07 * ax.figure.dpi / ax.get_window_extent().height
    ax.plot(
        [-0.5, -0.5 + length],
        [-drop, -drop],
        transform=blend,
        color="0.1",
        lw=2.5,
        clip_on=False,
        solid_capstyle="butt",
        label="scale bar",
        scalex=False,
        scaley=False,
    )
    ax.text(-0.5, -1.6 * drop, bar[1], transform=blend, ha="left", va="top", size=8)
