"""Energies of edges by name, and how far around them an edge is looked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from eels_bayes.quiet_imports import import_quietly

SEARCH = 20.0  # eV on either side of a tabulated energy: axes were seen to be 12 eV off
ZERO_LOSS = "zero loss"
ONSET, WEIGHT = "onset_energy (eV)", "relevance"  # in exSpy's tables
MAJOR = "Major"
LEADING = ("K", "L3", "L2,3")  # what an element is usually recognised by; L2 stands behind L3
LEADING_IF_SHARP = ("M5", "M4,5")  # likewise where they begin with a white line
SHARP = "Sharp peak"


class TabulatedEdge(NamedTuple):
    """An edge and its onset, eV."""

    name: str
    onset: float


def tabulated_onset(edge: str) -> float:
    """Onset of an edge in exSpy's tables, eV.

    Parameters
    ----------
    edge : str
        Such as "F_K" or "Mn_L3".

    Raises
    ------
    ValueError
        It is not in the tables, or another edge of the element begins less than 20 eV before it,
        so that a search around it would find that one.
    """
    element, _, shell = edge.partition("_")
    shells = {name: entry[ONSET] for name, entry in _tables(element).items()}
    if shell not in shells:
        known = ", ".join(f"{element}_{name}" for name in shells) or "'F_K' or 'Mn_L3'"
        raise ValueError(
            f"edge is {edge!r}; a window (low, high), {ZERO_LOSS!r}, or a name as exSpy has it is "
            f"needed, such as {known}"
        )
    for other, onset in shells.items():
        if 0 < shells[shell] - onset < SEARCH:
            raise ValueError(
                f"edge is {edge!r}, and {element}_{other} begins {shells[shell] - onset:g} eV "
                f"before it: name that, or give a window (low, high) around the rise of {edge}"
            )
    return shells[shell]


def edges_between(low: float, high: float, elements: Collection[str] = ()) -> list[TabulatedEdge]:
    """Edges of exSpy's tables whose onsets lie in a range, by energy.

    Parameters
    ----------
    low, high : float
        eV.
    elements : collection of str
        Symbols, of which minor edges are given too; by default the major edges of all elements.

    Raises
    ------
    ValueError
        One is no element.
    """
    known = _symbols()
    if strangers := [symbol for symbol in elements if symbol not in known]:
        raise ValueError(f"elements holds {strangers}; symbols are needed, such as 'O' and 'Mn'")
    found = [
        TabulatedEdge(f"{symbol}_{shell}", entry[ONSET])
        for symbol in elements or known
        for shell, entry in _tables(symbol).items()
        if low <= entry[ONSET] <= high and (elements or entry[WEIGHT] == MAJOR)
    ]
    return sorted(found, key=lambda edge: (edge.onset, edge.name))


def leading_edges(low: float, high: float) -> list[TabulatedEdge]:
    """The edge by which each element is usually recognised, of those between two energies.

    K, L3, and M5 where it is a white line; by energy, so that those with the largest cross-sections
    come first, as far as shells are alike.

    Parameters
    ----------
    low, high : float
        eV.
    """
    found = []
    for edge in edges_between(low, high):
        element, _, shell = edge.name.partition("_")
        sharp = _tables(element)[shell]["threshold"] == SHARP
        if shell in LEADING or (shell in LEADING_IF_SHARP and sharp):
            found.append(edge)
    return found


def _symbols() -> list[str]:
    """All elements."""
    import_quietly("exspy.signals")
    from exspy.material import elements as elements_db

    return [symbol for symbol, _ in elements_db]


def _tables(element: str) -> dict[str, dict[str, Any]]:
    """What exSpy has of each edge of an element; nothing of what is none."""
    import_quietly("exspy.signals")
    from exspy.material import elements as elements_db

    if element not in elements_db:
        return {}
    table = elements_db[element].Atomic_properties.as_dictionary().get("Binding_energies", {})
    return {name: entry | {ONSET: float(entry[ONSET])} for name, entry in table.items()}
