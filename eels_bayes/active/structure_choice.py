"""Which structure to simulate next, from what a map cannot explain, until nothing is missing.

Before its simulation a candidate's edge is guessed from those of simulated structures: a Gaussian
process over the surroundings of their absorbers, whose doubt lies along the modes in which
fingerprints miss edges. What speaks for each candidate is by how much the map is explained better
with one structure more, whose edge the pixels tell as far as the guess leaves it open
(`missing_structure`): Bayesian model comparison, in which a vague guess pays for all that it might
have been (MacKay, Neural Computation 4, 415 (1992)). Beside the candidates stand that nothing is
missing, and that it is a structure which none of them is.
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
from eels_bayes.active.missing_structure import COUNTED, GuessedShape, MissingStructure
from eels_bayes.arrays import Array
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import required
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.single_fingerprint import Fingerprint
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes, mean_edges
from eels_bayes.forward_model.misfit import directions
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.structures.configurations import check_atoms

if TYPE_CHECKING:
    from ase import Atoms

PIXELS = 3000  # of the map, that candidates are weighed by
MISSING = 0.5  # beforehand: that the map holds a structure which is not simulated yet


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


class StructureSearch(NamedTuple):
    """What `simulate_structures` did.

    Attributes
    ----------
    simulated : list of Simulated
        In order.
    ended : str
        Why it stopped, in words.
    missing : float
        Probability that the map holds a structure which is not simulated, when it stopped; NaN
        where that was not asked.
    """

    simulated: list[Simulated]
    ended: str
    missing: float


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
    return _expected(clf, spectra, candidates, edge=edge, per=per).gain


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
) -> StructureSearch:
    """Simulate the candidate that saves most for its cost, learn it, and so on.

    Ends when no candidate is expected to save more than it costs: when nothing is missing, or too
    little to pay for. What the oracle raises is warned of and kept in
    the history, and the candidate put aside; with `simulator` and a cache, another call goes on
    with its finished sites.

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
    StructureSearch

    Raises
    ------
    ValueError
        As `structure_gain`, or a number is not positive.
    """
    error = validation.positive("error", error)
    most = len(candidates) if most is None else validation.whole("most", most)
    cost = np.array([one.cost for one in candidates])
    history: list[Simulated] = []
    while True:
        known = clf.library.class_names
        aside = {one.name for one in history if one.error}
        left = np.array([one.name not in known and one.name not in aside for one in candidates])
        if not left.any():
            return StructureSearch(history, "every candidate is simulated or put aside", np.nan)
        if len(history) == most:
            done = "1 is" if most == 1 else f"{most} are"
            return StructureSearch(history, f"{done} simulated, as many as allowed", np.nan)
        expected = _expected(clf, spectra, candidates, edge=edge, per=per, left=left)
        pixels = expected.gain
        best = int(np.argmax(pixels / cost))
        if error * pixels[best] <= cost[best]:
            return StructureSearch(history, expected.why(), expected.missing)
        chosen = candidates[best]
        run = Simulated(chosen.name, float(pixels[best]), chosen.cost)
        try:
            row = oracle(chosen).at(clf.library.energy)
        except Exception as problem:  # an engine's own, of any kind: it is reported in its words
            run = run._replace(error=f"{type(problem).__name__}: {problem}")
            warnings.warn(f"{chosen.name} is put aside: {run.error}", stacklevel=2)
        else:
            values = None if chosen.value is None else [chosen.value]
            more = clf.library.with_fingerprints(
                clf.library.energy, row, [chosen.name], values=values
            )
            clf.update(more, spectra=spectra, recalibrate=False, show_progressbar=False)
        history.append(run)
        if after_each is not None:
            after_each(run)


def _check(candidates: Sequence[Candidate], library: FingerprintLibrary) -> None:
    """ValueError where names repeat, or a value is missing or not wanted."""
    names = [one.name for one in candidates]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"candidates hold {twice} more than once; give each class once")
    for one in candidates:
        if (one.value is None) != (library.values is None):
            wanted = "has no values" if library.values is None else "has values"
            raise ValueError(f"the value of {one.name!r} is {one.value}, but the library {wanted}")


class _Expected(NamedTuple):
    """Pixels put right by each candidate (C,), and how probable it is that one is missing.

    ``likeliest`` names the candidate that would put most right, with its ``pixels``; ``beside``
    are pixels of what the fit has found beside the library.
    """

    gain: Array
    missing: float
    likeliest: str
    pixels: float
    beside: float

    def why(self) -> str:
        """Why none is simulated."""
        if self.missing <= MISSING:
            found = (
                "the simulated structures explain the map: that another candidate is there has a "
                f"probability of {self.missing:.2g}"
            )
        else:
            found = (
                f"about {self.pixels:.0f} pixels may be of {self.likeliest!r}, or of a candidate "
                f"like it (probability {self.missing:.2g}): fewer than a simulation costs"
            )
        if self.beside:
            found += (
                f"; about {self.beside:.0f} pixels look alike and like none of all these: give "
                "more candidates"
            )
        return found


def _expected(
    clf: EELSClassifier,
    spectra: Spectra,
    candidates: Sequence[Candidate],
    *,
    edge: str,
    per: str,
    left: Array | None = None,
) -> _Expected:
    """What the simulation of each candidate that is ``left`` (C,) is expected to put right."""
    absorber, _ = element_and_shell(edge)
    model = required(clf.fitted).forward
    _check(candidates, model.library)
    names, known = [one.name for one in candidates], model.library.class_names
    open_ = [k for k, name in enumerate(names) if name not in known and (left is None or left[k])]
    rows = np.flatnonzero(spectra.ok)
    if not len(rows):
        raise ValueError("no pixel of spectra is usable")
    if not open_:
        return _Expected(np.zeros(len(candidates)), 0.0, "", 0.0, 0.0)
    guess = guessed(
        [surroundings(one.structures, absorber, per) for one in candidates],
        {k: model.library.class_spectra[known.index(n)] for k, n in enumerate(names) if n in known},
    )
    guess = Guess(guess.edge[open_], guess.doubt[open_])
    few = rows[:: -(-len(rows) // PIXELS)]
    weigh = MissingStructure(model, spectra[few])
    shapes = _shapes(model, [candidates[k] for k in open_], guess)
    found = [weigh.gain(shape) for shape in shapes]
    # that nothing is missing, then each that may be
    nats = np.array([0.0, *(one.evidence for one in found)])
    nats += np.log([1.0 - MISSING, *np.full(len(found), MISSING / len(found))])
    probability = np.exp(nats - logsumexp(nats))
    pixels = np.zeros(len(candidates))
    pixels[open_] = [one.pixels * len(rows) / len(few) for one in found]
    gain = np.zeros(len(candidates))
    gain[open_] = probability[1:] * pixels[open_]
    best = int(np.argmax(gain))
    beside = len(rows) * float(model.foreign.share.sum())
    missing = float(probability[1:].sum())
    return _Expected(gain, missing, names[best], float(pixels[best]), beside)


def _shapes(model: ForwardModel, left: Sequence[Candidate], guess: Guess) -> list[GuessedShape]:
    """Guesses of the candidates in whitened bins."""
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
    edges = mean_edges(energy, more, LibraryFit())[here]
    window = (float(library.energy[0]), float(library.energy[-1]))
    shapes = []
    for shape, edge, unsure in zip(varied, edges, guess.doubt, strict=True):
        modes = directions(energy, edge[None], window).shape * white[:, None]
        along = unsure * np.column_stack([COUNTED * shape.mean, modes])
        own = np.concatenate([shape.loadings, model.misfit.pixel * modes], axis=1)
        scaled = np.arange(along.shape[1]) > 0
        shapes.append(GuessedShape(shape.mean, along, scaled, own))
    return shapes
