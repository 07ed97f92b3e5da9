"""Edge spectra before anything is fitted: fingerprints, and what pixels show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.plots.page import sized
from eels_bayes.plots.style import class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (6.2, 3.4)  # inches
OVERLAP = "overlapping shape"
MOST_NAMED = 12  # lines that a legend names: more hide the spectra


def fingerprints(
    energy: ArrayLike,
    intensity: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    nuisances: ArrayLike = (),
    unit: str = "the library's unit",
) -> Figure:
    """All fingerprints in the colours of their classes, and what any pixel may carry besides.

    Parameters
    ----------
    energy : (N,) array_like
        eV.
    intensity : (M, N) array_like
    labels : (M,) array_like of int
        Class of each.
    class_names : (K,) sequence of str
    nuisances : (Q, N) array_like
        Dotted.
    unit : str
        Of the intensity.

    Returns
    -------
    matplotlib.figure.Figure
    """
    energy, rows = np.asarray(energy, dtype=float), np.asarray(intensity, dtype=float)
    colors, named = class_colors(len(class_names)), dict[int, Any]()
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=sized(*SIZE), layout="constrained")
        for row, label in zip(rows, np.asarray(labels).tolist(), strict=True):
            (line,) = ax.plot(energy, row, color=colors[label], lw=1.1)
            named.setdefault(label, line)
        shown = [(named[k], class_names[k]) for k in sorted(named)]
        overlaps = np.reshape(nuisances, (-1, len(energy)))
        lines = [ax.plot(energy, row, ":", color="0.3", lw=1.0)[0] for row in overlaps]
        shown += [(line, OVERLAP) for line in lines[:1]]
        _finished(ax, unit, shown)
    return figure


def edge_spectra(
    energy: ArrayLike,
    means: ArrayLike,
    sd: ArrayLike,
    names: Sequence[str],
    *,
    unit: str = "edge units",
) -> Figure:
    """Mean edge spectrum of each image, and the noise of one pixel.

    Parameters
    ----------
    energy : (L,) array_like
        eV.
    means : (I, L) array_like
        A row an image; NaN where none of its pixels is usable.
    sd : (L,) array_like
        Standard deviation of one pixel, drawn as a band around the mean of all.
    names : (I,) sequence of str
        Of the images.
    unit : str
        Of the intensity.

    Returns
    -------
    matplotlib.figure.Figure
    """
    energy, rows = np.asarray(energy, dtype=float), np.asarray(means, dtype=float)
    sd, known = np.asarray(sd, dtype=float), np.isfinite(rows).all(axis=1)
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=sized(*SIZE), layout="constrained")
        colors = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(rows)))
        named: list[tuple[Any, str]] = []
        if known.any():
            middle = rows[known].mean(axis=0)
            band = ax.fill_between(energy, middle - sd, middle + sd, fc="0.88", ec="0.6", lw=0.5)
            named.append((band, "one pixel's noise (± 1 sd)"))
        for k in np.flatnonzero(known).tolist():
            (line,) = ax.plot(energy, rows[k], color=colors[k], lw=1.1)
            named.append((line, names[k]))
        if len(named) > MOST_NAMED:  # their order is in their colours
            band, first, *_, last = named
            of = f"first of {np.count_nonzero(known)}"
            named = [band, (first[0], f"{first[1]} ({of})"), (last[0], f"{last[1]} (last)")]
        ax.axhline(0.0, color="0.7", lw=0.6, zorder=0)
        _finished(ax, unit, named)
    return figure


def _finished(ax: Any, unit: str, named: Sequence[tuple[Any, str]]) -> None:
    """Labels, and a legend of what has a name, as far as that leaves room."""
    ax.set(xlabel="energy loss (eV)", ylabel=f"intensity ({unit})")
    ax.margins(x=0)
    if named and len(named) <= MOST_NAMED:
        ax.legend([handle for handle, _ in named], [name for _, name in named], loc="best")
