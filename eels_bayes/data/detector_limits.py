"""Counts that were too large for a detector or for the integers of a file."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_CHANNELS = 3  # of a spectrum at the very same highest count: fewer may be chance
LEAST_BITS = 16  # of integers that may have wrapped: 8 bits cannot be told from a steep line
NEAR = 6  # channels between counts at one end of the range and at the other, at most
BOTTOM_RUN, TOP_RUN = 2, 16  # channels that stay at either end of the range, at least
LEAST_VALUES = 50  # that differ: fewer are a few electrons, which chance repeats
MOST_BITS = 16  # of integers whose largest is a limit that counts reach
OUTER = 0.25  # of the integers' range: wrapped counts jump from the last quarter to the first


class Limits(NamedTuple):
    """What of n spectra is beyond what can be counted.

    Attributes
    ----------
    ceiling : float
        Counts at which channels saturate; infinite where none does.
    saturated, wrapped : int
        How many spectra have channels at the ceiling, and how many have gone round the range of
        their integers.
    """

    ceiling: float = math.inf
    saturated: int = 0
    wrapped: int = 0

    def beside(self, other: Limits) -> Limits:
        """Of both together; the lower ceiling."""
        return Limits(
            min(self.ceiling, other.ceiling),
            self.saturated + other.saturated,
            self.wrapped + other.wrapped,
        )

    def words(self, n: int) -> str:
        """What was found in n spectra, '' where nothing."""
        parts = []
        if self.saturated:
            parts.append(
                f"{self.saturated} of {n} spectra have channels at {self.ceiling:g} counts, where "
                "the detector or the file saturates"
            )
        if self.wrapped:
            parts.append(
                f"{self.wrapped} of {n} spectra jump by the range of their integers, as counts do "
                "that were too large for them"
            )
        if not parts:
            return ""
        return (
            "; ".join(parts)
            + ": these channels or spectra are not read, and spectra that would be "
            "read there are flagged. Expose shorter, or sum frames in 32 bits or as floats"
        )


def measured_counts(counts: NDArray[Any]) -> tuple[NDArray[np.float32], Limits]:
    """Counts (n, E) as float32, with NaN where a channel saturates, masks, or integers wrapped.

    Of a spectrum whose integers wrapped nothing is known: all of it is NaN. A channel saturates
    that holds the largest integer, or, where several channels of a spectrum do, the highest count
    of all: the tail of a distribution thins out towards its end, and is cut off by a limit.
    Without any of these the result may share memory with `counts`.
    """
    mask, plain = np.ma.getmask(counts), np.asarray(counts)
    with np.errstate(over="ignore"):  # what becomes infinite is flagged
        flat = np.ascontiguousarray(plain, dtype=np.float32)
    masked = bool(np.any(mask))
    ceiling = _ceiling(np.where(mask, 0, plain) if masked else plain)
    wrapped = _wrapped(plain)
    if not (masked or ceiling < math.inf or wrapped.any()):  # as nearly always
        return flat, Limits()
    over = plain >= ceiling if math.isfinite(ceiling) else np.zeros(plain.shape, bool)
    over &= np.isfinite(flat) & ~wrapped[:, None]
    lost = over | wrapped[:, None] | mask
    if lost.any():
        flat = np.where(lost, np.float32(np.nan), flat)
    # as counts are read: in single precision
    return flat, Limits(float(np.float32(ceiling)), int(over.any(1).sum()), int(wrapped.sum()))


def countable(counts: Any) -> Any:
    """Array-like counts without what is masked, or too large for its integers: NaN there."""
    lost, plain = np.ma.getmask(counts), np.asarray(counts)
    ceiling = integer_ceiling(plain)
    if ceiling < math.inf:
        lost = lost | (plain >= ceiling)
    if plain.ndim in (1, 2):
        lost = lost | _wrapped(np.atleast_2d(plain)).reshape(*plain.shape[:-1], 1)
    return np.where(lost, np.float32(np.nan), plain) if np.any(lost) else plain


def below_ceiling(counts: NDArray[np.float32], ceiling: float) -> NDArray[np.float32]:
    """Counts (n, E) with NaN at the ceiling; where some are above it, it is another exposure's."""
    if not ceiling < math.inf:
        return counts
    at = counts == np.float32(ceiling)
    if not at.any() or (counts > ceiling).any():
        return counts
    return np.where(at, np.float32(np.nan), counts)


def integer_ceiling(counts: NDArray[Any]) -> float:
    """The largest integer that the counts' type holds, infinite where counts do not come near."""
    if counts.dtype.kind in "iu" and 8 * counts.dtype.itemsize <= MOST_BITS:
        return float(np.iinfo(counts.dtype).max)
    return math.inf


def _ceiling(counts: NDArray[Any]) -> float:
    """Counts (n, E) at which channels saturate; infinite where none does."""
    if not counts.size:
        return math.inf
    peak = float(counts.max())
    if not math.isfinite(peak):
        known = counts[np.isfinite(counts)]
        peak = float(known.max()) if known.size else 0.0
    if peak <= 0:
        return math.inf
    if peak >= integer_ceiling(counts):
        return peak
    at = counts == peak
    if np.count_nonzero(at) < LEAST_CHANNELS:
        return math.inf
    often = at.sum(1)
    # the same count in every channel is a dead spectrum
    if not ((often >= LEAST_CHANNELS) & (often < counts.shape[1])).any():
        return math.inf
    if len(np.unique(counts)) < LEAST_VALUES:
        return math.inf
    below = counts[counts < peak]
    return peak if at.sum() > (below == below.max()).sum() else math.inf


def _wrapped(counts: NDArray[Any]) -> NDArray[np.bool_]:
    """Which spectra (n, E) jump between the ends of their integers' range, and stay there."""
    none = np.zeros(len(counts), bool)
    if counts.dtype.kind not in "iu" or 8 * counts.dtype.itemsize < LEAST_BITS:
        return none
    if not counts.size or counts.shape[1] < TOP_RUN + BOTTOM_RUN:
        return none
    bounds = np.iinfo(counts.dtype)
    low = bounds.min + OUTER * (bounds.max - bounds.min)
    high = bounds.max - OUTER * (bounds.max - bounds.min)
    if counts.max() < high or counts.min() > low:
        return none
    # Zeros fill up borders, a spike is one channel alone, and a zero-loss peak is narrow: what is
    # near the top stays there for many channels.
    bottoms = _runs((counts < low) & (counts != 0), BOTTOM_RUN)
    tops = _runs(counts > high, TOP_RUN)
    middle = np.cumsum((counts >= low) & (counts <= high), axis=1)
    found = none
    for apart in range(NEAR + 1):  # where noise makes counts jump more than once
        for first, second, run in ((bottoms, tops, BOTTOM_RUN), (tops, bottoms, TOP_RUN)):
            gap = run + apart
            if gap >= second.shape[1]:
                continue
            here = first[:, : second.shape[1] - gap] & second[:, gap:][:, : first.shape[1]]
            n = here.shape[1]
            clear = middle[:, gap - 1 : gap - 1 + n] == middle[:, run - 1 : run - 1 + n]
            found = found | (here & clear).any(1)
    return found


def _runs(at: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Where n channels in a row of (n_spectra, E) begin: (n_spectra, E - n + 1)."""
    total = np.cumsum(at, axis=1, dtype=np.int32)
    total = np.concatenate([np.zeros((len(at), 1), np.int32), total], axis=1)
    runs: NDArray[np.bool_] = total[:, n:] - total[:, :-n] == n
    return runs
