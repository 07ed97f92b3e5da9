"""Energies of edges by name, and how far around them an edge is looked for."""

from __future__ import annotations

SEARCH = 20.0  # eV on either side of a tabulated energy: axes were seen to be 12 eV off
ZERO_LOSS = "zero loss"


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
    from exspy.material import elements as elements_db

    element, _, shell = edge.partition("_")
    shells: dict[str, float] = {}
    if element in elements_db:
        table = elements_db[element].Atomic_properties.as_dictionary().get("Binding_energies", {})
        shells = {name: float(entry["onset_energy (eV)"]) for name, entry in table.items()}
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
