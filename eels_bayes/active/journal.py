"""What an active loop asked, line by line in a file, so that no answer is lost."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

LINE = b'{"round": '  # how each line of a journal begins


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


def write_query(path: Path, query: Query) -> None:
    """Add one line to the journal."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(query)) + "\n")


def read_journal(path: Path, n_items: int) -> list[Query]:
    """What was asked so far; a last line that was cut off is dropped, with a warning.

    Raises
    ------
    ValueError
        If a line is no query, or asks about an item beyond ``n_items``.
    """
    text = path.read_bytes()
    whole, newline, last = text.rpartition(b"\n")
    cut_off = _is_cut_off(last)
    history = []
    for number, line in enumerate((whole + newline if cut_off else text).splitlines(), 1):
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
        history.append(query)
    if cut_off:
        warnings.warn(
            f"{path} ends in the middle of line {len(history) + 1}, which is dropped: its item is "
            "open again",
            stacklevel=3,
        )
        os.truncate(path, len(text) - len(last))
    elif last:
        with path.open("ab") as file:
            file.write(b"\n")
    return history


def _is_cut_off(last: bytes) -> bool:
    """Whether the program ended while it wrote this line, and not another program's file."""
    if not last or not last.startswith(LINE[: len(last)]):
        return False
    try:
        json.loads(last)
    except ValueError:
        return True
    return False
