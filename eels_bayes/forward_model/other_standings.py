"""Where else the library may stand, by what a fit has made of the pixels.

Expectation-maximisation ends at the maximum nearest to where it began. Two things that a fit shows
say that there may be another: pixels of a class differ by more than one class does, so that the
library may have missed a rung of its ladder; or next to all pixels are of one class, and another
class would explain their edge as well from another place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.rivals import NOT_AT_ALL, as_well, rivals
from eels_bayes.forward_model.window_fit import WindowFit, window_fit

CHECKED = 4000  # pixels, at most, that a fit is asked of
MOST_PLACES = 2  # that a fit is begun from again, each of which takes as long as the first: chosen
OTHER_FACTORS = (0.7, 1.4)  # about half a rung of a ladder of classes to either side


class Elsewhere(NamedTuple):
    """Where else to begin, and whether classes that differ by the size of their edge say so."""

    fit: LibraryFit
    by_size: bool


def other_standings(
    model: ForwardModel, library: FingerprintLibrary, profile: Array, level: Array
) -> list[Elsewhere]:
    """Where else a fit should begin; nowhere, for most.

    Parameters
    ----------
    model : ForwardModel
        A fit that has ended.
    library : FingerprintLibrary
        As it was given to the fit.
    profile, level : (n, B) and (n,) arrays
        Pixels of the fit, as in `Spectra`.

    Returns
    -------
    list of Elsewhere
    """
    every = -(-len(profile) // CHECKED)
    found = window_fit(model, profile[::every], level[::every], errors=False)
    fit, several = model.library_fit, found.several[: library.n_classes].any()
    by_size = [replace(fit, gain=other * fit.gain) for other in OTHER_FACTORS * bool(several)]
    return [
        *(Elsewhere(other, True) for other in by_size),
        *(Elsewhere(other, False) for other in _by_place(model, library, found)),
    ]


def _by_place(
    model: ForwardModel, library: FingerprintLibrary, found: WindowFit
) -> list[LibraryFit]:
    """Where other classes would explain the edge of the only one that is there."""
    only, fit = found.only_class(library.n_classes), model.library_fit
    if only is None or not np.abs(found.fingerprint[only]).any():
        return []
    tried = rivals(model, library, found.edge[only])
    # beyond what explains anything, a factor may be none
    others = [k for k in as_well(tried, only) if tried[k].off < NOT_AT_ALL]
    best = sorted(others, key=lambda k: tried[k].off)[:MOST_PLACES]
    return [
        replace(fit, gain=fit.gain * tried[k].factor, shift=fit.shift + tried[k].shift)
        for k in best
    ]
