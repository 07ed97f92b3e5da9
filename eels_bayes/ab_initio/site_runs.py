"""Spectra of single sites: where they are needed, run on any executor, kept, and read back."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.ab_initio.engine import Engine
from eels_bayes.ab_initio.kept_results import described, keep, kept, key_of
from eels_bayes.data.single_fingerprint import Fingerprint
from eels_bayes.structures.symmetry import atom_permutations

if TYPE_CHECKING:
    from ase import Atoms

TOLERANCE = 0.01  # angstrom: sites that differ by less have one spectrum; relaxation leaves as much
EDGE = re.compile(r"([A-Z][a-z]?)[ _](K|L1|L2|L3)")
SHOWN = 10  # failures that an error spells out


class SitesFailed(RuntimeError):
    """Some sites or structures have no result; those that have one are kept.

    Attributes
    ----------
    failures : dict of str to str
        What failed, and the last words of what ran it.
    """

    def __init__(self, what: str, failures: Mapping[str, str], total: int) -> None:
        self.failures = dict(failures)
        lines = [f"{name}: {words}" for name, words in list(failures.items())[:SHOWN]]
        if len(failures) > SHOWN:
            lines.append(f"and {len(failures) - SHOWN} more, in the error's `failures`")
        text = "\n  ".join(
            [f"{len(failures)} of {total} {what} failed; call again to try them anew:", *lines]
        )
        super().__init__(text)


def element_and_shell(edge: str) -> tuple[str, str]:
    """Of an edge's name; ValueError where it is none."""
    found = EDGE.fullmatch(edge) if isinstance(edge, str) else None
    if found is None:
        raise ValueError(f"edge is {edge!r}; give element and shell, K, L1, L2 or L3: 'F K'")
    return found[1], found[2]


def distinct_sites(atoms: Atoms, symbol: str) -> dict[int, int]:
    """One atom of each kind of site that holds an element, and how many are of its kind."""
    sites = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == symbol)
    if not len(sites):
        return {}
    try:
        moves = atom_permutations(atoms, TOLERANCE)
    except ValueError:  # no crystal, or too far from a symmetric one: each site for itself
        moves = np.arange(len(atoms))[None]
    left, found = set(sites.tolist()), {}
    while left:
        first = min(left)
        orbit = left & {int(one) for one in moves[:, first]}
        left -= orbit
        found[first] = len(orbit)
    return found


def site_key(engine: Engine, atoms: Atoms, index: int, edge: str) -> str:
    """The name of a site's spectrum."""
    return key_of(
        engine=engine.name,
        settings=dict(engine.settings()),
        structure=described(atoms),
        index=index,
        edge=edge,
    )


def simulate_site(
    engine: Engine, atoms: Atoms, index: int, edge: str, folder: str, key: str
) -> str:
    """Simulate a site unless its result is there; '' or what went wrong, in words.

    An engine with a true ``reads_anew`` reads files that others may change: its are never taken.
    """
    try:
        if not getattr(engine, "reads_anew", False) and kept(Path(folder), key) is not None:
            return ""
        with tempfile.TemporaryDirectory(prefix="eels_bayes_") as work:
            engine.write(Path(work), atoms, index, edge)
            engine.run(Path(work))
            found = engine.read(Path(work))
        keep(
            Path(folder),
            key,
            {
                "energy": found.energy.tolist(),
                "intensity": found.intensity.tolist(),
                "broadened": found.broadened,
                "unit": found.unit,
                "format": found.format,
                "about": dict(found.about),
            },
        )
    except Exception as error:  # an engine's own, of any kind: it is reported with its words
        return f"{type(error).__name__}: {error}"
    return ""


def site_spectrum(folder: Path, key: str, source: str) -> Fingerprint:
    """A kept spectrum; SitesFailed where it is missing or damaged."""
    result = kept(folder, key)
    if result is None:
        raise SitesFailed("sites", {source: "its result is not there, or damaged"}, 1)
    return Fingerprint(
        np.array(result["energy"]),
        np.array(result["intensity"]),
        result["broadened"],
        result["unit"],
        source,
        result["format"],
        result["about"],
    )


def run_all(
    what: str,
    work: Callable[..., str],
    tasks: Mapping[str, Sequence[Any]],
    executor: Executor | None,
) -> None:
    """Do all tasks, here or on an executor, and say afterwards which failed.

    Parameters
    ----------
    what
        Tasks are, in words.
    work
        Does one task, and gives '' or what went wrong.
    tasks
        Arguments by the task's name.
    executor
        Of `concurrent.futures`, or one that behaves like them; None works here, one by one.

    Raises
    ------
    SitesFailed
        After all others are done.
    """
    failures: dict[str, str] = {}
    if executor is None:
        failures = {name: said for name, given in tasks.items() if (said := work(*given))}
    else:
        futures: dict[Future[str], str] = {}
        try:
            for name, given in tasks.items():
                futures[executor.submit(work, *given)] = name
        except (RuntimeError, OSError) as error:  # a pool that broke, or starts no more processes
            missing = [name for name in tasks if name not in futures.values()]
            failures |= {name: f"not started: {error}" for name in missing}
        for future in as_completed(futures):
            try:
                said = future.result()
            except Exception as error:  # a process that was killed, a computer that went
                said = f"{type(error).__name__}: {error}"
            if said:
                failures[futures[future]] = said
    if failures:
        raise SitesFailed(what, failures, len(tasks))
