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
part is taken back.
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


class _Space(NamedTuple):
    """A model in as few dimensions R as matter.

    Attributes
    ----------
    basis : (B, R) array
        Of the whitened bins.
    columns : (R, P) array
        Of the continuum.
    parts : list of Rotated
        C components.
    variances : (P,) array
        Of images' offsets beforehand.
    """

    basis: Array
    columns: Array
    parts: list[Rotated]
    variances: Array


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
) -> NDArray[np.float32]:
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
    (n, B) array
        Units of the norm; 0 where too few pixels of an image tell.
    """
    if model not in _SPACES:
        _SPACES[model] = _space(model)
    space = _SPACES[model]
    deviation, noise = model.whiten(profile, level)
    image = np.unique(image, return_inverse=True)[1]
    tells: NDArray[np.bool_] = component.sum(1) > 0.0
    pixels = np.bincount(image, tells)
    told = _told(space, deviation @ space.basis, noise, image, component)
    precision = told.information + np.diag(1.0 / space.variances)
    offset = np.linalg.solve(precision, _sums(told.score, image, len(pixels))[..., None])[..., 0]
    # a pixel's own part, as if all of an image told the same
    of_one = told.information / np.maximum(pixels, 1.0)[:, None, None]
    by_others = np.linalg.inv(precision - of_one)
    own = told.score - np.einsum("npq,nq->np", of_one[image], offset[image])
    offset = offset[image] - tells[:, None] * np.einsum("npq,nq->np", by_others[image], own)
    offset[pixels[image] < LEAST_PIXELS] = 0.0
    columns = (space.basis @ space.columns) / model.white[:, None]
    shift: NDArray[np.float32] = (offset @ columns.T).astype(np.float32)
    return shift


def _space(model: ForwardModel) -> _Space:
    """The space of a model's components and continuum."""
    columns = model.continuum.columns(model.continuum.energy, model.library)
    columns = columns * model.white[:, None]
    parts = model.rotated_components()
    each = [np.column_stack([part.center, part.loadings]) for part in parts]
    basis = spanned(np.concatenate([columns, *each], axis=1))
    variances = image_variances(model.continuum.prior_variances(model.library), model.library)
    reduced = [
        part._replace(center=basis.T @ part.center, loadings=basis.T @ part.loadings)
        for part in parts
    ]
    return _Space(basis, basis.T @ columns, reduced, variances)


def _told(
    space: _Space, target: Array, noise: Array, image: NDArray[np.int64], component: Array
) -> _Told:
    """What pixels (n, R) of these components tell."""
    columns, n_images = space.columns, int(image.max()) + 1
    score = np.zeros((len(target), columns.shape[1]))
    gram = columns.T @ columns
    information = np.zeros((n_images, *gram.shape))
    least = float(noise.min())
    for whole, share in zip(space.parts, component.T, strict=True):
        part, rows = whole.heard(least), np.flatnonzero(share > LEAST_SHARE)
        along = columns.T @ part.loadings  # (P, F)
        residual, weight = target[rows] - part.center, share[rows] / noise[rows]
        inverse = 1.0 / (noise[rows, None] + part.value)
        left = residual @ columns - ((residual @ part.loadings) * inverse) @ along.T
        score[rows] += weight[:, None] * left
        of_image = np.bincount(image[rows], weight, n_images)
        hidden = _sums(weight[:, None] * inverse, image[rows], n_images)
        information += of_image[:, None, None] * gram - (along * hidden[:, None]) @ along.T
    return _Told(score, information)


def _sums(rows: Array, image: NDArray[np.int64], n_images: int) -> Array:
    """Sums (I, F) of rows (n, F) over the pixels of each of so many images."""
    sums: Array = (
        csr_array((np.ones(len(rows)), (image, np.arange(len(rows)))), (n_images, len(rows))) @ rows
    )
    return sums
