"""Figures of :mod:`eels_bayes.diagnostics`, from plain arrays; one public call each.

In the style of :mod:`eels_bayes.plots`. Bands are what a calibrated model would scatter by, so
that what leaves them can be read as misfit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = "0.85"


def rank_histograms(
    ranks: ArrayLike,
    n_draws: int,
    names: Sequence[str] | None = None,
    *,
    n_bins: int = 20,
    level: float = 0.95,
) -> Figure:
    """Rank histograms of simulation-based calibration with the binomial band.

    A hump says that posteriors are too wide, a valley that they are too narrow, a slope that they
    are biased (Talts et al., arXiv:1804.06788). A PIT ``u`` is a rank ``floor(u (n_draws + 1))``.

    Parameters
    ----------
    ranks : (n,) or (n, D) array_like of int
        0..n_draws.
    n_draws : int
    names : (D,) sequence of str, optional
        Panel titles; "z 1", "z 2" ... by default.
    n_bins : int
        Must divide n_draws + 1.
    level : float
        Probability that a uniform bin lies in the band, each by itself.

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
        figure, grid = _grid(plt, len(titles), (1.75, 1.45), sharex=True, sharey=True)
        for ax, title, values in zip(grid, titles, columns.T, strict=True):
            counts = np.bincount(values // width, minlength=n_bins)
            ax.axhspan(low, high, color=_BAND, lw=0, label=f"{100 * level:g} % band")
            ax.axhline(n / n_bins, color="0.5", lw=0.8, label="uniform")
            left = np.arange(n_bins) * width
            ax.bar(
                left,
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
        _shared_labels(figure, f"rank among {n_draws} draws", "pixels", grid[0])
    return figure


def ecdf_difference(
    ranks: ArrayLike,
    n_draws: int,
    names: Sequence[str] | None = None,
    *,
    level: float = 0.95,
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
    names : (D,) sequence of str, optional
        Of the lines; those that leave the band are named in the legend.
    level : float

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
        figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
        ax.axhspan(-half, half, color=_BAND, lw=0, label=f"{100 * level:g} % band")
        ax.axhline(0, color="0.5", lw=0.8)
        outside, top = 0, half
        for title, values in zip(titles, columns.T, strict=True):
            below = np.bincount(values, minlength=n_draws + 1).cumsum()
            difference = np.append(0, below) / n - grid
            top = max(top, float(np.abs(difference).max()))
            if np.abs(difference).max() > half or len(titles) == 1:
                style = ("-", "--", ":", "-.")[outside // len(OKABE_ITO) % 4]
                color = OKABE_ITO[outside % len(OKABE_ITO)]
                ax.plot(grid, difference, style, color=color, lw=1.4, label=title)
                outside += 1
            else:
                ax.plot(grid, difference, color="0.45", lw=0.8)
        ax.set(xlabel="rank / number of draws", ylabel="ECDF - uniform")
        ax.set(xlim=(0, 1), ylim=(-1.1 * top, 1.1 * top))
        figure.legend(loc="outside right upper", ncols=1 + outside // 16)
    return figure


def active_units(variance: ArrayLike, kl: ArrayLike, *, threshold: float = 0.01) -> Figure:
    """Activity and KL divergence of each latent dimension, the most active first.

    Parameters
    ----------
    variance : (D,) array_like
        ``Cov_x(E_q[z_d])`` (Burda, Grosse and Salakhutdinov, ICLR 2016).
    kl : (D,) array_like
        Nats.
    threshold : float
        Activity that counts.

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    variance, kl = np.asarray(variance, dtype=float), np.asarray(kl, dtype=float)
    if variance.ndim != 1 or not variance.size or kl.shape != variance.shape:
        raise ValueError(f"variance and kl must be (D,), got {variance.shape} and {kl.shape}")
    order = np.argsort(-variance, kind="stable")
    active = variance[order] > threshold
    colors = np.where(active, OKABE_ITO[0], "0.7").tolist()
    at = np.arange(len(order))
    floor = 0.1 * min(threshold, max(float(variance.min()), 1e-6))
    with figure_style() as plt:
        figure, (ax, below) = plt.subplots(
            2, 1, figsize=(max(3.6, 1.2 + 0.3 * len(at)), 4.2), sharex=True, layout="constrained"
        )
        ax.bar(at, np.maximum(variance[order], floor), color=colors)
        ax.axhline(threshold, color=OKABE_ITO[4], ls="--", lw=1.2, label=f"threshold {threshold:g}")
        ax.set(yscale="log", ylabel="variance of the mean", ylim=(floor, None))
        ax.set_title(f"{int(active.sum())} of {len(at)} latents active")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right")
        below.bar(at, kl[order], color=colors)
        below.set(xlabel="latent dimension", ylabel="KL to the prior (nats)")
        below.set_xticks(at, [str(d + 1) for d in order])
    return figure


def posterior_scatter(
    mean: ArrayLike,
    sd: ArrayLike,
    reference_mean: ArrayLike,
    reference_sd: ArrayLike,
    *,
    trusted: ArrayLike | None = None,
    name: str = "amortised",
    reference: str = "NUTS",
) -> Figure:
    """Posterior means and sds of two methods against one another.

    Parameters
    ----------
    mean, sd, reference_mean, reference_sd : (n, D) array_like
    trusted : (n, D) array_like of bool, optional
        Where the reference has converged, such as R-hat below 1.05; the rest is drawn grey.
    name, reference : str
        Of the two methods.

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    pairs = [
        tuple(np.asarray(x, dtype=float) for x in pair)
        for pair in ((reference_mean, mean), (reference_sd, sd))
    ]
    shapes = {x.shape for pair in pairs for x in pair}
    keep = np.ones(pairs[0][0].shape, bool) if trusted is None else np.asarray(trusted, dtype=bool)
    if len(shapes | {keep.shape}) != 1:
        raise ValueError(f"means, sds and trusted must have one shape, got {sorted(shapes)}")
    with figure_style() as plt:
        figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.6), layout="constrained")
        for ax, (x, y), what in zip(axes, pairs, ("mean", "sd"), strict=True):
            low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
            ends = np.array([low, high])
            ax.plot(ends, ends, color="0.5", lw=0.8, label="equal")
            if not keep.all():
                ax.plot(
                    x[~keep], y[~keep], ".", ms=3, color="0.65", label="not converged", zorder=1
                )
            ax.plot(x[keep], y[keep], ".", ms=4, color=OKABE_ITO[0], alpha=0.6, label="converged")
            ax.set(xlabel=f"posterior {what}, {reference}", ylabel=f"posterior {what}, {name}")
            if what == "sd" and 0 < 4 * low < high:
                ax.set(xscale="log", yscale="log")
                _plain_log_ticks(ax, low, high)
            ax.set_aspect("equal")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def coverage(level: ArrayLike, observed: ArrayLike, standard_error: ArrayLike) -> Figure:
    """Observed against nominal coverage of central intervals, with two standard errors.

    Parameters
    ----------
    level, observed, standard_error : (J,) array_like
        As in :class:`~eels_bayes.diagnostics.ranks.Coverage`.

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    level, observed, error = (np.asarray(x, dtype=float) for x in (level, observed, standard_error))
    if level.ndim != 1 or not level.size or not level.shape == observed.shape == error.shape:
        raise ValueError(
            "level, observed and standard_error must be (J,), got "
            f"{level.shape}, {observed.shape} and {error.shape}"
        )
    order = np.argsort(level)
    level, observed, error = level[order], observed[order], error[order]
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=(3.8, 3.8), layout="constrained")
        grid = np.linspace(0, 1, 101)
        scale = float(np.median(error / np.sqrt(np.maximum(level * (1 - level), 1e-12))))
        half = 2 * scale * np.sqrt(grid * (1 - grid))
        ax.fill_between(grid, grid - half, grid + half, color=_BAND, lw=0, label="± 2 SE")
        ax.plot(grid, grid, color="0.5", lw=0.8, label="calibrated")
        ax.plot(level, observed, "o-", color=OKABE_ITO[0], ms=5, lw=1.2, label="observed")
        ax.set(xlabel="nominal coverage", ylabel="observed coverage", xlim=(0, 1), ylim=(0, 1.01))
        ax.set_aspect("equal")
        ax.legend(loc="upper left")
    return figure


def predictive_bands(
    energy: ArrayLike,
    observed: ArrayLike,
    replicated: ArrayLike,
    titles: Sequence[str] | None = None,
    *,
    unit: str = "edge units",
) -> Figure:
    """Measured spectra on the 50 and 90 % bands of their replicates, a panel each.

    Parameters
    ----------
    energy : (L,) array_like
        Energy loss in eV.
    observed : (n, L) array_like
        A handful of pixels.
    replicated : (S, n, L) array_like
        NaN where a replicate was flagged.
    titles : (n,) sequence of str, optional
    unit : str
        Of the intensity.

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    energy, observed, replicated = (
        np.asarray(x, dtype=float) for x in (energy, observed, replicated)
    )
    if observed.ndim != 2 or observed.shape[1:] != energy.shape or not len(observed):
        raise ValueError(f"observed must be (n, {energy.size}) like energy, got {observed.shape}")
    if replicated.ndim != 3 or replicated.shape[1:] != observed.shape:
        raise ValueError(f"replicated must be (S, {observed.shape}), got {replicated.shape}")
    if titles is not None and len(titles) != len(observed):
        raise ValueError(f"{len(titles)} titles for {len(observed)} spectra")
    band = np.nanquantile(replicated, [0.05, 0.25, 0.75, 0.95], axis=0)
    with figure_style() as plt:
        figure, grid = _grid(plt, len(observed), (2.6, 2.0), sharex=True, sharey=True)
        for i, ax in enumerate(grid):
            color = OKABE_ITO[0]
            ax.fill_between(
                energy, band[0, i], band[3, i], color=color, alpha=0.2, lw=0, label="90 % band"
            )
            ax.fill_between(
                energy, band[1, i], band[2, i], color=color, alpha=0.4, lw=0, label="50 % band"
            )
            ax.plot(energy, observed[i], color="0.1", lw=0.7, label="measured")
            ax.margins(x=0)
            if titles is not None:
                ax.set_title(titles[i], pad=3)
        _shared_labels(figure, "energy loss (eV)", f"intensity ({unit})", grid[0])
    return figure


def predictive_p_values(p_values: Mapping[str, ArrayLike], *, n_bins: int = 20) -> Figure:
    """Histograms of posterior predictive p-values over the pixels, a panel for each quantity.

    Parameters
    ----------
    p_values : mapping of str to (n,) array_like
        In [0, 1]; NaN is left out.
    n_bins : int

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    values = {name: np.asarray(p, dtype=float) for name, p in p_values.items()}
    values = {name: p[np.isfinite(p)] for name, p in values.items()}
    if not values or not all(p.size for p in values.values()):
        raise ValueError("p_values is empty; at least one quantity with a finite value is needed")
    with figure_style() as plt:
        figure, grid = _grid(plt, len(values), (2.4, 1.9), sharex=True, sharey=True)
        for ax, (name, p) in zip(grid, values.items(), strict=True):
            counts, edges = np.histogram(p, n_bins, (0, 1))
            ax.bar(edges[:-1], counts, 1 / n_bins, align="edge", fc=OKABE_ITO[0], ec="w", lw=0.4)
            ax.set_title(name, pad=3)
            ax.set(xlim=(0, 1))
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        _shared_labels(figure, "share of replicates with the larger value", "pixels", None)
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


def _grid(plt: Any, n: int, panel: tuple[float, float], **shared: bool) -> tuple[Any, list[Axes]]:
    """A figure of n panels of the given size in inches, at most as many rows as columns."""
    columns = min(n, max(3, math.ceil(math.sqrt(n))))
    rows = math.ceil(n / columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(max(3.8, 0.6 + panel[0] * columns), 0.9 + panel[1] * rows),
        squeeze=False,
        layout="constrained",
        **shared,
    )
    for ax in grid.flat[n:]:
        ax.remove()
    for k, ax in enumerate(grid.flat[:n]):
        ax.tick_params(labelbottom=k + columns >= n)
        ax.yaxis.get_major_locator().set_params(integer=True)
    return figure, list(grid.flat[:n])


def _shared_labels(figure: Figure, x: str, y: str, keyed: Axes | None) -> None:
    figure.supxlabel(x, size=9)
    figure.supylabel(y, size=9)
    if keyed is not None:
        handles, names = keyed.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))


def _plain_log_ticks(ax: Axes, low: float, high: float) -> None:
    """A few round numbers, written out."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    steps = (1,) if high / low > 300 else (1, 3) if high / low > 20 else (1, 2, 5)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**d for d in decades for step in steps]
    ticks = [t for t in ticks if 0.9 * low <= t <= 1.1 * high]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
