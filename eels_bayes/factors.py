"""A mixture of factor analysers with known loadings, fitted by expectation-maximisation.

In whitened bins a pixel is

    y = columns u + shape_c + loadings_c a + noise,   u ~ N(mean, covariance),  a ~ N(0, 1)

with a noise variance ``v`` of its own, the same in all bins, and a component ``c`` of known shape
and loadings. The population of ``u`` and the components' weights are fitted (Ghahramani and Hinton,
CRG-TR-96-1, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[Any]

PRIOR_PIXELS = 2.0  # weight of the initial covariance, in pixels (inverse-Wishart)
N_COMMON = 3  # leading loadings that mean the same in every component


class Shape(NamedTuple):
    """One component in whitened bins: mean (B,) and loadings (B, q) of standard-normal factors."""

    mean: Array
    loadings: Array


@dataclass(frozen=True, eq=False)
class Population:
    """Weights of the components (components,), mean (P,) and covariance (P, P) of ``u``."""

    weight: Array
    mean: Array
    covariance: Array


@dataclass(frozen=True, eq=False)
class Expectation:
    """Sufficient statistics over pixels and components."""

    responsibility: Array  # (components,) sums over pixels
    first: Array  # (P,) sum of E[a] of the standardised u
    second: Array  # (P, P) sum of E[a a']
    common: Array  # (N_COMMON,) mean of the components' common factors
    common_square: Array  # (N_COMMON,) mean of their squares
    n: int
    log_likelihood: float  # nats a pixel


class Rotated(NamedTuple):
    """A component's covariance ``v I + A A'``, diagonal in the singular basis of ``A``.

    ``A = [columns root, loadings]`` is (B, P + q); ``value`` its squared singular values,
    ``basis`` (P + q, P + q) its right singular vectors, ``loadings`` (B, P + q) is ``A basis``.
    """

    center: Array
    loadings: Array
    value: Array
    basis: Array


def rotated(columns: Array, population: Population, shape: Shape) -> Rotated:
    """Diagonalise a component once for all pixels and noise levels."""
    root = np.linalg.cholesky(population.covariance)
    loadings = np.concatenate([columns @ root, shape.loadings], axis=1)
    # Through the small Gram matrix: its null directions simply keep their prior.
    value, basis = np.linalg.eigh(loadings.T @ loadings)
    center = columns @ population.mean + shape.mean
    return Rotated(center, loadings @ basis, np.maximum(value, 0.0), basis)


def log_likelihood(target: Array, level: Array, one: Rotated) -> tuple[Array, Array, Array]:
    """Log-likelihood (n,) of whitened pixels (n, B) with noise ``level`` (n,) under a component.

    Returns
    -------
    log_likelihood (n,), posterior mean and variance (n, P + q) of the factors in its basis.
    """
    residual = target - one.center
    projected = residual @ one.loadings
    shrink = 1.0 / (level[:, None] + one.value)
    quadratic = ((residual**2).sum(1) - (projected**2 * shrink).sum(1)) / level
    n_bins = target.shape[1]
    log_det = np.log(level[:, None] + one.value).sum(1) + (n_bins - len(one.value)) * np.log(level)
    total = -0.5 * (quadratic + log_det + n_bins * np.log(2 * np.pi))
    return total, projected * shrink, level[:, None] * shrink


def expectation(
    target: Array, level: Array, columns: Array, population: Population, shapes: list[Shape]
) -> Expectation:
    """One E-step over pixels (n, B) in whitened bins."""
    p = len(population.mean)
    components = [rotated(columns, population, shape) for shape in shapes]
    posts = [log_likelihood(target, level, one) for one in components]
    joint = np.stack([post[0] for post in posts], axis=1)
    joint += np.log(np.maximum(population.weight, 1e-12))
    total = logsumexp(joint, axis=1)
    gamma = np.exp(joint - total[:, None])
    first, second = np.zeros(p), np.zeros((p, p))
    common, square, n_common = np.zeros(N_COMMON), np.zeros(N_COMMON), 1e-9
    for (_, a, var), one, g, shape in zip(posts, components, gamma.T, shapes, strict=True):
        mean = g @ a @ one.basis.T
        moment = one.basis @ ((a * g[:, None]).T @ a + np.diag(g @ var)) @ one.basis.T
        first += mean[:p]
        second += moment[:p, :p]
        if np.abs(shape.mean).max() > 0:  # a class without an edge says nothing of the library
            common += mean[p : p + N_COMMON]
            square += np.diag(moment)[p : p + N_COMMON]
            n_common += g.sum()
    return Expectation(
        gamma.sum(0),
        first,
        second,
        common / n_common,
        square / n_common,
        len(target),
        float(total.mean()),
    )


def maximisation(step: Expectation, old: Population, prior_covariance: Array) -> Population:
    """One M-step; the prior covariance counts as `PRIOR_PIXELS` pixels."""
    root = np.linalg.cholesky(old.covariance)
    # The mean's own prior has the initial covariance: a smooth mean misfit is possible, not likely.
    precision, prior_precision = np.linalg.inv(old.covariance), np.linalg.inv(prior_covariance)
    target = step.n * old.mean + root @ step.first
    mean = np.linalg.solve(step.n * precision + prior_precision, precision @ target)
    shift = mean - old.mean
    cross = np.outer(root @ step.first, shift)
    scatter = root @ step.second @ root.T - cross - cross.T + step.n * np.outer(shift, shift)
    covariance = (scatter + PRIOR_PIXELS * prior_covariance) / (step.n + PRIOR_PIXELS)
    # One pixel's worth of doubt a component: a class that these pixels lack may be in the next.
    weight = (step.responsibility + 1.0) / (step.n + len(step.responsibility))
    return Population(weight, mean, covariance)
