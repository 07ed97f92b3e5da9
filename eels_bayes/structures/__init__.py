"""Structures whose spectra are to be simulated: configurations of a composition, and point defects.

Everything takes and gives ``ase.Atoms``. Of structures that symmetry makes alike one is given; its
``info`` holds ``multiplicity``, how many there are of it, and ``configurations``, how many there
are of all, so that an ensemble says itself whether it is complete. Both survive ASE's extended XYZ
files. Needs the extra ``structures``: ASE and spglib.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.structures.configurations import multiplicities, terminations
    from eels_bayes.structures.mxene_slab import cr2tic2
    from eels_bayes.structures.point_defects import (
        antisites,
        shifted_layer,
        substitutions,
        vacancies,
    )

# Public name -> the module that defines it, and its name there.
_HOME = {
    "antisites": "point_defects:antisites",
    "cr2tic2": "mxene_slab:cr2tic2",
    "multiplicities": "configurations:multiplicities",
    "shifted_layer": "point_defects:shifted_layer",
    "substitutions": "point_defects:substitutions",
    "terminations": "configurations:terminations",
    "vacancies": "point_defects:vacancies",
}

__all__ = [
    "antisites",
    "cr2tic2",
    "multiplicities",
    "shifted_layer",
    "substitutions",
    "terminations",
    "vacancies",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
