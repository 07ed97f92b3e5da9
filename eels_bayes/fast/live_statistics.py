"""What has become of a live stream's spectra: counts, and percentiles of their latency."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RECENT = 10_000  # spectra that the latency percentiles are of: ten of them lie above the last one
PERCENTILES = (50.0, 99.0, 99.9)  # %: the usual case, and the rare ones that a stream waits for
MS_PER_S = 1e3


@dataclass(frozen=True)
class Counters:
    """What has become of the spectra of a run so far.

    Attributes
    ----------
    received, classified, dropped : int
        Spectra from the source, those classified, and those that never will be: displaced by newer
        ones, or still waiting when the run was left.
    flagged : int
        Among those classified, spectra that could not be read.
    p50, p99, p999 : float
        Latency that 50, 99 and 99.9 % of the last 10 000 do not exceed, ms; NaN before the first.
    """

    received: int
    classified: int
    dropped: int
    flagged: int
    p50: float
    p99: float
    p999: float

    @property
    def waiting(self) -> int:
        """Spectra that are queued or being classified.

        Returns
        -------
        int
            0 after the run.
        """
        return self.received - self.classified - self.dropped


class Latencies:
    """Latencies of the most recent spectra; not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)

    def add(self, seconds: Sequence[float]) -> None:
        """Note the latencies of some spectra, s."""
        self._recent.extend(seconds)

    def recent(self) -> list[float]:
        """A copy of the latencies kept, s; one NaN where there are none."""
        return list(self._recent) or [math.nan]


def percentiles(seconds: Sequence[float]) -> list[float]:
    """Latencies, ms, that the shares `PERCENTILES` of those given (s) do not exceed."""
    found: list[float] = np.percentile(MS_PER_S * np.array(seconds), PERCENTILES).tolist()
    return found
