"""A signal before anything is fitted: mean spectrum with windows, and noise against counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.page import LEAST_TEXT, panels_across, points, sized
from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAND_COLORS = dict(zip(("window", "background", "normalize", "align"), OKABE_ITO, strict=False))
SIZE = (9.0, 3.4)  # inches
STACKED = (5.2, 6.4)  # inches, one panel below the other
WIDE = 2.6  # inches: a panel in print is no narrower
ROOM = (
    1.15  # of the largest counts and, squared, of the largest variance that the right panel shows
)
STYLES = ("-", "--", ":")  # of the lines
MARK = {"color": "0.4", "lw": 0.7, "ls": ":"}  # the line of an edge
HEADROOM = 1.35  # of the largest count, in which edges are named
LEVELS = (0.99, 0.87)  # of the panel's height: names of edges that stand close take turns
# Of a legend: windows and a steep line lie behind it.
FRAME: Any = {"frameon": True, "framealpha": 0.8, "edgecolor": "none"}
CLOSE = 0.03  # of the panel's width: a name needs as much


def inspection(
    energy: ArrayLike,
    mean: ArrayLike,
    bands: Mapping[str, tuple[float, float]],
    *,
    background: tuple[ArrayLike, ArrayLike] | None = None,
    levels: ArrayLike = (),
    variances: ArrayLike = (),
    lines: Mapping[str, tuple[float, float]] | None = None,
    edges: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Mean spectrum with windows and background; variance of counts against their mean.

    Parameters
    ----------
    energy, mean : (E,) array_like
        eV, and counts a channel.
    bands : mapping of str to (low, high)
        Windows, eV.
    background : (energy, counts), optional
        The fitted background.
    levels, variances : (S,) array_like
        Mean counts and variances of a channel in stretches of the spectra.
    lines : mapping of str to (gain, constant)
        Variances ``gain * counts + constant`` to draw beside them, by what says so.
    edges : mapping of str to float, optional
        Onsets to mark, eV, by name.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If what should be numbers is none, shapes disagree, or there is no such window.
    """
    energy, mean = _alike(energy=energy, mean=mean)
    levels, variances = _alike(levels=levels, variances=variances)
    for name in bands:
        validation.choice("a band's name", name, tuple(BAND_COLORS))
        validation.interval(name, bands[name])
    with figure_style() as plt:
        across = panels_across(2, WIDE)
        figure, (left, right) = plt.subplots(
            2 // across,
            across,
            figsize=sized(*(SIZE if across == 2 else STACKED)),
            layout="constrained",
        )
        for name, (low, high) in bands.items():
            left.axvspan(low, high, color=BAND_COLORS[name], alpha=0.2, lw=0, label=name)
        left.plot(energy, mean, color="0.1", lw=1.0, label="mean spectrum")
        if background is not None:
            left.plot(*background, "--", color=OKABE_ITO[4], lw=1.2, label="fitted background")
        left.set(xlabel="energy loss (eV)", ylabel="counts a channel")
        left.margins(x=0)
        _mark(left, edges or {}, float(np.nanmax(mean, initial=0.0)))
        _noise_panel(right, levels, variances, lines or {})
        figure.suptitle(title, size=points(9))
    return figure


def _alike(**given: ArrayLike) -> list[NDArray[np.float64]]:
    """Arrays (n,) of one length, checked."""
    arrays = [validation.numbers(name, value) for name, value in given.items()]
    if arrays[0].ndim != 1 or len({array.shape for array in arrays}) > 1:
        raise ValueError(
            f"{' and '.join(given)} must be of one length (n,), got "
            f"{' and '.join(str(array.shape) for array in arrays)}"
        )
    return arrays


def _mark(ax: Any, edges: Mapping[str, float], most: float) -> None:
    """Onsets and their names above the spectrum, and the legend below them."""
    turn, last = 0, -np.inf
    low, high = ax.get_xlim()
    for name, onset in sorted(edges.items(), key=lambda one: one[1]):
        place = (onset - low) / (high - low)
        turn = (turn + 1) % len(LEVELS) if place - last < CLOSE else 0
        last = place
        ax.axvline(onset, **MARK)
        ax.annotate(
            name,
            (onset, LEVELS[turn]),
            xycoords=("data", "axes fraction"),
            xytext=(-1, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="top",
            fontsize=LEAST_TEXT,
        )
    if edges and most > 0:
        ax.set_ylim(top=HEADROOM * most)
    top = 1.0 / HEADROOM if edges else 1.0
    ax.legend(fontsize=_small(), loc="upper right", bbox_to_anchor=(1.0, top), **FRAME)


def _small() -> float:
    """Points of a legend's text: many entries on little room."""
    return max(LEAST_TEXT, points(7))


def _noise_panel(
    ax: Any,
    levels: NDArray[np.float64],
    variances: NDArray[np.float64],
    lines: Mapping[str, tuple[float, float]],
) -> None:
    """Variances against mean counts, and what is said of them."""
    ax.set(xlabel="mean counts a channel", ylabel="variance of a channel (counts²)")
    if len(levels):
        ax.plot(levels, variances, ".", color="0.6", ms=3, label="stretches of the spectra")
    ends = np.array([0.0, float(levels.max()) if len(levels) else 1.0])
    most = float(np.quantile(variances, 0.98)) if len(variances) else 0.0
    for style, color, (name, (gain, constant)) in zip(
        STYLES, OKABE_ITO, lines.items(), strict=False
    ):
        ax.plot(ends, gain * ends + constant, style, color=color, label=name)
    if most > 0:
        ax.set_ylim(0.0, ROOM * ROOM * most)
    ax.set_xlim(0.0, ROOM * ends[1])
    ax.legend(handles=ax.get_lines(), fontsize=_small(), loc="upper left", **FRAME)
