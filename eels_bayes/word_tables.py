"""Rows of words as aligned text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import zip_longest

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows) -> str:
    """Rows of cells, the columns aligned."""
    columns = zip_longest(*rows, fillvalue="")
    widths = [max(map(len, column)) for column in columns]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def html_table(
    rows: Rows, table: Rows, *, bad: Sequence[str] = (), notes: Sequence[str] = ()
) -> str:
    """Named values, a table whose first row is its header, and sentences, for a notebook."""
    named = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows
    )
    head, *body = table
    header = "".join(f'<th style="text-align:left">{escape(cell)}</th>' for cell in head)
    cells = "".join(
        "<tr>"
        + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row)
        + "</tr>"
        for row in body
    )
    said = "".join(f"<li><strong>{escape(text)}</strong></li>" for text in bad)
    said += "".join(f"<li>{escape(text)}</li>" for text in notes)
    return (
        f"<div><table>{named}</table><table><thead><tr>{header}</tr></thead>"
        f"<tbody>{cells}</tbody></table>" + (f"<ul>{said}</ul>" if said else "") + "</div>"
    )
