"""Which other class would explain the edge of one class as well, if the library stood elsewhere.

Where next to all pixels are of one class, nothing but its own lines tells where the library stands:
an axis off by half an eV makes of one valence the next. What the pixels show of the class is then
compared with every fingerprint as it was given, moved, broadened and multiplied.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.registration import placed

APART = 3.0  # eV to either side that a rival is looked for: valences differ by 1 to 2
STEPS_PER_BIN = 4  # shifts tried a bin
BROADENINGS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # eV^2 of a library that stands elsewhere
SAME_UNIT = 1.1  # factor within which a library that is in the data's unit stays


class Rival(NamedTuple):
    """A class that stands for another: by what it is moved (eV) and multiplied, and how far off.

    ``off`` is what it leaves of the other's edge, relative, as one pixel's noise and continuum
    weigh it; infinite where there is no edge to explain.
    """

    shift: float
    factor: float
    off: float


def rivals(model: ForwardModel, library: FingerprintLibrary, edge: Array) -> list[Rival]:
    """How well each class (K of them) explains the mean edge of pixels, moved as may be.

    Parameters
    ----------
    model : ForwardModel
    library : FingerprintLibrary
        As it was given to the fit.
    edge : (W,) array
        Mean of the pixels less their continuum in the window's bins, edge units.

    Returns
    -------
    list of Rival
    """
    energy, fit, white = model.continuum.energy, model.library_fit, model.white
    here = placed(library, model.library.energy, fit.moved)
    here = replace(here, variations=model.library.variations)
    columns = model.continuum.columns(energy, model.library) * white[:, None]
    spread = columns @ np.linalg.cholesky(model.covariance)
    inverse = np.linalg.inv(model.noise * np.eye(len(energy)) + spread @ spread.T)
    inside = model.continuum.inside
    shown = np.zeros(len(energy))
    shown[inside] = edge * white[inside]
    whole = float(shown @ inverse @ shown)
    best = [Rival(0.0, 1.0, np.inf)] * here.n_classes
    if whole <= 0:
        return best
    n_steps = int(np.ceil(APART / (energy[1] - energy[0]) * STEPS_PER_BIN))
    for shift in np.linspace(-APART, APART, 2 * n_steps + 1).tolist():
        for broadening in BROADENINGS:
            there = replace(fit, shift=fit.shift + shift, broadening=broadening)
            edges = mean_edges(energy, here, there) * white * inside
            weighed = edges @ inverse
            norm = np.maximum((weighed * edges).sum(1), np.finfo(float).tiny)
            factor = np.clip(weighed @ shown / norm, *_factors(fit))
            left = shown - factor[:, None] * edges
            off = np.sqrt(np.maximum(((left @ inverse) * left).sum(1) / whole, 0.0))
            found = zip(factor.tolist(), off.tolist(), strict=True)
            best = [
                min(old, Rival(shift, *new), key=lambda rival: rival.off)
                for old, new in zip(best, found, strict=True)
            ]
    return best


def _factors(fit: LibraryFit) -> tuple[float, float]:
    """Least and most that a rival is multiplied by: a library in the data's unit stays in it."""
    if 1.0 / SAME_UNIT <= fit.gain <= SAME_UNIT:
        return 1.0 / SAME_UNIT / fit.gain, SAME_UNIT / fit.gain
    return 0.0, np.inf
