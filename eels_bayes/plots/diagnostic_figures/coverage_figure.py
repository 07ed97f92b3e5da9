"""Observed against nominal coverage of intervals, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.plots.diagnostic_figures.panels import BAND
from eels_bayes.plots.page import sized
from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_SPREAD = 1e-12  # guards the division at levels 0 and 1, where nothing scatters


def coverage(level: ArrayLike, observed: ArrayLike, standard_error: ArrayLike) -> Figure:
    """Observed against nominal coverage of central intervals, with two standard errors.

    Parameters
    ----------
    level, observed, standard_error : (J,) array_like
        As in :class:`~eels_bayes.diagnostics.ranks.Coverage`.

    Returns
    -------
    matplotlib.figure.Figure

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
        figure, ax = plt.subplots(figsize=sized(3.8, 3.8), layout="constrained")
        grid = np.linspace(0, 1, 101)
        scale = float(np.median(error / np.sqrt(np.maximum(level * (1 - level), LEAST_SPREAD))))
        half = 2 * scale * np.sqrt(grid * (1 - grid))
        ax.fill_between(grid, grid - half, grid + half, color=BAND, lw=0, label="± 2 SE")
        ax.plot(grid, grid, color="0.5", lw=0.8, label="calibrated")
        ax.plot(level, observed, "o-", color=OKABE_ITO[0], ms=5, lw=1.2, label="observed")
        ax.set(xlabel="nominal coverage", ylabel="observed coverage", xlim=(0, 1), ylim=(0, 1.01))
        ax.set_aspect("equal")
        ax.legend(loc="upper left")
    return figure
