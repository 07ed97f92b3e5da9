"""Which other classes would explain the edges of classes as well, if the library stood elsewhere.

Where next to all pixels are of one class, nothing but its own lines tells where the library stands:
an axis off by half an eV makes of one valence the next. Where several are there, classes that
differ by the size of their edge still stand for one another, if fingerprints do not fit and their
factor is free. What the pixels show of each class is then compared with every fingerprint as it
was given, moved, broadened and multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.registration import placed

APART = 3.0  # eV to either side that a rival is looked for: valences differ by 1 to 2
STEPS_PER_BIN = 4  # shifts tried a bin
BROADENINGS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # eV^2 of a library that stands elsewhere
SAME_UNIT = 1.1  # factor within which a library that is in the data's unit stays
FEWER_STEPS = 2  # where several classes tell where the library stands
NEAR = 1.5  # eV to either side that classes which stand for one another are looked for
FACTORS = np.geomspace(0.25, 4.0, 57)  # of the fit's own that are tried for them
EXCHANGED = 0.2  # share of the pixels whose class is another: fewer change no map much
FEW = 10.0  # pixels: fewer show no edge
AS_WELL = 1.5  # times what the class read leaves; chosen on benchmarks/white_lines.py alone
NOT_AT_ALL = 0.5  # relative misfit of a class that does not explain an edge
DESCRIBED = 0.1  # relative misfit of the classes read below which no other is looked for


class Rival(NamedTuple):
    """A class that stands for another: by what it is moved (eV) and multiplied, and how far off.

    ``off`` is what it leaves of the other's edge, relative, as one pixel's noise and continuum
    weigh it; infinite where there is no edge to explain.
    """

    shift: float
    factor: float
    off: float


class Exchange(NamedTuple):
    """Classes that would explain what is read as others, if the library were multiplied otherwise.

    ``of`` are the classes that are read, ``by`` those that would explain them, with the library
    moved by ``shift`` (eV) and multiplied by ``factor``, both beyond the fit's own. ``off`` is what
    they leave of all classes' edges, relative, ``own`` what the classes that are read leave.
    """

    of: tuple[int, ...]
    by: tuple[int, ...]
    shift: float
    factor: float
    off: float
    own: float


def as_well(found: Sequence[Rival], only: int) -> list[int]:
    """Classes that explain the edge of the only one about as well as it does itself."""
    most = AS_WELL * found[only].off
    return [k for k, rival in enumerate(found) if k != only and rival.off < most]


class _Weighed(NamedTuple):
    """Edges (P, N) that pixels show, whitened; the inverse covariance (N, N) of a pixel's."""

    shown: Array
    inverse: Array
    inside: Array

    @property
    def whole(self) -> Array:
        """Squares (P,) of the edges."""
        return np.asarray(((self.shown @ self.inverse) * self.shown).sum(1))


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
    weighed = _weighed(model, edge[None])
    shown, whole = weighed.shown[0], float(weighed.whole[0])
    best = [Rival(0.0, 1.0, np.inf)] * library.n_classes
    if whole <= 0:
        return best
    for shift, edges in _placements(model, library, weighed.inside, APART, STEPS_PER_BIN):
        across = edges @ weighed.inverse
        norm = np.maximum((across * edges).sum(1), np.finfo(float).tiny)
        factor = np.clip(across @ shown / norm, *_factors(model.library_fit))
        left = shown - factor[:, None] * edges
        off = np.sqrt(np.maximum(((left @ weighed.inverse) * left).sum(1) / whole, 0.0))
        found = zip(factor.tolist(), off.tolist(), strict=True)
        best = [
            min(old, Rival(shift, *new), key=lambda rival: rival.off)
            for old, new in zip(best, found, strict=True)
        ]
    return best


def exchange(
    model: ForwardModel, library: FingerprintLibrary, edge: Array, pixels: Array
) -> Exchange | None:
    """Classes that would explain well what is read as others, each class as one other's.

    One factor and one place of the library hold for all classes. What pixels' noise makes of mean
    edges is taken off both misfits.

    Parameters
    ----------
    model : ForwardModel
    library : FingerprintLibrary
        As it was given to the fit.
    edge : (K, W) array
        Mean of each class's pixels less their continuum in the window's bins, edge units.
    pixels : (K,) array
        How many pixels each class has.

    Returns
    -------
    Exchange or None
        None where the classes that are read explain the edges, none has `FEW` pixels, or no other
        assignment was found.
    """
    read = np.flatnonzero(pixels >= FEW)
    if not len(read):
        return None
    weighed = _weighed(model, edge[read])
    share = pixels[read] / pixels[read].sum()
    whole = float(share @ weighed.whole)
    if whole <= 0:
        return None
    tried = [
        (shift, _squares(weighed, share / whole, edges))
        for shift, edges in _placements(model, library, weighed.inside, NEAR, FEWER_STEPS)
    ]
    noise = weighed.inside.sum() * len(read) / pixels[read].sum() / whole
    own = min(float(off[range(len(read)), read].sum(0).min()) for _, off in tried)
    if own - noise < DESCRIBED**2:
        return None
    best = (np.inf, 0.0, 1.0, read)
    for shift, off in tried:
        for at in np.flatnonzero(off.min(1).sum(0) < best[0]):
            found = _assigned(off[:, :, at], read, share, best[0])
            if found is not None:
                best = (found[0], shift, float(FACTORS[at]), found[1])
    least, shift, factor, by = best
    if not np.isfinite(least):
        return None
    other = by != read
    misfits = np.sqrt(np.maximum(np.array([least, own]) - noise, 0.0))
    return Exchange(
        tuple(read[other].tolist()), tuple(by[other].tolist()), shift, factor, *misfits.tolist()
    )


def _weighed(model: ForwardModel, edges: Array) -> _Weighed:
    """Mean edges (P, W) in whitened bins, and how a pixel's noise and continuum weigh them."""
    energy, white, inside = model.continuum.energy, model.white, model.continuum.inside
    columns = model.continuum.columns(energy, model.library) * white[:, None]
    spread = columns @ np.linalg.cholesky(model.covariance)
    inverse = np.linalg.inv(model.noise * np.eye(len(energy)) + spread @ spread.T)
    shown = np.zeros((len(edges), len(energy)))
    shown[:, inside] = edges * white[inside]
    return _Weighed(shown, inverse, inside)


def _placements(
    model: ForwardModel,
    library: FingerprintLibrary,
    inside: Array,
    apart: float,
    steps_per_bin: int,
) -> Iterator[tuple[float, Array]]:
    """Shifts around the fit's, and the whitened edges (K, N) of the library, broadened, too."""
    energy, fit = model.continuum.energy, model.library_fit
    here = placed(library, model.library.energy, fit.moved)
    here = replace(here, variations=model.library.variations)
    n_steps = int(np.ceil(apart / (energy[1] - energy[0]) * steps_per_bin))
    for shift in np.linspace(-apart, apart, 2 * n_steps + 1).tolist():
        for broadening in BROADENINGS:
            there = replace(fit, shift=fit.shift + shift, broadening=broadening)
            edges = mean_edges(energy, here, there) * model.white * inside
            yield shift, edges


def _squares(weighed: _Weighed, share: Array, edges: Array) -> Array:
    """What each class (K) leaves of each edge (P) at each factor (F), (P, K, F), times shares."""
    along = weighed.shown @ weighed.inverse @ edges.T
    norm = ((edges @ weighed.inverse) * edges).sum(1)
    left = weighed.whole[:, None, None] - 2.0 * along[:, :, None] * FACTORS
    return np.asarray(share[:, None, None] * (left + norm[:, None] * FACTORS**2))


def _assigned(off: Array, read: Array, share: Array, below: float) -> tuple[float, Array] | None:
    """A cheap assignment of classes to edges (P, K) that changes `EXCHANGED` of the pixels.

    The cheapest of all, if it does; else the best of those in which one edge is denied its own
    class.
    """
    rows, by = linear_sum_assignment(off)
    if share @ (by != read) >= EXCHANGED:
        total = float(off[rows, by].sum())
        return (total, by) if total < below else None
    best, least = None, off.min(1)
    for p, own in enumerate(read):
        costs = off.copy()
        costs[p, own] = np.inf
        if least.sum() - least[p] + costs[p].min() >= below:
            continue
        costs[p, own] = off.sum() + 1.0  # dearer than any assignment without it
        rows, by = linear_sum_assignment(costs)
        total = float(costs[rows, by].sum())
        if total < below and share @ (by != read) >= EXCHANGED:
            best, below = (total, by), total
    return best


def _factors(fit: LibraryFit) -> tuple[float, float]:
    """Least and most that a rival is multiplied by: a library in the data's unit stays in it."""
    if 1.0 / SAME_UNIT <= fit.gain <= SAME_UNIT:
        return 1.0 / SAME_UNIT / fit.gain, SAME_UNIT / fit.gain
    return 0.0, np.inf
