"""The queue between a live stream's source and the loop that classifies it.

A reader thread moves the source's spectra into it; the policy says what happens when it is full.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.detector_limits import countable
from eels_bayes.data.flags import Flag
from eels_bayes.fast.live_statistics import Counters, Latencies, percentiles

POLL = 0.1  # s between looks at whether the run has ended: short for a person, long for a CPU


class Waiting(NamedTuple):
    """A spectrum in the queue.

    Attributes
    ----------
    number, item : int
        Its index among all spectra, and that of the source's item which it came with.
    received : float
        When it came, seconds of `time.perf_counter`.
    counts : ndarray (E,)
        Ones where it has another number of channels.
    flag : int
        `Flag.OTHER_CHANNELS` there, else 0.
    """

    number: int
    item: int
    received: float
    counts: NDArray[Any]
    flag: int


class Inbox:
    """The queue between reader and caller, and the counts of what went through it."""

    def __init__(self, size: int, policy: str, batch_size: int) -> None:
        self.size, self.policy, self.batch_size = size, policy, batch_size
        self.ended = False
        self.error: BaseException | None = None
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._received = self._classified = self._dropped = self._flagged = 0
        self._latencies = Latencies()

    def put(self, item: int, received: float, rows: NDArray[Any], flag: int) -> bool:
        """Queue the spectra (m, E) of one item with its flag; False where the run has ended."""
        with self._changed:
            if self.ended:
                return False
            first = self._received
            self._received += len(rows)
            for k, row in enumerate(rows):
                if self.policy == "drop_oldest" and len(self._waiting) == self.size:
                    self._waiting.popleft()
                    self._dropped += 1
                self._changed.wait_for(lambda: self.ended or len(self._waiting) < self.size)
                if self.ended:
                    return False
                self._waiting.append(Waiting(first + k, item, received, row, flag))
                self._changed.notify_all()
            return True

    def take(self) -> list[Waiting]:
        """What to classify next, waiting for it; empty when there is no more."""
        with self._changed:
            # In short waits, because on Windows Ctrl-C gets through between them only.
            while not self._changed.wait_for(lambda: self.ended or bool(self._waiting), POLL):
                pass
            batch: list[Waiting] = []
            while self._waiting and len(batch) < self.batch_size:
                if self.policy == "block" and batch and self._waiting[0].item != batch[0].item:
                    break
                batch.append(self._waiting.popleft())
            self._changed.notify_all()
            return batch

    def count(self, flags: NDArray[Any], latencies: list[float]) -> None:
        """Note that spectra are classified; latencies in s."""
        with self._changed:
            self._latencies.add(latencies)
            self._classified += len(latencies)
            self._flagged += int(np.count_nonzero(flags))

    def end(self, error: BaseException | None = None) -> None:
        """Take no more spectra; those that wait stay."""
        with self._changed:
            self.error = self.error if self.ended else error
            self.ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """End, and drop what waits."""
        self.end()
        with self._changed:
            self._waiting.clear()
            self._dropped = self._received - self._classified

    def counters(self) -> Counters:
        """Counts and latencies up to now."""
        with self._changed:
            counts = (self._received, self._classified, self._dropped, self._flagged)
            latencies = self._latencies.recent()
        return Counters(*counts, *percentiles(latencies))


def read_source(items: Iterator[Any], inbox: Inbox, n_channels: int) -> None:
    """Move the source's items into the queue until one of them ends."""
    number = 0
    try:
        for item in items:
            received = time.perf_counter()
            if not inbox.put(number, received, *_spectra(item, number, n_channels)):
                return
            number += 1
        inbox.end()
    except BaseException as error:  # whatever it is, the caller must hear of it
        error.add_note(f"in a live run, after {number} items of its source")
        inbox.end(error)


def _spectra(item: Any, number: int, n_channels: int) -> tuple[NDArray[Any], int]:
    """Counts (m, E) of one item, and their flag; a copy, as a source may fill its buffer anew."""
    try:
        counts = np.array(countable(item))
    except ValueError:  # of lists that are not rectangular
        counts = np.array(None)
    if counts.dtype.kind in "iuf" and counts.ndim in (1, 2):
        if counts.shape[-1] == n_channels:
            return counts.reshape(-1, n_channels), 0
        n = 1 if counts.ndim == 1 else len(counts)
        return np.ones((n, n_channels), dtype=np.uint8), int(Flag.OTHER_CHANNELS)
    raise ValueError(
        f"item {number} of the source is of type {type(item).__name__}, as an array {counts.shape} "
        f"of {counts.dtype}; raw counts ({n_channels},) or (m, {n_channels}) are needed"
    )


def from_queue(source: Any, inbox: Inbox) -> Iterator[Any]:
    """Items of a queue until it gives None or the run ends."""
    while not inbox.ended:
        try:
            item = source.get(timeout=POLL)
        except queue.Empty:
            continue
        if item is None:
            return
        yield item
