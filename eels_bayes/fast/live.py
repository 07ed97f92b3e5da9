"""Classify spectra while they are being measured.

A reader thread takes spectra from the source into a bounded queue; the caller's own loop classifies
them. The loop decides when results are wanted, the thread keeps the detector from waiting for it.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes import validation

if TYPE_CHECKING:
    from eels_bayes.fast.classifier import FastClassifier, FastReading

_POLL = 0.1  # s between looks at whether the run has ended
_LEAVE = 0.5  # s that the end of a run waits for a source that does not answer
_RECENT = 10_000  # spectra that the latency percentiles are of


class LiveResult(NamedTuple):
    """One spectrum, classified.

    Attributes
    ----------
    number : int
        Its index in the source's order, from 0; where spectra are dropped, numbers are missing.
    received, classified : float
        When it came from the source and when it was classified, seconds of `time.perf_counter`.
    shift : float
        Energy shift that was removed, eV.
    reading : FastReading
        What the classifier says: fields (K,) or scalar, NaN and label -1 where it is flagged.
    """

    number: int
    received: float
    classified: float
    shift: float
    reading: FastReading

    @property
    def latency(self) -> float:
        """Seconds from the source to the result, waiting included."""
        return self.classified - self.received


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
        """Spectra that are queued or being classified; 0 after the run."""
        return self.received - self.classified - self.dropped


class LiveClassifier:
    """Classify a stream of raw spectra, in order, with time stamps.

    One run at a time. Keep the loop's body short: while it works, nothing is classified.

    Parameters
    ----------
    fast : FastClassifier
        From ``EELSClassifier.compile`` or ``load_fast``.
    queue_size : int
        Spectra that wait at most.
    policy : {"block", "drop_oldest", "batch"}
        What happens when the source is faster than the classifier. "block": nothing is lost, the
        source waits for a free place. "drop_oldest": the source never waits, what has waited
        longest gives its place to the newest, so that results stay recent. "batch": all that
        wait are classified in one call, which is faster a spectrum; a full queue blocks.
    batch_size : int
        Spectra that are classified at most in one call. Except by "batch", only spectra that the
        source gave together share a call.
    drift : int, optional
        Recent spectra that the running estimate of the energy shift is a mean of: their raw counts,
        weights falling by a factor of e every `drift` spectra. It follows a steady drift `drift`
        spectra late, and is renewed after 1, 2, 4, ... and then every ``drift / 4`` spectra, once
        their results are out. None: nothing is aligned. Without effect where `fast` does not align.
    threads : int
        Threads that torch may use while it classifies, so that the acquisition keeps the other
        cores. Its setting is put back after every call.

    Raises
    ------
    ValueError
        If a number is not whole or below 1, or there is no such policy.

    Examples
    --------
    >>> for result in LiveClassifier(fast).run(camera):  # doctest: +SKIP
    ...     print(result.number, result.reading.labels, f"{1e3 * result.latency:.2f} ms")
    """

    def __init__(
        self,
        fast: FastClassifier,
        *,
        queue_size: int = 256,
        policy: str = "block",
        batch_size: int = 64,
        drift: int | None = 200,
        threads: int = 1,
    ) -> None:
        sizes = {"queue_size": queue_size, "batch_size": batch_size, "threads": threads}
        for name, value in (sizes | ({} if drift is None else {"drift": drift})).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        self.fast, self.threads, self.drift = fast, threads, drift
        policy = validation.choice("policy", policy, ("block", "drop_oldest", "batch"))
        self._new_inbox = partial(_Inbox, queue_size, policy, batch_size)
        self._inbox = self._new_inbox()

    @property
    def counters(self) -> Counters:
        """Of the run in progress, or of the last one; may be read from any thread."""
        return self._inbox.counters()

    def stop(self) -> None:
        """End the reading, from any thread; what waits is still classified, then the run ends."""
        self._inbox.end()

    def run(self, source: Iterable[Any] | Any) -> Generator[LiveResult, None, None]:
        """Classify all that comes from a source.

        Parameters
        ----------
        source : iterable or queue
            Gives raw counts, (E,) or some at a time (m, E). From a queue, None says that there are
            no more. The counts are copied, so the source may use its buffer again.

        Yields
        ------
        LiveResult
            One for each spectrum, in the source's order. Leaving the loop, or ``close()`` of this
            generator (``with contextlib.closing(live.run(source)) as results``), ends the reading
            and drops what still waits. The reader thread ends with the run, or, where the source
            does not answer, as soon as it does.

        Raises
        ------
        TypeError
            If `source` is neither iterable nor a queue.
        ValueError
            If an item of the source is not made of numbers, or has another number of channels.
        Exception
            Whatever the source raised, with a note of where. Like the ValueError it comes after the
            results of all spectra before it.
        """
        is_queue = hasattr(source, "get") and hasattr(source, "put")
        if not is_queue and not isinstance(source, Iterable):
            raise TypeError(
                f"source is of type {type(source).__name__}; an iterable of spectra or a queue is "
                "needed"
            )
        inbox = self._inbox = self._new_inbox()
        return self._results(_from_queue(source, inbox) if is_queue else iter(source), inbox)

    def _results(self, items: Iterator[Any], inbox: _Inbox) -> Generator[LiveResult, None, None]:
        n_channels = len(self.fast.energy)
        follows = self.drift is not None and self.fast.aligned
        drift = _Drift(self.fast, self.drift or 1, n_channels) if follows else None
        # A daemon, and without a reference to this generator: neither a silent source nor a
        # forgotten run keeps the program from ending.
        reader = threading.Thread(
            target=_read, args=(items, inbox, n_channels), name="eels_bayes live", daemon=True
        )
        reader.start()
        try:
            while batch := inbox.take():
                counts = np.stack([one.counts for one in batch])
                with _thread_limit(self.threads):
                    shift = np.array([drift.follow(row) if drift else 0.0 for row in counts])
                    shared = bool((shift == shift[0]).all())
                    reading = self.fast(counts, float(shift[0]) if shared else shift)
                now = time.perf_counter()
                inbox.count(reading.flag, [now - one.received for one in batch])
                for k, one in enumerate(batch):
                    row = type(reading)(*(field[k] for field in reading))
                    yield LiveResult(one.number, one.received, now, float(shift[k]), row)
                if drift:  # now, while the next spectrum is on its way
                    with _thread_limit(self.threads):
                        drift.renew()
            if inbox.error is not None:
                raise inbox.error
        finally:
            inbox.close()
            reader.join(_LEAVE)


class _Waiting(NamedTuple):
    number: int
    item: int
    received: float
    counts: NDArray[Any]


class _Inbox:
    """The queue between reader and caller, and the counts of what went through it."""

    def __init__(self, size: int, policy: str, batch_size: int) -> None:
        self.size, self.policy, self.batch_size = size, policy, batch_size
        self.ended = False
        self.error: BaseException | None = None
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._received = self._classified = self._dropped = self._flagged = 0
        self._latencies: deque[float] = deque(maxlen=_RECENT)

    def put(self, item: int, received: float, rows: NDArray[Any]) -> bool:
        """Queue the spectra (m, E) of one item; False where the run has ended."""
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
                self._waiting.append(_Waiting(first + k, item, received, row))
                self._changed.notify_all()
            return True

    def take(self) -> list[_Waiting]:
        """What to classify next, waiting for it; empty when there is no more."""
        with self._changed:
            # In short waits, because on Windows Ctrl-C gets through between them only.
            while not self._changed.wait_for(lambda: self.ended or bool(self._waiting), _POLL):
                pass
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < self.batch_size:
                if self.policy != "batch" and batch and self._waiting[0].item != batch[0].item:
                    break
                batch.append(self._waiting.popleft())
            self._changed.notify_all()
            return batch

    def count(self, flags: NDArray[Any], latencies: list[float]) -> None:
        """Note that spectra are classified; latencies in s."""
        with self._changed:
            self._latencies.extend(latencies)
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
        with self._changed:
            counts = (self._received, self._classified, self._dropped, self._flagged)
            latencies = list(self._latencies) or [math.nan]
        return Counters(*counts, *np.percentile(1e3 * np.array(latencies), [50, 99, 99.9]).tolist())


class _Drift:
    """Running estimate of the energy shift, eV, from the exponentially forgetting mean."""

    def __init__(self, fast: FastClassifier, span: int, n_channels: int) -> None:
        self.fast, self.span = fast, span
        self.mean = np.zeros(n_channels)
        self.seen, self.due, self.shift = 0, 1, 0.0
        self._latest: NDArray[Any] | None = None

    def follow(self, counts: NDArray[Any]) -> float:
        """The shift of a spectrum (E,), from those before it, or, of the first, from itself."""
        self.renew()
        self._latest = counts
        if self.seen == 0:
            self.renew()
        return self.shift

    def renew(self) -> None:
        """Take in the latest spectrum, whose result need not wait for this."""
        counts, self._latest = self._latest, None
        if counts is None or not np.isfinite(counts).all():  # which tells nothing
            return
        # A cosmic ray or a hot channel must not stay in the mean: three times the channels beside.
        beside = np.maximum(np.abs(np.roll(counts, 3)), np.abs(np.roll(counts, -3)))
        limit = 3.0 * beside + 30.0
        self.seen += 1
        self.mean += (np.clip(counts, -limit, limit) - self.mean) / min(self.seen, self.span)
        if self.seen == self.due:
            self.shift = self.fast.drift(self.mean[None])
            self.due += min(self.seen, max(1, self.span // 4))


def _read(items: Iterator[Any], inbox: _Inbox, n_channels: int) -> None:
    """Move the source's items into the queue until one of them ends."""
    number = 0
    try:
        for item in items:
            received = time.perf_counter()
            if not inbox.put(number, received, _spectra(item, number, n_channels)):
                return
            number += 1
        inbox.end()
    except BaseException as error:  # whatever it is, the caller must hear of it
        error.add_note(f"in a live run, after {number} items of its source")
        inbox.end(error)


def _spectra(item: Any, number: int, n_channels: int) -> NDArray[Any]:
    """Counts (m, E) of one item; a copy, because a source may fill its buffer anew."""
    try:
        counts = np.array(item)
    except ValueError:  # of lists that are not rectangular
        counts = np.array(None)
    if counts.dtype.kind in "iuf" and counts.ndim in (1, 2) and counts.shape[-1] == n_channels:
        return counts.reshape(-1, n_channels)
    raise ValueError(
        f"item {number} of the source is of type {type(item).__name__}, as an array {counts.shape} "
        f"of {counts.dtype}; raw counts ({n_channels},) or (m, {n_channels}) are needed"
    )


def _from_queue(source: Any, inbox: _Inbox) -> Iterator[Any]:
    while not inbox.ended:
        try:
            item = source.get(timeout=_POLL)
        except queue.Empty:
            continue
        if item is None:
            return
        yield item


@contextmanager
def _thread_limit(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
