"""A stream while it comes in: the map that fills, what is asked of whom, and how late it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.plots.map_panel import Layer, Pixel, draw_map, scale_bar
from eels_bayes.plots.page import PAGE, key_columns, narrow, sized
from eels_bayes.plots.style import OKABE_ITO, class_handles, figure_style, flag_handle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOM = {
    "accept": "nobody",
    "measure again": "the microscope",
    "simulate": "a simulation",
    "report as novel": "an expert",
}
# Pale where nothing is asked; the others are told apart by every kind of colour vision.
ASKED_COLORS = dict(zip(WHOM, ("#D9D9D9", OKABE_ITO[5], OKABE_ITO[1], OKABE_ITO[4]), strict=True))
OTHER_COLORS = (OKABE_ITO[2], OKABE_ITO[3], OKABE_ITO[0], OKABE_ITO[6])  # of what else is asked
N_BINS = 50  # of latencies
# Per cent of the latencies, line and colour, and results from which so rare ones are seen.
QUANTILES = (
    (50.0, "-", OKABE_ITO[0], 1),
    (99.0, "--", OKABE_ITO[2], 100),
    (99.9, ":", OKABE_ITO[4], 1000),
)
BAR_DEPTH = -0.24  # of a map's height: a colour bar below it, and below the scale bar
TICKS = (1, 2, 5)  # times a power of ten, of latencies


class Reading(Protocol):
    """Of one spectrum, as `FastReading` is: label, below 0 where flagged, and its entropy, nats."""

    @property
    def labels(self) -> Any: ...
    @property
    def total(self) -> Any: ...


class Result(Protocol):
    """What `LiveResult` says of one spectrum."""

    @property
    def number(self) -> int: ...
    @property
    def latency(self) -> float: ...
    @property
    def reading(self) -> Reading: ...


def live_stream(
    results: Sequence[Result],
    class_names: Sequence[str],
    shape: Sequence[int],
    *,
    asked: Sequence[str] | None = None,
    frame_time: float | None = None,
    pixel: Pixel | None = None,
) -> Figure:
    """A scan so far: class and uncertainty of each place, what is asked of whom, and the latencies.

    Places that were not read yet, or were dropped, are white; flagged ones are hatched. A place
    that was read twice shows the later reading.

    Parameters
    ----------
    results : sequence of LiveResult
        Those of `LiveClassifier.run` so far.
    class_names : (K,) sequence of str
        ``fast.class_names``.
    shape : sequence of int
        Rows and columns of the scan, or the points of a line.
    asked : sequence of str, optional
        What is to be done about each result, such as ``eb.active.decide(...).action``.
    frame_time : float, optional
        Of the detector, ms: a line among the latencies.
    pixel : Pixel, optional
        Size of a place, for the scale bar.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If there is no result, one lies outside the scan, or numbers disagree.
    """
    whole, place, size = _scan(shape), _numbers(results), pixel or Pixel()
    n = math.prod(whole)
    if place.min() < 0 or place.max() >= n:
        outside = place.min() if place.min() < 0 else place.max()
        raise ValueError(f"results hold number {outside}; a scan of {whole} has {n} places")
    if asked is not None and len(asked) != len(results):
        raise ValueError(f"asked must have one entry a result: {len(results)}, got {len(asked)}")
    if frame_time is not None:
        frame_time = validation.positive("frame_time", frame_time, "ms")
    labels = np.array([int(one.reading.labels) for one in results])
    validation.labels("labels", labels, len(class_names))
    total = np.array([float(one.reading.total) for one in results])
    come = _filled(np.ones(len(place)), place, whole, np.nan)
    gap = "\n" if narrow() else " "
    titles = ("class", f"uncertainty{gap}(nats)", "asked of")
    with figure_style() as plt:
        figure = plt.figure(figsize=sized(PAGE, 5.2), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(3.0, 2.2))
        axes = above.subplots(1, 2 + (asked is not None))
        classes = _filled(labels, place, whole, -1)
        draw_map(axes[0], classes, Layer("", [classes], class_names=class_names), (0, 1), size)
        handles = class_handles(class_names) + [flag_handle()] * bool((labels < 0).any())
        _key(axes[0], handles)
        _draw_doubt(axes[1], _filled(total, place, whole, np.nan), len(class_names), size)
        if asked is not None:
            _draw_asked(axes[2], list(asked), place, whole, size)
        for ax, title in zip(axes, titles, strict=False):
            _hide(ax, come)
            ax.set_title(title)
            if whole[0] == 1:
                ax.set_aspect("auto")
        read = np.count_nonzero(np.isfinite(come))
        above.suptitle(f"{read} of {n} places read", fontsize="medium", weight="bold")
        latency = np.array([1e3 * float(one.latency) for one in results])
        _latencies(below.subplots(), latency, frame_time)
    return figure


def _draw_doubt(ax: Any, image: NDArray[Any], n_classes: int, size: Pixel) -> None:
    """The uncertainty from 0 to that of nothing known; below it its scale and the scale bar."""
    layer = Layer("uncertainty", [image], "nats", cmap="cividis")
    draw_map(ax, image, layer, (0.0, math.log(n_classes)), size)
    if size.unit:
        scale_bar(ax, image.shape, size)
    inside = ax.inset_axes((0.0, BAR_DEPTH, 1.0, 0.05))
    bar = ax.figure.colorbar(ax.images[0], cax=inside, orientation="horizontal")
    bar.outline.set_linewidth(0.5)


def _scan(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of the scan; one row of a line."""
    sizes = tuple(validation.whole("shape", size) for size in shape)
    if len(sizes) not in (1, 2):
        raise ValueError(f"shape must be rows and columns, or points of a line, got {sizes}")
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _numbers(results: Sequence[Result]) -> NDArray[np.int64]:
    """Place of each result."""
    if not len(results):
        raise ValueError("results is empty; at least one is needed")
    return np.array([one.number for one in results], dtype=np.int64)


def _filled(
    values: NDArray[Any], place: NDArray[np.int64], shape: tuple[int, int], empty: float
) -> NDArray[Any]:
    """A map of values, each at its place, the later above the earlier."""
    found = np.full(math.prod(shape), empty, dtype=np.result_type(values, type(empty)))
    found[place] = values
    return found.reshape(shape)


def _hide(ax: Any, come: NDArray[Any]) -> None:
    """White over the places that were not read yet."""
    from matplotlib.colors import ListedColormap

    white = np.ma.masked_array(np.ones(come.shape), np.isfinite(come))
    aspect = ax.get_aspect()
    ax.imshow(white, cmap=ListedColormap(["white"]), interpolation="nearest", aspect=aspect)


def _draw_asked(
    ax: Any,
    asked: list[str],
    place: NDArray[np.int64],
    shape: tuple[int, int],
    size: Pixel,
) -> None:
    """Whom each place asks; a key with the number of places."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    others = sorted(set(asked) - set(WHOM))
    names = [name for name in WHOM if name in asked] + others
    colors = ASKED_COLORS | dict(zip(others, cycle(OTHER_COLORS), strict=False))
    image = _filled(np.array([names.index(one) for one in asked]), place, shape, -1)
    draw_map(ax, image, Layer("", [image], class_names=names), (0, 1), size)
    ax.images[0].set_cmap(ListedColormap([colors[name] for name in names]))
    counted = [f"{_whom(name)}{name} ({(image == k).sum()})" for k, name in enumerate(names)]
    patches = [
        Patch(fc=colors[name], ec="0.3", lw=0.4, label=said)
        for name, said in zip(names, counted, strict=True)
    ]
    _key(ax, patches)


def _whom(name: str) -> str:
    """Who is asked, before what is asked."""
    gap = "\n" if narrow() else " "
    return f"{WHOM[name]}:{gap}" if name in WHOM else ""


def _key(ax: Any, handles: list[Any]) -> None:
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        borderaxespad=0.3,
        handlelength=1.2,
    )


def _latencies(ax: Any, latency: NDArray[np.float64], frame_time: float | None) -> None:
    """Histogram of the latencies, their quantiles, and the time of a frame."""
    from matplotlib.ticker import LogLocator, NullLocator

    least = max(float(latency.min()), 1e-3)
    most = max(float(latency.max()), frame_time or 0.0, 2.0 * least)
    ax.hist(latency, np.geomspace(0.8 * least, 1.25 * most, N_BINS), color="0.75", ec="w", lw=0.3)
    for share, style, color, least_many in QUANTILES:
        if len(latency) < least_many:
            continue
        value = float(np.percentile(latency, share))
        ax.axvline(value, color=color, ls=style, lw=1.3, label=f"{share:g} % below {value:.2f} ms")
    if frame_time is not None:
        late = 100.0 * np.mean(latency > frame_time)
        label = f"a frame, {frame_time:g} ms: {late:.3g} % come later"
        ax.axvline(frame_time, color="0.1", lw=2.5, alpha=0.5, label=label)
    ax.set(xscale="log", yscale="log", ylim=(0.7, None))
    ax.set(xlabel="latency from frame to class (ms)", ylabel="spectra")
    ax.xaxis.set_major_locator(LogLocator(subs=TICKS))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    names = [line.get_label() for line in ax.get_lines()]
    ax.figure.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=key_columns(names, 2)
    )
