"""Where an edge stands in a spectrum: its onset, its maximum, or the zero-loss peak."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import argrelmax, savgol_filter

from eels_bayes.preprocessing.edge_features import APART, maxima, onsets, peak_centres, slopes

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WIDTHS = (1.0, 2.0, 4.0, 8.0)  # eV over which a spectrum is smoothed: the least that will do
LEAST_WIDTHS = (3, 5, 7, 9)  # channels, likewise: a parabola is fitted in them
LEAST_CHANNELS = 5  # of the range
SEEN = 5.0  # errors of the slope: noise reaches them once in ten thousand spectra
CLEAR = 15.0  # errors, beyond which smoothing more gains nothing
SIDE = 2.0  # eV on either side of an onset that counts must differ between
LEAST_SIDE = 3  # channels, likewise: one of them may hold a spike
RIVAL = 0.8  # of the highest maximum: a second one as high makes it doubtful which is meant
BACKGROUND = 30.0  # eV before the range, that its background is fitted in
LEAST_BACKGROUND = 8  # channels of it, or none is subtracted
DRAWS = 200  # of the noise: the sd of a position is known to 5 % then
MEDIAN_SQUARE = 0.455  # median of a squared standard Gaussian
MEDIAN_COST = np.pi / 2  # variance of a median over that of a mean
MAD_TO_SD = 1.4826  # of a Gaussian
HELP = "look at the mean spectrum, and give edge=(low, high) where it lies"


class Position(NamedTuple):
    """Where an edge stands.

    Attributes
    ----------
    energy, sd : float
        eV; the sd is that from the noise of the counts.
    """

    energy: float
    sd: float


def edge_position(
    energy: Floats,
    counts: Floats,
    variance: Floats,
    search: tuple[float, float],
    feature: str,
    name: str,
) -> Position:
    """Find an edge in a spectrum.

    Parameters
    ----------
    energy, counts, variance : (E,) array
        Channel centres, eV, counts and their variance.
    search : (low, high)
        Where it is looked for, eV.
    feature : {"onset", "maximum", "zero loss"}
        The first steep rise's inflection point, the highest maximum, or the centre of the
        zero-loss peak.
    name : str
        Of the edge, for messages.

    Raises
    ------
    ValueError
        Nothing is seen above the noise, or two edges as strong as each other.
    """
    inside = (energy >= search[0]) & (energy <= search[1])
    where = f"between {search[0]:g} and {search[1]:g} eV"
    if inside.sum() < LEAST_CHANNELS:
        raise ValueError(
            f"{name}: {inside.sum()} channels of the energy axis, which covers {energy[0]:g} to "
            f"{energy[-1]:g} eV, lie {where}; at least {LEAST_CHANNELS} are needed"
        )
    step = float(energy[1] - energy[0])
    reach = max(BACKGROUND, LEAST_BACKGROUND * float(energy[1] - energy[0]))
    before = (energy < search[0]) & (energy >= search[0] - reach)
    variance = variance * _more_noise(counts, variance, before | inside)
    if feature == "zero loss":
        find = partial(peak_centres, energy, inside)
        _check_peak(counts, variance, inside, f"{name}: no peak is seen {where}")
    else:
        counts = counts - _background(energy, counts, before)
        width = _seen_width(energy, counts, variance, inside, before)
        if width is None:
            raise ValueError(f"{name}: no edge is seen {where} above the noise; {HELP}")
        find = partial(onsets if feature == "onset" else maxima, energy, inside, width)
        at = float(find(counts[None])[0])
        if feature == "onset":
            _check_step(energy, counts, variance, at, width, f"{name} {where}")
        else:
            _check_maximum(energy, counts, inside, width, f"{name} {where}")
    rng = np.random.default_rng(0)  # one spectrum has one answer
    noise = rng.standard_normal((DRAWS, len(counts))) * np.sqrt(variance)
    found = Position(float(find(counts[None])[0]), float(find(counts + noise).std()))
    if found.sd > max(APART, step):
        raise ValueError(
            f"{name}: noise leaves open by {found.sd:.2g} eV where it stands {where}; sum more "
            "spectra, or give edge=(low, high) closer around it"
        )
    return found


def _more_noise(counts: Floats, variance: Floats, near: Mask) -> float:
    """Factor of the variance, at least 1, that second differences of the counts show."""
    bends = np.diff(counts, 2) ** 2 / (6.0 * variance[1:-1])
    return max(1.0, float(np.median(bends[near[1:-1]])) / MEDIAN_SQUARE)


def _background(energy: Floats, counts: Floats, before: Mask) -> Floats:
    """Power law (E,) through what lies before the range; 0 where too little does."""
    before = before & (energy > 0) & (counts > 0)
    if before.sum() < LEAST_BACKGROUND:
        return np.zeros_like(counts)
    line = np.polyfit(np.log(energy[before]), np.log(counts[before]), 1)
    return np.exp(np.polyval(line, np.log(np.maximum(energy, energy[before][0]))))


def _seen_width(
    energy: Floats, counts: Floats, variance: Floats, inside: Mask, before: Mask
) -> int | None:
    """Channels to smooth over: the fewest with which a rise in the range stands out clearly.

    From the noise, and from the slopes that are usual before the range. None where it does not.
    """
    step, seen = float(energy[1] - energy[0]), None
    usual = before if before.sum() >= LEAST_BACKGROUND else inside
    for wide, least in zip(WIDTHS, LEAST_WIDTHS, strict=True):
        width = max(least, round(0.5 * (wide / step - 1)) * 2 + 1)
        if wide > WIDTHS[0] and 2 * width > inside.sum():
            break
        rises = slopes(counts, width)
        reach = np.arange(width) - width // 2
        noise = np.convolve(variance, (reach / (reach**2).sum()) ** 2, mode="same") ** 0.5
        middle = np.median(rises[usual])
        structure = MAD_TO_SD * np.median(np.abs(rises[usual] - middle))
        top = int(np.where(inside, rises, -np.inf).argmax())
        errors = (rises[top] - middle) / max(noise[top], structure)
        if errors > SEEN:
            seen = width
        if errors > CLEAR:
            break
    return seen


def _check_peak(counts: Floats, variance: Floats, inside: Mask, message: str) -> None:
    """Raise ValueError unless the range holds a peak within it."""
    top = int(np.where(inside, counts, -np.inf).argmax())
    ends = np.flatnonzero(inside)[[0, -1]]
    level = float(np.median(counts))
    if top in ends or counts[top] - level < max(SEEN * variance[top] ** 0.5, level):
        raise ValueError(f"{message}; is it a low-loss spectrum?")


def _check_step(
    energy: Floats, counts: Floats, variance: Floats, at: float, width: int, name: str
) -> None:
    """Raise ValueError unless counts stay higher behind an onset: one channel may be a spike."""
    n = max(LEAST_SIDE, width, round(SIDE / float(energy[1] - energy[0])))
    first = int(np.searchsorted(energy, at))
    before, behind = slice(max(0, first - n - 1), max(0, first - 1)), slice(first, first + n)
    if first - 1 < LEAST_SIDE or len(energy) - first < LEAST_SIDE:
        raise ValueError(f"{name}: the rise at {at:.4g} eV lies at an end of the axis; {HELP}")
    error = (MEDIAN_COST * (variance[before].mean() + variance[behind].mean()) / n) ** 0.5
    if np.median(counts[behind]) - np.median(counts[before]) < SEEN * error:
        raise ValueError(f"{name}: the rise at {at:.4g} eV is no step but a spike; {HELP}")


def _check_maximum(energy: Floats, counts: Floats, inside: Mask, width: int, name: str) -> None:
    """Raise ValueError unless one maximum within the range is higher than all others."""
    smooth = savgol_filter(counts, width, 2)
    among = np.flatnonzero(inside)
    heights = smooth[among] - smooth[among].min()
    top = int(heights.argmax())
    if top in (0, len(heights) - 1):
        raise ValueError(f"{name}: the counts have no maximum there but at its end; {HELP}")
    others = [k for k in argrelmax(heights)[0] if heights[k] > RIVAL * heights[top]]
    far = [k for k in others if abs(energy[among[k]] - energy[among[top]]) > APART]
    if far:
        both = " and ".join(f"{energy[among[k]]:.4g} eV" for k in sorted([top, far[0]]))
        raise ValueError(
            f"{name}: there are maxima as high as each other, at {both}; give edge=(low, high) "
            "around the one that is meant"
        )
