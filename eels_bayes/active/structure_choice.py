"""Which structure to simulate next, from what a map cannot explain, until none is worth its cost.

Before its simulation a candidate's edge is guessed from those of simulated structures: a Gaussian
process over the surroundings of their absorbers, whose doubt lies along the modes in which
fingerprints miss edges. Every pixel is then shared out between the known classes, the candidates
with all their doubt, and what is none of these, by expectation-maximisation: Bayesian model
comparison, in which a vague guess pays for all that it might have been (MacKay, Neural Computation
4, 415 (1992)). The pixels that fall to a candidate are those that its simulation puts right.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from eels_bayes import validation
from eels_bayes.ab_initio.simulation import fingerprints
from eels_bayes.ab_initio.site_runs import element_and_shell
from eels_bayes.ab_initio.surroundings import Guess, guessed, surroundings
from eels_bayes.arrays import Array
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import required
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.single_fingerprint import Fingerprint
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.class_weights import shared_out
from eels_bayes.forward_model.components import dominant
from eels_bayes.forward_model.edge_shapes import (
    UNKNOWN_SD,
    LibraryFit,
    edge_shapes,
    mean_edges,
    unlike_all,
)
from eels_bayes.forward_model.factor_mixture import (
    LEAST_WEIGHT,
    Population,
    Shape,
    log_likelihood,
    rotated,
)
from eels_bayes.forward_model.foreign import UNLIKE
from eels_bayes.forward_model.misfit import directions
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.structures.configurations import check_atoms

if TYPE_CHECKING:
    from ase import Atoms

PIXELS = 6000  # that candidates are weighed by: more changes little
STEPS = 200  # of expectation-maximisation, at most
SETTLED = 1e-4  # pixels' share by which none changes any more
AT_FIRST = 0.05  # share of the pixels of each candidate, and of what is none, to begin with


@dataclass(frozen=True, eq=False)
class Candidate:
    """A class that may be simulated, or has been.

    Parameters
    ----------
    name
        Of the class.
    structures
        Its ensemble, as `eels_bayes.ab_initio.fingerprints` takes it.
    cost
        Of its simulation, in the unit of a pixel's error; see `ab_initio.simulation_cost`.
    value
        Its physical value, where the library has values.

    Raises
    ------
    ValueError
        The cost is not positive, or there is no structure.
    TypeError
        A structure is none.
    """

    name: str
    structures: tuple[Atoms, ...]
    cost: float = 1.0
    value: float | None = None

    def __post_init__(self) -> None:
        alone = hasattr(self.structures, "get_chemical_symbols")
        group: Any = (self.structures,) if alone else tuple(self.structures)
        for one in group:
            check_atoms(f"a structure of {self.name!r}", one)
        if not group:
            raise ValueError(f"structures of {self.name!r} are none; give at least one")
        object.__setattr__(self, "structures", group)
        validation.positive("cost", self.cost)


class Simulated(NamedTuple):
    """One simulation that a map has asked for.

    Attributes
    ----------
    name : str
        Of the class.
    pixels : float
        That were expected to be of it.
    cost : float
        Of the candidate.
    error : str
        What the oracle said where it failed; else ''.
    """

    name: str
    pixels: float
    cost: float
    error: str = ""


def simulator(
    edge: str, *, factor: float = 1.0, moved: float = 0.0, **words: Any
) -> Callable[[Candidate], Fingerprint]:
    """The oracle that simulates a candidate by `eels_bayes.ab_initio.fingerprints`.

    Parameters
    ----------
    edge
        Element and shell, "F K".
    factor
        The library's intensity over the simulation's: what brought the known classes there.
    moved
        The library's energies minus the simulation's, eV.
    **words
        Options of `fingerprints`: ``engine``, ``per``, ``cache`` and others.
    """

    def simulate(candidate: Candidate) -> Fingerprint:
        made = fingerprints({candidate.name: candidate.structures}, edge, **words)
        one = made.fingerprint(candidate.name)
        return Fingerprint(
            one.energy + moved, factor * one.intensity, True, one.unit, one.source, one.format
        )

    return simulate


def structure_gain(
    clf: EELSClassifier,
    spectra: Spectra,
    candidates: Sequence[Candidate],
    *,
    edge: str,
    per: str,
) -> Array:
    """Pixels that the simulation of each candidate is expected to give their right class.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted. Its library holds some of the candidates, of which at least one has the edge.
    spectra : Spectra
        The map.
    candidates : sequence of Candidate
        C of them, those that are simulated included: by name they are the library's classes.
    edge : str
        Element and shell, "F K".
    per : str
        Element whose atoms the library's intensities are counted by.

    Returns
    -------
    (C,) array
        Numbers of pixels; 0 for what is simulated.

    Raises
    ------
    ValueError
        No candidate with the edge is simulated, names repeat, a value is missing, a structure does
        not hold the element, or no pixel is usable.
    """
    absorber, _ = element_and_shell(edge)
    model = required(clf.fitted).forward
    _check(candidates, model.library)
    names = [one.name for one in candidates]
    left = [k for k, name in enumerate(names) if name not in model.library.class_names]
    gain = np.zeros(len(candidates))
    rows = np.flatnonzero(spectra.ok)
    if not len(rows):
        raise ValueError("no pixel of spectra is usable")
    if left:
        known = model.library.class_names
        spectra_of = model.library.class_spectra
        guess = guessed(
            [surroundings(one.structures, absorber, per) for one in candidates],
            {k: spectra_of[known.index(n)] for k, n in enumerate(names) if n in known},
        )
        guess = Guess(guess.edge[left], guess.doubt[left])
        shapes = _shapes(model, [candidates[k] for k in left], guess)
        few = rows[:: max(1, len(rows) // PIXELS)]
        gain[left] = len(rows) * _shares(model, spectra[few], shapes)[: len(left)]
    return gain


def simulate_structures(
    clf: EELSClassifier,
    spectra: Spectra,
    candidates: Sequence[Candidate],
    oracle: Callable[[Candidate], Fingerprint],
    *,
    edge: str,
    per: str,
    error: float = 1.0,
    most: int | None = None,
    after_each: Callable[[Simulated], None] | None = None,
) -> list[Simulated]:
    """Simulate the candidate that saves most for its cost, learn it, and so on.

    Ends when no candidate is expected to save more than it costs. What the oracle raises is warned
    of and kept in the history, and the candidate put aside; with `simulator` and a cache, another
    call goes on with its finished sites.

    Parameters
    ----------
    clf, spectra, candidates, edge, per
        As in `structure_gain`. The classifier learns every fingerprint by ``update``.
    oracle : callable
        From a candidate to its fingerprint, in energy and unit of the library: `simulator`.
    error : float
        Cost of a pixel with a wrong class, in the unit of the candidates' costs.
    most : int, optional
        Simulations at most.
    after_each : callable, optional
        Called with each simulation when it has been learned.

    Returns
    -------
    list of Simulated
        In order.

    Raises
    ------
    ValueError
        As `structure_gain`, or a number is not positive.
    """
    error = validation.positive("error", error)
    most = len(candidates) if most is None else validation.whole("most", most)
    cost = np.array([one.cost for one in candidates])
    history: list[Simulated] = []
    while len(history) < most:
        pixels = structure_gain(clf, spectra, candidates, edge=edge, per=per)
        failed = {one.name for one in history if one.error}
        pixels[[k for k, one in enumerate(candidates) if one.name in failed]] = 0.0
        best = int(np.argmax(pixels / cost)) if len(cost) else 0
        if not len(cost) or error * pixels[best] <= cost[best]:
            break
        chosen = candidates[best]
        done = Simulated(chosen.name, float(pixels[best]), chosen.cost)
        try:
            row = oracle(chosen).at(clf.library.energy)
        except Exception as problem:  # an engine's own, of any kind: it is reported in its words
            done = done._replace(error=f"{type(problem).__name__}: {problem}")
            warnings.warn(f"{chosen.name} is put aside: {done.error}", stacklevel=2)
        else:
            values = None if chosen.value is None else [chosen.value]
            more = clf.library.with_fingerprints(
                clf.library.energy, row, [chosen.name], values=values
            )
            clf.update(more, spectra=spectra, recalibrate=False, show_progressbar=False)
        history.append(done)
        if after_each is not None:
            after_each(done)
    return history


def _check(candidates: Sequence[Candidate], library: FingerprintLibrary) -> None:
    """ValueError where names repeat, or a value is missing or not wanted."""
    names = [one.name for one in candidates]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"candidates hold {twice} more than once; give each class once")
    for one in candidates:
        if (one.value is None) != (library.values is None):
            wanted = "has no values" if library.values is None else "has values"
            raise ValueError(f"the value of {one.name!r} is {one.value}, but the library {wanted}")


def _shapes(model: ForwardModel, left: Sequence[Candidate], guess: Guess) -> list[Shape]:
    """Candidates as components in whitened bins, and what is none of them last."""
    energy, library, white = model.continuum.energy, model.library, model.white
    values = None if library.values is None else [one.value for one in left]
    more = library.with_fingerprints(
        library.energy,
        guess.edge,
        [one.name for one in left],
        values=values,  # type: ignore[arg-type]
    )
    here = slice(library.n_classes, more.n_classes)
    varied = edge_shapes(energy, more, LibraryFit(), white, model.noise)[here]
    edges = mean_edges(energy, more, LibraryFit())
    window = (float(library.energy[0]), float(library.energy[-1]))
    shapes = []
    for shape, edge, unsure in zip(varied, edges[here], guess.doubt, strict=True):
        modes = directions(energy, edge[None], window).shape * white[:, None]
        unlike = [UNKNOWN_SD * unsure * shape.mean[:, None], UNLIKE * unsure * modes]
        shapes.append(Shape(shape.mean, np.concatenate([shape.loadings, *unlike], axis=1)))
    return [*shapes, unlike_all(edges * white, model.along.shape * white[:, None])]


def _shares(model: ForwardModel, spectra: Spectra, shapes: Sequence[Shape]) -> Array:
    """Share of the pixels that each further component takes from the known classes."""
    target, noise = model.whiten(spectra.profile.astype(float), spectra.level.astype(float))
    columns = model.continuum.columns(model.continuum.energy, model.library) * model.white[:, None]
    population = Population(np.ones(1), model.mean, model.covariance)
    known = [log_likelihood(target, noise, part)[0] for part in model.rotated_components()]
    further = [
        log_likelihood(target, noise, rotated(columns, population, shape))[0] for shape in shapes
    ]
    n_pure, n_all = model.library.n_classes, model.library.n_classes + len(shapes)
    fits = np.stack([*known[:n_pure], *further, *known[n_pure:]], axis=1)
    _, before = model.components()
    before = before * (1.0 - AT_FIRST * len(shapes) / (1.0 + AT_FIRST * len(shapes)))
    new = np.full(len(shapes), AT_FIRST / (1.0 + AT_FIRST * len(shapes)))
    weight = np.concatenate([before[:n_pure], new, before[n_pure:]])
    _, image = np.unique(spectra.image, return_inverse=True)
    pixels = np.bincount(image)
    weights = np.tile(weight, (len(pixels), 1))
    share = np.zeros(len(shapes))
    of_one = [*range(n_all), *dominant(model.library, ())[n_pure:]]
    for _ in range(STEPS):
        joint = fits + np.log(np.maximum(weights, LEAST_WEIGHT))[image]
        of_pixel = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        last, share = share, of_pixel[:, n_pure:n_all].mean(0)
        if np.abs(share - last).max() < SETTLED:
            break
        summed = np.array([of_pixel[image == i].sum(0) for i in range(len(pixels))])
        weight, weights = shared_out(summed, pixels, of_one, None)
    return share
