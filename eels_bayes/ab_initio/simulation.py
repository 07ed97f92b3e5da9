"""From the structures of each class to its fingerprint."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.ab_initio.engine import Engine
from eels_bayes.ab_initio.ensemble_spread import spread, widened
from eels_bayes.ab_initio.ensembles import check_complete, stated_energies, weights
from eels_bayes.ab_initio.relaxation import Relaxation, relax_one, relaxation_key, relaxed_as_kept
from eels_bayes.ab_initio.simulated_fingerprints import SimulatedFingerprints, Site
from eels_bayes.ab_initio.site_runs import (
    distinct_sites,
    element_and_shell,
    run_all,
    simulate_site,
    site_key,
    site_spectrum,
)
from eels_bayes.arrays import Floats
from eels_bayes.data.broadening import broaden
from eels_bayes.data.energy_resampling import check_energy
from eels_bayes.data.library_arrays import floats
from eels_bayes.data.library_of_files import check_alike, common_axis
from eels_bayes.data.single_fingerprint import Fingerprint
from eels_bayes.data.variations import Variations
from eels_bayes.structures.configurations import check_atoms

if TYPE_CHECKING:
    from ase import Atoms


class Found(NamedTuple):
    """The spectrum of one kind of site: class, structure, atom, how many are alike, its file."""

    name: str
    structure: int
    atom: int
    alike: int
    key: str
    spectrum: Fingerprint


def fingerprints(
    structures: Mapping[str, Atoms | Sequence[Atoms]],
    edge: str,
    *,
    engine: Engine,
    relax: Relaxation | None = None,
    temperature: float | None = None,
    per: str | None = None,
    core_hole: float | None = None,
    energy: ArrayLike | None = None,
    executor: Executor | None = None,
    cache: str | Path | None = None,
) -> SimulatedFingerprints:
    """Simulate the fingerprint of each class as the mean over its structures and their sites.

    A structure counts by its multiplicity and its Boltzmann factor. Its spectrum is the sum over
    its absorbers, so that an edge grows with the number of its atoms, per atom of an element that
    all classes hold. Sites that symmetry makes alike are simulated once.

    Parameters
    ----------
    structures : mapping of str to ase.Atoms or several
        The ensemble of each class, as `eels_bayes.structures.terminations` gives it; what states
        its multiplicity must be complete. A class without absorbers is zero.
    edge : str
        Element and shell: "F K", "Ti L3".
    engine : Engine
        `Feff10`, `Gpaw`, `Fdmnes`, `Files`, or one of your own.
    relax : Relaxation, optional
        By default structures are taken as they are.
    temperature : float, optional
        At which structures weigh, K; ``numpy.inf`` for multiplicities alone. Needed where energies
        are known: of a relaxation, or ``info["energy"]`` (or ASE's result) of each structure, eV.
    per : str, optional
        Element whose atoms intensities are counted by; by default the heaviest that all structures
        hold, other than the absorber.
    core_hole : float, optional
        Full width of the core hole, eV; for engines that do not broaden, and only for these.
    energy : (N,) array, optional
        eV; by default what all sites cover, in even steps.
    executor : concurrent.futures.Executor, optional
        A process pool, a dask client's executor, parsl; its workers must reach the cache. By
        default work is done here, one site after the other.
    cache : path-like, optional
        Folder of the results, one file a site, of which what is whole is not simulated again. By
        default nothing is kept, whatever happens.

    Returns
    -------
    SimulatedFingerprints

    Raises
    ------
    SitesFailed
        Sites or structures without a result, with the engine's last words, after all others are
        done and kept. Nothing is averaged without them.
    ValueError
        An ensemble is incomplete or holds a structure twice, a temperature or width is missing or
        in vain, energies or units do not fit, no structure holds the absorber, or the edge is none.
    TypeError
        A structure, an engine, a relaxation or an executor is none.
    ImportError
        Without ASE and spglib, or the engine's package.
    """
    symbol, shell = element_and_shell(edge)
    _check_workers(engine, relax, executor)
    axis = _check_numbers(getattr(engine, "broadens", None), core_hole, temperature, energy)
    groups = _groups(structures)
    counted = per or _reference(groups, symbol)
    _check_reference(groups, counted)
    _shares(groups, _foreseen(groups, relax), temperature)
    dict(engine.settings())  # an engine that is not installed fails here, before any work
    with contextlib.ExitStack() as stack:
        if cache is None:
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="eels_bayes_"))
        folder = validation.path("cache", cache)
        groups, energies = _relaxed(groups, relax, folder, executor)
        shares = _shares(groups, energies, temperature)
        sites = _simulated(groups, (symbol, shell), engine, folder, executor)
    return _averaged(groups, energies, shares, sites, counted, core_hole, axis, engine, relax)


def _check_workers(engine: object, relax: object, executor: object) -> None:
    """TypeError where one of them is something else."""
    if isinstance(engine, type) or not all(
        hasattr(engine, one) for one in ("name", "settings", "write", "run", "read")
    ):
        raise TypeError(f"engine is {engine!r:.60}; give one, such as Feff10()")
    if relax is not None and not isinstance(relax, Relaxation):
        raise TypeError(f"relax is {relax!r:.60}; give a Relaxation")
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(f"executor is {executor!r:.60}; give one of concurrent.futures, or alike")


def _check_numbers(
    broadens: bool | None,
    core_hole: float | None,
    temperature: float | None,
    energy: ArrayLike | None,
) -> Floats | None:
    """The axis, if one is given; ValueError before any work for what would be refused after it."""
    if temperature is not None and temperature != np.inf:
        validation.positive("temperature", temperature, "K")
    if core_hole is not None:
        validation.positive("core_hole", core_hole, "eV")
        if broadens is True:
            raise ValueError("core_hole is given, but the engine's spectra are broadened already")
    elif broadens is False:
        raise ValueError("core_hole is missing: the engine's spectra are not broadened")
    if energy is None:
        return None
    axis = floats("energy", energy)
    check_energy(axis)
    return axis


def _foreseen(
    groups: Mapping[str, Sequence[Atoms]], relax: Relaxation | None
) -> dict[str, Sequence[float] | None]:
    """Energies that structures state, or zeros in place of those that a relaxation will give."""
    if relax is None:
        return {name: stated_energies(name, group) for name, group in groups.items()}
    return {name: [0.0] * len(group) for name, group in groups.items()}


def _shares(
    groups: Mapping[str, Sequence[Atoms]],
    energies: Mapping[str, Sequence[float] | None],
    temperature: float | None,
) -> dict[str, Floats]:
    """What each structure counts within its class."""
    return {
        name: weights(name, group, energies[name], temperature) for name, group in groups.items()
    }


def _groups(structures: Any) -> dict[str, list[Atoms]]:
    """Lists of structures by class, each complete."""
    if not isinstance(structures, Mapping) or not structures:
        raise ValueError("structures is no table; give the structures of each class by its name")
    groups = {}
    for name, given in structures.items():
        if not isinstance(name, str):
            raise TypeError(f"structures has the class {name!r}; give names")
        alone = hasattr(given, "get_chemical_symbols") or not isinstance(given, Iterable)
        groups[name] = [given] if alone else list(given)
        for one in groups[name]:
            check_atoms(f"a structure of {name!r}", one)
        check_complete(name, groups[name])
    return groups


def _reference(groups: Mapping[str, Sequence[Atoms]], absorber: str) -> str:
    """The heaviest element that all structures hold beside the absorber, or the absorber."""
    common = set.intersection(
        *(set(one.get_chemical_symbols()) for group in groups.values() for one in group)
    )
    mass = {
        symbol: number
        for group in groups.values()
        for one in group
        for symbol, number in zip(one.get_chemical_symbols(), one.numbers, strict=True)
    }
    others = common - {absorber}
    return max(others or {absorber}, key=lambda symbol: mass.get(symbol, 0))


def _check_reference(groups: Mapping[str, Sequence[Atoms]], per: str) -> None:
    """Every structure holds the element whose atoms are counted."""
    for name, group in groups.items():
        if any(per not in one.get_chemical_symbols() for one in group):
            raise ValueError(f"per is {per!r}, which a structure of {name!r} does not hold")


def _relaxed(
    groups: Mapping[str, Sequence[Atoms]],
    relax: Relaxation | None,
    folder: Path,
    executor: Executor | None,
) -> tuple[dict[str, list[Atoms]], dict[str, Sequence[float] | None]]:
    """Structures as they are to be simulated, and their energies, eV."""
    if relax is None:
        return {name: list(group) for name, group in groups.items()}, _foreseen(groups, None)
    place = folder / "relaxed"
    place.mkdir(parents=True, exist_ok=True)
    keys = {
        (name, k): relaxation_key(relax, one)
        for name, group in groups.items()
        for k, one in enumerate(group)
    }
    run_all(
        "structures",
        relax_one,
        {
            f"{name}, structure {k}": (relax, groups[name][k], str(place), key)
            for (name, k), key in keys.items()
        },
        executor,
    )
    moved: dict[str, list[Atoms]] = {}
    energies: dict[str, Sequence[float] | None] = {}
    for name, group in groups.items():
        both = [relaxed_as_kept(one, place, keys[name, k]) for k, one in enumerate(group)]
        moved[name] = [one for one, _ in both]
        energies[name] = [value for _, value in both]
    return moved, energies


def _simulated(
    groups: Mapping[str, Sequence[Atoms]],
    edge: tuple[str, str],
    engine: Engine,
    folder: Path,
    executor: Executor | None,
) -> list[Found]:
    """Every kind of site with its spectrum."""
    place = folder / "sites"
    place.mkdir(parents=True, exist_ok=True)
    found = []
    tasks: dict[str, tuple[str, Sequence[Any]]] = {}  # by key: what is alike is run once
    for name, group in groups.items():
        for k, one in enumerate(group):
            for atom, count in distinct_sites(one, edge[0]).items():
                key = site_key(engine, one, atom, edge[1])
                title = f"{name}, structure {k}, atom {atom}"
                found.append((name, k, atom, count, key, title))
                tasks.setdefault(key, (title, (engine, one, atom, edge[1], str(place), key)))
    if not found:
        raise ValueError(f"no structure holds {edge[0]}, whose edge is asked for")
    run_all("sites", simulate_site, dict(tasks.values()), executor)
    return [
        Found(name, k, atom, count, key, site_spectrum(place, key, title))
        for name, k, atom, count, key, title in found
    ]


def _averaged(
    groups: Mapping[str, Sequence[Atoms]],
    energies: Mapping[str, Sequence[float] | None],
    shares: Mapping[str, Floats],
    found: Sequence[Found],
    per: str,
    core_hole: float | None,
    axis: Floats | None,
    engine: Engine,
    relax: Relaxation | None,
) -> SimulatedFingerprints:
    """Sums over sites, means over structures."""
    if core_hole is not None or not all(one.spectrum.broadened for one in found):
        found = [one._replace(spectrum=broaden(one.spectrum, core_hole=core_hole)) for one in found]
    spectra = [one.spectrum for one in found]
    check_alike(spectra, [one.name for one in found])
    axis = common_axis(spectra) if axis is None else axis
    rows = {name: np.zeros((len(group), len(axis))) for name, group in groups.items()}
    sites = []
    for name, k, atom, count, key, spectrum in found:
        known = energies[name]
        above = float("nan") if known is None else known[k] - min(known)
        sites.append(Site(name, k, atom, count, float(shares[name][k]), above, spectrum, key))
        atoms_per = groups[name][k].get_chemical_symbols().count(per)
        rows[name][k] += count * spectrum.at(axis) / atoms_per
    means = np.stack([shares[name] @ rows[name] for name in groups])
    within = spread(axis, [(rows[name], shares[name]) for name in groups])
    how = "" if relax is None else f", relaxed by {relax.settings()['calculator']}"
    return SimulatedFingerprints(
        energy=axis,
        intensity=means,
        class_names=tuple(groups),
        sites=tuple(sites),
        variations=widened(Variations(), within),
        per=per,
        unit=found[0].spectrum.unit,
        source=f"{engine.name}{how}",
    )
