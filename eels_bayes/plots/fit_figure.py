"""A fit at a glance: its course, how well pixels are described, and what is left of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.plots.style import class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 4  # panels a row: more are too narrow to read energies from
USUAL = (0.7, 1.5)  # of a chi-square, shaded
BAND = 2.0  # standard errors of a mean residual that are shaded
BAND_COLOR = "0.85"
LEAST_RESIDUAL = 0.5  # sd of a pixel up to which residuals are shown at least
COURSE = 0.02  # of the whole gain: an iteration that still lacked more is not shown
ROOM = 1.15  # of the largest value up to which an axis reaches


def fit_overview(
    log_likelihood: ArrayLike,
    energy: ArrayLike,
    class_names: Sequence[str],
    *,
    chi_square: tuple[float, float],
    class_chi_square: tuple[ArrayLike, ArrayLike],
    residual: ArrayLike,
    band: ArrayLike,
    edge: ArrayLike,
    edge_fit: ArrayLike,
    fingerprint: ArrayLike,
    pixels: ArrayLike,
) -> Figure:
    """Course of a fit, chi-square of its classes, and their mean spectra and residuals.

    Parameters
    ----------
    log_likelihood : (I,) array_like
        Of each iteration, nats a pixel.
    energy : (W,) array_like
        Energy loss, eV.
    class_names : (K,) sequence of str
    chi_square : (float, float)
        Of all pixels, a channel, and its standard error.
    class_chi_square : ((K,) array_like, (K,) array_like)
        Of each class's pixels, and the standard errors.
    residual, band : (K, W) array_like
        Mean residual of each class's pixels and its standard error, sd of one pixel's noise.
    edge, edge_fit, fingerprint : (K, W) array_like
        Mean spectrum of each class's pixels less the continuum, what the model makes of it, and
        what the library shows.
    pixels : (K,) array_like
        Of each class; 0 where no pixel takes it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    energy, pixels = np.asarray(energy, dtype=float), np.asarray(pixels, dtype=float)
    n_classes = len(class_names)
    spectra = {"edge": edge, "edge_fit": edge_fit, "fingerprint": fingerprint}
    arrays = _checked({"residual": residual, "band": band, **spectra}, (n_classes, len(energy)))
    taken = pixels > 0
    colors = class_colors(n_classes)
    columns = min(max(n_classes, 2), MOST_COLUMNS)
    rows = math.ceil(n_classes / columns)
    with figure_style() as plt:
        figure = plt.figure(
            figsize=(2.5 * columns, 2.0 + 0.12 * n_classes + 2.9 * rows), layout="constrained"
        )
        top, below = figure.subfigures(
            2, 1, height_ratios=(2.0 + 0.12 * n_classes, 2.9 * rows), hspace=0.02
        )
        left, right = top.subplots(1, 2)
        _course(left, np.asarray(log_likelihood, dtype=float))
        _chi_squares(right, class_names, colors, chi_square, class_chi_square, taken)
        grid = below.subplots(
            2 * rows,
            columns,
            sharex=True,
            squeeze=False,
            height_ratios=(1.4, 1.0) * rows,
        )
        for ax in grid.flat:
            ax.set_visible(False)
        for k, name in enumerate(class_names):
            row, column = divmod(k, columns)
            pair = grid[2 * row, column], grid[2 * row + 1, column]
            of_class = {key: array[k] for key, array in arrays.items()}
            n = max(1, round(pixels[k])) if taken[k] else "no"
            title = f"{name}: {n} pixel" + ("" if n in (1, "no") else "s")
            _class_panels(pair, energy, of_class, colors[k], title, seen=bool(taken[k]))
        _same_limits(grid, arrays, taken)
        for row in range(rows):
            grid[2 * row, 0].set_ylabel("edge units")
            grid[2 * row + 1, 0].set_ylabel("residual (sd)")
        below.legend(handles=_handles(), loc="outside upper center", ncols=4)
        below.supxlabel("energy loss (eV)", size=9)
    return figure


def _course(ax: Any, course: NDArray[np.float64]) -> None:
    """The log-likelihood of each iteration; the first ones, far below, are left out."""
    number = np.arange(1, len(course) + 1)
    ax.plot(number, course, ".-", color="0.2", ms=3, lw=1.0)
    near = course >= course.max() - max(COURSE * np.ptp(course), 1.0)
    low, high = course[near].min(), course.max()
    room = 0.08 * max(high - low, 1e-3)
    ax.set(
        xlabel="iteration", ylabel="log-likelihood (nats a pixel)", ylim=(low - room, high + room)
    )
    ax.set_title("course of the fit")


def _chi_squares(
    ax: Any,
    class_names: Sequence[str],
    colors: Sequence[Any],
    overall: tuple[float, float],
    by_class: tuple[ArrayLike, ArrayLike],
    taken: NDArray[np.bool_],
) -> None:
    """Chi-squares with two standard errors, all pixels on top."""
    chi, error = (np.asarray(values, dtype=float) for values in by_class)
    ax.axvspan(*USUAL, color="0.92", lw=0)
    ax.axvline(1.0, color="0.6", lw=0.8)
    ax.errorbar(overall[0], -1, xerr=2 * overall[1], fmt="D", color="0.1", ms=5, capsize=2)
    for k in np.flatnonzero(taken).tolist():
        ax.errorbar(chi[k], k, xerr=2 * error[k], fmt="o", color=colors[k], ms=5, capsize=2)
    ax.set_yticks(range(-1, len(class_names)), ["all pixels", *class_names])
    ax.set_ylim(len(class_names) - 0.5, -1.5)
    most = max(float(overall[0] + 2 * overall[1]), *(chi + 2 * error)[taken], USUAL[1])
    ax.set_xlim(0.0, ROOM * most)
    ax.set(xlabel="chi-square a channel")
    ax.set_title("misfit in the window; 1 is expected")


def _class_panels(
    pair: tuple[Any, Any],
    energy: NDArray[np.float64],
    arrays: dict[str, NDArray[np.float64]],
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


def _same_limits(
    grid: NDArray[Any], arrays: dict[str, NDArray[np.float64]], taken: NDArray[np.bool_]
) -> None:
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


def _checked(
    arrays: dict[str, ArrayLike], shape: tuple[int, int]
) -> dict[str, NDArray[np.float64]]:
    """The arrays as numbers; ValueError where one has another shape than (K, W)."""
    values = {key: np.asarray(array, dtype=np.float64) for key, array in arrays.items()}
    for key, array in values.items():
        if array.shape != shape:
            raise ValueError(f"{key} must be (classes, bins) = {shape}, got {array.shape}")
    return values
