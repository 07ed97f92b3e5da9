"""What an active loop asked, line by line, below a first line that says of which pool."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from eels_bayes.active.pool_identity import PoolIdentity

HEAD, LINE = b'{"journal": ', b'{"round": '  # how the first line of a journal begins, and others
VERSION = 1  # of the journal's format


@dataclass(frozen=True)
class Query:
    """One question to the oracle.

    Attributes
    ----------
    round, item : int
        Number of the batch, and index into the pool.
    answer : str, int or None
        Name of the class, or its index where the learner's predictions have no ``class_names``;
        ``None`` where the oracle failed.
    error : str
        What went wrong; empty where nothing did.
    seconds : float
        Time that the oracle took, s.
    """

    round: int
    item: int
    answer: str | int | None
    error: str
    seconds: float


class Written(NamedTuple):
    """What a journal holds.

    Attributes
    ----------
    queries : list of Query
        All of them, in order.
    size : int
        Bytes of its whole lines.
    class_names : list of str or None
        Those that the learner knew at first, where it said so.
    """

    queries: list[Query]
    size: int
    class_names: list[str] | None


def head_line(pool: PoolIdentity, class_names: Sequence[str] | None, package: str) -> bytes:
    """The first line of a journal."""
    names = None if class_names is None else list(class_names)
    head = {"journal": VERSION, "package": package, **pool._asdict(), "class_names": names}
    return json.dumps(head).encode() + b"\n"


def query_lines(queries: Sequence[Query]) -> bytes:
    """A line for each query."""
    return b"".join(json.dumps(asdict(query)).encode() + b"\n" for query in queries)


def read_journal(path: Path, pool: PoolIdentity) -> Written:
    """What was asked so far; a last line that was cut off is dropped, with a warning.

    Raises
    ------
    ValueError
        If a line is no query, or the journal is one of another pool.
    """
    text = path.read_bytes()
    whole, newline, last = text.rpartition(b"\n")
    cut_off = _is_cut_off(last)
    lines = (whole + newline if cut_off else text).splitlines()
    class_names = _checked_head(path, lines[0], pool) if lines else None
    queries = [
        _query(path, number, line, pool.n_items) for number, line in enumerate(lines[1:], start=2)
    ]
    if cut_off:
        warnings.warn(
            f"{path} ends in the middle of line {len(lines) + 1}, which is dropped: its item is "
            "open again",
            stacklevel=5,
        )
        os.truncate(path, len(text) - len(last))
    elif last:
        with path.open("ab") as file:
            file.write(b"\n")
    size = len(text) - len(last) if cut_off else len(text) + bool(last)
    return Written(queries, size, class_names)


def _query(path: Path, number: int, line: bytes, n_items: int) -> Query:
    """The query of a line."""
    try:
        query = Query(**json.loads(line))
        outside = not 0 <= query.item < n_items
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path}, line {number}, is no query ({error}); give a journal of this loop or "
            "another file"
        ) from error
    if outside:
        raise ValueError(
            f"{path}, line {number}, asks about item {query.item}; the pool has {n_items}"
        )
    return query


def _checked_head(path: Path, line: bytes, pool: PoolIdentity) -> list[str] | None:
    """Class names of the first line, if it is that of a journal of this pool."""
    try:
        head: dict[str, Any] = json.loads(line)
        version, package, names = head["journal"], head["package"], head["class_names"]
        of = PoolIdentity(*(head[name] for name in PoolIdentity._fields))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}, line 1, is no first line of a journal ({error!r}); give a journal of this "
            "loop or another file"
        ) from error
    if version != VERSION:
        raise ValueError(
            f"{path} is a journal of format {version}, written by version {package}; this version "
            f"reads format {VERSION}: use that one, or another file"
        )
    if of == pool:
        return None if names is None else [str(name) for name in names]
    if of.n_items != pool.n_items:
        wrong = f"a pool of {of.n_items} items, and this one has {pool.n_items}"
    elif of.in_any_order == pool.in_any_order:
        wrong = "these items in another order"
    else:
        wrong = f"a pool of other items (written by version {package})"
    raise ValueError(
        f"{path} is the journal of {wrong}: its answers would go to the wrong items. Give the pool "
        "that it was written for, made and ordered in the same way, or another file. Where the "
        "items are known to be the same in the same order, and only their numbers came out "
        "otherwise, put the first line of a new journal of this pool in place of this one's"
    )


def _is_cut_off(last: bytes) -> bool:
    """Whether the program ended while it wrote this line, and not another program's file."""
    if not last or not any(last.startswith(start[: len(last)]) for start in (HEAD, LINE)):
        return False
    try:
        json.loads(last)
    except ValueError:
        return True
    return False
