"""Classify spectra while they are being measured.

A reader thread takes spectra from the source into a bounded queue; the caller's own loop classifies
them. The loop decides when results are wanted, the thread keeps the detector from waiting for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.data.flags import describe
from eels_bayes.fast.adaptation import Adaptation, Swap
from eels_bayes.fast.live_adapter import LiveAdapter
from eels_bayes.fast.live_drift import RunningDrift
from eels_bayes.fast.live_queue import Inbox, Waiting, from_queue, read_source
from eels_bayes.fast.live_statistics import Counters
from eels_bayes.fast.relearning import Refitting, Relearning
from eels_bayes.fast.torch_threads import thread_limit

if TYPE_CHECKING:
    from eels_bayes.fast.classifier import FastClassifier, FastReading

LEAVE = 0.5  # s that the end of a run waits for a source that does not answer


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
    swap : int
        How many swaps of the model there were before it, see ``LiveClassifier.swaps``.
    """

    number: int
    received: float
    classified: float
    shift: float
    reading: FastReading
    swap: int = 0

    @property
    def latency(self) -> float:
        """Time from the source to the result, waiting included.

        Returns
        -------
        float
            Seconds.
        """
        return self.classified - self.received

    @property
    def reason(self) -> str:
        """Why it is flagged, in words.

        Returns
        -------
        str
            '' where it is not.
        """
        return describe(int(self.reading.flag))


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
        longest gives its place to the newest, so that results stay recent. "batch": a full queue
        blocks, too, but as by "drop_oldest" all that wait are classified in one call, which is
        faster a spectrum; by "block" only spectra that the source gave together are.
    batch_size : int
        Spectra that are classified at most in one call.
    drift : int, optional
        Recent spectra that the running estimate of the energy shift is a mean of: their raw counts,
        weights falling by a factor of e every `drift` spectra. It follows a steady drift `drift`
        spectra late, and is renewed after 1, 2, 4, ... and then every ``drift / 4`` spectra, in a
        thread of its own: it holds from ``drift / 16`` spectra later on, or a sixteenth of those
        that there were. None: nothing is aligned. Without effect where `fast` does not align.
    threads : int
        Threads that torch may use while it classifies, so that the acquisition keeps the other
        cores. Its setting is put back after every call.
    adapt : bool or Adaptation
        Whether the model follows the stream: the continuum's population, class weights and noise,
        by what its spectra show, with the fingerprints as they were fitted. A thread of its own
        learns beside the reading, which changes to what was learned between two spectra, where
        recent spectra are more probable by it than by the frozen model, by three standard errors
        at the least. Where that is so no longer, it changes back. That spectra are more probable
        does not prove that classes are: see the page "Larger than memory". Swaps are kept in
        ``swaps`` and logged (``logging``, "eels_bayes.live"). Making it compiles the model once
        more, for a second; machine code is not compiled again. What was learned stays for further
        runs, but is not pickled. With ONNX Runtime as the backend, what is read by it is read by
        TorchScript. From which spectrum on it is depends on when the thread is done.
    refit : Refit, optional
        With `adapt`: a model is fitted anew in the background to a random choice of the stream's
        spectra, for what does not follow it, as a cold start from one image needs. It is swapped
        in where it describes what came since better, and logged, as above. The end of a run gives
        up a fit in progress.

    Raises
    ------
    TypeError, ValueError
        If a number is not whole or below 1, there is no such policy, or `fast` does not hold what
        may drift, of a file of an earlier version.

    Examples
    --------
    With ``fast`` a compiled classifier and ``camera`` a generator of raw counts::

        for result in eb.LiveClassifier(fast).run(camera):
            print(result.number, result.reading.labels, f"{1e3 * result.latency:.2f} ms")
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
        adapt: bool | Adaptation = False,
        refit: Refitting | None = None,
    ) -> None:
        sizes = {"queue_size": queue_size, "batch_size": batch_size, "threads": threads}
        for name, value in (sizes | ({} if drift is None else {"drift": drift})).items():
            validation.whole(name, value)
        self.fast, self.threads, self.drift, self.adapt = fast, threads, drift, adapt
        policy = validation.choice("policy", policy, ("block", "drop_oldest", "batch"))
        if refit is not None and not adapt:
            raise ValueError("refit is for streams that are followed: give adapt=True, too")
        self.refit = refit
        self._new_inbox = partial(Inbox, queue_size, policy, batch_size)
        self._begin()

    def _begin(self) -> None:
        """What belongs to this process: a run that may be in progress, and what follows streams."""
        self._inbox = self._new_inbox()
        self._adapter: LiveAdapter | Relearning | None = None
        if not self.adapt:
            return
        options = self.adapt if isinstance(self.adapt, Adaptation) else Adaptation()
        how = self.fast, options, self.threads
        self._adapter = LiveAdapter(*how) if self.refit is None else Relearning(*how, self.refit)

    def __getstate__(self) -> dict[str, Any]:
        """Without a run that may be in progress, and what it has learned."""
        own = ("_inbox", "_adapter")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    @property
    def counters(self) -> Counters:
        """Counts and latencies of the run in progress, or of the last one, up to now.

        They may be read from any thread.

        Returns
        -------
        Counters
        """
        return self._inbox.counters()

    @property
    def swaps(self) -> tuple[Swap, ...]:
        """Every change of the model that streams were read by, oldest first; see `adapt`.

        Returns
        -------
        tuple of Swap
            None without `adapt`.
        """
        return () if self._adapter is None else tuple(self._adapter.swaps)

    def revert(self) -> None:
        """Read by the frozen model from the next spectrum on; may be called from any thread.

        In this run nothing is learned any more; the next one begins anew from the frozen model.
        """
        if self._adapter is not None:
            self._adapter.revert()

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
            One for each spectrum, in the source's order; one of another length is flagged. Leaving
            the loop, or ``close()`` of this generator (``with contextlib.closing(live.run(source))
            as results``), ends the reading and drops what still waits. The reader thread ends with
            the run, or, where the source does not answer, as soon as it does.

        Raises
        ------
        TypeError
            If `source` is neither iterable nor a queue.
        ValueError
            If an item of the source is not one spectrum or some of them, made of real numbers.
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
        return self._results(from_queue(source, inbox) if is_queue else iter(source), inbox)

    def _results(self, items: Iterator[Any], inbox: Inbox) -> Generator[LiveResult, None, None]:
        """What `run` gives, from single items of the source."""
        n_channels = len(self.fast.energy)
        span = self.drift if self.fast.aligned else None
        drift = None if span is None else RunningDrift(self.fast, span, n_channels, self.threads)
        # A daemon, and without a reference to this generator: neither a silent source nor a
        # forgotten run keeps the program from ending.
        reader = threading.Thread(
            target=read_source, args=(items, inbox, n_channels), name="eels_bayes live", daemon=True
        )
        reader.start()
        adapter = self._adapter
        if adapter is not None:
            adapter.start()
        read = self.fast if adapter is None else adapter.read
        try:
            while batch := inbox.take():
                if adapter is not None:
                    adapter.take(batch[0].number)
                counts = np.stack([spectrum.counts for spectrum in batch])
                with thread_limit(self.threads):
                    shift = np.array([_shift(spectrum, drift) for spectrum in batch])
                    shared = bool((shift == shift[0]).all())
                    reading = read(counts, float(shift[0]) if shared else shift)
                reading = _without(reading, np.array([spectrum.flag for spectrum in batch]))
                now, swap = time.perf_counter(), 0 if adapter is None else adapter.swap
                inbox.count(reading.flag, [now - spectrum.received for spectrum in batch])
                for k, spectrum in enumerate(batch):
                    row = type(reading)(*(field[k] for field in reading))
                    yield LiveResult(
                        spectrum.number, spectrum.received, now, float(shift[k]), row, swap
                    )
                if adapter is not None:
                    adapter.note(counts, shift, reading.flag)
                if drift:  # now, while the next spectrum is on its way
                    with thread_limit(self.threads):
                        drift.renew()
            if inbox.error is not None:
                raise inbox.error
        finally:
            if adapter is not None:
                adapter.stop()
            if drift is not None:
                drift.close()
            inbox.close()
            reader.join(LEAVE)


def _shift(spectrum: Waiting, drift: RunningDrift | None) -> float:
    """Shift (eV) to remove from a spectrum; the running one follows those that can be read."""
    if drift is None:
        return 0.0
    return drift.shift if spectrum.flag else drift.follow(spectrum.counts)


def _without(reading: FastReading, flag: NDArray[np.int64]) -> FastReading:
    """A reading (n) without the spectra that have a flag (n,), which were not read."""
    unread = flag != 0
    if not unread.any():
        return reading
    fields = {name: values.copy() for name, values in reading._asdict().items()}
    for values in fields.values():
        values[unread] = np.nan if values.dtype.kind == "f" else -1
    return reading._replace(**fields | {"flag": np.where(unread, flag, reading.flag)})
