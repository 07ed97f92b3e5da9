"""Whether pixels of one more structure than the library holds are among those that are fitted to.

Pixels of a class that are of two kinds scatter along the line between the two. Along each class's
directions of most scatter, beyond what noise and the class's own variations explain, a structure is
put on either side, and share and shape of it are fitted while all else stays as it is. The best is
believed where it explains the pixels better, its shape being paid for by what was to be learned of
it (Laplace's approximation of the evidence). Which pixels are the class's and which the structure's
is a question of its own, as the library may have moved from the ones to the others: both are tried.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from eels_bayes.arrays import Array
from eels_bayes.forward_model.acceleration import LOG_MOST_FOREIGN, State
from eels_bayes.forward_model.components import n_single, shares
from eels_bayes.forward_model.em_steps import Problem
from eels_bayes.forward_model.factor_mixture import LEAST_WEIGHT, Shape, log_likelihood, rotated
from eels_bayes.forward_model.factor_moments import MisfitMoments
from eels_bayes.forward_model.foreign import (
    GAIN,
    Foreign,
    Projection,
    foreign_shapes,
    learned,
    log_density,
)
from eels_bayes.forward_model.misfit import Misfit

FIRST_SHARE = 0.2  # of the pixels that a structure is tried with
DIRECTIONS = 2  # of most scatter, for each class
LEAST_SEEN = 1e-3  # of what the direction that shows most says: the others say nothing of a misfit
LEAST_SCATTER = 0.05  # variance beyond what is expected, of what a first guess assumes
PIXEL_MISFIT = 0.02  # relative, of single pixels at least: a narrow one finds nothing to begin with
FIRST_STEPS, STEPS = 5, 20  # of all guesses, and of the best ones
BEST = 3  # guesses that are followed


class _Seen(NamedTuple):
    """The pixels before there is anything beside the classes, and the components' ``shapes``.

    ``target`` (n, R) is without the images' offsets; ``likelihood`` (n,) of all components
    together, nats; ``responsibility`` (n, C).
    """

    shapes: list[Shape]
    target: Array
    likelihood: Array
    responsibility: Array


class Found(NamedTuple):
    """A structure, or more, and by how much it explains the pixels better, nats in all."""

    foreign: Foreign
    gain: float


def with_foreign(problem: Problem, state: State) -> State:
    """The state with a structure that the library lacks, if the pixels hold one."""
    found = most_likely(problem, state)
    if found is None or found.gain < GAIN:
        return state
    return replace(state, foreign=found.foreign)


def exchanged(problem: Problem, state: State) -> list[State]:
    """States in which a class and the structure beside the library have changed places.

    A library that moves as a whole may bring a class over pixels of what it lacks: then that
    class's own pixels are what is found beside it. In turn for each class that misses most, the
    edge that its pixels show becomes the foreign one, and the library stands as it was given.
    """
    before, misfit = state.foreign, state.misfit
    edges = problem.edges(state)
    missing = [k for k in np.argsort(-misfit.of_class) if np.abs(edges[k]).max() > 0][:BEST]
    states = []
    for k in missing:
        shape = _as_misfit(problem, edges[k] - before.middle[0])
        weight = state.population.weight
        # a class of all pixels leaves the others some
        share = np.minimum(weight[[k]] / weight.sum(), np.exp(LOG_MOST_FOREIGN))
        foreign = replace(before, shared=shape[None], share=share)
        states.append(replace(state, foreign=foreign, misfit=Misfit.unknown(*misfit.shared.shape)))
    return states


def most_likely(problem: Problem, state: State) -> Found | None:
    """The structure beside the library that explains the pixels best; None where none could be."""
    if not problem.along.shape.any():
        return None
    seen = _seen(problem, state)
    found = [
        _followed(problem, state, seen, Found(guess, -np.inf), FIRST_STEPS)
        for guess in _guesses(problem, state, seen)
    ]
    best = sorted(found, key=lambda each: each.gain)[-BEST:]
    followed = [_followed(problem, state, seen, each, STEPS) for each in best]
    return max(followed, key=lambda each: each.gain, default=None)


def _seen(problem: Problem, state: State) -> _Seen:
    target = problem.target - (state.images.offset @ problem.columns.T)[problem.image]
    shapes = problem.shapes(state)
    found = [
        log_likelihood(target, problem.noise, rotated(problem.columns, state.population, shape))[0]
        for shape in shapes
    ]
    weight = np.maximum(state.images.weight, LEAST_WEIGHT)
    joint = np.stack(found, axis=1) + np.log(weight)[problem.image]
    likelihood = logsumexp(joint, axis=1)
    return _Seen(shapes, target, likelihood, np.exp(joint - likelihood[:, None]))


def _guesses(problem: Problem, state: State, seen: _Seen) -> list[Foreign]:
    """On either side of each class, along the directions in which its pixels scatter most."""
    edges = problem.edges(state)
    n_classes, n_modes = len(edges), problem.along.shape.shape[1]
    strong = [k for k in range(n_classes) if np.abs(edges[k]).max() > 0]
    if not strong:
        return []
    middle = edges[strong].mean(0)
    common = problem.common(state)[strong].mean(0)
    share = shares(problem.library, state.pairs)
    share[n_classes : n_single(problem.library)] = 0.0  # scatter along their own edge
    of_class = seen.responsibility @ share
    guesses = []
    for k in range(n_classes):
        toward, scatter = _scatter(problem, state, seen.shapes[k], seen.target, of_class[:, k])
        start = _as_misfit(problem, edges[k] - middle)
        for direction, size in zip(toward.T, scatter, strict=True):
            # two kinds of pixels, one of them so frequent, scatter by p (1 - p) of their distance
            spread = max(size - 1.0, LEAST_SCATTER) / (FIRST_SHARE * (1.0 - FIRST_SHARE))
            for sign in (1.0, -1.0):
                shared = start + sign * (1.0 - FIRST_SHARE) * np.sqrt(spread) * direction
                guesses.append(
                    Foreign(
                        np.array([FIRST_SHARE]),
                        middle[None],
                        common[None],
                        shared[None],
                        np.eye(n_modes)[None],
                    )
                )
    return guesses


def _as_misfit(problem: Problem, edge: Array) -> Array:
    """A difference of edges (B,) by the modes of misfit (M,) that pixels show."""
    shown = Projection(problem.white, problem.basis)(edge)
    modes, *_ = np.linalg.lstsq(problem.directions.shape, shown, rcond=LEAST_SEEN)
    return modes


def _scatter(
    problem: Problem, state: State, shape: Shape, target: Array, weight: Array
) -> tuple[Array, Array]:
    """Directions (M, D) of misfit in which pixels of a class scatter most, and how much (D,).

    Directions are as long as moves a pixel by one standard deviation of all that is expected of it.
    """
    root = np.linalg.cholesky(state.population.covariance)
    spread = np.concatenate([problem.columns @ root, shape.loadings], axis=1)
    noise = float(np.median(problem.noise))
    expected = spread @ spread.T + noise * np.eye(len(spread))
    along = problem.directions.shape
    seen = np.linalg.solve(expected, along)
    size, mode = np.linalg.eigh(along.T @ seen)
    kept = size > LEAST_SEEN * size[-1]
    unit = mode[:, kept] / np.sqrt(size[kept])
    residual = target - problem.columns @ state.population.mean - shape.mean
    found = residual @ seen @ unit
    moment = (found * weight[:, None]).T @ found / max(float(weight.sum()), 1.0)
    value, vector = np.linalg.eigh(moment)
    return unit @ vector[:, -DIRECTIONS:], value[-DIRECTIONS:]


def _followed(problem: Problem, state: State, seen: _Seen, guess: Found, steps: int) -> Found:
    """Share and shape of a structure fitted in so many steps, all else as it is."""
    misfit = replace(state.misfit, pixel=max(state.misfit.pixel, PIXEL_MISFIT))
    to = Projection(problem.white, problem.basis)
    n, n_modes = len(seen.target), problem.along.shape.shape[1]
    foreign, gain = guess
    for _ in range(steps):
        (shape,) = foreign_shapes(foreign, problem.along, misfit, to)
        part = rotated(problem.columns, state.population, shape)
        own, mean, variance = log_likelihood(seen.target, problem.noise, part)
        known = seen.likelihood + np.log1p(-foreign.share[0])
        total = np.logaddexp(known, own + np.log(foreign.share[0]))
        of_it = np.exp(own + np.log(foreign.share[0]) - total)
        last = part.basis[-n_modes:]
        moments = MisfitMoments(
            ((of_it @ mean) @ last.T)[None],
            np.zeros(1),
            (of_it.sum() * np.eye(n_modes) - (last * (of_it @ variance)) @ last.T)[None],
        )
        new = learned(foreign, of_it.sum()[None], n, moments, misfit.pixel)
        gain = float((total - seen.likelihood).sum()) + log_density(foreign, new.covariance)
        foreign = new
    return Found(foreign, gain)
