"""A slab of Cr2TiC2, the double-transition-metal MXene whose surfaces carry oxygen and fluorine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eels_bayes import validation
from eels_bayes.optional_packages import needed
from eels_bayes.structures.configurations import check_element

if TYPE_CHECKING:
    from ase import Atoms

# The three places of close-packed layers, in fractions of the first two cell vectors.
A, B, C = (0.0, 0.0), (1 / 3, 2 / 3), (2 / 3, 1 / 3)
LEAST_VACUUM = 5.0  # angstrom: less, and periodic images touch


class Layers(NamedTuple):
    """Lattice constant, and heights above titanium, angstrom."""

    lattice: float
    carbon: float
    chromium: float
    termination: float


# Cell and positions relaxed with CHGNet 0.4.2 (its model 0.3.0) in ASE to forces below 0.01 eV/A.
# Another potential puts chromium up to 0.2 A elsewhere: a start, not a result.
RELAXED = {
    "O": Layers(3.0066, 1.277, 2.489, 3.394),
    "F": Layers(2.9952, 1.338, 2.357, 3.537),
}


def cr2tic2(termination: str = "O", *, vacuum: float = 15.0) -> Atoms:
    """One cell of Cr2TiC2T2: titanium in the middle, chromium outside, T on both faces.

    Layers stack as in rock salt along [111], T over the hollow above titanium (the "fcc" site of
    the literature), space group P-3m1. Lattice constant and heights were relaxed with CHGNet 0.4.2
    for oxygen and for fluorine; other species stand where oxygen does. They are a start for a
    relaxation of one's own.

    Parameters
    ----------
    termination
        Symbol of the species on both faces, T.
    vacuum
        Between a slab and its periodic image, angstrom.

    Returns
    -------
    ase.Atoms
        T, Cr, C, Ti, C, Cr, T from bottom to top; terminations have the tag 1.

    Raises
    ------
    ValueError
        The termination is no element, or the vacuum less than 5 angstrom.
    ImportError
        Without ASE.
    """
    ase = needed("ase", "structures", "a structure")
    check_element("termination", termination)
    if validation.positive("vacuum", vacuum, "angstrom") < LEAST_VACUUM:
        raise ValueError(f"vacuum must be at least {LEAST_VACUUM:g} angstrom, got {vacuum:g}")
    sizes = RELAXED.get(termination, RELAXED["O"])
    height = 2 * sizes.termination + vacuum
    stack = [
        (termination, C, -sizes.termination),
        ("Cr", A, -sizes.chromium),
        ("C", B, -sizes.carbon),
        ("Ti", C, 0.0),
        ("C", A, sizes.carbon),
        ("Cr", B, sizes.chromium),
        (termination, C, sizes.termination),
    ]
    return ase.Atoms(
        [symbol for symbol, _, _ in stack],
        scaled_positions=[(*place, 0.5 + z / height) for _, place, z in stack],
        cell=[sizes.lattice, sizes.lattice, height, 90, 90, 120],
        pbc=True,
        tags=[1, 0, 0, 0, 0, 0, 1],
    )
