"""A signal before anything is fitted: mean spectrum with windows, and noise against counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAND_COLORS = dict(zip(("window", "background", "normalize", "align"), OKABE_ITO, strict=False))
SIZE = (9.0, 3.4)  # inches
ROOM = 1.15  # of the largest variance of a line, up to which the right panel shows
STYLES = ("-", "--", ":")  # of the lines


def inspection(
    energy: ArrayLike,
    mean: ArrayLike,
    bands: Mapping[str, tuple[float, float]],
    *,
    background: tuple[ArrayLike, ArrayLike] | None = None,
    levels: ArrayLike = (),
    variances: ArrayLike = (),
    lines: Mapping[str, tuple[float, float]] | None = None,
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
        figure, (left, right) = plt.subplots(1, 2, figsize=SIZE, layout="constrained")
        for name, (low, high) in bands.items():
            left.axvspan(low, high, color=BAND_COLORS[name], alpha=0.2, lw=0, label=name)
        left.plot(energy, mean, color="0.1", lw=1.0, label="mean spectrum")
        if background is not None:
            left.plot(*background, "--", color=OKABE_ITO[4], lw=1.2, label="background")
        left.set(xlabel="energy loss (eV)", ylabel="counts a channel")
        left.margins(x=0)
        left.legend(fontsize=7)
        _noise_panel(right, levels, variances, lines or {})
        figure.suptitle(title, size=9)
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
        ax.set_ylim(0.0, 2.0 * ROOM * most)
    ax.set_xlim(0.0, ROOM * ends[1])
    ax.legend(handles=ax.get_lines(), fontsize=7, loc="upper left")
