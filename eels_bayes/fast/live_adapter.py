"""A model that follows a live stream: learned beside the reading, swapped in between spectra.

A thread learns, so that no spectrum waits for it; where it is behind, it leaves spectra out. The
loop that reads takes what it proposes when it is between two spectra.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes.fast.adaptation import Adaptation, Follower, Proposal, Swap
from eels_bayes.fast.backends import following
from eels_bayes.fast.following import FOLLOWING
from eels_bayes.fast.torch_threads import thread_limit

if TYPE_CHECKING:
    from eels_bayes.fast.classifier import FastClassifier, FastReading

LOG = logging.getLogger("eels_bayes.live")
BEHIND = 4  # steps that wait to be learned from at most
LEAVE = 0.5  # s that the end of a run waits for the step in progress


class LiveAdapter:
    """What reads a stream and follows it.

    Parameters
    ----------
    fast : FastClassifier
        The frozen model.
    options : Adaptation
    threads : int
        Of torch, while it learns.

    Attributes
    ----------
    swaps : list of Swap
        Oldest first.
    """

    def __init__(self, fast: FastClassifier, options: Adaptation, threads: int):
        self.fast, self.options, self.threads = fast, options, threads
        self.swaps: list[Swap] = []
        self._asked = threading.Event()  # to go back to the frozen model
        # A copy, whose buffers are written to at a swap.
        self._graph = copy.deepcopy(fast.graph)
        encoder = self._graph.reader.encoder
        self._buffers = {name: _buffer(encoder, name) for name in FOLLOWING}
        named = {f"reader.encoder.{name}": buffer for name, buffer in self._buffers.items()}
        self._run = following(fast._run, self._graph, named)
        self._anew()

    def _anew(self) -> None:
        """Begin with what was fitted, and nothing learned."""
        self.following, self._frozen, self._refused = True, True, False
        self._follower = Follower(self.fast, self.options)
        self._waiting: list[tuple[NDArray[Any], float]] = []
        self._steps: queue.Queue[Any] = queue.Queue(BEHIND)
        self._proposed: Proposal | None = None
        self._turn = threading.Lock()

    def read(self, counts: NDArray[Any], shift: Any) -> FastReading:
        """Read counts (n, E) by the model in use."""
        if self._frozen:
            return self.fast(counts, shift)
        return self.fast._read_by(self._run, counts, shift)

    @property
    def swap(self) -> int:
        """How many swaps there were: 0 is the frozen model as it was."""
        return len(self.swaps)

    def start(self) -> None:
        """Learn from now on, in a thread of its own."""
        if self._asked.is_set() or not self.following:
            self._asked.clear()
            self._anew()
        self._steps = queue.Queue(BEHIND)
        self._thread = threading.Thread(
            target=_learn, args=(self, self._steps), name="eels_bayes adapting", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Learn no more; what was learned stays for the next run."""
        self.end()
        self._thread.join(LEAVE)

    def end(self) -> None:
        """Learn no more, without waiting for the step in progress."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._steps.get_nowait()
        self._steps.put(None)

    @property
    def asked(self) -> bool:
        """Whether to go back to the frozen model was asked for in this run."""
        return self._asked.is_set()

    def log_density(
        self, counts: NDArray[Any], shift: NDArray[np.float64], *, newest: bool = False
    ) -> NDArray[np.float64]:
        """See `Follower.log_density`."""
        with thread_limit(self.threads):
            return self._follower.log_density(counts, shift, newest=newest)

    def note(self, counts: NDArray[Any], shift: NDArray[Any], flag: NDArray[Any]) -> None:
        """Spectra that were read: those without a flag are learned from, some together."""
        if not self.following:
            return
        self._waiting += [
            (row, float(by)) for row, by, odd in zip(counts, shift, flag, strict=True) if odd == 0
        ]
        step = self.options.step
        while len(self._waiting) >= step:
            some, self._waiting = self._waiting[:step], self._waiting[step:]
            try:
                self._steps.put_nowait(some)
            except queue.Full:  # what the thread cannot keep up with is not learned from
                LOG.debug("learning is behind: %d spectra are left out", step)

    def take(self, number: int) -> None:
        """Swap in what is proposed, before this spectrum of the run is read."""
        if self._asked.is_set() and self.following:
            self._frozen, self.following = True, False
            gain = self._follower.gain()
            self.swaps.append(Swap(number, self._follower.learned, "frozen", *gain))
            LOG.info("from spectrum %d on by the frozen model, as asked", number)
        with self._turn:
            proposed, self._proposed = self._proposed, None
        if proposed is None or not self.following:
            return
        self._frozen = proposed.components is None
        with torch.no_grad():
            for name, tensor in proposed.tensors.items():
                self._buffers[name].copy_(tensor)
        model: Literal["adapted", "frozen"] = "frozen" if self._frozen else "adapted"
        swap = Swap(number, proposed.learned, model, proposed.gain, proposed.gain_error)
        self.swaps.append(swap)
        LOG.info(
            "from spectrum %d on by the %s model: of recent spectra it has %+.3f (%.3f) nats over "
            "the frozen one, after %d",
            number,
            model,
            proposed.gain if model == "adapted" else -proposed.gain,
            proposed.gain_error,
            proposed.learned,
        )

    def revert(self) -> None:
        """Read by the frozen model from the next spectrum on, and learn no more in this run."""
        self._asked.set()

    def learn(self, some: list[tuple[NDArray[Any], float]]) -> None:
        """Learn from some spectra, and propose what follows."""
        counts = np.stack([row for row, _ in some])
        with thread_limit(self.threads):
            self._follower.learn(counts, np.array([shift for _, shift in some]))
            proposal = self._follower.proposal()
        if proposal is not None:
            self._refused = False
            with self._turn:
                self._proposed = proposal
        elif not self._refused and self._follower.learned >= self.options.memory:
            self._refused = True
            LOG.info(
                "no swap after %d spectra: what was learned has %+.3f (%.3f) nats over the frozen "
                "model, which is not more for certain",
                self._follower.learned,
                *self._follower.gain(),
            )


def _buffer(encoder: torch.nn.Module, name: str) -> torch.Tensor:
    """A buffer of the encoder by its dotted name."""
    owner, _, own = name.rpartition(".")
    buffer: torch.Tensor = encoder.get_submodule(owner).get_buffer(own)
    return buffer


def _learn(adapter: LiveAdapter, steps: queue.Queue[Any]) -> None:
    """Learn from what comes until None does."""
    while (some := steps.get()) is not None:
        try:
            adapter.learn(some)
        except Exception:  # a stream must go on: it is read by what it was read by before
            LOG.exception("learning from the stream failed; it is read by the model in use")
            return
