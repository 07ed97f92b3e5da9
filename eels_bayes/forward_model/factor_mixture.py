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
from eels_bayes.forward_model.factor_moments import (
    CommonMoments,
    FactorSums,
    MisfitMoments,
    ShiftMoments,
    common_moments,
    misfit_moments,
    shift_moments,
)

IMAGE_PIXELS = 10.0  # weight of the overall component weights in an image's own, in pixels
PRIOR_PIXELS = 2.0  # weight of the initial covariance, in pixels (inverse-Wishart)
TOGETHER = 4  # numbers that are multiplied before a logarithm is taken: far from overflow
BLOCK = 1024  # pixels at a time: what they need stays in a core's cache
LEAST_WEIGHT = 1e-12  # of a component, where a logarithm is taken of it
# Of the least noise's variance: a factor of less moves a pixel's evidence by less than a thousandth
# of a nat, on average by nothing. What all pixels together say of it is not left out.
UNHEARD = 1e-3
LEAST_SHARE = 1e-4  # of a pixel: moments of a component that it is less likely of are left out
ROUNDING = 1e-2  # nats of a pixel's evidence that single precision may lose at the very most


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
    shift: ShiftMoments
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

    ``A = [columns root, loadings]`` is (B, P + q); ``value`` (F,) its squared singular values,
    ``basis`` (P + q, F) its right singular vectors, ``loadings`` (B, F) is ``A basis``. F is P + q
    where no factor is left out.
    """

    center: Array
    loadings: Array
    value: Array
    basis: Array

    def heard(self, noise: float) -> Rotated:
        """Without the factors that noise of this variance hides."""
        heard = self.value > UNHEARD * noise
        loadings = np.ascontiguousarray(self.loadings[:, heard])
        return Rotated(self.center, loadings, self.value[heard], self.basis[:, heard])

    def astype(self, dtype: np.dtype) -> Rotated:
        """In another precision."""
        return Rotated(*(part.astype(dtype) for part in self))


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
    mean, variance : (n, F) arrays
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


def factors(target: Array, level: Array, part: Rotated) -> tuple[Array, Array]:
    """Posterior mean and variance (F, n) of a component's factors; see `log_likelihood`."""
    inverse = 1.0 / (level + part.value[:, None])
    return part.loadings.T @ (target - part.center).T * inverse, level * inverse


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
    *,
    quick: bool = False,
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
    quick : bool
        In single precision where rounding is nothing beside the noise, and without what weighs next
        to nothing: a third of the time.

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
    how = _quick(parts, target, level) if quick else _Reckoning(parts, parts)
    offset = images.offset @ columns.T
    total, gamma, means, sums = _over_pixels(target, level, image, offset, log_weight, how, p)
    moments = [each.turned(part.basis) for each, part in zip(sums, parts, strict=True)]
    of_image = _of_images(image, len(images.weight))
    return Expectation(
        np.bincount(image, minlength=len(images.weight)),
        of_image @ gamma[:, :n_known],
        of_image @ means,
        np.sum([each.moment[:p, :p] + each.left[:p, :p] for each in moments], axis=0),
        common_moments(moments[:n_known], [shape.mean for shape in shapes[:n_known]], p),
        shift_moments(moments[:n_known], p, n_misfit),
        misfit_moments(moments[:n_known], n_misfit),
        gamma[:, n_known:].sum(0),
        misfit_moments(moments[n_known:], n_misfit),
        float(total.mean()),
    )


class _Reckoning(NamedTuple):
    """Components for moments, and ``heard`` for evidences; the precision, and of which pixels.

    Moments are of pixels that are likelier of a component than ``least``.
    """

    parts: list[Rotated]
    heard: list[Rotated]
    dtype: np.dtype = np.dtype(float)
    least: float = 0.0


def _quick(parts: list[Rotated], target: Array, level: Array) -> _Reckoning:
    """In single precision, where its rounding is nothing beside the least noise variance."""
    noise, single = float(level.min()), np.finfo(np.float32)
    largest = max(float(part.value[-1]) for part in parts)
    square = max(float(np.einsum("nb,nb->n", target, target).max()), largest)
    exact = single.eps * square / noise < ROUNDING
    # in units in which products of variances are numbers, too
    least, most = (float(end) ** (1.0 / TOGETHER) for end in (single.tiny, single.max))
    exact &= least < noise and float(level.max()) + largest < most
    dtype = np.dtype(np.float32 if exact else np.float64)
    parts = [part.astype(dtype) for part in parts]
    return _Reckoning(parts, [part.heard(noise) for part in parts], dtype, LEAST_SHARE)


def _over_pixels(
    target: Array,
    level: Array,
    image: Array,
    offset: Array,
    log_weight: Array,
    how: _Reckoning,
    p: int,
) -> tuple[Array, Array, Array, list[FactorSums]]:
    """Log-likelihoods (n,), responsibilities (n, C), means of ``a`` (n, p), and sums of each part.

    ``offset`` and ``log_weight`` are of the images.
    """
    parts = how.parts
    sums = [FactorSums.of_none(len(part.value)) for part in parts]
    possible = np.flatnonzero(np.isfinite(log_weight).any(0))
    total, gamma = np.empty(len(target)), np.empty((len(target), len(parts)))
    means = np.zeros((len(target), p))
    for start in range(0, len(target), BLOCK):
        here = slice(start, start + BLOCK)
        pixels = (target[here] - offset[image[here]]).astype(how.dtype)
        noise, joint = level[here].astype(how.dtype), log_weight[image[here]]
        for c in possible:
            joint[:, c] += log_likelihood(pixels, noise, how.heard[c])[0]
        total[here] = logsumexp(joint, axis=1)
        gamma[here] = np.exp(joint - total[here, None])
        for c in possible:
            rows = np.flatnonzero(gamma[here, c] > how.least)
            share = gamma[start + rows, c].astype(how.dtype)
            mean, variance = factors(pixels[rows], noise[rows], parts[c])
            means[start + rows] += (parts[c].basis[:p] @ (mean * share)).T
            sums[c].add(mean, share, variance)
    return total, gamma, means, sums


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
