"""Figures of maps: layers, classes and series."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
_FLAGGED = "0.87"
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


@contextmanager
def _style() -> Iterator[Any]:
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


# ---------------------------------------------------------------------------------------------
# maps
# ---------------------------------------------------------------------------------------------


def maps(
    images: Sequence[ArrayLike],
    titles: Sequence[str] | None = None,
    *,
    name: str = "",
    unit: str = "",
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    pixels: Sequence[Pixel] | None = None,
    columns: int | None = None,
) -> Figure:
    """Maps of one quantity over several images, with one colour scale.

    Parameters
    ----------
    images : sequence of array_like
        Maps (rows, columns) or line scans (pixels,); NaN where flagged, drawn hatched grey.
    titles : sequence of str, optional
        One for each image.
    name, unit : str
        Name of the quantity and unit of its values.
    cmap, limits
        Colour map and scale; by default the range over all images.
    pixels : sequence of Pixel, optional
        Size of a pixel in each image, for the scale bar and the aspect ratio.
    columns : int, optional
        Panels a row; by default what makes the figure landscape.

    Raises
    ------
    ValueError
        If there is no image, one of more than two axes, or not one title and pixel an image.
    """
    layer = Layer(name, [np.asarray(image) for image in images], unit, cmap, limits)
    return layers([layer], titles, pixels=pixels, columns=columns)


def class_maps(
    labels: Sequence[ArrayLike],
    class_names: Sequence[str],
    titles: Sequence[str] | None = None,
    *,
    name: str = "",
    pixels: Sequence[Pixel] | None = None,
    columns: int | None = None,
) -> Figure:
    """Class of each pixel over several images, with a legend; -1 is flagged, hatched grey.

    Parameters are those of :func:`maps`; ``labels`` are integers 0..K-1 into ``class_names``.

    Raises
    ------
    ValueError
        As :func:`maps`, and if a label has no name.
    """
    images = [np.asarray(image) for image in labels]
    layer = Layer(name, images, class_names=tuple(class_names))
    return layers([layer], titles, pixels=pixels, columns=columns)


def series_maps(
    images: Sequence[Sequence[ArrayLike]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    name: str = "",
    unit: str = "",
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    class_names: Sequence[str] | None = None,
    pixels: Pixel | None = None,
) -> Figure:
    """Maps over a two-factor series, say area by temperature, with the factors as headings.

    Parameters
    ----------
    images : nested sequence of array_like
        ``images[i][j]`` belongs to ``row_names[i]`` and ``column_names[j]``. The figure swaps
        rows and columns where that makes it landscape.
    row_names, column_names : sequence of str
    name, unit, cmap, limits, class_names
        As in :class:`Layer`.
    pixels : Pixel, optional
        Size of a pixel, the same in all images.

    Raises
    ------
    ValueError
        If the grid of images does not match the names, and as :func:`maps`.
    """
    if [len(row) for row in images] != [len(column_names)] * len(row_names):
        raise ValueError(
            f"images must be a grid of {len(row_names)} x {len(column_names)} maps as row_names "
            f"and column_names say, got rows of {[len(row) for row in images]}"
        )
    flat = [np.asarray(image) for row in images for image in row]
    layer = Layer(name, flat, unit, cmap, limits, class_names)
    return layers(
        [layer],
        pixels=None if pixels is None else [pixels] * len(flat),
        factors=(row_names, column_names),
    )


def layers(
    quantities: Sequence[Layer],
    titles: Sequence[str] | None = None,
    *,
    pixels: Sequence[Pixel] | None = None,
    columns: int | None = None,
    factors: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Figure:
    """Several quantities over the same images: a block of panels for each quantity.

    Titles of the form "area 2, 600 °C" that make a full grid become its row and column headings.

    Parameters
    ----------
    quantities : sequence of Layer
        All over the same images.
    titles, pixels, columns
        As in :func:`maps`.
    factors : (row names, column names), optional
        The images are a grid of these, rows first.

    Raises
    ------
    ValueError
        As :func:`maps`, or if the quantities differ in the number of images.
    """
    n = _check_layers(quantities, titles, pixels)
    if factors is not None and len(factors[0]) * len(factors[1]) != n:
        raise ValueError(
            f"factors must make a grid of {n} images, got {len(factors[0])} x {len(factors[1])}"
        )
    sizes = list(pixels) if pixels is not None else [Pixel()] * n
    panel = _panel_size(quantities[0].images, sizes)
    lines = any(image.ndim == 1 for image in quantities[0].images)
    order = list(range(n))
    if factors is None and titles is not None and columns is None and n > 3 and not lines:
        factors, order = _factors(titles)
    if factors is not None and lines:  # their own axes take the headings' room
        titles = [f"{row}, {column}" for row in factors[0] for column in factors[1]]
        columns = len(factors[1])
        factors = None
    if factors is not None:
        if _landscape(len(factors[0]), len(factors[1]), panel):
            order = np.reshape(order, (len(factors[0]), len(factors[1]))).T.ravel().tolist()
            factors = (factors[1], factors[0])
        columns = len(factors[1])
    elif columns is None:
        columns = 1 if lines and n <= 4 else _columns(n, panel)
    # What all panels share is said once.
    heading = titles[0] if titles is not None and n == 1 < len(quantities) else ""
    above = titles if factors is None and not heading else None
    block = _Block(columns, panel, above, factors, quantities, sizes)
    with _style() as plt:
        across = block.blocks_across(len(quantities))
        down = math.ceil(len(quantities) / across)
        room = 0.35 if heading else 0.0
        width, height = across * block.width, down * block.height + room
        figure = plt.figure(figsize=(width, height))
        if heading:
            figure.text(block.margin / width, 1 - 0.08 / height, heading, size=11, va="top")
        for index, layer in enumerate(quantities):
            left = (index % across) * block.width
            top = height - room - (index // across) * block.height
            block.draw(figure, layer, order, left, top)
    return figure


def _columns(n: int, panel: tuple[float, float]) -> int:
    """Columns that make ``n`` panels landscape without leaving many places empty."""

    def cost(columns: int) -> float:
        return _landscape_cost(math.ceil(n / columns), columns, panel) + (-n % columns) / columns

    return min(range(1, n + 1), key=cost)


def _check_layers(
    quantities: Sequence[Layer], titles: Sequence[str] | None, pixels: Sequence[Pixel] | None
) -> int:
    if not quantities or not len(quantities[0].images):
        raise ValueError("images is empty; at least one map is needed")
    n = len(quantities[0].images)
    for layer in quantities:
        if len(layer.images) != n:
            raise ValueError(
                f"quantities must cover the same images, got {n} of {quantities[0].name!r} and "
                f"{len(layer.images)} of {layer.name!r}"
            )
        for image in layer.images:
            if image.ndim not in (1, 2) or not image.size:
                raise ValueError(
                    "images must be maps (rows, columns) or line scans (pixels,) with at least one "
                    f"pixel, got shape {image.shape}"
                )
            if layer.class_names is not None and image.max() >= len(layer.class_names):
                raise ValueError(
                    f"labels go up to {image.max()}, but class_names has only "
                    f"{len(layer.class_names)} names"
                )
    for what, values in (("titles", titles), ("pixels", pixels)):
        if values is not None and len(values) != n:
            raise ValueError(f"{what} must have one entry an image: {n}, got {len(values)}")
    return n


def _factors(
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


def _panel_size(images: Sequence[NDArray[Any]], sizes: Sequence[Pixel]) -> tuple[float, float]:
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


def _landscape(rows: int, columns: int, panel: tuple[float, float]) -> bool:
    """Whether the grid reads better with rows and columns swapped."""
    return _landscape_cost(columns, rows, panel) < _landscape_cost(rows, columns, panel)


class _Block:
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
                _draw_line(ax, image, layer, limits, size, label=column == 0)
            else:
                _draw_map(ax, image, layer, limits, size)
                if not self.one_bar or slot == (self.rows - 1) * self.columns:
                    _scale_bar(ax, image.shape, size)
            if self.titles is not None:
                ax.set_title(self.titles[index], pad=3)
            if self.factors is not None:
                if row == 0:
                    ax.set_title(self.factors[1][column], pad=4)
                if column == 0 and image.ndim == 2:
                    ax.set_ylabel(self.factors[0][row], rotation=0, ha="right", va="center")
        x = x0 + self.grid_width + 0.15
        flagged = any(_missing(image, layer).any() for image in layer.images)
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
            keys = _class_handles(layer.class_names) if layer.class_names is not None else []
        if flagged:
            keys.append(_flag_handle())
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


def _missing(image: NDArray[Any], layer: Layer) -> NDArray[np.bool_]:
    if layer.class_names is not None:
        return np.asarray(image < 0)
    return ~np.isfinite(image)


def _range(images: Sequence[NDArray[Any]]) -> tuple[float, float]:
    finite = np.concatenate([image[np.isfinite(image)].ravel() for image in images])
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _colors(layer: Layer, limits: tuple[float, float]) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize

    if layer.class_names is not None:
        n = len(layer.class_names)
        return ListedColormap(class_colors(n)), BoundaryNorm(np.arange(n + 1) - 0.5, n)
    return mpl.colormaps[layer.cmap], Normalize(*limits)


def _draw_map(
    ax: Axes, image: NDArray[Any], layer: Layer, limits: tuple[float, float], size: Pixel
) -> None:
    cmap, norm = _colors(layer, limits)
    hidden = np.ma.masked_array(image, _missing(image, layer))
    # What is masked is transparent: the axes' own hatched background shows through.
    ax.imshow(
        hidden, cmap=cmap, norm=norm, interpolation="nearest", aspect=size.height / size.width
    )
    ax.patch.set(facecolor=_FLAGGED, hatch="//////", edgecolor="0.55", linewidth=0)
    ax.set(xticks=[], yticks=[])
    ax.set_anchor("N")
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.5)


def _draw_line(
    ax: Axes,
    image: NDArray[Any],
    layer: Layer,
    limits: tuple[float, float],
    size: Pixel,
    *,
    label: bool,
) -> None:
    distance = np.arange(len(image)) * size.width
    missing = _missing(image, layer)
    half = size.width / 2
    for start in distance[missing]:
        ax.axvspan(start - half, start + half, facecolor=_FLAGGED, hatch="//////", ec="0.55", lw=0)
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


def _scale_bar(ax: Axes, shape: tuple[int, ...], size: Pixel) -> None:
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


def _class_handles(class_names: Sequence[str]) -> list[Any]:
    from matplotlib.patches import Patch

    colors = class_colors(len(class_names))
    return [
        Patch(fc=color, ec="0.3", lw=0.4, label=name)
        for color, name in zip(colors, class_names, strict=True)
    ]


def _flag_handle() -> Any:
    from matplotlib.patches import Patch

    return Patch(fc=_FLAGGED, ec="0.55", hatch="//////", lw=0, label="flagged")


# ---------------------------------------------------------------------------------------------
# latent space, spectra, calibration, training
# ---------------------------------------------------------------------------------------------


def latent(
    points: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    component_mean: ArrayLike | None = None,
    component_sd: ArrayLike | None = None,
    component_labels: ArrayLike | None = None,
    method: str = "pca",
    seed: int = 0,
) -> Figure:
    """Two-dimensional view of the latent space, with the prior's components at 1 and 2 sd.

    The plane is that of the first two principal components of the prior's means (of the points,
    where fewer than three means are given). t-SNE has no projection under which an ellipse would
    stay one: there the components are points, embedded together with the pixels.

    Parameters
    ----------
    points : (n, D) array_like
        Latent means of the pixels. Rows with NaN or a label of -1 (flagged) are left out.
    labels : (n,) array_like of int
    class_names : (K,) sequence of str
    component_mean, component_sd : (J, D) array_like, optional
        Mean and standard deviation of the prior's components.
    component_labels : (J,) array_like of int, optional
        Class of each component; -1 is "none of these", drawn grey and dashed.
    method : {"pca", "tsne"}
    seed : int
        Of t-SNE and of the order in which points are drawn.

    Raises
    ------
    ValueError
        If shapes disagree, the method is unknown or no pixel is left to draw.
    """
    cloud, of_point = np.asarray(points, dtype=float), np.asarray(labels)
    if cloud.ndim != 2 or cloud.shape[1] < 2 or of_point.shape != cloud.shape[:1]:
        raise ValueError(
            "points must be (n, D) with D of at least 2 and labels (n,), "
            f"got {cloud.shape} and {of_point.shape}"
        )
    if method not in ("pca", "tsne"):
        raise ValueError(f"method must be 'pca' or 'tsne', got {method!r}")
    mean, sd, classes = _components(
        component_mean, component_sd, component_labels, cloud.shape[1], len(class_names)
    )
    keep = np.isfinite(cloud).all(axis=1) & (of_point >= 0)
    if not keep.any():
        raise ValueError("no pixel is left to draw: every one is flagged")
    cloud, of_point = cloud[keep], of_point[keep]
    axis_names = ("t-SNE 1", "t-SNE 2")
    ellipses: list[tuple[NDArray[Any], float, float, float]] = []
    if method == "pca":
        cloud, centres, axis_names, plane = _principal_plane(cloud, mean)
        ellipses = [_ellipse(c, plane, s) for c, s in zip(centres, sd, strict=True)]
    else:
        from sklearn.manifold import TSNE

        together = np.concatenate([cloud, mean])
        perplexity = min(30.0, (len(together) - 1) / 3)
        if perplexity <= 1:
            raise ValueError(f"t-SNE needs at least 5 points, got {len(together)}")
        embedding = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
        flat = embedding.fit_transform(together)
        cloud, centres = flat[: len(cloud)], flat[len(cloud) :]

    colors = class_colors(len(class_names))
    order = np.random.default_rng(seed).permutation(len(cloud))
    with _style() as plt:
        figure, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
        ax.scatter(
            cloud[order, 0],
            cloud[order, 1],
            c=np.asarray(colors)[of_point[order]],
            s=float(np.clip(20000 / len(cloud), 3, 25)),
            alpha=0.6 if len(cloud) < 2000 else 0.35,
            linewidths=0,
            rasterized=True,
            label="pixels",
        )
        handles = _point_handles(class_names)
        if len(centres):
            handles += _draw_components(ax, centres, ellipses, classes, colors)
        ax.set(xlabel=axis_names[0], ylabel=axis_names[1])
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def _components(
    mean: ArrayLike | None,
    sd: ArrayLike | None,
    labels: ArrayLike | None,
    dim: int,
    n_classes: int,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    if mean is None:
        return np.zeros((0, dim)), np.zeros((0, dim)), np.zeros(0, dtype=int)
    mean = np.asarray(mean, dtype=float)
    sd = np.zeros_like(mean) if sd is None else np.asarray(sd, dtype=float)
    labels = np.full(len(mean), -1) if labels is None else np.asarray(labels)
    if mean.shape != (len(mean), dim) or sd.shape != mean.shape or labels.shape != mean.shape[:1]:
        raise ValueError(
            f"component_mean and component_sd must be (J, {dim}) and component_labels (J,), got "
            f"{mean.shape}, {sd.shape} and {labels.shape}"
        )
    if labels.size and labels.max() >= n_classes:
        raise ValueError(
            f"component_labels go up to {labels.max()}, but there are {n_classes} classes"
        )
    return mean, sd, labels


def _principal_plane(
    points: NDArray[Any], mean: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], tuple[str, str], NDArray[Any]]:
    """Points and means in the plane, the axes' names, and the plane's basis (2, D)."""
    from sklearn.decomposition import PCA

    of_prior = len(mean) > 2
    source = mean if of_prior else np.concatenate([points, mean])
    if len(source) < 2:
        raise ValueError("a principal plane needs at least two points, got one pixel")
    pca = PCA(2, svd_solver="full").fit(source)
    what = "the prior's means" if of_prior else "the pixels"
    first, second = (
        f"PC {i + 1} ({100 * part:.3g} % of the variance of {what})"
        for i, part in enumerate(pca.explained_variance_ratio_)
    )
    centres = pca.transform(mean) if len(mean) else np.zeros((0, 2))
    return pca.transform(points), centres, (first, second), pca.components_


def _ellipse(
    centre: NDArray[Any], plane: NDArray[Any], sd: NDArray[Any]
) -> tuple[NDArray[Any], float, float, float]:
    """Centre, semi-axes at one sd and angle (degrees) of a diagonal Gaussian in the plane."""
    variances, directions = np.linalg.eigh((plane * sd**2) @ plane.T)
    minor, major = np.sqrt(np.maximum(variances, 0.0))
    angle = math.degrees(math.atan2(directions[1, 1], directions[0, 1]))
    return centre, float(major), float(minor), angle


def _draw_components(
    ax: Axes,
    centres: NDArray[Any],
    ellipses: Sequence[tuple[NDArray[Any], float, float, float]],
    classes: NDArray[Any],
    colors: Sequence[tuple[float, float, float]],
) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse

    # No ellipses under t-SNE.
    for (centre, major, minor, angle), k in zip(ellipses, classes, strict=False):
        color = _darker(colors[k]) if k >= 0 else (0.4, 0.4, 0.4)
        for times in (1, 2):
            ax.add_patch(
                Ellipse(
                    (centre[0], centre[1]),
                    2 * times * major,
                    2 * times * minor,
                    angle=angle,
                    fill=False,
                    ec=color,
                    lw=1.3 if times == 1 else 0.8,
                    ls="-" if k >= 0 else "--",
                )
            )
    edge = [_darker(colors[k]) if k >= 0 else (0.4, 0.4, 0.4) for k in classes]
    ax.scatter(
        centres[:, 0],
        centres[:, 1],
        marker="+",
        s=36,
        c=edge,
        linewidths=1.3,
        label="components",
        zorder=3,
    )
    grey = "0.3"
    handles = [Line2D([], [], color=grey, marker="+", ls="", label="fingerprints")]
    if ellipses:
        handles.append(Line2D([], [], color=grey, lw=1.2, label="their 1 and 2 sd"))
    if (classes < 0).any():
        handles.append(Line2D([], [], color="0.4", lw=1, ls="--", label="none of these"))
    return handles


def _darker(color: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (0.65 * part for part in color)
    return red, green, blue


def _point_handles(class_names: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    colors = class_colors(len(class_names))
    return [
        Line2D([], [], color=color, marker="o", ms=5, ls="", label=name)
        for color, name in zip(colors, class_names, strict=True)
    ]


def spectra_bands(
    energy: ArrayLike,
    mean: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    class_names: Sequence[str],
    *,
    fingerprints: ArrayLike | None = None,
    level: float = 0.9,
    unit: str = "edge units",
) -> Figure:
    """Denoised spectra of each class with credible bands, the fingerprint dashed.

    Parameters
    ----------
    energy : (L,) array_like
        Energy loss in eV.
    mean, lower, upper : (K, L) array_like
        Denoised spectrum of each class and the ends of its credible band; a class no pixel has is
        a row of NaN.
    class_names : (K,) sequence of str
    fingerprints : (K, L) array_like, optional
    level : float
        Probability of the band, for the legend.
    unit : str
        Unit of the intensity.

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    energy = np.asarray(energy, dtype=float)
    arrays: dict[str, ArrayLike] = {"mean": mean, "lower": lower, "upper": upper}
    if fingerprints is not None:
        arrays["fingerprints"] = fingerprints
    shape = (len(class_names), *energy.shape)
    values = {key: np.asarray(array, dtype=float) for key, array in arrays.items()}
    for key, array in values.items():
        if array.shape != shape:
            raise ValueError(f"{key} must be (classes, channels) = {shape}, got {array.shape}")
    colors = class_colors(len(class_names))
    columns = min(len(class_names), 4)
    rows = math.ceil(len(class_names) / columns)
    with _style() as plt:
        figure, grid = plt.subplots(
            rows,
            columns,
            figsize=(max(4.2, 2.4 * columns), 0.5 + 2.3 * rows),
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for ax in grid.flat[len(class_names) :]:
            ax.remove()
        for k, name in enumerate(class_names):
            ax = grid.flat[k]
            ax.axhline(0, color="0.8", lw=0.8)
            ax.fill_between(
                energy,
                values["lower"][k],
                values["upper"][k],
                color=colors[k],
                alpha=0.3,
                lw=0,
                label=f"{100 * level:g} % credible band",
            )
            ax.plot(energy, values["mean"][k], color=colors[k], lw=1.6, label="denoised")
            if "fingerprints" in values:
                fingerprint = values["fingerprints"][k]
                ax.plot(energy, fingerprint, "--", color="0.1", lw=1.1, label="fingerprint")
            ax.set_title(name)
            ax.margins(x=0)
            ax.tick_params(labelbottom=k + columns >= len(class_names))
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.supxlabel("energy loss (eV)", size=9)
        figure.supylabel(f"intensity ({unit})" if unit else "intensity", size=9)
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 15, title: str = ""
) -> Figure:
    """Reliability diagram of the top label, with the histogram of the confidences.

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows with NaN (flagged pixels) are left out.
    labels : (n,) array_like of int
        True classes.
    n_bins : int
        Equal-width bins of the confidence over [0, 1].
    title : str

    Raises
    ------
    ValueError
        If shapes disagree or no pixel is left.
    """
    probabilities, labels = np.asarray(probabilities, dtype=float), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            "probabilities must be (n, K) and labels (n,), "
            f"got {probabilities.shape} and {labels.shape}"
        )
    keep = np.isfinite(probabilities).all(axis=1)
    if not keep.any():
        raise ValueError("no pixel is left to draw: every one is flagged")
    confidence = probabilities[keep].max(axis=1)
    correct = probabilities[keep].argmax(axis=1) == labels[keep]
    edges = np.linspace(0, 1, n_bins + 1)
    which = np.clip(np.digitize(confidence, edges) - 1, 0, n_bins - 1)
    count = np.bincount(which, minlength=n_bins)
    used = count > 0
    mean = np.bincount(which, confidence, n_bins)[used] / count[used]
    hit = np.bincount(which, correct, n_bins)[used] / count[used]
    gap = float(np.sum(count[used] * np.abs(hit - mean)) / count.sum())
    # Wilson's interval: honest at the few pixels a bin may have.
    n = count[used]
    centre = (hit + 2 / n) / (1 + 4 / n)
    half = 2 * np.sqrt(hit * (1 - hit) / n + 1 / n**2) / (1 + 4 / n)
    with _style() as plt:
        figure, (ax, below) = plt.subplots(
            2, 1, figsize=(4.0, 4.9), sharex=True, height_ratios=(3, 1), layout="constrained"
        )
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="perfectly calibrated")
        ax.vlines(
            mean, centre - half, centre + half, color=OKABE_ITO[0], lw=1, label="95 % interval"
        )
        ax.plot(mean, hit, "o-", color=OKABE_ITO[0], ms=4, lw=1.2, label="observed")
        ax.text(0.97, 0.05, f"ECE {gap:.3f}", transform=ax.transAxes, ha="right")
        ax.set(ylabel="fraction correct", xlim=(0, 1), ylim=(0, 1.02), title=title)
        ax.legend(loc="upper left")
        below.bar(
            edges[:-1], count / count.sum(), 1 / n_bins, align="edge", fc="0.7", ec="w", lw=0.8
        )
        below.axvline(confidence.mean(), color=OKABE_ITO[0], lw=1.2, label="mean confidence")
        below.axvline(correct.mean(), color=OKABE_ITO[4], lw=1.2, ls="--", label="accuracy")
        below.set(xlabel="confidence", ylabel="share of pixels")
        below.legend(loc="upper left")
    return figure


def risk_coverage(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Error rate among the pixels kept, against the share kept when the least sure go first.

    Parameters
    ----------
    curves : mapping of str to (coverage, risk)
        A pair of arrays for each measure of doubt or each method, both in [0, 1].

    Raises
    ------
    ValueError
        If there is no curve, or the two arrays of one differ in shape.
    """
    if not curves:
        raise ValueError("curves is empty; at least one {name: (coverage, risk)} is needed")
    with _style() as plt:
        figure, ax = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
        top = 0.0
        for color, (name, (coverage, risk)) in zip(
            class_colors(len(curves)), curves.items(), strict=True
        ):
            x, y = np.asarray(coverage, dtype=float), np.asarray(risk, dtype=float)
            if x.shape != y.shape or x.ndim != 1 or not x.size:
                plt.close(figure)
                raise ValueError(
                    f"coverage and risk of {name!r} must be (n,), got {x.shape} and {y.shape}"
                )
            ax.plot(x, y, color=color, lw=1.6, label=name)
            # The first few pixels make the risk jump between 0 and 1; they must not set the scale.
            top = max(top, float(y[x >= min(0.05, x.max())].max()))
        ax.set(xlabel="coverage (share of pixels kept)", ylabel="risk (error rate of those kept)")
        ax.set(xlim=(0, 1), ylim=(0, 1.08 * top if top > 0 else 1))
        if len(curves) > 1 or next(iter(curves)):
            ax.legend(loc="upper left")
    return figure


def history(history: Mapping[str, Any], *, ylabel: str = "loss (nats per spectrum)") -> Figure:
    """Training and validation loss over the epochs, with the best epoch marked.

    Parameters
    ----------
    history : mapping
        {"training": (epochs,), "validation": (epochs,)}, or such a mapping for each stage of the
        fit, which gets a panel of its own.
    ylabel : str

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    nested = all(isinstance(value, Mapping) for value in history.values())
    stages: dict[str, Mapping[str, Any]] = dict(history) if nested else {"": history}
    stages = {name: stage for name, stage in stages.items() if any(len(v) for v in stage.values())}
    if not stages:
        raise ValueError("history is empty; fit first")
    with _style() as plt:
        figure, grid = plt.subplots(
            1,
            len(stages),
            figsize=(0.6 + 3.4 * len(stages), 2.8),
            squeeze=False,
            layout="constrained",
        )
        for ax, (name, stage) in zip(grid[0], stages.items(), strict=True):
            for color, (curve, values) in zip(class_colors(len(stage)), stage.items(), strict=True):
                losses = np.asarray(values, dtype=float)
                epochs = np.arange(1, len(losses) + 1)
                ax.plot(epochs, losses, color=color, lw=1.4, label=curve)
                if curve == "validation" and losses.size:
                    best = int(np.nanargmin(losses))
                    ax.plot(
                        epochs[best], losses[best], "o", ms=5, mfc="none", color=color, label="best"
                    )
            ax.set(xlabel="epoch", title=name)
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.legend(loc="upper right")
        grid[0, 0].set_ylabel(ylabel)
    return figure
