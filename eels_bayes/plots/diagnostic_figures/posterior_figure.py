"""Posterior means and sds of two methods against one another, as a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.plots.page import key_above, panels_across, sized
from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 2.2  # inches: a panel in print is no narrower
LOG_SPAN = 4  # largest over least sd above which their axes are logarithmic
# Largest over least value above which a logarithmic axis has these ticks a decade: as many as are
# read without meeting one another.
TICKS_A_DECADE: tuple[tuple[float, tuple[int, ...]], ...] = (
    (300, (1,)),
    (20, (1, 3)),
    (0, (1, 2, 5)),
)
BEYOND_ENDS = 0.1  # share of an end by which a tick may lie beyond it


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
        Of n pixels and D latents.
    trusted : (n, D) array_like of bool, optional
        Where the reference has converged, such as R-hat below 1.05; the rest is drawn grey.
    name, reference : str
        Of the two methods, for the axes' labels.

    Returns
    -------
    matplotlib.figure.Figure

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
        across = panels_across(2, WIDE)
        size = (7.0, 3.6) if across == 2 else (4.0, 6.4)
        figure, axes = plt.subplots(2 // across, across, figsize=sized(*size), layout="constrained")
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
            if what == "sd" and 0 < LOG_SPAN * low < high:
                ax.set(xscale="log", yscale="log")
                _plain_log_ticks(ax, low, high)
            ax.set_aspect("equal")
        key_above(figure, axes[0].get_legend_handles_labels()[0])
    return figure


def _plain_log_ticks(ax: Axes, low: float, high: float) -> None:
    """A few round numbers, written out."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    steps = next(steps for span, steps in TICKS_A_DECADE if high / low > span)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**d for d in decades for step in steps]
    ticks = [t for t in ticks if (1 - BEYOND_ENDS) * low <= t <= (1 + BEYOND_ENDS) * high]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
