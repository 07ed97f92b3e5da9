"""``eels-bayes inspect``: what files hold, before anything is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.files import check_drawable, numbered, write_figure
from eels_bayes.command_line.options import Band, Reading
from eels_bayes.data.hyperspy_io import energy_axis, load_all
from eels_bayes.data.tabulated_edges import TabulatedEdge, edges_between, leading_edges
from eels_bayes.preprocessing.inspection import Inspection, drawn, in_words

MOST_EDGES = 12  # that are listed unasked: two lines


def inspect_files(
    files: list[str],
    /,
    *,
    window: Band | None = None,
    reading: Reading | None = None,
    elements: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    all_edges: bool = False,
    figure: Path | None = None,
) -> Answer:
    """Show what files hold: axes, counts, noise, edges in range, and what windows would do.

    Parameters
    ----------
    files
        Spectrum images or spectra of any format that HyperSpy reads, or patterns in quotes.
    window
        The edge to read, eV.
    reading
        How counts are read.
    elements
        Symbols of what the sample may hold: their edges are listed, minor ones too, and marked in
        the figure. By default those of the file's metadata, else a few of the edges by which
        elements are usually recognised, in the windows where these are given.
    all_edges
        List the major edges of all elements in the file's range.
    figure
        Picture to write: mean spectrum, windows, and noise against counts. Of several signals
        each has one, with a number.
    """
    if window is None and reading is not None and reading.background is not None:
        raise ValueError("--background needs --window, the edge behind it")
    if figure is not None:
        check_drawable(figure)
    signals = load_all(files)
    texts, values, trusted = [], [], True
    for k, signal in enumerate(signals):
        axis = energy_axis(signal)
        whole = (axis.offset, axis.offset + axis.scale * (axis.n - 1))
        found = (reading or Reading()).inspection(signal, window or whole)
        named = elements or list(signal.metadata.get_item("Sample.elements", []))
        named = [] if all_edges else named
        edges = edges_between(*whole, named)
        lines = found.words().splitlines()
        if window is None:  # it is none that was asked for
            lines = [line for line in lines if not line.startswith("window ")]
        off = _off_axis(found, whole)
        lines += [f"! {text}" for text in off]
        trusted &= not found.doubts and not off
        shown = _named(edges) if named or all_edges else _few(found, whole, window is not None)
        texts.append("\n".join([lines[0], *_axes(signal), *lines[1:], f"edges (eV): {shown}"]))
        values.append(_values(signal, found, edges, off, asked=window is not None))
        if figure is not None:
            marks = {edge.name: edge.onset for edge in edges} if named else {}
            drawing = drawn(found, marks, window=window is not None)
            path = write_figure(numbered(figure, k, len(signals)), drawing)
            texts[-1] += f"\nfigure: {path}"
    return Answer("\n\n".join(texts), {"signals": values}, trusted)


def _axes(signal: Any) -> list[str]:
    """The navigation axes in words, a line each, and how many counts there are."""
    axes = [
        f"axis {axis.name}: {axis.size} steps of {axis.scale:.4g} {_unit(axis.units)}".rstrip()
        for axis in signal.axes_manager.navigation_axes
    ]
    data = signal.data
    counts = (
        f"counts: {np.nanmin(data):.4g} to {np.nanmax(data):.4g}, mean {np.nanmean(data):.4g} a "
        f"channel ({data.dtype})"
    )
    return [*axes, counts]


def _unit(units: Any) -> str:
    """Units as HyperSpy has them, '' for none."""
    return units if isinstance(units, str) and units != "<undefined>" else ""


def _named(edges: list[TabulatedEdge]) -> str:
    """Edges in words."""
    named = ", ".join(f"{edge.name} {edge.onset:g}" for edge in edges)
    return named or "none that is tabulated lies in this range"


def _few(found: Inspection, whole: Band, asked: bool) -> str:
    """The first edges by which elements are recognised, in the windows or the whole axis."""
    bands = list(found.bands().values())
    low, high = (min(b[0] for b in bands), max(b[1] for b in bands)) if asked else whole
    edges = leading_edges(low, high)
    left = len(edges) - MOST_EDGES
    more = f", and {left} more up to {high:g} eV" if left > 0 else ""
    return (
        f"{_named(edges[:MOST_EDGES])}{more}; --elements Mn O shows those of your elements, "
        "--all-edges all"
    )


def _off_axis(found: Inspection, whole: Band) -> list[str]:
    """Windows that do not lie on the axis, a sentence each."""
    half = 0.5 * found.raw.axis.scale
    return [
        f"{name} {low:g} to {high:g} eV does not lie on the axis, {whole[0]:g} to {whole[1]:g} eV"
        for name, (low, high) in found.bands().items()
        if low < whole[0] - half or high > whole[1] + half
    ]


def _values(
    signal: Any, found: Inspection, edges: list[TabulatedEdge], off: list[str], *, asked: bool
) -> dict[str, Any]:
    """What was found of a signal, for programs."""
    raw, measured = found.raw, found.measured
    problems = [*off, found.doubts, found.choice.message, found.beyond]
    return {
        "title": found.title,
        "shape": list(signal.axes_manager.navigation_shape[::-1]),
        "axes": [
            {"name": axis.name, "size": axis.size, "scale": axis.scale, "units": _unit(axis.units)}
            for axis in signal.axes_manager.navigation_axes[::-1]
        ],
        "energy": {"offset": raw.axis.offset, "scale": raw.axis.scale, "size": raw.axis.n},
        "mean_counts": np.nanmean(signal.data),
        "noise_stated": in_words(raw.noise) if raw.stated else None,
        "noise_measured": None if measured is None else in_words(measured.noise),
        "noise_believed": in_words(found.choice.noise),
        "windows": {k: list(v) for k, v in found.bands().items() if asked or k != "window"},
        "background_exponent": None if found.background is None else found.background[1],
        "problems": [text for text in problems if text],
        "edges": {edge.name: edge.onset for edge in edges},
    }
