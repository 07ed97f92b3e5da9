"""A fit at a glance: its course, how well pixels are described, and what is left of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.plots.fit_class_panels import ROOM, class_panels, panel_grid
from eels_bayes.plots.page import narrow, sized
from eels_bayes.plots.style import class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL = (0.7, 1.5)  # of a chi-square, shaded
COURSE = 0.02  # of the whole gain: an iteration that still lacked more is not shown


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
    rows, columns = panel_grid(n_classes)
    with figure_style() as plt:
        heights = (2.0 + 0.12 * n_classes) * (2 if narrow() else 1), 2.9 * rows
        figure = plt.figure(
            figsize=sized(2.5 * max(columns, 3), sum(heights)), layout="constrained"
        )
        top, below = figure.subfigures(2, 1, height_ratios=heights, hspace=0.02)
        left, right = top.subplots(2, 1) if narrow() else top.subplots(1, 2)
        _course(left, np.asarray(log_likelihood, dtype=float))
        _chi_squares(right, class_names, colors, chi_square, class_chi_square, taken)
        class_panels(below, energy, class_names, arrays, pixels)
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
    ax.set_xlim(left=int(near.argmax()))  # one iteration before the first that is shown
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
    ax.set(xlim=(0.0, ROOM * most), xlabel="chi-square a channel of the window")
    ax.set_title("misfit; 1 is expected")


def _checked(
    arrays: dict[str, ArrayLike], shape: tuple[int, int]
) -> dict[str, NDArray[np.float64]]:
    """The arrays as numbers; ValueError where one has another shape than (K, W)."""
    values = {key: np.asarray(array, dtype=np.float64) for key, array in arrays.items()}
    for key, array in values.items():
        if array.shape != shape:
            raise ValueError(f"{key} must be (classes, bins) = {shape}, got {array.shape}")
    return values
