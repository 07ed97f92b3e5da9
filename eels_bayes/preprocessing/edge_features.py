"""Onsets, maxima and zero-loss peaks of many spectra at once, between their channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEEP = 0.5  # of the steepest rise: the first that is as steep is the onset; L3 before L2
APART = 3.0  # eV between maxima, or rises, that are two
PEAK = 0.5  # of the zero-loss peak's maximum: counts above it are fitted
TINY = 1e-6  # of the peak: guards the logarithm


def slopes(rows: Floats, width: int) -> Floats:
    """Slopes a channel of spectra (..., E), by parabolas through `width` channels."""
    found: Floats = savgol_filter(rows, width, 2, deriv=1, axis=-1, mode="nearest")
    return found


def _vertex(energy: Floats, rows: Floats, at: NDArray[np.int64], reach: int) -> Floats:
    """Energies (m,) of the tops of parabolas through rows (m, E) around channels `at` (m,)."""
    x = np.arange(-reach, reach + 1)
    columns = np.clip(at[:, None] + x, 0, rows.shape[1] - 1)
    bend, slope, _ = np.polyfit(x, np.take_along_axis(rows, columns, 1).T, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.where(bend < 0, -0.5 * slope / bend, 0.0)
    found: Floats = energy[at] + (energy[1] - energy[0]) * np.clip(moved, -reach, reach)
    return found


def onsets(energy: Floats, inside: Mask, width: int, rows: Floats) -> Floats:
    """Energies (m,) of the first steep rises in the range."""
    smooth = slopes(rows, width)
    rises = np.where(inside, smooth, -np.inf)
    first = (rises >= STEEP * rises.max(1, keepdims=True)).argmax(1)[:, None]
    channel, reach = np.arange(rows.shape[1]), APART / (energy[1] - energy[0])
    top, before = first, first - 1
    while (top != before).any():  # up to the top of that rise, and not to that of the next
        before = top
        near = (channel >= first) & (channel <= before + reach)
        top = np.where(near, rises, -np.inf).argmax(1)[:, None]
    return _vertex(energy, smooth, top[:, 0], max(1, width // 2))


def maxima(energy: Floats, inside: Mask, width: int, rows: Floats) -> Floats:
    """Energies (m,) of the highest maxima in the range."""
    top = np.where(inside, savgol_filter(rows, width, 2, axis=-1), -np.inf).argmax(1)
    return _vertex(energy, rows, top, max(1, width // 2))


def peak_centres(energy: Floats, inside: Mask, rows: Floats) -> Floats:
    """Centres (m,) of the zero-loss peak: of the Gaussian through its upper part."""
    centres = []
    for row in rows:
        top = int(np.where(inside, row, -np.inf).argmax())
        low = row[: top + 1] < PEAK * row[top]
        high = row[top:] < PEAK * row[top]
        first = len(low) - int(low[::-1].argmax()) if low.any() else 0
        last = top + int(high.argmax()) if high.any() else len(row)
        first, last = max(0, min(first, top - 1)), max(last, top + 2)
        x, y = energy[first:last] - energy[top], np.maximum(row[first:last], TINY * row[top])
        bend, slope, _ = np.polyfit(x, np.log(y), 2, w=np.sqrt(y))
        centres.append(energy[top] + (-0.5 * slope / bend if bend < 0 else 0.0))
    return np.array(centres)
