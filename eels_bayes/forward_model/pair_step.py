"""The pairs of many classes that a fit goes on with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import logsumexp

from eels_bayes.arrays import Array
from eels_bayes.forward_model.acceleration import State
from eels_bayes.forward_model.components import (
    MIXING,
    mix_at_once,
    mixing_pairs,
    most_pairs,
    n_single,
)
from eels_bayes.forward_model.em_steps import Problem
from eels_bayes.forward_model.factor_mixture import (
    LEAST_WEIGHT,
    Images,
    Shape,
    log_likelihood,
    rotated,
)
from eels_bayes.forward_model.pair_choice import chosen, of_pairs


def with_pairs(problem: Problem, state: State) -> State:
    """The state with the pairs that its pixels ask for.

    All that may mix, as `components.pairs_at_once` has it, where these are few: then it is as it
    was.
    """
    if mix_at_once(problem.library):
        return state
    candidates, single = mixing_pairs(problem.library), n_single(problem.library)
    pure = state.images.weight[:, :single]
    pure = pure / pure.sum(1, keepdims=True)
    target = problem.target - (state.images.offset @ problem.columns.T)[problem.image]

    def evidence(shape: Shape) -> Array:
        """Of each pixel (n,), nats."""
        part = rotated(problem.columns, state.population, shape)
        return log_likelihood(target, problem.noise, part)[0]

    shapes = problem.shapes(replace(state, pairs=candidates))
    alone = np.stack([evidence(shape) for shape in shapes[:single]], axis=1)
    base = logsumexp(alone + np.log(np.maximum(pure, LEAST_WEIGHT))[problem.image], axis=1)
    for other in problem.others(state, shapes):  # what may be anything asks for no pair
        base = np.logaddexp(
            base + np.log1p(-other.share), evidence(other.shape) + np.log(other.share)
        )
    starts = range(single, len(shapes), len(MIXING))
    by_share = (np.column_stack([evidence(s) for s in shapes[i : i + len(MIXING)]]) for i in starts)
    together = np.concatenate([of_pairs(fits) for fits in by_share], axis=1)
    entered, share = chosen(base, together, most_pairs(problem.library.n_classes))
    pairs = [candidates[column] for column in entered]
    weight = state.population.weight[:single]
    population = replace(state.population, weight=_mixed(weight / weight.sum(), share))
    return replace(
        state,
        population=population,
        images=Images(_mixed(pure, share), state.images.offset),
        pairs=pairs,
    )


def _mixed(pure: Array, share: Array) -> Array:
    """Weights (..., C) of components, of those of classes alone (..., S) and of pairs (Q,)."""
    of_each = np.repeat(share / len(MIXING), len(MIXING))
    mixed = np.broadcast_to(of_each, (*pure.shape[:-1], len(of_each)))
    return np.concatenate([pure * max(1.0 - share.sum(), LEAST_WEIGHT), mixed], axis=-1)
