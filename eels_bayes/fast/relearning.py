"""A stream's model, fitted anew to a sample of all of it, beside what follows the stream.

What follows a stream keeps what a library looks like and the free shapes of the continuum. A model
of few spectra has these from few. So spectra of all of the course are kept at random, and a model
is fitted to them in the background; where it describes what came since better, it takes the place
of the other one, and is followed as that was.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from eels_bayes.fast.adaptation import CERTAIN, MOST, RECENT, Adaptation, Swap
from eels_bayes.fast.live_adapter import LEAVE, LiveAdapter
from eels_bayes.fast.reservoir import Reservoir

if TYPE_CHECKING:
    from eels_bayes.fast.classifier import FastClassifier, FastReading

LOG = logging.getLogger("eels_bayes.live")
# Of an even share, what each class must have had of the stream: by few of the classes a library is
# placed wrongly, and what comes later called so. Chosen, not tuned.
LEAST_SHARE = 0.5
SINCE = 4096  # spectra, at most, that a new model follows before it is read by: chosen
LOOK = 0.05  # s, between two looks at what came since

Rows = list[tuple[NDArray[Any], float]]  # spectra (E,) and their drifts, eV


class Refitting(Protocol):
    """What fits anew: see `Refit`."""

    after: tuple[int, ...]
    pixels: int

    def check(self, fast: FastClassifier) -> None: ...
    def __call__(
        self, fast: FastClassifier, counts: NDArray[Any], shift: NDArray[Any]
    ) -> FastClassifier: ...
    def stop(self) -> None: ...


class Ready(NamedTuple):
    """A model that was fitted anew.

    Attributes
    ----------
    adapter : LiveAdapter
        Reads by it.
    gain, gain_error : float
        As in `Swap`.
    """

    adapter: LiveAdapter
    gain: float
    gain_error: float


class Relearning:
    """What reads and follows a stream, as `LiveAdapter`, and is fitted anew meanwhile.

    Parameters
    ----------
    fast, options, threads
        As of `LiveAdapter`.
    refit : Refitting
    """

    def __init__(self, fast: FastClassifier, options: Adaptation, threads: int, refit: Refitting):
        refit.check(fast)
        self._refit, self._how = refit, (options, threads)
        self._first = self._now = LiveAdapter(fast, *self._how)
        self._turn, self._ended = threading.Lock(), threading.Event()
        self._begin()

    def _begin(self) -> None:
        """With nothing kept."""
        self._kept = Reservoir(self._refit.pixels, len(self._first.fast.energy))
        self._due = self._refit.after
        self._shares = np.zeros(len(self._first.fast.class_names))  # spectra of each class
        self._since: deque[tuple[NDArray[Any], float]] = deque(maxlen=SINCE)
        self._fit: threading.Thread | None = None
        self._ready: Ready | None = None

    @property
    def swaps(self) -> list[Swap]:
        """As `LiveAdapter.swaps`."""
        return self._first.swaps

    @property
    def swap(self) -> int:
        """As `LiveAdapter.swap`."""
        return len(self.swaps)

    @property
    def now(self) -> LiveAdapter:
        """What reads and is followed now."""
        return self._now

    def read(self, counts: NDArray[Any], shift: Any) -> FastReading:
        """As `LiveAdapter.read`."""
        reading = self._now.read(counts, shift)
        self._shares += np.nansum(reading.probabilities, 0)
        return reading

    def start(self) -> None:
        """Learn from now on; from the first model where it was gone back to."""
        # an event of this run: a fit of an earlier one may still compile, and is of no use
        self._ended.set()
        self._ended = threading.Event()
        if self._first.asked:  # after the last spectrum of the run before, or since
            self._now = self._first
        if self._now is self._first and (self._first.asked or not self._first.following):
            self._begin()
        self._now.start()

    def stop(self) -> None:
        """Learn no more; a fit in progress is given up."""
        self._ended.set()
        self._refit.stop()
        self._now.stop()
        if self._fit is not None:
            self._fit.join(LEAVE)
            if self._fit.is_alive():  # it may have begun just then
                self._refit.stop()

    def revert(self) -> None:
        """Read by the first model, as it was, from the next spectrum on."""
        self._first.revert()

    def note(self, counts: NDArray[Any], shift: NDArray[Any], flag: NDArray[Any]) -> None:
        """Spectra that were read: those without a flag are learned from."""
        self._now.note(counts, shift, flag)
        if self._first.following:
            self.keep(counts, shift, flag)

    def keep(self, counts: NDArray[Any], shift: NDArray[Any], flag: NDArray[Any]) -> None:
        """Keep some of these, and fit anew where it is time."""
        rows = [
            (row, float(by)) for row, by, odd in zip(counts, shift, flag, strict=True) if not odd
        ]
        for row, by in rows:
            self._kept.add(row, by)
        with self._turn:
            self._since.extend(rows)
        if not self._due or self._kept.seen < self._due[0] or self.fitting:
            return
        if self._shares.min() < LEAST_SHARE * self._shares.mean():
            return
        with self._turn:
            self._since.clear()
        self._fit = threading.Thread(
            target=_fit,
            args=(self, self._ended, self._kept.seen, *self._kept.kept()),
            name="eels_bayes refit",
        )  # no daemon: a program must not end while one compiles
        self._fit.start()

    @property
    def fitting(self) -> bool:
        """Whether a fit is in progress, or waits for spectra that it is to be compared on."""
        return self._fit is not None and self._fit.is_alive()

    def wait(self) -> None:
        """Until no fit is in progress."""
        if self._fit is not None:
            self._fit.join()

    def fit(self, counts: NDArray[Any], shift: NDArray[Any], ended: threading.Event) -> None:
        """Fit anew to these, and compare by what came since, until the run has ended.

        The new model has not seen what it is compared on; the one in use may have learned from it.
        """
        if ended.is_set():
            return
        new = LiveAdapter(self._refit(self._first.fast, counts, shift), *self._how)
        while len(recent := self._recent()) < RECENT:
            if ended.wait(LOOK) or not threading.main_thread().is_alive():
                return
        gains = self._followed(new, recent)[-RECENT:].clip(-MOST, MOST)
        gain, error = float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))
        if gain > CERTAIN * error:
            with self._turn:
                if not ended.is_set():
                    self._ready = Ready(new, gain, error)
        else:
            LOG.info("the model fitted anew has %+.3f (%.3f) nats: it is left", gain, error)

    def _followed(self, new: LiveAdapter, rows: Rows) -> NDArray[np.float64]:
        """Have a new model follow the stream, as the one in use has; what it gains over that.

        It has not learned from a spectrum that it is asked of.
        """
        step, gains = self._how[0].step, []
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            given = np.stack([row for row, _ in some]), np.array([by for _, by in some])
            gains.append(new.log_density(*given, newest=True) - self._now.log_density(*given))
            new.learn(some)
        return np.concatenate(gains)

    def _recent(self) -> Rows:
        with self._turn:
            return list(self._since)

    def fitted(self, seen: int) -> None:
        """The fit after so many spectra is done with."""
        self._due = tuple(due for due in self._due if due > seen)

    def take(self, number: int) -> None:
        """Change models where that is due, before this spectrum of the run is read."""
        if self._first.asked and self._now is not self._first:
            self._now.end()
            self._now = self._first
        with self._turn:
            ready, self._ready = self._ready, None
        if ready is not None and self._first.following:
            self._change(ready, number)
        self._now.take(number)

    def _change(self, ready: Ready, number: int) -> None:
        """Read by a model that was fitted anew."""
        new, gain, error = ready
        self.swaps.append(Swap(number, self._kept.seen, "refitted", gain, error))
        LOG.info(
            "from spectrum %d on by a model that is fitted anew: of recent spectra it has %+.3f "
            "(%.3f) nats over the one in use",
            number,
            gain,
            error,
        )
        self._now.end()
        new.swaps = self.swaps
        self._now = new
        new.start()


def _fit(
    relearning: Relearning,
    ended: threading.Event,
    seen: int,
    counts: NDArray[Any],
    shift: NDArray[Any],
) -> None:
    """Fit anew, and say where that fails."""
    try:
        relearning.fit(counts, shift, ended)
    except Exception:  # a stream must go on: it is read by what it was read by before
        if not threading.main_thread().is_alive():
            LOG.info("the program ends: what was being fitted anew is given up")
        elif not ended.is_set():
            LOG.exception("fitting anew failed; the stream is read by the model in use")
    if not ended.is_set():
        relearning.fitted(seen)
