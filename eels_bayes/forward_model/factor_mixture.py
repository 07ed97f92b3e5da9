"""A mixture of factor analysers with known loadings, fitted by expectation-maximisation.

In whitened bins a pixel is

    y = columns u + shape_c + loadings_c a + noise,   u ~ N(mean, covariance),  a ~ N(0, 1)

with a noise variance ``v`` of its own, the same in all bins, and a component ``c`` of known shape
and loadings. The population of ``u`` and the components' weights are fitted (Ghahramani and Hinton,
CRG-TR-96-1, 1996). Pixels of one image share more than the population: each image has component
weights of its own and an offset of its own to the mean of ``u`` (`image_offsets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.special import logsumexp

from eels_bayes.arrays import Array

IMAGE_PIXELS = 10.0  # weight of the overall component weights in an image's own, in pixels
PRIOR_PIXELS = 2.0  # weight of the initial covariance, in pixels (inverse-Wishart)
N_COMMON = 3  # leading loadings that mean the same in every component
TOGETHER = 6  # numbers that are multiplied before a logarithm is taken: far from overflow
BLOCK = 1024  # pixels at a time: what they need stays in a core's cache
LEAST_WEIGHT = 1e-12  # of a component, where a logarithm is taken of it
NO_PIXELS = 1e-9  # pixels: keeps the mean over none finite


class Shape(NamedTuple):
    """One component in whitened bins: mean (B,) and loadings (B, q) of standard-normal factors.

    The last of the factors are those of the pixel's misfit.
    """

    mean: Array
    loadings: Array


class Unknown(NamedTuple):
    """What pixels of no component may look like, and the share of such pixels beforehand."""

    shape: Shape
    share: float


class MisfitMoments(NamedTuple):
    """What an E-step says of the pixels' misfits ``c / S``, by component (C of them).

    Attributes
    ----------
    first : (C, M) array
        Sums of their means.
    square : (C,) array
        Sums of their means' squares.
    information : (C, M, M) array
        Sums of what was learned of them: prior less posterior covariance.
    """

    first: Array
    square: Array
    information: Array


class CommonMoments(NamedTuple):
    """What an E-step says of the factors that components have in common, a mean over the pixels.

    Attributes
    ----------
    mean, square : (N_COMMON,) arrays
        Of their posterior means, and of the squares of these.
    information : (N_COMMON,) array
        Of what was learned of them: prior less posterior variance.
    """

    mean: Array
    square: Array
    information: Array


@dataclass(frozen=True, eq=False)
class Population:
    """Weights of the components (components,), mean (P,) and covariance (P, P) of ``u``."""

    weight: Array
    mean: Array
    covariance: Array


@dataclass(frozen=True, eq=False)
class Images:
    """Weights (I, components) and offsets (I, P) from the population's mean of each image."""

    weight: Array
    offset: Array

    @classmethod
    def alike(cls, population: Population, n_images: int = 1) -> Images:
        """All images as the population."""
        weight = np.tile(population.weight, (n_images, 1))
        return cls(weight, np.zeros((n_images, len(population.mean))))


@dataclass(frozen=True, eq=False)
class Expectation:
    """Sufficient statistics over pixels and components; ``a`` is the standardised ``u``."""

    pixels: Array  # (I,) their number in each image
    responsibility: Array  # (I, components) sums over an image's pixels
    first: Array  # (I, P) sums of E[a], less the image's offset, over an image's pixels
    second: Array  # (P, P) sum of E[a a']
    common: CommonMoments
    misfit: MisfitMoments
    other_pixels: Array  # (O,) responsibilities of what is beside the components
    other_misfit: MisfitMoments
    log_likelihood: float  # nats a pixel

    @property
    def n(self) -> int:
        """Pixels in all."""
        return int(self.pixels.sum())


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


def log_likelihood(target: Array, level: Array, part: Rotated) -> tuple[Array, Array, Array]:
    """Log-likelihood of whitened pixels under a component.

    Parameters
    ----------
    target : (n, B) array
        Whitened pixels.
    level : (n,) array
        Noise variance of their bins.
    part : Rotated
        The component.

    Returns
    -------
    log_likelihood : (n,) array
        Nats.
    mean, variance : (n, P + q) arrays
        Posterior of the factors in the component's basis.
    """
    # Factors first: what runs along the pixels runs through memory in its order.
    residual = target - part.center
    projected = part.loadings.T @ residual.T
    total = level + part.value[:, None]
    mean = projected / total
    explained = np.einsum("fn,fn->n", projected, mean)
    quadratic = (np.einsum("nb,nb->n", residual, residual) - explained) / level
    n_bins = target.shape[1]
    log_det = _log_of_product(total) + (n_bins - len(part.value)) * np.log(level)
    found = -0.5 * (quadratic + log_det + n_bins * np.log(2 * np.pi))
    return found, mean.T, (level / total).T


def _log_of_product(numbers: Array) -> Array:
    """Sum (n,) over the logarithms of positive numbers (F, n): few logarithms, of products."""
    parts = [
        np.log(numbers[f : f + TOGETHER].prod(axis=0)) for f in range(0, len(numbers), TOGETHER)
    ]
    return np.asarray(sum(parts))


def expectation(
    target: Array,
    level: Array,
    columns: Array,
    population: Population,
    shapes: list[Shape],
    images: Images | None = None,
    image: Array | None = None,
    n_misfit: int = 0,
    others: Sequence[Unknown] = (),
) -> Expectation:
    """One E-step.

    Parameters
    ----------
    target : (n, B) array
        Pixels in whitened bins.
    level : (n,) array
        Noise variance of their bins.
    columns : (B, P) array
        Of the continuum, whitened.
    population : Population
    shapes : list of Shape
        The components.
    images : Images, optional
        All alike if left out.
    image : (n,) array of int, optional
        Image of each pixel.
    n_misfit : int
        How many of the last factors are the pixel's misfit.
    others : sequence of Unknown
        O things that pixels of no component may be: they say nothing of any component then.

    Returns
    -------
    Expectation
    """
    p = len(population.mean)
    if images is None or image is None:
        images, image = Images.alike(population), np.zeros(len(target), dtype=int)
    n_known, log_weight = len(shapes), _logarithm(images.weight)
    if others:
        log_weight = _beside(log_weight, np.array([other.share for other in others]))
        shapes = [*shapes, *(other.shape for other in others)]
    parts = [rotated(columns, population, shape) for shape in shapes]
    possible = np.flatnonzero(np.isfinite(log_weight).any(0))
    sums = [_Sums.of_none(len(part.value)) for part in parts]
    offset = images.offset @ columns.T
    total, gamma = np.empty(len(target)), np.empty((len(target), len(shapes)))
    means = np.zeros((len(target), p))
    for start in range(0, len(target), BLOCK):
        here = slice(start, start + BLOCK)
        pixels = target[here] - offset[image[here]]
        posteriors = {c: log_likelihood(pixels, level[here], parts[c]) for c in possible}
        joint = log_weight[image[here]]
        for c, (found, _, _) in posteriors.items():
            joint[:, c] += found
        total[here] = logsumexp(joint, axis=1)
        gamma[here] = np.exp(joint - total[here, None])
        for c, (_, mean, variance) in posteriors.items():
            weighted = mean * gamma[here, c, None]
            means[here] += weighted @ parts[c].basis[:p].T
            sums[c].add(weighted, mean, gamma[here, c], variance)
    moments = [each.turned(part.basis) for each, part in zip(sums, parts, strict=True)]
    of_image = _of_images(image, len(images.weight))
    return Expectation(
        np.bincount(image, minlength=len(images.weight)),
        of_image @ gamma[:, :n_known],
        of_image @ means,
        np.sum([each.moment[:p, :p] + each.left[:p, :p] for each in moments], axis=0),
        _common(moments[:n_known], shapes, p),
        _of_misfits(moments[:n_known], n_misfit),
        gamma[:, n_known:].sum(0),
        _of_misfits(moments[n_known:], n_misfit),
        float(total.mean()),
    )


@dataclass
class _Sums:
    """Over pixels, weighted by how likely each is of a component.

    Attributes
    ----------
    weight : float
        Sum of the weights.
    mean : (F,) array
        Of the factors' posterior means.
    moment : (F, F) array
        Of these means' outer products.
    left : (F,) or (F, F) array
        Of the factors' posterior variances, along the basis that makes them independent, or of
        their covariances.
    """

    weight: float
    mean: Array
    moment: Array
    left: Array

    @classmethod
    def of_none(cls, n_factors: int) -> _Sums:
        """Over no pixel."""
        return cls(0.0, np.zeros(n_factors), np.zeros((n_factors, n_factors)), np.zeros(n_factors))

    def add(self, weighted: Array, mean: Array, weight: Array, variance: Array) -> None:
        """Further pixels: means (n, F), weighted ones as well, weights (n,), variances (n, F)."""
        self.weight += float(weight.sum())
        self.mean += weighted.sum(0)
        self.moment += weighted.T @ mean
        self.left += weight @ variance

    def turned(self, basis: Array) -> _Sums:
        """The same of the factors themselves, of which ``basis`` (F, F) holds the directions."""
        return _Sums(
            self.weight,
            basis @ self.mean,
            basis @ self.moment @ basis.T,
            (basis * self.left) @ basis.T,
        )


def _common(moments: list[_Sums], shapes: list[Shape], p: int) -> CommonMoments:
    """What is said of the common factors, which follow the ``p`` of the continuum."""
    common, n_common, own = np.zeros((3, N_COMMON)), NO_PIXELS, slice(p, p + N_COMMON)
    for each, shape in zip(moments, shapes, strict=False):  # last, there may be others
        if np.abs(shape.mean).max() > 0:  # a class without an edge says nothing of the library
            information = each.weight - np.diag(each.left)[own]
            common += [each.mean[own], np.diag(each.moment)[own], information]
            n_common += each.weight
    return CommonMoments(*(common / n_common))


def _logarithm(weight: Array) -> Array:
    """Of weights: a component without any is ruled out."""
    return np.where(weight > 0, np.log(np.maximum(weight, LEAST_WEIGHT)), -np.inf)


def _beside(log_weight: Array, share: Array) -> Array:
    """Logarithms of weights (I, C) and, last, of those (O,) beside them all: (I, C + O)."""
    known = log_weight + np.log1p(-share.sum())
    return np.column_stack([known, np.tile(np.log(share), (len(known), 1))])


def _of_images(image: Array, n_images: int) -> csr_array:
    """What sums rows (n, ...) over the pixels of each image: (I, n)."""
    rows = np.arange(len(image))
    return csr_array((np.ones(len(image)), (image, rows)), (n_images, len(image)))


def _of_misfits(moments: list[_Sums], n_misfit: int) -> MisfitMoments:
    """What is said of the last factors, which are the pixels' misfits."""
    own = [slice(len(each.mean) - n_misfit, None) for each in moments]
    known = list(zip(moments, own, strict=True))
    n = len(known)
    return MisfitMoments(
        np.reshape([each.mean[m] for each, m in known], (n, n_misfit)),
        np.array([np.trace(each.moment[m, m]) for each, m in known]),
        np.reshape(
            [each.weight * np.eye(n_misfit) - each.left[m, m] for each, m in known],
            (n, n_misfit, n_misfit),
        ),
    )


def maximisation(step: Expectation, old: Population, prior_covariance: Array) -> Population:
    """One M-step; the prior covariance counts as `PRIOR_PIXELS` pixels."""
    root = np.linalg.cholesky(old.covariance)
    first, responsibility = root @ step.first.sum(0), step.responsibility.sum(0)
    # The mean's own prior has the initial covariance: a smooth mean misfit is possible, not likely.
    precision, prior_precision = np.linalg.inv(old.covariance), np.linalg.inv(prior_covariance)
    target = step.n * old.mean + first
    mean = np.linalg.solve(step.n * precision + prior_precision, precision @ target)
    shift = mean - old.mean
    cross = np.outer(first, shift)
    scatter = root @ step.second @ root.T - cross - cross.T + step.n * np.outer(shift, shift)
    covariance = (scatter + PRIOR_PIXELS * prior_covariance) / (step.n + PRIOR_PIXELS)
    return Population(overall_weights(responsibility), mean, covariance)


def overall_weights(responsibility: Array) -> Array:
    """Weights of the components (components,) from sums (components,) over all pixels."""
    # One pixel's worth of doubt a component: a class that these pixels lack may be in the next.
    weights: Array = (responsibility + 1.0) / (responsibility.sum() + len(responsibility))
    return weights


def weights_of_images(responsibility: Array, pixels: Array, weight: Array) -> Array:
    """Component weights of each image, the overall ones weighing as `IMAGE_PIXELS` pixels.

    Parameters
    ----------
    responsibility : (I, components) array
        Sums over the pixels of each image.
    pixels : (I,) array
        How many these are.
    weight : (components,) array
        Overall.

    Returns
    -------
    (I, components) array
    """
    weights: Array = (responsibility + IMAGE_PIXELS * weight) / (pixels[:, None] + IMAGE_PIXELS)
    return weights
