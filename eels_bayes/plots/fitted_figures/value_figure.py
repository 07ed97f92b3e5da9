"""The library's value against temperature, and along a line, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.conditions import Conditions, conditions_of, pixel_size, placed
from eels_bayes.plots.fitted_figures.measures import bootstrap_mean
from eels_bayes.plots.fitted_figures.subjects import Array, Reading
from eels_bayes.plots.page import PAGE, key_above, sized
from eels_bayes.plots.style import OKABE_ITO, class_colors, class_handles, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

APART = 0.018  # of the axis between areas of one temperature
HEADROOM = 0.25  # of what is drawn, above it: room of a legend in one row
BAND = OKABE_ITO[5]
PART_COLORS = {"aleatoric": "0.8", "encoder": "0.55", "classifier": "0.15"}  # colours are classes


def value_course(
    pred: Reading,
    *,
    level: float = 0.9,
    truth: ArrayLike | None = None,
    conditions: Sequence[Any] | None = None,
    unit: str = "°C",
) -> Figure:
    """The library's value against temperature: each image's mean, and what one pixel tells.

    A point is the mean of the posterior means of an image's pixels; its bar is the 95 % bootstrap
    interval over pixels, which holds their noise and their differences, and nothing that all pixels
    share, such as an error of the fingerprints. The band is the mean interval of a single pixel at
    the level asked for.

    Parameters
    ----------
    pred : Prediction
        Of n pixels in I images, by a library with values.
    level : float
        Of the interval of a single pixel.
    truth : (n,) array_like, optional
        True values, drawn as each image's mean; NaN where unknown.
    conditions : (I,) sequence of float or str, optional
        Of each image; by default the temperature in its title, or the titles.
    unit : str
        Of conditions that are given as numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the library has no values, or numbers disagree.
    """
    known = _checked(pred, truth)
    where = conditions_of(pred.images, conditions, unit)
    low, high = pred.value_interval(level)
    axis = where.values
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=sized(4.7, 3.1), layout="constrained")
        ends = np.array([_condition_mean(x, pred, where) for x in (low, high)])
        taken = np.isfinite(ends).all(0)
        ax.fill_between(
            axis[taken],
            *ends[:, taken],
            color=BAND,
            alpha=0.35,
            lw=0,
            label=f"{100 * level:g} % interval of one pixel",
        )
        at = axis[where.of_image] + _aside(where) * (float(np.ptp(axis)) or 1.0)
        rows = [np.asarray(pred.value)[pred.image == k] for k in range(len(pred.images))]
        estimates = np.array([bootstrap_mean(x) for x in rows])
        mean, lower, upper = estimates.T
        ax.errorbar(
            at,
            mean,
            (mean - lower, upper - mean),
            fmt="o",
            ms=4,
            color=OKABE_ITO[0],
            lw=1.2,
            capsize=2,
            label="mean of an image, 95 % by its pixels",
        )
        if known is not None:
            true = np.array([_mean(known[pred.image == k]) for k in range(len(pred.images))])
            ax.plot(at, true, "x", color=OKABE_ITO[4], ms=6, mew=1.4, label="truth", zorder=3)
        ax.set(xlabel=where.label, ylabel=value_label(pred))
        ax.set_xticks(axis, [n.split(" ")[0] if where.numeric else n for n in where.names])
        ax.legend(loc="best")
    return figure


def line_scan(
    pred: Reading, image: int = 0, *, level: float = 0.9, truth: ArrayLike | None = None
) -> Figure:
    """A line scan: value and its interval in one panel, class, and the doubt and its parts.

    Parameters
    ----------
    pred : Prediction
    image : int
        Index of an image of one axis.
    level : float
        Of the value's interval.
    truth : (n,) array_like, optional
        True values; NaN where unknown.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    IndexError
        If there is no such image.
    ValueError
        If it is not a line, or numbers disagree.
    """
    if not 0 <= image < len(pred.images):
        raise IndexError(f"image {image} does not exist; there are {len(pred.images)}")
    shape = pred.images[image].shape
    if len(shape) != 1:
        raise ValueError(f"images[{image}] has shape {shape}; a line scan has one axis")
    known = None if truth is None and not pred.has_value else _checked(pred, truth)
    size = pixel_size(pred.images[image])
    distance = np.arange(shape[0]) * size.width
    tall = (2.0, 0.35, 1.4) if pred.has_value else (0.35, 1.4)
    with figure_style() as plt:
        figure, axes = plt.subplots(
            len(tall),
            1,
            figsize=sized(0.75 * PAGE, 1.0 + sum(tall)),
            sharex=True,
            height_ratios=tall,
            layout="constrained",
        )
        if pred.has_value:
            low, high = (placed(x, pred, image) for x in pred.value_interval(level))
            _value_panel(axes[0], distance, pred, image, (low, high), level)
            if known is not None:
                axes[0].plot(
                    distance, placed(known, pred, image), color=OKABE_ITO[4], lw=1.2, label="truth"
                )
            _legend_above(axes[0])
        _class_strip(axes[-2], distance, size.width, placed(pred.labels, pred, image), pred)
        _doubt_panel(axes[-1], distance, pred, image)
        axes[-1].set_xlabel(f"distance ({size.unit})" if size.unit else "pixel")
        axes[-1].set_xlim(distance[0] - size.width / 2, distance[-1] + size.width / 2)
        handles = class_handles(pred.class_names)
        key_above(figure, handles, most=5)
    return figure


def value_label(pred: Reading) -> str:
    """Name and unit of the library's value."""
    return f"{pred.value_name} ({pred.value_unit})" if pred.value_unit else pred.value_name


def _checked(pred: Reading, truth: ArrayLike | None) -> Array | None:
    if not pred.has_value:
        raise ValueError("the library has no values; give it some: FingerprintLibrary(values=...)")
    if truth is None:
        return None
    known = validation.numbers("truth", truth)
    if known.shape != (len(pred),):
        raise ValueError(
            f"truth must be one value for each of {len(pred)} pixels, got {known.shape}"
        )
    return known


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan


def _condition_mean(values: Array, pred: Reading, where: Conditions) -> list[float]:
    index = where.of_pixels(np.asarray(pred.image))
    return [_mean(np.asarray(values)[index == c]) for c in range(len(where.names))]


def _aside(where: Conditions) -> Array:
    """How far each image stands beside its condition, shares of the axis."""
    aside = np.zeros(len(where.of_image))
    for c in range(len(where.names)):
        mine = np.flatnonzero(where.of_image == c)
        aside[mine] = APART * (np.arange(len(mine)) - (len(mine) - 1) / 2)
    return aside


def _value_panel(
    ax: Any, distance: Array, pred: Reading, image: int, ends: tuple[Array, Array], level: float
) -> None:
    ax.fill_between(
        distance, *ends, color=BAND, alpha=0.35, lw=0, label=f"{100 * level:g} % interval"
    )
    value = placed(np.asarray(pred.value), pred, image)
    ax.plot(distance, value, "o-", color=OKABE_ITO[0], ms=2.5, lw=1.0, label="posterior mean")
    ax.set_ylabel(value_label(pred))


def _class_strip(ax: Any, distance: Array, width: float, labels: Array, pred: Reading) -> None:
    colors = class_colors(len(pred.class_names))
    for start, k in zip(distance, labels.tolist(), strict=True):
        color = colors[k] if k >= 0 else "0.87"
        ax.axvspan(start - width / 2, start + width / 2, color=color, lw=0)
    ax.set(yticks=[], ylim=(0, 1))
    ax.set_ylabel("class", rotation=0, ha="right", va="center")


def _doubt_panel(ax: Any, distance: Array, pred: Reading, image: int) -> None:
    """The parts stacked: their upper edge is the total."""
    parts = [np.nan_to_num(placed(np.asarray(getattr(pred, p)), pred, image)) for p in PART_COLORS]
    ax.stackplot(distance, parts, colors=list(PART_COLORS.values()), labels=list(PART_COLORS), lw=0)
    ax.set_ylabel("uncertainty (nats)")
    ax.set_ylim(bottom=0)
    _legend_above(ax)


def _legend_above(ax: Any) -> None:
    """A legend in one row, and room for it above what is drawn."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + HEADROOM * (high - low))
    ax.legend(loc="upper right", ncols=3)
