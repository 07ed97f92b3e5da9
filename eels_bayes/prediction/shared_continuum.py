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
own part is taken back. A component is as likely as its density at what is left.

Pixels are kept in the few dimensions that components span, and what each tells of each component
is found anew, some pixels at a time, where it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from eels_bayes.arrays import Array
from eels_bayes.forward_model.directions import spanned
from eels_bayes.forward_model.factor_mixture import Rotated
from eels_bayes.forward_model.fit import image_variances
from eels_bayes.forward_model.model import ForwardModel

# Of the noise's variance: what images differ by along a direction, at least. All directions below
# it move a pixel's evidence by a few thousandths of a nat together.
LEAST_SPREAD = 1e-3
LEAST_NOISE = 0.1  # of the fit's median: pixels of less hear of the same factors
NUMBERS = 2**17  # of pixels' factors at a time: what they need stays in a core's cache
Single = NDArray[np.float32]


class _Space(NamedTuple):
    """A model in as few dimensions R as matter.

    Attributes
    ----------
    basis : (B, R) array
        Of the whitened bins.
    middle : (R,) array
        From where deviations are counted, so that they are small numbers.
    columns : (R, P) array
        Of the continuum, along which images differ by one standard deviation beforehand.
    center : (C, R) array
        Of components of pixels within an image.
    loadings : (C, F, R) array
        Of their factors; zeros where a component has fewer than others.
    value : (C, F) array
        Squared lengths of these.
    of_center : (C F, 1) array
        Where the centers lie along them.
    along : (P, C F) array
        What columns and factors have in common.
    log_weight : (C,) array
    back : (P, B) array
        From offsets to profiles.
    """

    basis: Array
    middle: Array
    columns: Single
    center: Single
    loadings: Single
    value: Single
    of_center: Single
    along: Single
    log_weight: Single
    back: Single

    @property
    def block(self) -> int:
        """Pixels at a time."""
        return max(16, NUMBERS // max(self.value.size, 1))


class Told(NamedTuple):
    """What m pixels of an image tell of its offset.

    Attributes
    ----------
    component : (m, C) array
        Probabilities of components, all images having one mix.
    score : (m, P) array
        Slope of each pixel's log-likelihood; 0 of a pixel that is not to tell.
    information : (P, P) array
        J of all, as if their components were known.
    missing : (P, P) array
        What of it is not there, as they are not.
    shared : (P, K) array
        Of classes and the offset, likewise.
    """

    component: Single
    score: Array
    information: Array
    missing: Array
    shared: Array


class Heard(NamedTuple):
    """n pixels as they are likely of components, and tell of offsets.

    Attributes
    ----------
    space : _Space
    target : (n, R) array
        Their deviations.
    noise : (n,) array
    constant : (n, C) array
        Of a component's log density what no deviation changes.
    """

    space: _Space
    target: Single
    noise: Single
    constant: Single

    def with_offsets(self, offset: Array) -> Single:
        """Log joint probabilities (n, C) of pixels and components, by offsets (n, P).

        But for what is the same for all components of a pixel.
        """
        found = np.empty_like(self.constant)
        for part in self._parts(offset):
            found[part.rows] = part.log_joint(self)
        return found

    def told(self, offset: Array, ratio: Array, of_class: Single, tells: NDArray[np.bool_]) -> Told:
        """What pixels of one image tell of its offset.

        Parameters
        ----------
        offset : (P,) array
            That they are read with.
        ratio : (n or 1, C) array
            Weights of components in each pixel over those that all images have.
        of_class : (C, K) array
            One for the class of each component.
        tells : (n,) array of bool
            Which pixels are to tell of it.
        """
        space, dim = self.space, self.space.columns.shape[1]
        component, score = np.empty_like(self.constant), np.empty((len(self.noise), dim))
        hidden, second = np.zeros(space.value.shape), np.zeros((dim, dim))
        whole, shared = 0.0, np.zeros((dim, of_class.shape[1]))
        along = space.along.T.reshape(*space.value.shape, dim)
        of_center = (space.center @ space.columns)[:, None]
        ratio = np.broadcast_to(ratio.astype(np.float32), component.shape)
        for part in self._parts(np.broadcast_to(offset, score.shape)):
            rows, noise = part.rows, self.noise[part.rows]
            component[rows] = softmax(part.log_joint(self), axis=1)
            share = component[rows] * ratio[rows]
            share *= (tells[rows] / share.sum(1))[:, None].astype(np.float32)
            slope = part.left @ space.columns - of_center  # (C, m, P)
            slope -= part.projected.transpose(0, 2, 1) @ along
            slope /= noise[:, None]
            likely = slope * share.T[:, :, None]
            score[rows] = mean = likely.sum(0)
            second += slope.reshape(-1, dim).T @ likely.reshape(-1, dim)
            each = (share.T[:, None] @ slope)[:, 0]  # (C, P)
            shared += each.T @ of_class - mean.T @ (share @ of_class)
            weight = share.T / noise
            hidden += (part.inverse @ weight[:, :, None])[..., 0]
            whole += float(weight.sum())
        lost = (space.along * hidden.ravel()) @ space.along.T
        information = whole * (space.columns.T @ space.columns) - lost
        return Told(component, score, information, second - score.T @ score, shared)

    def of(self, rows: NDArray[np.intp]) -> Heard:
        """Some of the pixels."""
        return Heard(self.space, self.target[rows], self.noise[rows], self.constant[rows])

    def shift(self, offset: Array) -> Single:
        """Of profiles (n, B), by offsets (n, P)."""
        return offset.astype(np.float32) @ self.space.back

    def _parts(self, offset: Array) -> Iterator[_Part]:
        """Some pixels at a time, without offsets (n, P)."""
        space = self.space
        flat = space.loadings.reshape(space.value.size, -1)
        for start in range(0, len(self.noise), space.block):
            rows = slice(start, start + space.block)
            left = self.target[rows] - offset[rows].astype(np.float32) @ space.columns.T
            inverse = 1.0 / (space.value[:, :, None] + self.noise[rows])
            along = (flat @ left.T - space.of_center).reshape(inverse.shape)
            explained = along * inverse
            yield _Part(rows, left, explained, inverse, (along * explained).sum(1))


class _Part(NamedTuple):
    """m pixels.

    Attributes
    ----------
    rows : slice
    left : (m, R) array
        Their deviations without an offset.
    projected : (C, F, m) array
        Along factors, over noise and spread together.
    inverse : (C, F, m) array
        One over these.
    explained : (C, m) array
        Squared length of what factors explain.
    """

    rows: slice
    left: Single
    projected: Single
    inverse: Single
    explained: Single

    def log_joint(self, of_all: Heard) -> Single:
        """See `Heard.with_offsets`."""
        near = self.left @ of_all.space.center.T + 0.5 * self.explained.T
        found = of_all.constant[self.rows] + near / of_all.noise[self.rows, None]
        return found.astype(np.float32, copy=False)


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
    space, n = _SPACES[model], len(profile)
    noise, target = np.empty(n, np.float32), np.empty((n, len(space.middle)), np.float32)
    constant = np.empty((n, len(space.value)), np.float32)
    size = np.square(space.center).sum(1)
    for start in range(0, n, space.block):
        here = slice(start, start + space.block)
        deviation, variance = model.whiten(profile[here], level[here])
        target[here] = deviation @ space.basis - space.middle
        noise[here] = variance
        spread = np.log(space.value[:, :, None] + noise[here]).sum(1)
        constant[here] = space.log_weight - 0.5 * (spread + size[:, None] / noise[here]).T
    return Heard(space, target, noise, constant)


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
    parts = [part.heard(model.noise * LEAST_NOISE) for part in parts]
    weight = model.components()[1]
    center = np.stack([part.center for part in parts]) @ basis
    middle = weight @ center / weight.sum()
    loadings, value = _padded(parts, basis)
    back = (columns / model.white[:, None]).T
    columns = basis.T @ columns
    along = (loadings @ columns).reshape(-1, columns.shape[1]).T
    with np.errstate(divide="ignore"):
        log_weight = np.log(weight)
    center = center - middle
    of_center = (loadings @ center[:, :, None]).reshape(-1, 1)
    numbers = (columns, center, loadings, value, of_center, along, log_weight, back)
    return _Space(basis, middle, *(np.ascontiguousarray(x, np.float32) for x in numbers))


def _padded(parts: list[Rotated], basis: Array) -> tuple[Array, Array]:
    """Loadings (C, F, R) and squared lengths (C, F) of all components' factors."""
    most = max(len(part.value) for part in parts)
    loadings, value = np.zeros((len(parts), most, basis.shape[1])), np.zeros((len(parts), most))
    for part, of_part, squared in zip(parts, loadings, value, strict=True):
        of_part[: len(part.value)] = part.loadings.T @ basis
        squared[: len(part.value)] = part.value
    return loadings, value
