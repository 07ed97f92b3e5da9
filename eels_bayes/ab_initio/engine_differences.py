"""Several simulations of the same classes as one library, whose variations hold their differences.

Two engines, or two relaxations, disagree on more than the offset and the unit that a measurement
settles anyway: how a class's edge lies, how wide and how strong it is beside the others'. What is
left once one offset and one factor are taken out is what no engine knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eels_bayes import validation
from eels_bayes.ab_initio.ensemble_spread import spread, widened
from eels_bayes.ab_initio.simulated_fingerprints import SimulatedFingerprints
from eels_bayes.arrays import Floats
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations

STEP = 0.05  # eV between the offsets that are tried


def together(
    simulations: Sequence[SimulatedFingerprints],
    *,
    values: Mapping[str, float] | None = None,
    reach: float = 15.0,
    **words: Any,
) -> FingerprintLibrary:
    """One library of what several engines, or relaxations, give for the same classes.

    Every simulation has a fingerprint of each class in it. All but the first are moved by one
    offset and multiplied by one factor, the same for all their classes, so that they agree best.
    Variations are the spread within ensembles and, in quadrature, that between simulations.

    Parameters
    ----------
    simulations : sequence of SimulatedFingerprints
        At least two, with the same classes, counted per the same element.
    values : mapping of str to float, optional
        The physical value of each class.
    reach : float
        Largest offset either way, eV.
    **words
        Options of `FingerprintLibrary.from_arrays`, such as ``value_name``.

    Returns
    -------
    FingerprintLibrary
        Its ``source`` names the simulations with their offsets and factors.

    Raises
    ------
    ValueError
        Classes or elements differ, a value is missing, or the best offset lies at the limit.
    """
    reach = validation.positive("reach", reach, "eV")
    if len(simulations) < 2:
        raise ValueError("simulations holds fewer than two; use its own library")
    first = simulations[0]
    for one in simulations[1:]:
        if set(one.class_names) != set(first.class_names) or one.per != first.per:
            raise ValueError(
                f"{one.source} has the classes {list(one.class_names)} per {one.per}, and "
                f"{first.source} {list(first.class_names)} per {first.per}; give the same"
            )
    if values is not None and set(values) != set(first.class_names):
        raise ValueError(f"values are of {sorted(values)}; give one for each class")
    moves = [(0.0, 1.0), *(_offset(first, one, reach) for one in simulations[1:])]
    axis = _overlap(simulations, [shift for shift, _ in moves])
    rows = np.stack(
        [
            factor * _rows(one, first.class_names, axis - shift)
            for one, (shift, factor) in zip(simulations, moves, strict=True)
        ]
    )
    told = [first.source]
    told += [
        f"{one.source} moved by {shift:+.2f} eV, times {factor:.3g}"
        for one, (shift, factor) in zip(simulations[1:], moves[1:], strict=True)
    ]
    names = list(first.class_names) * len(simulations)
    if values is not None:
        words["values"] = [values[name] for name in names]
    words.setdefault("variations", _variations(axis, rows, simulations))
    words.setdefault("source", "; ".join(told))
    flat = rows.reshape(-1, len(axis))
    return FingerprintLibrary.from_arrays(axis, flat, names, list(first.class_names), **words)


def _rows(one: SimulatedFingerprints, names: Sequence[str], energy: Floats) -> Floats:
    """Classes (K, N) in this order, at energies of the simulation's own axis."""
    order = [one.class_names.index(name) for name in names]
    return np.stack([np.interp(energy, one.energy, one.intensity[k]) for k in order])


def _offset(
    first: SimulatedFingerprints, one: SimulatedFingerprints, reach: float
) -> tuple[float, float]:
    """Offset (eV) and factor that bring all classes nearest to those of the first simulation."""
    wanted = first.intensity.ravel()
    count = round(reach / STEP)
    shifts = STEP * np.arange(-count, count + 1)
    best, found = -1.0, (0.0, 1.0)
    for shift in shifts:
        rows = _rows(one, first.class_names, first.energy - shift).ravel()
        square = float(rows @ rows)
        if square == 0.0:
            continue
        product = float(rows @ wanted)
        if product / np.sqrt(square) > best:
            best, found = product / np.sqrt(square), (float(shift), product / square)
    if best <= 0.0 or abs(found[0]) >= shifts[-1]:
        raise ValueError(
            f"{one.source} agrees best with {first.source} when moved by {found[0]:g} eV, the "
            "limit; give a larger reach, or put its zero right"
        )
    return found


def _overlap(simulations: Sequence[SimulatedFingerprints], shifts: Sequence[float]) -> Floats:
    """The first one's channels that all cover once they are moved, eV."""
    axis = simulations[0].energy
    for one, shift in zip(simulations, shifts, strict=True):
        axis = axis[(axis >= one.energy[0] + shift) & (axis <= one.energy[-1] + shift)]
    if len(axis) < 3:
        raise ValueError("the simulations have no energies in common")
    return axis


def _variations(
    axis: Floats, rows: Floats, simulations: Sequence[SimulatedFingerprints]
) -> Variations:
    """Those of the simulations, in the mean, and in quadrature what lies between them."""
    even = np.full(len(rows), 1.0 / len(rows))
    between = spread(axis, [(rows[:, k], even) for k in range(rows.shape[1])])
    own = [
        (one.variations.shift, one.variations.broadening, one.variations.intensity)
        for one in simulations
    ]
    shift, broadening, intensity = np.sqrt(np.mean(np.square(own), axis=0)).tolist()
    return widened(Variations(shift, broadening, intensity), between)
