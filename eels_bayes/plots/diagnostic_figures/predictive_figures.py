"""Posterior predictive checks: bands of replicates and p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.plots.diagnostic_figures.panels import panel_grid, shared_labels
from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTILES = (0.05, 0.25, 0.75, 0.95)  # ends of the 90 and 50 % bands
N_BINS = 20  # of p-values: one of 5 % is a bin


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
        One for each panel.
    unit : str
        Of the intensity.

    Returns
    -------
    matplotlib.figure.Figure

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
    band = np.nanquantile(replicated, QUANTILES, axis=0)
    with figure_style() as plt:
        figure, grid = panel_grid(plt, len(observed), (2.6, 2.0), sharex=True, sharey=True)
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
        shared_labels(figure, "energy loss (eV)", f"intensity ({unit})", grid[0])
    return figure


def predictive_p_values(p_values: Mapping[str, ArrayLike], *, n_bins: int = N_BINS) -> Figure:
    """Histograms of posterior predictive p-values over the pixels, a panel for each quantity.

    Parameters
    ----------
    p_values : mapping of str to (n,) array_like
        In [0, 1]; NaN is left out.
    n_bins : int
        Bars a panel.

    Returns
    -------
    matplotlib.figure.Figure

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
        figure, grid = panel_grid(plt, len(values), (2.4, 1.9), sharex=True, sharey=True)
        for ax, (name, p) in zip(grid, values.items(), strict=True):
            counts, edges = np.histogram(p, n_bins, (0, 1))
            ax.bar(edges[:-1], counts, 1 / n_bins, align="edge", fc=OKABE_ITO[0], ec="w", lw=0.4)
            ax.set_title(name, pad=3)
            ax.set(xlim=(0, 1))
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        shared_labels(figure, "share of replicates with the larger value", "pixels", None)
    return figure
