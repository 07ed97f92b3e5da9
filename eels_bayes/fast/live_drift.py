"""The energy shift of a live stream, estimated while it runs."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from eels_bayes.fast.classifier import FastClassifier

# channels to either side whose counts say what is usual: farther than a spike spreads
BESIDE = 3
SPIKE_FACTOR = 3.0  # times what is usual that a channel may hold: chosen, not tuned
SPIKE_FLOOR = 30.0  # counts that a channel may hold beside empty ones: chosen, not tuned
RENEWALS = 4  # new estimates of the shift in one span of the mean: chosen, not tuned
LATE = 16  # estimates hold from this part of the mean's spectra later on: chosen, not tuned


class RunningDrift:
    """Running estimate of the energy shift, eV, from the exponentially forgetting mean.

    A thread of its own makes estimates, and the plans to read by, so that no spectrum waits for
    them: each holds from some spectra later on, whatever the clock says, so that numbers do not
    depend on it.
    """

    def __init__(self, fast: FastClassifier, span: int, n_channels: int, threads: int) -> None:
        self.fast, self.span = fast, span
        self.mean = np.zeros(n_channels)
        self.seen, self.due, self.shift = 0, 1, 0.0
        self._latest: NDArray[Any] | None = None
        self._coming: deque[tuple[int, Future[float]]] = deque()
        self._thread = ThreadPoolExecutor(
            1, "eels_bayes drift", initializer=torch.set_num_threads, initargs=(threads,)
        )

    def follow(self, counts: NDArray[Any]) -> float:
        """The shift of a spectrum (E,), from those before it, or, of the first, from itself."""
        self.renew()
        self._latest = counts
        if self.seen == 0:
            self.renew()
        while self._coming and self._coming[0][0] <= self.seen:
            self.shift = self._coming.popleft()[1].result()
        return self.shift

    def renew(self) -> None:
        """Take in the latest spectrum, whose result need not wait for this."""
        counts, self._latest = self._latest, None
        if counts is None or not np.isfinite(counts).all():  # which tells nothing
            return
        # A cosmic ray or a hot channel must not stay in the mean.
        beside = np.maximum(np.abs(np.roll(counts, BESIDE)), np.abs(np.roll(counts, -BESIDE)))
        limit = SPIKE_FACTOR * beside + SPIKE_FLOOR
        self.seen += 1
        self.mean += (np.clip(counts, -limit, limit) - self.mean) / min(self.seen, self.span)
        if self.seen == self.due:
            estimate = self._thread.submit(self._estimated, self.mean[None].copy())
            self._coming.append((self.seen + min(self.seen, self.span) // LATE, estimate))
            self.due += min(self.seen, max(1, self.span // RENEWALS))

    def _estimated(self, mean: NDArray[Any]) -> float:
        """The shift of a mean (1, E), when all is ready to read by it."""
        shift = self.fast.drift(mean)
        self.fast._plan(shift)
        return shift

    def close(self) -> None:
        """Estimate no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
