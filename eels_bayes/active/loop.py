"""The loop that asks an oracle about what teaches most, and learns from its answers."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from eels_bayes import validation
from eels_bayes.active.acquisition import Acquisition, by_name
from eels_bayes.active.journal import Query
from eels_bayes.active.journal_file import JournalFile
from eels_bayes.active.pool_identity import identity_of

# Failures of the oracle in a row after which it is taken to be broken, rather than to go on and
# put aside what is most worth asking. Chosen: one that fails half of the time does so once in 1000.
MOST_FAILURES = 10


class Learner(Protocol):
    """What an `ActiveLoop` needs of what learns; `EELSClassifier` is one.

    Where its predictions have ``class_names``, answers are checked against them and kept as names.
    """

    def predict(self, spectra: Any, *, show_progressbar: bool = True) -> Any:
        """What an acquisition chooses from."""
        ...

    def update(self, new: Any, labels: Any, *, show_progressbar: bool = True) -> Any:
        """Learn labels (m,) of m items."""
        ...


class ActiveLoop:
    """Ask an oracle about the items that teach most, and learn from its answers.

    The oracle may be slow and may fail: what it raises is recorded, the item is put aside, and the
    loop goes on; so it does where the answer can be no class. Every answer is kept as soon as it is
    there, in ``history`` and in the journal, so that nothing paid for is lost to a crash, an
    interruption, or a learner that refuses it; ``run`` goes on from there. What cannot be written,
    as on a full disk, stays in ``history`` with a warning and is written as soon as that works.

    Parameters
    ----------
    learner : EELSClassifier or Learner
        ``predict`` reads the pool, ``update`` learns.
    pool : Spectra or other sequence
        What may be asked about; indexed by an array of indices.
    oracle : callable
        From an index into the pool to a class name or index: an expert, a simulation, another
        measurement. An index counts the ``class_names`` of the learner's last prediction; a name
        may be that of a new class.
    acquisition : str or callable
        "bald", "batch_bald", "entropy", "epig", "margin", "random"; or a function of a prediction
        of the open items and a number k, which returns the indices of at most k of them (see
        `best`).
    budget : int
        Answers to be had, those of a resumed journal included.
    batch_size : int
        Answers between two updates.
    journal : path-like, optional
        A file of one JSON object for each query, below a line that says of which pool: another
        pool, or this one in another order, is refused. One loop at a time may run on it. What it
        holds already is learned first, so that it wants the learner as it was before the first
        query: one that has learned these answers already, saved afterwards for example, would
        count them twice. A last line that was cut off in mid-write is dropped with a warning. Of
        a pool whose items are neither numbers nor text only their number is compared.
    seed : int
        Of a random acquisition.

    Attributes
    ----------
    history : list of Query
        Every question so far, in order.

    Raises
    ------
    ValueError
        If the acquisition is unknown, numbers are not positive, or the journal is not one of this
        pool.
    OSError
        If the journal cannot be written where it is meant to be.
    RuntimeError
        If another loop is running on the journal.
    """

    def __init__(
        self,
        learner: Learner,
        pool: Any,
        oracle: Callable[[int], str | int],
        *,
        acquisition: str | Acquisition = "bald",
        budget: int,
        batch_size: int = 1,
        journal: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ):
        self.budget = validation.whole("budget", budget)
        self.batch_size = validation.whole("batch_size", batch_size)
        validation.seed(seed)
        self.learner, self.pool, self.oracle = learner, pool, oracle
        self.journal = None if journal is None else Path(journal)
        self._acquire = by_name(acquisition, seed=seed)
        self.history: list[Query] = []
        self._n_learned = 0
        self._file: JournalFile | None = None
        if self.journal is not None:
            names = getattr(learner, "class_names", None)
            self._file = JournalFile(self.journal, identity_of(pool), names)
            self.history = self._file.open()

    @property
    def n_answers(self) -> int:
        """Answers had so far.

        Returns
        -------
        int
        """
        return sum(query.answer is not None for query in self.history)

    @property
    def open_items(self) -> NDArray[np.int64]:
        """Items not asked about yet.

        Returns
        -------
        (m,) int array
            Indices into the pool, ascending.
        """
        asked = [query.item for query in self.history]
        return np.setdiff1d(np.arange(len(self.pool)), asked)

    def run(
        self,
        *,
        after_round: Callable[[ActiveLoop], None] | None = None,
        show_progressbar: bool = True,
    ) -> list[Query]:
        """Ask until the budget is spent or nothing is open.

        Parameters
        ----------
        after_round : callable, optional
            Called with this loop when a batch has been learned, for example to score a test set.
        show_progressbar : bool

        Returns
        -------
        list of Query
            The history.

        Raises
        ------
        Exception
            What the learner raises at an update, with a note that names the answers it refused;
            they are kept.
        OSError
            If the journal cannot be written any more; nothing was asked.
        RuntimeError
            If the oracle failed `MOST_FAILURES` times in a row, or at every item there is; or if
            another loop is running, or has run, on the journal.
        """
        bar = tqdm(
            total=self.budget,
            initial=self.n_answers,
            desc="active learning",
            unit="answer",
            disable=not show_progressbar,
        )
        first = len(self.history)
        with bar, nullcontext() if self._file is None else self._file.writing(self.history):
            self._learn()
            while self.n_answers < self.budget:
                items = self.open_items
                k = min(self.batch_size, self.budget - self.n_answers)
                if not len(items):
                    break
                pred = self.learner.predict(self.pool[items], show_progressbar=False)
                chosen = items[np.asarray(self._acquire(pred, k), dtype=np.int64)]
                if not len(chosen):  # all that is left is flagged
                    break
                number = self.history[-1].round + 1 if self.history else 0
                for item in chosen.tolist():
                    query = self._ask(number, item, getattr(pred, "class_names", None))
                    bar.update(query.answer is not None)
                    last = self.history[first:][-MOST_FAILURES:]
                    if len(last) == MOST_FAILURES:
                        self._refuse_failures(last)
                self._learn()
                if after_round is not None:
                    after_round(self)
        if not self.n_answers:
            self._refuse_failures(self.history)
        return self.history

    def _ask(self, number: int, item: int, class_names: Sequence[str] | None) -> Query:
        """Ask the oracle about one item, and keep what comes of it."""
        start = time.perf_counter()
        answer, error = None, ""
        try:
            answer = _answer(self.oracle(item), class_names)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        query = Query(number, item, answer, error, time.perf_counter() - start)
        self.history.append(query)
        if self._file is not None:
            self._file.write(self.history)
        return query

    def _refuse_failures(self, queries: Sequence[Query]) -> None:
        """Raise where the oracle has failed at all of these."""
        if queries and all(query.answer is None for query in queries):
            kept = "history" if self.journal is None else f"history and of {self.journal}"
            raise RuntimeError(
                f"the oracle failed {len(queries)} times in a row, at last about item "
                f"{queries[-1].item}: {queries[-1].error}; mend it and run again. Items "
                f"{[query.item for query in queries]} are put aside: take them out of {kept} to "
                "ask about them again"
            )

    def _learn(self) -> None:
        """From all answers that are not learned yet."""
        new = [query for query in self.history[self._n_learned :] if query.answer is not None]
        if new:
            items = np.array([query.item for query in new])
            answers = [query.answer for query in new]
            try:
                self.learner.update(self.pool[items], answers, show_progressbar=False)
            except Exception as problem:
                kept = "history" if self.journal is None else f"history and in {self.journal}"
                problem.add_note(
                    f"The answers about items {items.tolist()} are not learned, but kept in "
                    f"{kept}: correct there what the learner cannot take, and run goes on."
                )
                raise
        self._n_learned = len(self.history)


def _answer(given: Any, class_names: Sequence[str] | None) -> str | int:
    """The class by its name: an index may mean another one when the learner knows more classes."""
    if isinstance(given, str) and given:
        return str(given)
    try:
        index = -1 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        index = -1
    if index < 0 or (class_names is not None and index >= len(class_names)):
        known = "" if class_names is None else f" of {tuple(class_names)}"
        raise ValueError(f"the oracle gave {given!r}; a class name or an index{known} is needed")
    return index if class_names is None else str(class_names[index])
