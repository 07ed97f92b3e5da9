"""Fingerprints from calculated edges, for elements that are to be told apart by their presence.

Hydrogenic cross-sections (Egerton's SIGMAK and SIGMAL, by exSpy) have neither white lines nor other
fine structure: where those are strong, classes are found but novelty is high.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.data.variations import Variations
from eels_bayes.quiet_imports import import_quietly

STANDS_OUT = 3.0  # errors by which an amplitude must exceed zero to count for them
LEAST_SHOWN = 2.0  # times that, where no pixel does
INTENSITY = 0.1  # relative sd: the fit has edges of any size, as near to one another as this
POINTS = 20  # energies that a channel's cross-section is a mean of
SHELLS = "KL"  # that there are hydrogenic cross-sections of


class Beam(NamedTuple):
    """What cross-sections depend on beside the edge.

    Attributes
    ----------
    energy : float
        keV.
    convergence_angle, collection_angle : float
        Semi-angles, mrad.
    """

    energy: float = 200.0
    convergence_angle: float = 10.0
    collection_angle: float = 20.0


# Where HyperSpy's metadata have them, below those of the TEM.
STATED = {
    "energy": ("beam_energy",),
    "convergence_angle": ("convergence_angle",),
    "collection_angle": ("Detector", "EELS", "collection_angle"),
}


def hydrogenic_library(
    edges: Sequence[str], spectra: Spectra, *, beam: Sequence[float] | None = None
) -> FingerprintLibrary:
    """One class for each entry of `edges`, and one without an edge.

    Fingerprints are as large as the mean amplitude that least squares find for the sum of all
    shapes in the pixels where it stands out: no label is needed. How much of an element a pixel
    holds varies freely; the fit has edges of a tenth to twice that size.

    Parameters
    ----------
    edges : sequence of str
        Names as exSpy has them, K and L shells: "O_K", "Cu_L3"; "Cu_L3+Zn_L3" is a class that
        shows as much of both.
    spectra : Spectra
        The pixels; the fingerprints are on their axis and in their unit.
    beam : (energy, convergence_angle, collection_angle), optional
        keV, and semi-angles in mrad; by default what the first signal's metadata state, and 200,
        10 and 20 where they do not.

    Returns
    -------
    FingerprintLibrary

    Raises
    ------
    TypeError, ValueError
        No edges, one that is unknown or does not reach into the window, or no usable pixel.

    Warns
    -----
    UserWarning
        What was assumed of the beam; and where no pixel shows the edges.
    """
    if isinstance(edges, str) or not edges:
        raise TypeError(f"edges is {edges!r}; give a list of names, such as ['Cu_L3', 'Zn_L3']")
    if not isinstance(spectra, Spectra):
        raise TypeError(f"spectra is a {type(spectra).__name__}; make Spectra with a Preprocessor")
    if not spectra.ok.any():
        raise ValueError(f"none of {len(spectra)} pixels is usable: see spectra.reasons()")
    subshells = list(dict.fromkeys(part for name in edges for part in name.split("+")))
    names = {name: name.split("_")[0] for name in subshells}
    if len(set(names.values())) < len(subshells):
        raise ValueError(
            f"edges holds {', '.join(subshells)}: shells of one element have hydrogenic shapes "
            "that nothing tells apart; name one of them"
        )
    known = beam_of(spectra) if beam is None else _given(beam)
    shapes = np.array([_shape(name, spectra.energy, known) for name in subshells])
    shapes /= shapes.max()
    size = _amplitude(shapes, spectra, list(names.values()))
    rows, labels = [], []
    for name in edges:
        parts = name.split("+")
        shape = np.mean([shapes[subshells.index(part)] for part in parts], axis=0)
        rows.append(size * shape)
        labels.append(" + ".join(names[part] for part in parts))
    rows.append(np.zeros_like(spectra.energy))
    labels.append("neither" if len(subshells) == 2 else "none")
    step = spectra.energy[1] - spectra.energy[0]
    return FingerprintLibrary.from_arrays(
        spectra.energy,
        rows,
        labels,
        variations=Variations(shift=0.25 * step, broadening=0.5 * step, intensity=INTENSITY),
        source="hydrogenic cross-sections by exSpy",
    )


def _given(beam: Sequence[float]) -> Beam:
    """Three positive numbers."""
    numbers = validation.numbers("beam", beam)
    if numbers.shape != (len(STATED),) or not (numbers > 0).all():
        raise ValueError(
            f"beam is {beam!r}; three positive numbers are needed: keV, and convergence and "
            "collection semi-angle in mrad"
        )
    return Beam(*numbers.tolist())


def beam_of(spectra: Spectra) -> Beam:
    """The beam as the first signal's metadata state it; what they do not is assumed, and said."""
    metadata = spectra.images[0].metadata
    found, assumed = {}, []
    for name, usual in Beam()._asdict().items():
        stated: Any = metadata.get("Acquisition_instrument", {}).get("TEM", {})
        for key in STATED[name]:
            stated = stated.get(key) if isinstance(stated, dict) else None
        found[name] = float(stated or usual)
        if not stated:
            unit = "keV" if name == "energy" else "mrad"
            assumed.append(f"{name.replace('_', ' ')} {usual:g} {unit}")
    if assumed:
        warnings.warn(
            f"beam: the file does not state it all; assumed: {', '.join(assumed)}. Give beam=, or "
            "exSpy's signal.set_microscope_parameters",
            stacklevel=3,
        )
    return Beam(**found)


def _shape(subshell: str, energy: Floats, beam: Beam) -> Floats:
    """Cross-section (L,) of an edge, averaged over each channel."""
    import_quietly("exspy.signals")
    from exspy.components import EELSCLEdge

    step = energy[1] - energy[0]
    if subshell.partition("_")[2][:1] not in tuple(SHELLS):
        raise ValueError(
            f"edges holds {subshell!r}; K and L shells have hydrogenic cross-sections, by names "
            "such as 'O_K' and 'Cu_L3'"
        )
    try:
        # exSpy's default cross-sections would be downloaded
        edge = EELSCLEdge(subshell, GOS="hydrogenic")
    except ValueError as error:
        raise ValueError(f"edges holds {subshell!r}: {error}") from error
    edge.fine_structure_active = False
    edge.set_microscope_parameters(*beam, step)
    within = (np.arange(POINTS) - 0.5 * (POINTS - 1)) / POINTS * step
    shape: Floats = edge.function((energy[:, None] + within).ravel())
    shape = shape.reshape(len(energy), -1).mean(1)
    if not shape.max() > 0:
        raise ValueError(
            f"edges holds {subshell!r}, which begins at {edge.onset_energy.value:g} eV, behind the "
            f"window {energy[0]:g} to {energy[-1]:g} eV"
        )
    return shape


def _amplitude(shapes: Floats, spectra: Spectra, names: Sequence[str]) -> float:
    """Mean of all shapes' summed amplitudes where it stands out, by least squares."""
    ok = spectra.ok
    weight = 1.0 / np.sqrt(np.mean(spectra.sd[ok].astype(float) ** 2, axis=0))
    design = (shapes * weight).T
    covariance = np.linalg.inv(design.T @ design)
    total = ((spectra.intensity[ok] * weight) @ design @ covariance).sum(1)
    error = float(np.sqrt(covariance.sum()))
    standing = total[total > STANDS_OUT * error]
    if len(standing):
        return float(standing.mean())
    warnings.warn(
        f"edges: none of {len(total)} pixels shows {' or '.join(names)} by more than "
        f"{STANDS_OUT:g} errors; the fingerprints are for the least that one pixel could show",
        stacklevel=3,
    )
    return STANDS_OUT * error * LEAST_SHOWN
