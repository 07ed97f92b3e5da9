"""Tables of numbers in text, read strictly: what is cut off or no number is refused by line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Floats

COMMENTS = ("#", "%", "!", ";", "@")
# Fortran writes 1.5D-03, and 1.5-103 where the exponent has three digits.
FORTRAN_D = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")
FORTRAN_BARE = re.compile(r"^([+-]?\d*\.?\d+|[+-]?\d+\.)([+-]\d{2,3})$")
DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+([eE][+-]?\d+)?$")
LONGEST = 60  # characters of a number: expressions are slow on longer ones
SHOWN = 60  # characters of a line in an error


class Line(NamedTuple):
    """A line of a file and its number, from 1."""

    number: int
    text: str


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of numbers, and the lines above them that are none.

    Parameters
    ----------
    header
        Comments and words above, without the signs of comments.
    rows
        Shape (N, number of columns).
    """

    header: tuple[str, ...]
    rows: Floats


def blocks(text: str, *, by_program: bool) -> list[Block]:
    """The tables of a text, which words or comments part from one another.

    Parameters
    ----------
    text
        The whole file.
    by_program
        Whether a program wrote it, which ends every line.

    Raises
    ------
    ValueError
        There are no numbers, rows differ in length, a number overflowed its field, or the last
        line is cut off.
    """
    found: list[Block] = []
    header: list[str] = []
    rows: list[list[float]] = []
    lines = text.splitlines(keepends=True)
    for number, raw in enumerate(lines, start=1):
        line = Line(number, raw.strip())
        values = None if line.text.startswith(COMMENTS) else _numbers(line, bool(rows))
        if values is None:
            if rows and line.text:  # a comment
                found.append(Block(tuple(header), np.array(rows)))
                header, rows = [], []
            if line.text:
                header.append(line.text.lstrip("".join(COMMENTS)).strip())
            continue
        if rows and len(values) != len(rows[0]):
            raise ValueError(
                f"line {number} holds {len(values)} numbers, the lines above {len(rows[0])}; "
                "the file is cut off, or of another format"
            )
        rows.append(values)
    if rows:
        found.append(Block(tuple(header), np.array(rows)))
    if not found:
        raise ValueError("there are no rows of numbers in it")
    if any(block.rows.shape[1] < 2 for block in found):
        raise ValueError("it has one column; energies and intensities are needed")
    if not text.endswith(("\n", "\r")):
        before = lines[-2].strip() if len(lines) > 1 else ""
        _check_end(Line(len(lines), lines[-1].strip()), before, by_program)
    return found


def _numbers(line: Line, within: bool) -> list[float] | None:
    """The numbers of a line, or None where it is words."""
    if not line.text:
        return None
    if ";" in line.text:  # a semicolon leaves the comma to the decimals
        fields = line.text.replace(",", ".").rstrip("; ").split(";")
    elif "," in line.text:
        words = line.text.split()
        if len(words) > 1 and all(DECIMAL_COMMA.match(word) for word in words):
            raise ValueError(
                f"line {line.number}, {line.text[:SHOWN]!r}, can be read in two ways; write points "
                "for decimal commas, or semicolons between the columns"
            )
        fields = line.text.rstrip(",").split(",") if len(words) == 1 else _mixed(line.text)
    else:
        fields = line.text.split()
    if not any(field.strip() for field in fields):
        return None
    try:  # an empty field is no number, and keeps its place
        return [_number(field.strip() or "nan") for field in fields]
    except ValueError:
        overflow = "*" in line.text and re.search(r"\*{3,}", line.text)
        if within and overflow:
            raise ValueError(
                f"line {line.number} holds a number that did not fit its field: "
                f"{line.text[:SHOWN]!r}"
            ) from None
        if within:
            raise ValueError(
                f"line {line.number} is no row of numbers: {line.text[:SHOWN]!r}; the file is cut "
                "off, or of another format"
            ) from None
        return None


def _mixed(text: str) -> list[str]:
    """Fields between commas and blanks."""
    return re.split(r"\s*,\s*|\s+", text.rstrip(", \t"))


def _number(field: str) -> float:
    """A finite or other number as C or Fortran write it."""
    try:
        return float(field)
    except ValueError:
        if len(field) > LONGEST:
            raise
        plain = FORTRAN_BARE.sub(r"\1e\2", FORTRAN_D.sub("e", field))
        return float(plain)


def _check_end(last: Line, before: str, by_program: bool) -> None:
    """Refuse a last line without an end: by a program, or shorter than the line above."""
    fields, others = last.text.split(), before.split()
    shorter = bool(fields) and bool(others) and len(fields[-1]) < len(others[-1])
    if by_program or shorter:
        raise ValueError(
            f"the last line, {last.number}, has no end: {last.text[:SHOWN]!r}; the file is cut off"
        )
