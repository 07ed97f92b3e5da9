"""What the classes of an image are and what its continua share, found together.

Each is known by the other alone: pixels tell of an offset ``o`` by their components, and of
components without it. To go through both in turn is slow where an offset looks like a class. Of the
joint log posterior of the offset and of the logarithms ``v`` of the class weights one reading of
the pixels gives the slope, and the curvature, too (Louis, J. R. Stat. Soc. B 44, 226 (1982)):

    what pixels would tell if their components were known
        - the covariance, over the components that each may be, of what it tells with these,

so that Newton steps are at the top after a few readings. The same curvature says, to first order,
where the top were without a pixel itself: with that it is read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from eels_bayes.arrays import Array
from eels_bayes.prediction.image_context import (
    MOST_STEPS,
    Mix,
    by_others,
    climbed,
    concentrated,
    floored,
    mix_of,
    pixels_of,
)
from eels_bayes.prediction.pixel_states import PixelStates
from eels_bayes.prediction.shared_continuum import Heard, Single, Told

LEAST_PIXELS = 30  # of an image that fewer tell of, each is read by itself; chosen, not tuned
FIRST_STEPS = 5  # of mixes, from what pixels say by themselves; of small images till they stand
MOST_ROUNDS = 12  # of readings: three to eight were enough
LEAST_GAIN = 1e-2  # nats of an image: a step from which no more is expected is the last
LEAST_SEEN = 0.1  # of what known components would tell, at least: where the top is far, it is rough
LONGEST = 1.5  # of a log weight, or sd of an offset, in a step
LEAST = 1e-12  # of a class's probability, to be divided by


class ByThemselves(NamedTuple):
    """n pixels and their images, as each pixel is read by itself.

    Attributes
    ----------
    heard : Heard
    image : (n,) array of int
        From 0 on, none left out.
    tells : (n,) array of bool
        Which pixels tell of offsets.
    component : (n, C) array
        Probabilities of the forward model's components.
    by_heads : (n, K) array
        Those of classes, as heads have them.
    """

    heard: Heard
    image: NDArray[np.int64]
    tells: NDArray[np.bool_]
    component: Single
    by_heads: Single

    def large(self) -> list[tuple[int, NDArray[np.intp]]]:
        """Images of which enough pixels tell, and their rows."""
        ends = np.cumsum(np.bincount(self.image))[:-1]
        rows = np.split(np.argsort(self.image, kind="stable"), ends)
        return [(k, mine) for k, mine in enumerate(rows) if self.tells[mine].sum() >= LEAST_PIXELS]


class ByImage(NamedTuple):
    """n pixels and I images with what pixels tell of them.

    Attributes
    ----------
    offset : (n, P) array
        Of each pixel's image by its other pixels; 0 where too few tell.
    others : (n, K) array
        Class weights, likewise.
    of_images : (I, P) array
        Offsets by all pixels.
    """

    offset: Array
    others: Array
    of_images: Array


def settled(pixels: ByThemselves, states: PixelStates, weights: Array) -> ByImage:
    """Offsets and mixes of images.

    Parameters
    ----------
    pixels : ByThemselves
    states : PixelStates
    weights : (K,) array
        How frequent each class is where nothing is known of a pixel.
    """
    image, overall = pixels.image, floored(weights)
    of_class = np.eye(len(overall), dtype=np.float32)[states.label[states.of_dominant]]
    # what heads say beyond components stays as it is
    beyond = pixels.by_heads / (pixels.component @ of_class + LEAST) / overall
    mixed = pixels_of(beyond * (pixels.component @ of_class + LEAST), image)
    large = pixels.large()
    every = len(large) == int(image.max()) + 1
    mix = mix_of(mixed, overall, FIRST_STEPS if every else MOST_STEPS)
    dim = pixels.heard.space.columns.shape[1]
    of_images, own = np.zeros((len(mix.weights), dim)), np.zeros((len(image), dim + len(overall)))
    open_images = large
    for _ in range(MOST_ROUNDS):
        new, still_open = climbed(mixed, mix.concentration * overall, mix.weights), []
        for k, rows in open_images:
            ratio = states.ratio_of_components(states.of_classes(mix.weights[k : k + 1]))
            told = pixels.heard.of(rows).told(of_images[k], ratio, of_class, pixels.tells[rows])
            mixed.ratio[rows] = beyond[rows] * (told.component @ of_class + LEAST)
            believed = mixed.ratio[rows] * mix.weights[k]
            top = _together(
                told, believed / believed.sum(1, keepdims=True), of_images[k], mix, k, overall
            )
            of_images[k] += top.step[:dim]
            new[k] = softmax(np.log(mix.weights[k]) + top.step[dim:])
            own[rows] = top.own
            if top.gain > LEAST_GAIN:
                still_open.append((k, rows))
        mix, open_images = concentrated(mixed, overall, mix._replace(weights=new)), still_open
        if not open_images:
            break
    others = by_others(mixed, overall, mix)
    for k, rows in large:
        others[rows] = softmax(np.log(mix.weights[k]) - own[rows, dim:], axis=1)
    return ByImage(of_images[image] - own[:, :dim], others, of_images)


def moved(pixels: ByThemselves, ratio: Array, of_images: Array) -> Array:
    """Offsets (n, P) of pixels' images by all others, where what others say of each is known.

    Parameters
    ----------
    pixels : ByThemselves
    ratio : (n, C) array
        Weights of components in each pixel over those that all images have.
    of_images : (I, P) array
        Offsets from which they are looked for.
    """
    offset = np.zeros((len(pixels.image), of_images.shape[1]))
    no_class = np.zeros((ratio.shape[1], 0), np.float32)
    for k, rows in pixels.large():
        tells = pixels.tells[rows]
        told = pixels.heard.of(rows).told(of_images[k], ratio[rows], no_class, tells)
        prior = np.eye(len(of_images[k]))
        top = _top(told.score, -of_images[k], prior, told.information, told.missing, tells.sum())
        offset[rows] = of_images[k] + top.step - top.own
    return offset


class _Top(NamedTuple):
    """Where a log posterior is at its top, seen from here.

    Attributes
    ----------
    step : (D,) array
    gain : float
        Nats.
    own : (m, D) array
        What of it is each pixel's.
    """

    step: Array
    gain: float
    own: Array


def _top(score: Array, of_prior: Array, prior: Array, known: Array, missing: Array, n: int) -> _Top:
    """By slopes and curvatures.

    Parameters
    ----------
    score : (m, D) array
        Slopes of pixels.
    of_prior : (D,) array
        That of the prior.
    prior, known, missing : (D, D) arrays
        Curvatures: of the prior, of pixels of known components, and what they have less.
    n : int
        Pixels that tell.
    """
    root = np.linalg.cholesky(prior + known)
    share, basis = np.linalg.eigh(np.linalg.solve(root, np.linalg.solve(root, missing).T))
    along = root @ basis
    curvature = (along * np.maximum(1.0 - share, LEAST_SEEN)) @ along.T
    slope = score.sum(0) + of_prior
    step = np.linalg.solve(curvature, slope)
    gain = 0.5 * float(slope @ step)
    # as if all of an image told the same
    without = curvature - (curvature - prior) / n
    shorter = min(1.0, LONGEST / max(float(np.abs(step).max()), LEAST))
    return _Top(step * shorter, gain, score @ np.linalg.inv(without))


def _together(told: Told, believed: Array, offset: Array, mix: Mix, k: int, overall: Array) -> _Top:
    """Of an image's offset and the logs of its class weights; ``believed`` (m, K) are classes."""
    dim, weights, n = len(offset), mix.weights[k], len(believed)
    labels = np.diag(weights) - np.outer(weights, weights)
    prior, known, missing = np.zeros((3, dim + len(weights), dim + len(weights)))
    prior[:dim, :dim] = np.eye(dim)
    # what is common to all logs says nothing: the last part keeps it where it is
    prior[dim:, dim:] = mix.concentration * labels + 1.0
    known[:dim, :dim], known[dim:, dim:] = told.information, n * labels
    missing[:dim, :dim] = told.missing
    missing[:dim, dim:], missing[dim:, :dim] = told.shared, told.shared.T
    missing[dim:, dim:] = np.diag(believed.sum(0)) - believed.T @ believed
    of_prior = np.concatenate([-offset, mix.concentration * (overall - weights)])
    score = np.concatenate([told.score, believed - weights], 1)
    return _top(score, of_prior, prior, known, missing, n)
