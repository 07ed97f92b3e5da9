"""What the continua of an image's pixels have in common: an exponent, say, that is the image's own.

A pixel by itself may be any of any image, ``u ~ N(mean, covariance)`` in the notation of
`forward_model.model`; within an image it varies by less, ``within``, around the image's offset
``o_i ~ N(0, V)``, with V as the forward model's fit has it. Who takes the one covariance for the
other finds an image's pixels more alike than classes could be, and one class in all of them. With
each pixel's components as its own data and its neighbours have them, offsets are found by
generalised least squares,

    o_i = (1 / V + sum_j J_j)^-1 sum_j h_j,
    h_j = columns' S_j^-1 (y_j - center_j),     J_j = columns' S_j^-1 columns,

over pixels j of image i and their components, S_j the covariance of a pixel within its image. Each
pixel is then read without what the others of its image tell of its continuum: to first order, its
own part is taken back. A component is likelier with an offset by

    h' o - o' J o / 2

nats, so that no evidence need be reckoned anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eels_bayes.arrays import Array
from eels_bayes.forward_model.directions import spanned
from eels_bayes.forward_model.factor_mixture import Rotated, log_likelihood
from eels_bayes.forward_model.fit import image_variances
from eels_bayes.forward_model.model import ForwardModel

LEAST_SHARE = 1e-3  # of a pixel, of which a component that it is less likely of is left out
LEAST_PIXELS = 30  # of an image that fewer tell of, each is read by itself; chosen, not tuned
# Of the noise's variance: what images differ by along a direction, at least. All directions below
# it move a pixel's evidence by a few thousandths of a nat together.
LEAST_SPREAD = 1e-3
LEAST_NOISE = 0.1  # of the fit's median: pixels of less hear of the same factors
BLOCK = 2048  # pixels at a time: what they need stays in a core's cache
Single = NDArray[np.float32]


class _Space(NamedTuple):
    """A model in as few dimensions R as matter.

    Attributes
    ----------
    basis : (B, R) array
        Of the whitened bins.
    columns : (R, P) array
        Of the continuum, along which images differ by one standard deviation beforehand.
    parts : list of Rotated
        C components, of pixels within an image.
    along : list of (P, F) array
        What columns and each component's factors have in common.
    log_weight : (C,) array
    back : (P, B) array
        From offsets to profiles.
    """

    basis: Array
    columns: Array
    parts: list[Rotated]
    along: list[Array]
    log_weight: Array
    back: Array


class Heard(NamedTuple):
    """What n pixels say of their images' offsets, and offsets of them.

    Attributes
    ----------
    space : _Space
    noise : (n,) array
    log_joint : (n, C) array
        Of each pixel and its component where the image is as the population.
    score : (n, C, P) array
        h of each component.
    """

    space: _Space
    noise: Single
    log_joint: Single
    score: Single

    def with_offsets(self, offset: Array) -> Single:
        """Log joint probabilities (n, C) of pixels and components, by offsets (n, P)."""
        found = self.log_joint.copy()
        for start in range(0, len(found), BLOCK):
            here = slice(start, start + BLOCK)
            moved = offset[here].astype(np.float32)
            noise = self.noise[here, None]
            found[here] += (self.score[here] @ moved[:, :, None])[..., 0]
            size = np.square(moved @ self.space.columns.T).sum(1)
            for part, along, column in zip(
                self.space.parts, self.space.along, found[here].T, strict=True
            ):
                hidden = (np.square(moved @ along) / (noise + part.value)).sum(1)
                column -= 0.5 * (size - hidden) / noise[:, 0]
        return found

    def shift(self, offset: Array) -> Single:
        """Of profiles (n, B), by offsets (n, P)."""
        return offset.astype(np.float32) @ self.space.back


_SPACES: WeakKeyDictionary[ForwardModel, _Space] = WeakKeyDictionary()  # so that each is made once


def heard(model: ForwardModel, profile: Single, level: Single) -> Heard:
    """What pixels say of the continua of their images.

    Parameters
    ----------
    model : ForwardModel
    profile : (n, B) array
        Of usable pixels, units of their norm.
    level : (n,) array
        As in `Spectra`.
    """
    if model not in _SPACES:
        _SPACES[model] = _space(model)
    space = _SPACES[model]
    n, n_parts, n_columns = len(profile), len(space.parts), space.columns.shape[1]
    noise, log_joint = np.empty(n, np.float32), np.empty((n, n_parts), np.float32)
    score = np.empty((n, n_parts, n_columns), np.float32)
    for start in range(0, n, BLOCK):
        here = slice(start, start + BLOCK)
        deviation, variance = model.whiten(profile[here], level[here])
        target = (deviation @ space.basis).astype(np.float32)
        noise[here] = variance = variance.astype(np.float32)
        for c, (part, along) in enumerate(zip(space.parts, space.along, strict=True)):
            log_joint[here, c], factor, _ = log_likelihood(target, variance, part)
            seen = (target - part.center) @ space.columns - factor @ along.T
            score[here, c] = seen / variance[:, None]
    return Heard(space, noise, log_joint + space.log_weight, score)


def offsets(of_pixels: Heard, image: NDArray[np.int64], component: Array) -> Array:
    """Offset (n, P) of each pixel's image, by all other pixels; 0 where too few of them tell.

    Parameters
    ----------
    of_pixels : Heard
    image : (n,) array of int
    component : (n, C) array
        Probabilities of the model's components; zeros of a pixel that is not to tell anything.
    """
    image = np.unique(image, return_inverse=True)[1]
    tells: NDArray[np.bool_] = component.sum(1) > 0.0
    score, each = _told(of_pixels, image, component)
    offset = np.zeros_like(score)
    order = np.argsort(image, kind="stable")
    for rows, information in zip(
        np.split(order, np.cumsum(np.bincount(image))[:-1]), each, strict=True
    ):
        if tells[rows].sum() >= LEAST_PIXELS:
            offset[rows] = _by_others(score[rows], information, tells[rows])
    return offset


def _space(model: ForwardModel) -> _Space:
    """The space of a model's components and continuum."""
    columns = model.continuum.columns(model.continuum.energy, model.library)
    variances = image_variances(model.continuum.prior_variances(model.library), model.library)
    vector, sd, _ = np.linalg.svd(
        columns * model.white[:, None] * np.sqrt(variances), full_matrices=False
    )
    seen = sd**2 > LEAST_SPREAD * model.noise
    columns = vector[:, seen] * sd[seen]
    parts = replace(model, covariance=model.within).rotated_components()
    each = [np.column_stack([part.center, part.loadings]) for part in parts]
    basis = spanned(np.concatenate([columns, *each], axis=1))
    reduced = [
        part._replace(center=basis.T @ part.center, loadings=basis.T @ part.loadings)
        .heard(model.noise * LEAST_NOISE)
        .astype(np.dtype(np.float32))
        for part in parts
    ]
    back = (columns / model.white[:, None]).T.astype(np.float32)
    columns = (basis.T @ columns).astype(np.float32)
    along = [columns.T @ part.loadings for part in reduced]
    with np.errstate(divide="ignore"):
        log_weight = np.log(model.components()[1]).astype(np.float32)
    return _Space(basis, columns, reduced, along, log_weight, back)


def _by_others(score: Array, information: Array, tells: NDArray[np.bool_]) -> Array:
    """An image's offset (n, P) by all pixels but the one in question, by scores (n, P)."""
    precision = information + np.eye(len(information))
    offset = np.linalg.solve(precision, score.sum(0))
    of_one = information / tells.sum()  # as if all of an image told the same
    own = tells[:, None] * (score - of_one @ offset)
    found: Array = offset - own @ np.linalg.inv(precision - of_one)
    return found


def _told(of_pixels: Heard, image: NDArray[np.int64], component: Array) -> tuple[Array, Array]:
    """What pixels of these components tell of offsets: scores (n, P), information (I, P, P)."""
    space, n_images = of_pixels.space, int(image.max()) + 1
    share = np.where(component > LEAST_SHARE, component, 0.0).astype(np.float32)
    score = (share[:, None] @ of_pixels.score)[:, 0].astype(np.float64)
    gram = (space.columns.T @ space.columns).astype(np.float64)
    information = np.zeros((n_images, *gram.shape))
    for part, along, one in zip(space.parts, space.along, share.T, strict=True):
        rows = np.flatnonzero(one)
        noise = of_pixels.noise[rows]
        weight = (one[rows] / noise)[:, None]
        hidden = np.column_stack([1.0 / (noise[:, None] + part.value), np.ones(len(rows))])
        hidden = _sums(weight * hidden, image[rows], n_images)
        information += hidden[:, -1, None, None] * gram
        information -= (along * hidden[:, None, :-1]) @ along.T
    return score, information


def _sums(rows: Array, image: NDArray[np.int64], n_images: int) -> Array:
    """Sums (I, F) of rows (n, F) over the pixels of each of so many images."""
    if n_images == 1:
        total: Array = rows.sum(0, keepdims=True)
        return total
    sums: Array = (
        csr_array((np.ones(len(rows)), (image, np.arange(len(rows)))), (n_images, len(rows))) @ rows
    )
    return sums
