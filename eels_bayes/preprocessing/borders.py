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
    low, high = border_lengths(counts)
    present = np.where(np.isfinite(counts), counts, 0.0)
    measured = np.maximum(counts.shape[1] - low - high, 1)
    bright = present.sum(1) > LEAST_ELECTRONS * gain * measured
    low = np.where(bright & (low >= LEAST_RUN), low, 0)
    high = np.where(bright & (high >= LEAST_RUN), high, 0)
    if not (low.any() or high.any()):
        return counts
    channel = np.arange(counts.shape[1])
    outside = (channel < low[:, None]) | (channel >= counts.shape[1] - high[:, None])
    return np.where(outside, np.float32(np.nan), counts)


def border_lengths(counts: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Channels (n,) at the low and at the high end of spectra (n, E) that hold 0 or NaN.

    0 for spectra that hold nothing else.
    """
    something = np.isfinite(counts) & (counts != 0)
    any_at_all = something.any(1)
    low = np.where(any_at_all, something.argmax(1), 0)
    high = np.where(any_at_all, something[:, ::-1].argmax(1), 0)
    return low, high


def measured_channels(counts: NDArray[np.float32]) -> tuple[int, int]:
    """First channel, and last + 1, that most pixels (n, E) have measured."""
    missing = ~np.isfinite(counts)
    n_channels = counts.shape[1]
    some = ~missing.all(1)
    if not some.any():
        return 0, n_channels
    low = np.where(missing[some], 0, 1).argmax(1)
    high = np.where(missing[some], 0, 1)[:, ::-1].argmax(1)
    first, last = (int(np.quantile(end, MOST_PIXELS, method="lower")) for end in (low, high))
    return first, n_channels - last
