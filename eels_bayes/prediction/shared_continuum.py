"""What the continua of an image's pixels have in common: an exponent, say, that is the image's own.

A pixel by itself may be any of any image, ``u ~ N(mean, covariance)`` in the notation of
`forward_model.model`. What is odd about an image's continuum makes evidence wrong in all its pixels
alike, however many they are, and areas of classes by more than single pixels tell. So the images'
offsets ``o_i ~ N(0, V)`` of ``u`` are found, with V as the forward model's fit has it: with each
pixel's components as its own data and its neighbours have them, by generalised least squares,

    o_i = (1 / V + sum_j J_j)^-1 sum_j columns' S_j^-1 (y_j - center_j),
    J_j = columns' S_j^-1 columns,

over pixels j of image i and their components, S_j the covariance of a pixel by itself. Each pixel
is then read without what the others of its image tell of its continuum: to first order, its own
part is taken back. A component c is likelier then by

    (columns o)' S_c^-1 (y - center_c) - (columns o)' S_c^-1 (columns o) / 2

nats, so that no evidence need be reckoned anew.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eels_bayes.arrays import Array
from eels_bayes.forward_model.directions import spanned
from eels_bayes.forward_model.factor_mixture import Rotated
from eels_bayes.forward_model.fit import image_variances
from eels_bayes.forward_model.model import ForwardModel

LEAST_SHARE = 1e-3  # of a pixel, of which a component that it is less likely of is left out
LEAST_PIXELS = 30  # of an image that fewer tell of, each is read by itself; chosen, not tuned
# Of the noise's variance: what images differ by along a direction, at least. All directions below
# it move a pixel's evidence by a few thousandths of a nat together.
LEAST_SPREAD = 1e-3
LEAST_NOISE = 0.1  # of the fit's median: pixels of less hear of the same factors
BLOCK = 2048  # pixels at a time: what they need stays in a core's cache


class _Space(NamedTuple):
    """A model in as few dimensions R as matter.

    Attributes
    ----------
    basis : (B, R) array
        Of the whitened bins.
    columns : (R, P) array
        Of the continuum, along which images differ by one standard deviation beforehand.
    parts : list of Rotated
        C components.
    """

    basis: Array
    columns: Array
    parts: list[Rotated]


class _Told(NamedTuple):
    """What pixels tell of their images' offsets: scores (n, P), and information (I, P, P)."""

    score: Array
    information: Array


_SPACES: WeakKeyDictionary[ForwardModel, _Space] = WeakKeyDictionary()  # so that each is made once


def shared_continuum(
    model: ForwardModel,
    profile: NDArray[np.float32],
    level: NDArray[np.float32],
    image: NDArray[np.int64],
    component: Array,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What of each profile is its image's, by all other pixels of that image.

    Parameters
    ----------
    model : ForwardModel
    profile : (n, B) array
        Of usable pixels, units of their norm.
    level : (n,) array
        As in `Spectra`.
    image : (n,) array of int
    component : (n, C) array
        Probabilities of the model's components; zeros of a pixel that is not to tell anything.

    Returns
    -------
    shift : (n, B) array
        Units of the norm; 0 where too few pixels of an image tell.
    likelier : (n, C) array
        By how much each component is likelier of what is left, nats.
    """
    if model not in _SPACES:
        _SPACES[model] = _space(model)
    space = _SPACES[model]
    deviation, noise = model.whiten(profile, level)
    target, noise = (deviation @ space.basis).astype(np.float32), noise.astype(np.float32)
    image = np.unique(image, return_inverse=True)[1]
    tells: NDArray[np.bool_] = component.sum(1) > 0.0
    told = _told(space, target, noise, image, component)
    offset = np.zeros_like(told.score)
    order = np.argsort(image, kind="stable")
    for rows, information in zip(
        np.split(order, np.cumsum(np.bincount(image))[:-1]), told.information, strict=True
    ):
        if tells[rows].sum() >= LEAST_PIXELS:
            offset[rows] = _by_others(told.score[rows], information, tells[rows])
    moved = (offset @ space.columns.T).astype(np.float32)
    shift = moved @ (space.basis / model.white[:, None]).T.astype(np.float32)
    return shift, _likelier(space.parts, target, noise, moved)


def _space(model: ForwardModel) -> _Space:
    """The space of a model's components and continuum."""
    columns = model.continuum.columns(model.continuum.energy, model.library)
    variances = image_variances(model.continuum.prior_variances(model.library), model.library)
    vector, sd, _ = np.linalg.svd(
        columns * model.white[:, None] * np.sqrt(variances), full_matrices=False
    )
    seen = sd**2 > LEAST_SPREAD * model.noise
    columns = vector[:, seen] * sd[seen]
    parts = model.rotated_components()
    each = [np.column_stack([part.center, part.loadings]) for part in parts]
    basis = spanned(np.concatenate([columns, *each], axis=1))
    reduced = [
        part._replace(center=basis.T @ part.center, loadings=basis.T @ part.loadings)
        .heard(model.noise * LEAST_NOISE)
        .astype(np.dtype(np.float32))
        for part in parts
    ]
    return _Space(basis, (basis.T @ columns).astype(np.float32), reduced)


def _by_others(score: Array, information: Array, tells: NDArray[np.bool_]) -> Array:
    """An image's offset (n, P) by all pixels but the one in question, by scores (n, P)."""
    precision = information + np.eye(len(information))
    offset = np.linalg.solve(precision, score.sum(0))
    of_one = information / tells.sum()  # as if all of an image told the same
    own = tells[:, None] * (score - of_one @ offset)
    found: Array = offset - own @ np.linalg.inv(precision - of_one)
    return found


def _told(
    space: _Space, target: Array, noise: Array, image: NDArray[np.int64], component: Array
) -> _Told:
    """What pixels (n, R) of these components tell."""
    columns, n_images = space.columns, int(image.max()) + 1
    score = np.zeros((len(target), columns.shape[1]))
    gram = columns.T @ columns
    information = np.zeros((n_images, *gram.shape))
    for part, share in zip(space.parts, component.T, strict=True):
        rows = np.flatnonzero(share > LEAST_SHARE)
        along = columns.T @ part.loadings  # (P, F)
        residual, weight = target[rows] - part.center, (share[rows] / noise[rows])[:, None]
        inverse = 1.0 / (noise[rows, None] + part.value)
        left = residual @ columns - ((residual @ part.loadings) * inverse) @ along.T
        score[rows] += weight * left
        hidden = _sums(
            weight * np.column_stack([inverse, np.ones(len(rows))]), image[rows], n_images
        )
        information += hidden[:, -1, None, None] * gram
        information -= (along * hidden[:, None, :-1]) @ along.T
    return _Told(score, information)


def _likelier(
    parts: list[Rotated], target: Array, noise: Array, moved: Array
) -> NDArray[np.float32]:
    """By how much (n, C) each component is likelier of pixels (n, R) less what is moved (n, R)."""
    found = np.empty((len(target), len(parts)), dtype=np.float32)
    for start in range(0, len(target), BLOCK):
        here = slice(start, start + BLOCK)
        pixels, shift, variance = target[here], moved[here], noise[here, None]
        # of a pixel half-way: the difference of both ends' squares
        middle = pixels - 0.5 * shift
        across = (middle * shift).sum(1)
        for part, column in zip(parts, found[here].T, strict=True):
            along = shift @ part.loadings
            known = (middle @ part.loadings - part.center @ part.loadings) * along
            explained = (known / (variance + part.value)).sum(1)
            column[:] = (across - shift @ part.center - explained) / variance[:, 0]
    return found


def _sums(rows: Array, image: NDArray[np.int64], n_images: int) -> Array:
    """Sums (I, F) of rows (n, F) over the pixels of each of so many images."""
    if n_images == 1:
        total: Array = rows.sum(0, keepdims=True)
        return total
    sums: Array = (
        csr_array((np.ones(len(rows)), (image, np.arange(len(rows)))), (n_images, len(rows))) @ rows
    )
    return sums
