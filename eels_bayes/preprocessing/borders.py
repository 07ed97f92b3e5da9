"""Ends of spectra that were never measured: what an alignment elsewhere filled up."""

import numpy as np
from numpy.typing import NDArray

LEAST_RUN = 2  # channels of exact zeros at an end: one may be chance
LEAST_ELECTRONS = 5.0  # a channel, on average: where fewer arrive zeros at an end are counts
MOST_PIXELS = 0.95  # of an image: what so many have measured is read, and the others are flagged


def without_borders(counts: NDArray[np.float32], gain: float = 1.0) -> NDArray[np.float32]:
    """Counts (n, E) with NaN in the place of zeros that fill up a spectrum's ends.

    The same array where there are none; `gain` is counts an electron.
    """
    ends = counts[:, [0, -1]] if counts.shape[1] else counts
    if (np.isfinite(ends) & (ends != 0)).all():
        return counts
    # spectra that hold nothing else have no ends
    low, high = _before_and_behind(np.isfinite(counts) & (counts != 0))
    present = np.where(np.isfinite(counts), counts, 0.0)
    measured = np.maximum(counts.shape[1] - low - high, 1)
    with np.errstate(over="ignore"):  # what is too large to be added up is bright
        bright = present.sum(1) > LEAST_ELECTRONS * gain * measured
    low = np.where(bright & (low >= LEAST_RUN), low, 0)
    high = np.where(bright & (high >= LEAST_RUN), high, 0)
    if not (low.any() or high.any()):
        return counts
    channel = np.arange(counts.shape[1])
    outside = (channel < low[:, None]) | (channel >= counts.shape[1] - high[:, None])
    return np.where(outside, np.float32(np.nan), counts)


def measured_channels(counts: NDArray[np.float32]) -> tuple[int, int]:
    """First channel, and last + 1, that most pixels (n, E) have measured."""
    known = np.isfinite(counts)
    known = known[known.any(1)]
    if not len(known):
        return 0, counts.shape[1]
    first, last = (
        int(np.quantile(end, MOST_PIXELS, method="lower")) for end in _before_and_behind(known)
    )
    return first, counts.shape[1] - last


def _before_and_behind(present: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Channels (n,) before the first and behind the last that is present (n, E); 0 without any."""
    return present.argmax(1), present[:, ::-1].argmax(1)
