"""Results in files of their own: written whole, named by what they depend on, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eels_bayes.whole_file import write_whole

if TYPE_CHECKING:
    from ase import Atoms

FORMAT = 1  # of these files; a change makes all results new ones
DECIMALS = 6  # of positions, angstrom, that make a structure another one


def key_of(**depends: Any) -> str:
    """A name for what depends on these and nothing else, 64 letters."""
    try:
        text = json.dumps({"format": FORMAT, **depends}, sort_keys=True)
    except TypeError as error:
        raise TypeError(f"settings hold what JSON does not take: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()


def described(atoms: Atoms) -> dict[str, Any]:
    """A structure as JSON takes it, with the digits that count."""
    known = {
        "numbers": atoms.numbers.tolist(),
        "positions": (atoms.positions.round(DECIMALS) + 0.0).tolist(),
        "cell": (atoms.cell.array.round(DECIMALS) + 0.0).tolist(),
        "pbc": atoms.pbc.tolist(),
    }
    for name in ("initial_magmoms", "initial_charges"):  # where an engine or a calculator begins
        if atoms.has(name):
            known[name] = atoms.arrays[name].tolist()
    if atoms.constraints:  # what a relaxation leaves where it is
        known["constraints"] = [
            str(one.todict() if hasattr(one, "todict") else one) for one in atoms.constraints
        ]
    return known


def keep(folder: Path, key: str, result: Mapping[str, Any]) -> None:
    """Write a result; what stands under its name is whole, or is not there."""
    text = json.dumps(result)
    record = {"key": key, "digest": hashlib.sha256(text.encode()).hexdigest(), "result": result}
    write_whole(folder / f"{key}.json", json.dumps(record).encode())


def kept(folder: Path, key: str) -> dict[str, Any] | None:
    """A result that is there and whole, or None: a damaged one counts as none."""
    try:
        record = json.loads((folder / f"{key}.json").read_bytes())
        result: dict[str, Any] = record["result"]
        whole = record["digest"] == hashlib.sha256(json.dumps(result).encode()).hexdigest()
        return result if whole and record["key"] == key else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
