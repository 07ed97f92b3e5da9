"""Spatial averages at each temperature above the fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.plots.fitted_figures.conditions import Conditions, conditions_of
from eels_bayes.plots.fitted_figures.subjects import (
    Array,
    Classifier,
    EdgeSpectra,
    shown_fingerprints,
    unit_of,
)
from eels_bayes.plots.page import PAGE, panels_across, sized
from eels_bayes.plots.style import class_colors, condition_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMED = 12  # lines that a legend names: more hide the spectra
WIDE = 2.2  # inches: a panel in print with a legend inside is no narrower
BAND = 2.0  # standard errors of an average that are shaded


def spatial_averages(
    clf: Classifier,
    spectra: EdgeSpectra,
    *,
    conditions: Sequence[Any] | None = None,
    unit: str = "°C",
) -> Figure:
    """Mean measured spectrum at each temperature, beside what fingerprints look like in these data.

    Fingerprints are drawn with the shift, the broadening and the gain that the fit found, and carry
    the overlapping shapes at their mean intensity, as every measured spectrum does; dotted are the
    overlapping shapes alone. Averages are shaded by two standard errors, as if pixels erred each
    by itself: what a background model leaves in all of them is not in the shade.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels of I images; flagged ones are left out.
    conditions : (I,) sequence of float or str, optional
        Of each image; by default the temperature in its title, or the titles.
    unit : str
        Of conditions that are given as numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RuntimeError, TypeError, ValueError
        Before ``fit``; if spectra are not like those of the fit, none is usable, or there is not
        one condition an image.
    """
    fitted = clf.checked(spectra)
    where = conditions_of(spectra.images, conditions, unit)
    energy = np.asarray(spectra.energy)
    means, errors, counts = _averages(spectra, where)
    taken = np.flatnonzero(counts)
    if not len(taken):
        raise ValueError("no pixel is left to draw: every one is flagged")
    with figure_style() as plt:
        across = panels_across(2, WIDE)
        figure, (left, right) = plt.subplots(
            2 // across,
            across,
            figsize=sized(PAGE, 3.0 if across == 2 else 5.4),
            sharex=True,
            sharey=True,
            layout="constrained",
        )
        colors, averages, known = condition_colors(len(where.names)), list[Any](), list[Any]()
        for k in taken.tolist():
            band = BAND * errors[k]
            left.fill_between(
                energy, means[k] - band, means[k] + band, color=colors[k], alpha=0.3, lw=0
            )
            averages += left.plot(energy, means[k], color=colors[k], lw=1.2)
        left.set_title(f"mean over all pixels, ± {BAND:g} standard errors")
        fingerprints = shown_fingerprints(fitted)
        for color, row in zip(class_colors(len(fingerprints)), fingerprints, strict=True):
            known += right.plot(energy, row, color=color, lw=1.4)
        for row in fitted.forward.library.nuisances * _overlap(fitted)[:, None]:
            known += right.plot(energy, row, ":", color="0.3", lw=1.1)
        right.set_title("fingerprints in these data")
        for ax in (left, right):
            ax.axhline(0, color="0.8", lw=0.8, zorder=0)
            ax.margins(x=0)
            ax.set(xlabel="energy loss (eV)", ylabel=unit_of(spectra))
            ax.label_outer()
        # names are given with their lines: matplotlib leaves out labels that begin with "_"
        if len(taken) <= MOST_NAMED:
            names = [where.names[k] for k in taken.tolist()]
            columns = 1 if len(taken) < 5 else 2
            left.legend(averages, names, loc="upper right", ncols=columns, columnspacing=1.0)
        overlaps = ["overlapping shape"] * len(fitted.forward.library.nuisances)
        right.legend(known, [*fitted.forward.library.class_names, *overlaps], loc="upper right")
        _room_above(left, right)
    return figure


def _overlap(fitted: Any) -> Array:
    """Mean intensity (Q,) of each overlapping shape."""
    forward = fitted.forward
    mean: Array = forward.mean[len(forward.mean) - len(forward.library.nuisances) :]
    return mean


def _averages(spectra: EdgeSpectra, where: Conditions) -> tuple[Array, Array, Array]:
    """Means and standard errors (C, L), and pixels (C,), of each condition."""
    index = where.of_pixels(np.asarray(spectra.image))
    shape = (len(where.names), len(spectra.energy))
    means, errors = np.full(shape, np.nan), np.full(shape, np.nan)
    counts = np.zeros(len(where.names), dtype=int)
    for k in range(len(where.names)):
        rows = np.asarray(spectra.intensity)[spectra.ok & (index == k)].astype(float)
        counts[k] = len(rows)
        if len(rows):
            means[k] = rows.mean(0)
            errors[k] = rows.std(0) / np.sqrt(len(rows))
    return means, errors, counts


def _room_above(*axes: Any) -> None:
    """Make room for the legends, which spectra that fall to the right leave anyway."""
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.25 * (high - low))
