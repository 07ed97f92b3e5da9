"""Detector channels that are dead in every pixel of an image: found and filled, never silently."""

import numpy as np
from numpy.typing import NDArray

MAX_RUN = 8  # channels: longer gaps are left alone: interpolation would be invention
SURE = 25.0  # nats against chance before a channel counts as dead: once in 10^11 channels
FILLED_VARIANCE = 4  # of a filled channel, in units of a measured one's: twice the sd
NEIGHBOURS = 5  # channels with counts on either side: they say what a channel should hold
MIN_PIXELS = 8  # pixels that must all be NaN in a channel before it is the channel's fault


def dead_channels(counts: NDArray[np.float32], gain: float = 1.0) -> NDArray[np.bool_]:
    """Channels that hold the same value in every pixel while their neighbours do not.

    Parameters
    ----------
    counts : ndarray (n, E)
        Counts of one image.
    gain : float
        Counts per detected electron.

    Returns
    -------
    ndarray (E,) bool
        True where chance cannot explain it: Poisson counts would all be zero with probability
        ``exp(-n m)``, or all equal with about ``(2 pi m)^(-(n - 1) / 2)``, at the nearest
        channels' median m. Channels that are not finite in all of at least 8 pixels are dead too.
    """
    n = len(counts)
    low, high = counts.min(axis=0), counts.max(axis=0)
    if np.isfinite(low).all() and np.isfinite(high).all() and not (low == high).any():
        return np.zeros(len(low), bool)  # as nearly always
    usable = np.isfinite(counts)
    missing = ~usable.any(axis=0) & (n >= MIN_PIXELS)
    low = np.where(usable, counts, np.inf).min(axis=0)
    high = np.where(usable, counts, -np.inf).max(axis=0)
    rows = usable.sum(axis=0)
    # a value other than zero is only suspicious where it repeats
    stuck = (low == high) & ((rows > 1) | ((rows == 1) & (low == 0)))
    dead: NDArray[np.bool_] = np.array(missing)
    if not stuck.any():
        return dead
    mean = np.where(usable, counts, 0.0).sum(axis=0, dtype=np.float64) / np.maximum(rows, 1)
    known = np.flatnonzero((rows > 0) & ((low != 0) | (high != 0)))
    for k in np.flatnonzero(stuck).tolist():
        place = int(np.searchsorted(known, k))
        nearest = known[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]
        level = max(float(np.median(mean[nearest])), 0.0) / gain if len(nearest) else 0.0
        if low[k] == 0:
            evidence = rows[k] * level
        else:
            evidence = 0.5 * (rows[k] - 1) * np.log1p(2 * np.pi * level)
        dead[k] = evidence > SURE
    return dead


def fill_dead_channels(
    counts: NDArray[np.float32], gain: float = 1.0, dead: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Fill short runs of dead channels by linear interpolation between good neighbours.

    Parameters
    ----------
    counts : ndarray (n, E)
        Counts of one image; not changed.
    gain : float
        Counts per detected electron.
    dead : ndarray (E,) bool, optional
        Which are dead, where these pixels are part of an image that has shown it.

    Returns
    -------
    counts : ndarray (n, E)
        The same array where nothing was filled, a copy otherwise.
    filled, unfilled : ndarray (E,) bool
        Channels filled, and dead ones in runs of more than 8 channels or at the axis' ends.
    """
    dead = dead_channels(counts, gain) if dead is None else dead
    filled = np.zeros_like(dead)
    if not dead.any():
        return counts, filled, dead
    counts = counts.copy()
    steps = np.diff(np.concatenate([[0], dead.astype(np.int8), [0]]))
    for start, stop in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        if start == 0 or stop == len(dead) or stop - start > MAX_RUN:
            continue
        weight = (np.arange(start, stop) - start + 1) / (stop - start + 1)
        before, after = counts[:, start - 1, None], counts[:, stop, None]
        counts[:, start:stop] = (1 - weight) * before + weight * after
        filled[start:stop] = True
    return counts, filled, dead & ~filled
