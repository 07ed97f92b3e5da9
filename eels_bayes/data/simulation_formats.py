"""Spectra as simulation codes write them: FEFF, FDMNES, OCEAN, xspectra, OptaDOS, TELNES.

Each reader takes the text of a file and its name, and gives what the file states.
"""

from __future__ import annotations

import re

import numpy as np

from eels_bayes.data.number_rows import Block, blocks
from eels_bayes.data.stated_spectrum import ABSOLUTE, Stated, named_columns

FEFF_COLUMNS = 6  # omega, e, k, mu, mu0, chi
CUT = 6  # place of the Fermi level, from the edge, among the numbers of FDMNES's first line
RAW = "unbroadened"  # how a column beside a broadened one is called
FLAT = 1e-5  # of k, per angstrom: FEFF writes its zero with rounding


def feff(text: str, name: str) -> Stated:
    """FEFF's ``xmu.dat``: absolute energies, and those from the Fermi level's own scale.

    The core hole's width and the self-energy are in it. mu is normalised 50 eV above the edge; the
    header's factor makes it a cross-section again.
    """
    block = _only(blocks(text, by_program=True))
    if block.rows.shape[1] != FEFF_COLUMNS:
        raise ValueError(f"it has {block.rows.shape[1]} columns, and xmu.dat {FEFF_COLUMNS}")
    omega, _, k, mu, mu0, _ = block.rows.T
    header = "\n".join(block.header)
    scale = re.search(r"used to normalize mu\s+([-+.\dEeDd]+)", header)
    factor = float(scale[1].replace("D", "E")) if scale else 1.0
    about = {"threshold": "k = 0"}
    if absorber := re.search(r"Abs\s+Z=\s*(\d+).*?(\w+)\s+shell", header):
        about |= {"atomic_number": absorber[1], "edge": absorber[2]}
    if width := re.search(r"Gam_ch=\s*([-+.\dE]+)", header):
        about["core_hole_width"] = f"{float(width[1]):g} eV"
    return Stated(
        format="feff",
        energy=omega,
        columns={"mu": factor * mu, "mu0": factor * mu0},
        column="mu",
        energy_unit="eV",
        zero=ABSOLUTE,
        movable=bool(k.min() <= FLAT <= k.max()),
        threshold=float(np.interp(0.0, k * np.abs(k), omega)),  # energy goes as k squared
        broadened=True,
        unit="angstrom^2" if scale else "normalised",
        about=about,
    )


def fdmnes(text: str, name: str) -> Stated:
    """FDMNES: the file of a calculation, whose first line states the edge, or ``_conv.txt``.

    Energies count from the edge's own energy, or are absolute where they lie near it (the keyword
    Energpho). A convolved file says neither the edge nor the zero.
    """
    block = _only(blocks(text, by_program=True))
    head = text.lstrip().splitlines()[0]
    names = block.header[-1].replace("<", "").replace(">", "").split() if block.header else []
    columns = named_columns(block.rows, names)
    energy = block.rows[:, 0]
    column = next(iter(columns)) if len(columns) == 1 else None
    if "E_edge" not in head:
        return Stated(
            format="fdmnes",
            energy=energy,
            columns=columns,
            column=column,
            energy_unit="eV",
            broadened=True,
            unit="Mbarn",
        )
    words = head.split()
    if len(words) < 2 or not words[1].isdigit():
        raise ValueError(f"its first line states no edge and atomic number: {head[:60]!r}")
    edge, number = words[:2]
    cut = _numbered(words, CUT)
    absolute = energy[0] > 0.5 * float(edge) > 0
    return Stated(
        format="fdmnes",
        energy=energy,
        columns=columns,
        column=column,
        energy_unit="eV",
        zero=ABSOLUTE if absolute else float(edge),
        movable=not absolute,
        broadened=False,
        fermi=None if cut is None else cut + absolute * float(edge),
        unit="Mbarn",
        about={"edge_energy": f"{float(edge):g} eV", "atomic_number": number},
    )


def ocean(text: str, name: str) -> Stated:
    """OCEAN's ``absspct``: energy in eV, then the spectrum; its zero depends on the input."""
    block = _only(blocks(text, by_program=True))
    columns = named_columns(block.rows, [])
    return Stated(
        format="ocean", energy=block.rows[:, 0], columns=columns, column="1", energy_unit="eV"
    )


def xspectra(text: str, name: str) -> Stated:
    """``xanes.dat`` of Quantum ESPRESSO's xspectra.x: energies count from the Fermi level."""
    block = _only(blocks(text, by_program=True))
    header = "\n".join(block.header)
    width = re.search(r"roadening parameter \(in eV\):\s*([-+.\dEe]+)", header)
    about = {} if width is None else {"lorentzian_half_width": f"{float(width[1]):g} eV"}
    label = block.header[-1].split() if block.header else []
    names = ["energy", *label[2:]] if label[:1] == ["Energy"] else []
    columns = named_columns(block.rows, names)
    return Stated(
        format="xspectra",
        energy=block.rows[:, 0],
        columns=columns,
        column=next(iter(columns)),
        energy_unit="eV",
        broadened=True,  # by the imaginary part that its continued fraction needs
        about=about,
    )


def optados(text: str, name: str) -> Stated:
    """OptaDOS's ``_core_edge.dat``: one block an edge, and in it raw and broadened spectra.

    With spins the columns are up, down and a sum that counts several final momenta twice, so the
    two spins are added here.
    """
    found = blocks(text, by_program=True)
    title = found[0].header
    broad = any("broadening" in line for line in title)
    columns = {}
    for number, block in enumerate(found, start=1):
        edge = block.header[-1] if block.header else str(number)
        edge = re.sub(r"\s+", " ", edge)
        if len(block.rows) != len(found[0].rows) or (block.rows[:, 0] != found[0].rows[:, 0]).any():
            raise ValueError("its edges have axes of their own; the file is cut off")
        spins = block.rows[:, 1:].T
        if len(spins) not in ((2, 6) if broad else (1, 3)):
            raise ValueError(f"it has {len(spins) + 1} columns; OptaDOS writes another number")
        parts = np.split(spins, 2) if broad else [spins]
        total = [part[0] if len(part) == 1 else part[0] + part[1] for part in parts]
        columns[edge] = total[-1]
        if broad:
            columns[f"{edge} {RAW}"] = total[0]
    return Stated(
        format="optados",
        energy=found[0].rows[:, 0],
        columns=columns,
        column=next(iter(columns)) if len(found) == 1 else None,
        energy_unit="eV",
        broadened=broad,
        unbroadened=frozenset(name for name in columns if name.endswith(RAW)),
    )


def telnes(text: str, name: str) -> Stated:
    """WIEN2k's TELNES: ``.elnes`` is as it was calculated, ``.broadspec`` was broadened.

    Energies count from the onset of the edge.
    """
    block = _only(blocks(text, by_program=True))
    label = block.header[-1].split() if block.header else []
    columns = named_columns(block.rows, label)
    endings = {"elnes": False, "broadspec": True}
    return Stated(
        format="telnes",
        energy=block.rows[:, 0],
        columns=columns,
        column=next(iter(columns)),
        energy_unit="eV",
        broadened=endings.get(name.rpartition(".")[2].lower()),
    )


def _numbered(words: list[str], place: int) -> float | None:
    """The number at a place of a line, or None."""
    try:
        return float(words[place])
    except (IndexError, ValueError):
        return None


def _only(found: list[Block]) -> Block:
    """The one table of a file."""
    if len(found) > 1:
        raise ValueError(f"it holds {len(found)} tables, one after the other; one is needed")
    return found[-1]
