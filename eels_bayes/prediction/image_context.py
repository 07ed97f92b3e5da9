"""What an image says of its own pixels: class weights per image.

    concentration ~ LogNormal, at least one count a class
    weights_i ~ Dirichlet(concentration * overall weights)
    p(x_j | weights_i) = sum_k weights_ik p(k | x_j) / overall_k        for pixels j of image i

The probabilities of single pixels stand for their likelihoods, so the hierarchical prior needs no
second look at the spectra (a label shift: Saerens, Latinne and Decaestecker, Neural Comput. 14, 21
(2002)). Where all images share one mix, the concentration grows and nothing changes.

At a given concentration the log posterior of an image's weights is concave in their logarithms, and
expectation-maximisation climbs to its one top. Around it the posterior is taken for a Dirichlet
distribution whose pixels count for what labels would that tell as much of the weights. Given these,
the concentration has a posterior on a grid. Both are repeated until nothing changes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import digamma, gammaln, softmax

from eels_bayes.arrays import Array

CONCENTRATION = (math.log(8.0), 1.5)  # log-mean and log-sd of its prior: images differ, or do not
# Counts a class, of the prior's concentration at least: below, a few pixels make an image pure.
LEAST_COUNTS = 1.0
REACH = 4.0  # sd of the log concentration up to which it is looked for
N_GRID = 97  # of the log concentration: steps of a tenth, finer than any series tells
WEIGHT_TOLERANCE = 1e-4  # of any class's weight in an image: a step that changes none by more,
LOG_TOLERANCE = 1e-2  # nor the log concentration by this, is the last
MOST_STEPS = 2000  # never needed so far
WEIGHT_FLOOR = 1e-4  # of a class overall: no image can have a class whose prior weight is nothing


class ImageWeights(NamedTuple):
    """Posterior of the class weights in each image.

    Attributes
    ----------
    mean, sd : ndarray (I, K)
        At the mean concentration.
    concentration : float
        Geometric mean.
    others : ndarray (n, K)
        Mean weights in each pixel's image by all other pixels: the pixel's own prior.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    concentration: float
    others: NDArray[np.float64]


class Pixels(NamedTuple):
    """What n pixels say of the classes, and their images.

    Attributes
    ----------
    ratio : ndarray (n, K)
        Probability of each class over its overall weight: likelihoods up to a factor.
    image : ndarray (n,) of int
    sums : sparse array (I, n)
        What sums rows of pixels to rows of images.
    """

    ratio: Array
    image: NDArray[np.int64]
    sums: csr_array

    def likelihood(self, weights: Array) -> Array:
        """Of each pixel (n,), with the weights (I, K) of its image."""
        likelihood: Array = np.einsum("nk,nk->n", self.ratio, weights[self.image])
        return likelihood

    def believed(self, weights: Array) -> Array:
        """Class probabilities (n, K) with the weights (I, K) of the pixels' images."""
        joint = self.ratio * weights[self.image]
        joint /= joint.sum(1, keepdims=True)
        return joint

    def log_posterior(self, prior: Array, weights: Array) -> Array:
        """Of the logarithms of each image's weights (I, K), nats (I,), up to a constant.

        ``prior`` (K,) are counts of a Dirichlet distribution.
        """
        pixels = self.sums @ np.log(self.likelihood(weights))
        log_posterior: Array = pixels + (prior * np.log(weights)).sum(1)
        return log_posterior


class Mix(NamedTuple):
    """Class weights of images on their way to where they belong.

    Attributes
    ----------
    weights : ndarray (I, K)
    concentration, log_mean : float
        Of the Dirichlet distribution: mean, and mean of the logarithm.
    """

    weights: Array
    concentration: float
    log_mean: float


def image_weights(
    probabilities: NDArray[Any], image: NDArray[np.int64], overall: NDArray[np.float64]
) -> ImageWeights:
    """Fit the hierarchical prior: by fixed steps, without chance.

    Parameters
    ----------
    probabilities : (n, K) array
        Of single pixels under the overall weights; flagged pixels left out.
    image : (n,) array
        Index of each pixel's image.
    overall : (K,) array
        Class weights that the probabilities were computed with; they sum to one.

    Returns
    -------
    ImageWeights
        Row i for image i; images without pixels get the prior's.
    """
    overall = floored(overall)
    pixels = pixels_of(np.asarray(probabilities, dtype=np.float64) / overall, image)
    mix = mix_of(pixels, overall)
    weights = mix.weights
    total = mix.concentration + labels_worth(pixels, weights)
    return ImageWeights(
        mean=weights,
        sd=np.sqrt(weights * (1.0 - weights) / (total[:, None] + 1.0)),
        concentration=math.exp(mix.log_mean),
        others=by_others(pixels, overall, mix),
    )


def floored(overall: Array) -> Array:
    """Class weights (K,) of which none is nothing."""
    above = np.maximum(overall, WEIGHT_FLOOR)
    found: Array = above / above.sum()
    return found


def mix_of(pixels: Pixels, overall: Array, most_steps: int = MOST_STEPS) -> Mix:
    """Weights of images by what pixels say, from those of all (K,) on."""
    log_mean = max(CONCENTRATION[0], _grid(len(overall))[0])
    mix = Mix(np.tile(overall, (pixels.sums.shape[0], 1)), math.exp(log_mean), log_mean)
    for _ in range(most_steps):
        before = mix
        weights = climbed(pixels, mix.concentration * overall, mix.weights)
        mix = concentrated(pixels, overall, mix._replace(weights=weights))
        change = np.abs(mix.weights - before.weights).max()
        if change <= WEIGHT_TOLERANCE and abs(mix.log_mean - before.log_mean) <= LOG_TOLERANCE:
            break
    return mix


def concentrated(pixels: Pixels, overall: Array, mix: Mix) -> Mix:
    """With the concentration that images of these weights have."""
    total = mix.concentration + labels_worth(pixels, mix.weights)
    grid = _grid(len(overall))
    share = _on_grid(grid, overall, mix.weights, total)
    return Mix(mix.weights, float(share @ np.exp(grid)), float(share @ grid))


def by_others(pixels: Pixels, overall: Array, mix: Mix) -> Array:
    """Mean weights (n, K) of each pixel's image by all other pixels."""
    believed = pixels.believed(mix.weights)
    counts = (mix.concentration * overall + pixels.sums @ believed)[pixels.image] - believed
    found: Array = counts / counts.sum(1, keepdims=True)
    return found


def pixels_of(ratio: Array, image: NDArray[np.int64]) -> Pixels:
    """Likelihood ratios (n, K) and images (n,) as `Pixels`; at least one."""
    n = len(image)
    sums = csr_array((np.ones(n), (image, np.arange(n))), (int(image.max()) + 1, n))
    return Pixels(ratio, image, sums)


def climbed(pixels: Pixels, prior: Array, weights: Array) -> Array:
    """Weights (I, K) after a step of expectation-maximisation; `Pixels.log_posterior` rises.

    Parameters
    ----------
    pixels : Pixels
    prior : (K,) array
        Counts of the Dirichlet distribution.
    weights : (I, K) array
        Before; all positive.
    """
    counts: Array = prior + pixels.sums @ pixels.believed(weights)
    return counts / counts.sum(1, keepdims=True)


def labels_worth(pixels: Pixels, weights: Array) -> Array:
    """How many labels (I,) would tell as much of the weights (I, K) as the pixels of each image do.

    Fisher's information that the pixels have over that of their labels, times their number.
    """
    believed = pixels.believed(weights)
    n = pixels.sums.sum(1)
    known = (pixels.sums @ believed**2 / weights).sum(1) - n
    labelled = (pixels.sums @ believed / weights).sum(1) - n
    part = np.divide(known, labelled, out=np.zeros(len(n)), where=labelled > 0.0)
    worth: Array = n * part.clip(0.0, 1.0)
    return worth


def _grid(n_classes: int) -> Array:
    """Log concentrations (N_GRID,) that are looked at."""
    least = math.log(LEAST_COUNTS * n_classes)
    most = CONCENTRATION[0] + REACH * CONCENTRATION[1]
    return np.linspace(least, max(least, most), N_GRID)


def _on_grid(grid: Array, overall: Array, weights: Array, total: Array) -> Array:
    """Posterior (N_GRID,) of the concentration, given Dirichlet posteriors of all images.

    Parameters
    ----------
    grid : (N_GRID,) array
        Log concentrations.
    overall : (K,) array
    weights : (I, K) array
        Means of the images' posteriors.
    total : (I,) array
        Their counts.
    """
    concentration = np.exp(grid)
    log_weights = digamma(total[:, None] * weights) - digamma(total)[:, None]
    normaliser = gammaln(concentration) - gammaln(concentration[:, None] * overall).sum(1)
    prior = -0.5 * ((grid - CONCENTRATION[0]) / CONCENTRATION[1]) ** 2
    images = len(weights) * normaliser + concentration * (log_weights @ overall).sum()
    posterior: Array = softmax(prior + images)
    return posterior
