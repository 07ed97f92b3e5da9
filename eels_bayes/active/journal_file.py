"""The file of a journal: one loop at a time writes it, and catches up where it could not."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from filelock import FileLock, Timeout

from eels_bayes.active.journal import Query, Written, head_line, query_lines, read_journal
from eels_bayes.active.pool_identity import PoolIdentity
from eels_bayes.whole_file import REMEDIES

LOCK = ".lock"  # beside the journal; the system frees it when its program ends, however that is


class JournalFile:
    """Queries on the disk, in the order of a loop's history.

    Parameters
    ----------
    path : Path
    pool : PoolIdentity
        What its answers are about.
    class_names : sequence of str or None
        That the learner knows, for the first line.
    """

    def __init__(self, path: Path, pool: PoolIdentity, class_names: Sequence[str] | None):
        self.path, self._pool, self._class_names = path, pool, class_names
        self._size = self._n_written = 0  # bytes and queries that are known to be whole
        self._torn = False  # whether some of a line may lie behind them

    def open(self) -> list[Query]:
        """What was asked so far, with a warning where the learner knew other classes.

        Raises
        ------
        OSError
            If nothing could be written here.
        RuntimeError
            If another loop is running on it.
        ValueError
            If it is no journal of this pool.
        """
        with self._held():
            written = self._read()
        known = None if self._class_names is None else list(self._class_names)
        if written.queries and None not in (known, written.class_names):
            self._compare(written.class_names or [], known or [])
        return written.queries

    @contextmanager
    def writing(self, history: Sequence[Query]) -> Iterator[None]:
        """Hold it against other loops; what it lacks of the history is written first and last.

        Raises
        ------
        OSError
            If nothing could be written here.
        RuntimeError
            If another loop is running on it, or has been.
        """
        with self._held():
            there = [(query.round, query.item) for query in self._read().queries]
            if there != [(query.round, query.item) for query in history[: len(there)]]:
                raise RuntimeError(
                    f"{self.path} holds other questions than this loop's history: another loop "
                    "wrote them, or a line was changed in one of the two alone. Make the loop "
                    "anew, with the learner as it was at first, to learn what the journal holds"
                )
            self.write(history)
            try:
                yield
            finally:
                self.write(history)

    def write(self, history: Sequence[Query]) -> None:
        """What it lacks of the history; a warning says what could not be written.

        That is kept in the history, and written by the next call that can.
        """
        if self._n_written == len(history) and not self._torn:
            return
        try:
            self._append(history)
        except OSError as error:
            if self._torn:  # cut off what was written in part: this needs no room
                with suppress(OSError):
                    os.truncate(self.path, self._size)
                    self._torn = False
            items = [query.item for query in history[self._n_written :]]
            warnings.warn(
                f"{self.path} could not be written ({error}): the answers about items {items} are "
                "in the loop's history alone, and are written with the next answer or run, once "
                f"that works; {_remedy(error)}",
                stacklevel=4,
            )

    def _append(self, history: Sequence[Query]) -> None:
        """All that is lacking, in one piece behind what is whole."""
        with open(self.path, "r+b" if self.path.exists() else "x+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:  # new, or removed by somebody
                self._size = self._n_written = 0
            elif size < self._size or (size > self._size and not self._torn):
                raise OSError("something else has changed it")
            data = query_lines(history[self._n_written :])
            if not self._size:
                package = import_module("eels_bayes").__version__
                data = head_line(self._pool, self._class_names, package) + data
            self._torn = True
            file.truncate(self._size)
            file.seek(self._size)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._size, self._n_written, self._torn = self._size + len(data), len(history), False

    def _read(self) -> Written:
        """From the disk, which says anew how much is whole."""
        written = read_journal(self.path, self._pool)
        self._size, self._n_written, self._torn = written.size, len(written.queries), False
        return written

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Only one loop reads and writes a journal, and only where writing works."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"journal: the folder {self.path.parent} does not exist; make it first"
            )
        lock = FileLock(f"{self.path}{LOCK}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RuntimeError(
                f"another loop is running on {self.path}: wait for it, end it, or give this loop "
                "a journal of its own"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            try:
                self.path.open("ab").close()
            except OSError as error:
                raise self._unwritable(error) from error
            yield
        finally:
            lock.release()

    def _unwritable(self, error: OSError) -> OSError:
        """The same error with what would do."""
        return type(error)(
            f"journal: {self.path} cannot be written ({error.strerror or error}), so that answers "
            f"would be lost; {_remedy(error)}"
        )

    def _compare(self, first: list[str], known: list[str]) -> None:
        """Warn of a learner that knows other classes than it did at first."""
        if first != known:
            warnings.warn(
                f"{self.path} was begun by a learner of the classes {first}, and this one knows "
                f"{known}: where it has learned the journal's answers already they count twice; "
                "give the learner as it was at first",
                stacklevel=4,
            )


def _remedy(error: OSError) -> str:
    """What would do, by what the system says."""
    return REMEDIES.get(error.errno or 0, "choose another name or folder")
