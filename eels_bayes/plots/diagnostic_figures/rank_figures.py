"""Ranks of simulation-based calibration: histograms and empirical distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from eels_bayes.plots.diagnostic_figures.panels import BAND, panel_grid, shared_labels
from eels_bayes.plots.page import key_above, narrow, sized
from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_BINS = 20  # of ranks: each of the usual 1000 pixels' bins holds 50, a relative sd of 14 %
LEVEL = 0.95  # of the bands
LEGEND_ROWS = 16  # of the legend: as many as fit beside the axes
DASHES = ("-", "--", ":", "-.")  # of lines whose colours repeat


def rank_histograms(
    ranks: ArrayLike,
    n_draws: int,
    names: Sequence[str] | None = None,
    *,
    n_bins: int = N_BINS,
    level: float = LEVEL,
) -> Figure:
    """Rank histograms of simulation-based calibration with the binomial band.

    A hump says that posteriors are too wide, a valley that they are too narrow, a slope that they
    are biased (Talts et al., arXiv:1804.06788). A PIT ``u`` is a rank ``floor(u (n_draws + 1))``.

    Parameters
    ----------
    ranks : (n,) or (n, D) array_like of int
        0..n_draws.
    n_draws : int
        Posterior draws that each rank is among.
    names : (D,) sequence of str, optional
        Panel titles; "z 1", "z 2" ... by default.
    n_bins : int
        Bars a panel; must divide n_draws + 1.
    level : float
        Probability that a uniform bin lies in the band, each by itself.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes disagree or bins do not divide.
    """
    columns, titles = _columns(ranks, n_draws, names)
    if n_bins < 1 or (n_draws + 1) % n_bins:
        raise ValueError(f"n_bins must divide n_draws + 1 = {n_draws + 1}, got {n_bins}")
    n = len(columns)
    low, high = stats.binom.interval(level, n, 1 / n_bins)
    width = (n_draws + 1) // n_bins
    with figure_style() as plt:
        figure, grid = panel_grid(plt, len(titles), (1.75, 1.45), sharex=True, sharey=True)
        for ax, title, values in zip(grid, titles, columns.T, strict=True):
            counts = np.bincount(values // width, minlength=n_bins)
            ax.axhspan(low, high, color=BAND, lw=0, label=f"{100 * level:g} % band")
            ax.axhline(n / n_bins, color="0.5", lw=0.8, label="uniform")
            ax.bar(
                np.arange(n_bins) * width,
                counts,
                width,
                align="edge",
                fc=OKABE_ITO[0],
                alpha=0.75,
                ec="w",
                lw=0.4,
                label="observed",
            )
            ax.set_title(title, pad=3)
            ax.set(xlim=(0, n_draws + 1), xticks=[0, (n_draws + 1) // 2, n_draws + 1])
        shared_labels(figure, f"rank among {n_draws} draws", "pixels", grid[0])
    return figure


def ecdf_difference(
    ranks: ArrayLike,
    n_draws: int,
    names: Sequence[str] | None = None,
    *,
    level: float = LEVEL,
) -> Figure:
    """Empirical distribution of ranks minus the uniform one, with Kolmogorov's simultaneous band.

    Shows what a histogram's bins hide. A line leaves the band anywhere with probability
    1 - ``level`` if its ranks are uniform (a little less often: ranks are discrete). The exact
    distribution is that of Kolmogorov's statistic at n; bands that are tighter at the ends are in
    Sailynoja, Burkner and Vehtari, Stat. Comput. 32, 32 (2022).

    Parameters
    ----------
    ranks : (n,) or (n, D) array_like of int
        0..n_draws.
    n_draws : int
        Posterior draws that each rank is among.
    names : (D,) sequence of str, optional
        Of the lines; those that leave the band are named in the legend.
    level : float
        Probability that the whole of a uniform line lies in the band.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    columns, titles = _columns(ranks, n_draws, names)
    n = len(columns)
    half = float(stats.kstwo.ppf(level, n))
    grid = np.arange(n_draws + 2) / (n_draws + 1)
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=sized(5.6, 3.2), layout="constrained")
        handles: list[Any] = [
            ax.axhspan(-half, half, color=BAND, lw=0, label=f"{100 * level:g} % band")
        ]
        ax.axhline(0, color="0.5", lw=0.8)
        outside, top = 0, half
        for title, values in zip(titles, columns.T, strict=True):
            below = np.bincount(values, minlength=n_draws + 1).cumsum()
            difference = np.append(0, below) / n - grid
            top = max(top, float(np.abs(difference).max()))
            if np.abs(difference).max() > half or len(titles) == 1:
                style = DASHES[outside // len(OKABE_ITO) % len(DASHES)]
                color = OKABE_ITO[outside % len(OKABE_ITO)]
                handles += ax.plot(grid, difference, style, color=color, lw=1.4, label=title)
                outside += 1
            else:
                ax.plot(grid, difference, color="0.45", lw=0.8)
        ax.set(xlabel="rank / number of draws", ylabel="ECDF \N{MINUS SIGN} uniform")
        ax.set(xlim=(0, 1), ylim=(-1.1 * top, 1.1 * top))
        if narrow():
            key_above(figure, handles)
        else:
            beside = 1 + outside // LEGEND_ROWS
            figure.legend(handles=handles, loc="outside right upper", ncols=beside)
    return figure


def _columns(
    ranks: ArrayLike, n_draws: int, names: Sequence[str] | None
) -> tuple[NDArray[Any], list[str]]:
    """Ranks as (n, D) and a title for each column."""
    columns = np.asarray(ranks)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or not columns.size or not np.issubdtype(columns.dtype, np.integer):
        raise ValueError(
            f"ranks must be integers of shape (n,) or (n, D), got {columns.dtype} of shape "
            f"{np.shape(ranks)}"
        )
    if columns.min() < 0 or columns.max() > n_draws:
        raise ValueError(
            f"ranks run from {columns.min()} to {columns.max()}; 0..{n_draws} is possible"
        )
    titles = [f"z {d + 1}" for d in range(columns.shape[1])] if names is None else list(names)
    if len(titles) != columns.shape[1]:
        raise ValueError(f"{len(titles)} names for {columns.shape[1]} columns of ranks")
    return columns, titles
