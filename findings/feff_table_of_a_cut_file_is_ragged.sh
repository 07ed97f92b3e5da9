#!/usr/bin/env bash
# FEFF's table of a file that is cut off has columns of different lengths.
#
# feff10-rs reads FEFF's xmu.dat as a FeffTable. Where the text ends within a row, as it does while FEFF still writes or
# after a full disk, the row's first numbers are taken and the others left out: energies and absorption are then of
# different lengths, and nothing says so. Where the cut goes through a number, its first digits are taken for the number.
# The strict reader refuses the short row, but takes a number that lost its last digits for whole.
#
# feff10-rs 0.2.4, seen on 2026-11-29:
#
#     whole file: 3 rows, lengths of columns 3 3 3 3 3 3
#     cut after two numbers of the last row: lengths 3 3 2 2 2 2, strict: refused
#     cut within its last number, -2.7960601442E-02: lengths 3 3 3 3 3 3, last number -2.79, strict: -2.79
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check feff10-rs==0.2.4
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import feff10

head = "#  omega    e    k    mu    mu0     chi     @#\n"
rows = [
    "  765.4  82.7  4.69  8.5E-01  8.58E-01  -8.0E-03",
    "  767.9  85.2  4.76  8.3E-01  8.47E-01  -1.7E-02",
    "  770.5  87.8  4.83  8.0937714091E-01  8.3733774235E-01  -2.7960601442E-02",
]
whole = head + "\n".join(rows) + "\n"


def lengths(text):
    return " ".join(str(len(column)) for column in feff10.FeffTable.parse(text))


def strict(text):
    try:
        return f"{feff10.FeffTable.parse_strict(text).column(5)[-1]:g}"
    except feff10.FeffError:
        return "refused"


print(f"whole file: {feff10.FeffTable.parse(whole).nrows} rows, lengths of columns {lengths(whole)}")
two = head + "\n".join([*rows[:2], "  770.5  87.8"])
print(f"cut after two numbers of the last row: lengths {lengths(two)}, strict: {strict(two)}")
digits = whole[: whole.index("60601442E-02")]
last = feff10.FeffTable.parse(digits).column(5)[-1]
print(
    f"cut within its last number, -2.7960601442E-02: lengths {lengths(digits)}, last number {last:g}, "
    f"strict: {strict(digits)}"
)
assert lengths(two) == "3 3 2 2 2 2" and strict(two) == "refused"
assert lengths(digits) == "3 3 3 3 3 3" and last == -2.79 and strict(digits) == "-2.79"
PYTHON
