"""Spectra with their bands as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.page import key_above, label_all, panels_across, sized
from eels_bayes.plots.style import class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 4  # panels a row: more are too narrow to read energies from


def spectra_bands(
    energy: ArrayLike,
    mean: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    class_names: Sequence[str],
    *,
    fingerprints: ArrayLike | None = None,
    level: float = 0.9,
    unit: str = "edge units",
) -> Figure:
    """Denoised spectra of each class with credible bands, the fingerprint dashed.

    Parameters
    ----------
    energy : (L,) array_like
        Energy loss in eV.
    mean, lower, upper : (K, L) array_like
        Denoised spectrum of each class and the ends of its credible band; a class no pixel has is
        a row of NaN.
    class_names : (K,) sequence of str
    fingerprints : (K, L) array_like, optional
    level : float
        Probability of the band, for the legend.
    unit : str
        Unit of the intensity.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    energy = validation.numbers("energy", energy)
    validation.share("level", level)
    arrays: dict[str, ArrayLike] = {"mean": mean, "lower": lower, "upper": upper}
    if fingerprints is not None:
        arrays["fingerprints"] = fingerprints
    values = _checked(arrays, (len(class_names), *energy.shape))
    colors, columns = (
        class_colors(len(class_names)),
        panels_across(min(len(class_names), MOST_COLUMNS)),
    )
    rows = math.ceil(len(class_names) / columns)
    with figure_style() as plt:
        size = sized(max(4.2, 2.4 * columns), 0.5 + 2.3 * rows)
        shared = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
        figure, grid = plt.subplots(rows, columns, figsize=size, **shared)
        for ax in grid.flat[len(class_names) :]:
            ax.remove()
        for k, name in enumerate(class_names):
            ax = grid.flat[k]
            ax.axhline(0, color="0.8", lw=0.8)
            ax.fill_between(
                energy,
                values["lower"][k],
                values["upper"][k],
                color=colors[k],
                alpha=0.3,
                lw=0,
                label=f"{100 * level:g} % credible band",
            )
            ax.plot(energy, values["mean"][k], color=colors[k], lw=1.6, label="denoised")
            if "fingerprints" in values:
                fingerprint = values["fingerprints"][k]
                ax.plot(energy, fingerprint, "--", color="0.1", lw=1.1, label="fingerprint")
            ax.set_title(name)
            ax.margins(x=0)
            ax.tick_params(labelbottom=k + columns >= len(class_names))
        label_all(figure, "energy loss (eV)", f"intensity ({unit})" if unit else "intensity")
        key_above(figure, grid.flat[0].get_legend_handles_labels()[0])
    return figure


def _checked(
    arrays: dict[str, ArrayLike], shape: tuple[int, ...]
) -> dict[str, NDArray[np.float64]]:
    """The arrays as numbers; ValueError where one has another shape than (K, L)."""
    values = {key: validation.numbers(key, array) for key, array in arrays.items()}
    for key, array in values.items():
        if array.shape != shape:
            raise ValueError(f"{key} must be (classes, channels) = {shape}, got {array.shape}")
    return values
