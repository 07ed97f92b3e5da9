"""How much better a map's pixels are explained with one structure more, whose edge is not known.

All pixels of a structure share its edge: what is not known of it is paid for once, not by each
pixel, and the pixels tell it. With a guess ``mean + along b`` of the edge,

    b ~ N(0, 1) along the columns of ``along``, times a scale along those that are smooth modes,

share and ``b`` are found by expectation-maximisation, and the evidence is that with ``b``
integrated out (Laplace's approximation, exact for given responsibilities) and averaged over the
scales, as nobody knows how unlike a structure is. The known classes may be off themselves by what
the fit leaves open of each one's misfit: so much is learned of them, too, with the structure and
without it, and an edge that any known class may have as well is no evidence of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from eels_bayes.arrays import Array
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.class_weights import shared_out
from eels_bayes.forward_model.components import dominant
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes, wide_axis
from eels_bayes.forward_model.factor_mixture import (
    LEAST_WEIGHT,
    Population,
    Rotated,
    Shape,
    log_likelihood,
    rotated,
)
from eels_bayes.forward_model.model import ForwardModel

COUNTED = 0.03  # relative sd of an edge's intensity, its absorbers being counted; chosen, not tuned
# Of the local intensity, that an edge may be unlike a guess by: evidence changes little in a step.
SCALES = (0.03, 0.042, 0.06, 0.085, 0.12, 0.17, 0.24)
AT_FIRST = 0.1  # share of the pixels to begin with
FIRST_SCALE = 4  # of the scales: how unlike its guess an edge is taken to be in the first step
ROUNDS, STEPS = 4, 12  # of what is learned of known classes, and in each of the mixture
SETTLED = 0.5  # nats by which a round adds no more
NOTHING = 1e-9  # of the largest singular value
LITTLE = 0.2  # nats by which a step adds no more


class GuessedShape(NamedTuple):
    """An edge in B whitened bins before it is simulated.

    Attributes
    ----------
    mean : (B,) array
    along : (B, Q) array
        What is not known of it, the same in all its pixels, each column with an sd of 1.
    scaled : (Q,) array of bool
        Which columns are smooth modes of relative size 1.
    own : (B, F) array
        By which its pixels differ.
    """

    mean: Array
    along: Array
    scaled: Array
    own: Array


class Explained(NamedTuple):
    """Evidence of all pixels, nats, and how many of them are of the structure."""

    evidence: float
    pixels: float


class _Pixels(NamedTuple):
    """Whitened pixels (n, R) in a basis, noise and image (n,), and the continuum's columns."""

    target: Array
    noise: Array
    image: Array
    columns: Array
    population: Population

    def part(self, shape: Shape) -> Rotated:
        """A component on the continuum."""
        return rotated(self.columns, self.population, shape)

    def fit(self, part: Rotated) -> Array:
        """Log-likelihood (n,) of all pixels."""
        return log_likelihood(self.target, self.noise, part)[0]


class _Known(NamedTuple):
    """Components of the K classes: shapes as fitted, shares (C, K), weights; ``along`` of each."""

    shapes: list[Shape]
    share: Array
    weight: Array
    dominant: list[int]
    along: list[Array]


class _Mixed(NamedTuple):
    """Evidence but for what is learned of known classes; responsibilities (n, C), weights (I, C).

    ``own`` (Q,) is the structure's ``b``.
    """

    evidence: float
    share: Array
    weights: Array
    own: Array | None


class MissingStructure:
    """Weighs structures that a library may lack in pixels of a map."""

    def __init__(self, model: ForwardModel, spectra: Spectra):
        target, noise = model.whiten(spectra.profile.astype(float), spectra.level.astype(float))
        _, image = np.unique(spectra.image, return_inverse=True)
        energy, library = model.continuum.energy, model.library
        columns = model.continuum.columns(energy, library) * model.white[:, None]
        population = Population(np.ones(1), model.mean, model.covariance)
        self.basis = _basis(energy, wide_axis(energy, library.energy), columns)
        within = target @ self.basis, noise, image, self.basis.T @ columns
        self.pixels = _Pixels(*within, population)
        self.known = _known(model, self.basis)
        self.before = self._climbed(None)

    def gain(self, guess: GuessedShape) -> Explained:
        """Nats that such a structure adds, and its pixels."""
        to = self.basis.T
        within = GuessedShape(to @ guess.mean, to @ guess.along, guess.scaled, to @ guess.own)
        found = self._climbed(within)
        return found._replace(evidence=found.evidence - self.before.evidence)

    def _climbed(self, guess: GuessedShape | None) -> Explained:
        """Known classes, with the structure if there is a guess, as the pixels have them."""
        pixels, known = self.pixels, self.known
        n_classes, new = len(known.along), np.full(int(guess is not None), AT_FIRST)
        old = known.weight * (1.0 - new.sum())
        weights = np.concatenate([old[:n_classes], new, old[n_classes:]])
        weights = np.tile(weights, (int(pixels.image.max()) + 1, 1))
        shared = [np.zeros(each.shape[1]) for each in known.along]
        own: Array | None = None
        evidence = -np.inf
        for _ in range(ROUNDS):
            parts = _parts(pixels, known, shared)
            fits = np.stack([pixels.fit(part) for part in parts], axis=1)
            nats, share, weights, own = self._mixed(fits, weights, guess, own)
            mine = slice(n_classes, n_classes + len(new))
            left = np.delete(share, mine, axis=1)
            terms, shared = _adjusted(pixels, known, parts, left, shared)
            before, evidence = evidence, nats + terms
            if abs(evidence - before) < SETTLED:
                break
        return Explained(evidence, float(share[:, mine].sum()))

    def _mixed(
        self, fits: Array, weights: Array, guess: GuessedShape | None, own: Array | None
    ) -> _Mixed:
        """Weights, and what is not known of the structure, by steps of expectation-maximisation.

        ``fits`` (n, C) are of the known components. Where ``own`` is None, nothing is known yet.
        """
        pixels, known = self.pixels, self.known
        n_classes, extra = len(known.along), int(guess is not None)
        of_one, counts = [*range(n_classes + extra), *known.dominant], np.bincount(pixels.image)
        every, nats, evidence = fits, 0.0, -np.inf
        for _ in range(STEPS):
            if guess is not None:
                part, asked = _shown(pixels, guess, own)
                every = np.insert(fits, n_classes, pixels.fit(asked), axis=1)
            total, share = _shared(every, weights, pixels.image)
            towards = own
            if guess is not None:
                own = np.zeros(guess.along.shape[1]) if own is None else own
                learned = _learned(pixels, part, guess.along, share[:, n_classes])
                nats, towards = _over_scales(*learned, own, guess.scaled)
            before, evidence = evidence, total + nats
            if abs(evidence - before) < LITTLE:
                break
            own = towards
            summed = np.array([share[pixels.image == i].sum(0) for i in range(len(counts))])
            _, weights = shared_out(summed, counts, of_one, None)
        return _Mixed(evidence, share, weights, own)


def _basis(energy: Array, edge: Array, columns: Array) -> Array:
    """Orthonormal (B, R): the bins that edges reach, and the continuum's columns in the others.

    What lies beside it is noise, whatever a pixel is of.
    """
    half = 0.5 * (energy[1] - energy[0])
    inside = (energy + half > edge[0]) & (energy - half < edge[-1])
    beyond = np.zeros((len(energy), columns.shape[1]))
    beyond[~inside] = columns[~inside]
    outside, size, _ = np.linalg.svd(beyond, full_matrices=False)
    outside = outside[:, size > NOTHING * size.max(initial=1.0)]
    basis: Array = np.concatenate([np.eye(len(energy))[:, inside], outside], axis=1)
    return basis


def _known(model: ForwardModel, basis: Array) -> _Known:
    """Classes as fitted, each with what the fit leaves open of its edge for all its pixels."""
    shapes = edge_shapes(
        model.continuum.energy,
        model.library,
        LibraryFit(),
        model.white,
        model.noise,
        pairs=model.pairs,
    )
    shapes = [Shape(basis.T @ mean, basis.T @ loadings) for mean, loadings in shapes]
    modes = basis.T @ (model.along.shape * model.white[:, None])
    members, weight = model.components()
    n = model.library.n_classes
    share = np.array([m * np.eye(n)[a] + (1.0 - m) * np.eye(n)[b] for a, b, m in members])
    own = model.misfit.pixel * share @ model.along.amplitude
    shapes = [
        Shape(shape.mean, np.concatenate([shape.loadings, size * modes], axis=1))
        for shape, size in zip(shapes, own, strict=True)
    ]
    along = []
    for k in range(n):
        value, vector = np.linalg.eigh(model.misfit.covariance[k, :, k])
        root = vector * np.sqrt(np.maximum(value, 0.0))
        misfit = model.along.amplitude[k] * modes @ root
        along.append(np.concatenate([COUNTED * shapes[k].mean[:, None], misfit], axis=1))
    return _Known(shapes, share, weight, dominant(model.library, ())[n:], along)


def _parts(pixels: _Pixels, known: _Known, shared: Sequence[Array]) -> list[Rotated]:
    """Components where all pixels of each class share so much beside its edge."""
    moved = np.array([each @ b for each, b in zip(known.along, shared, strict=True)])
    return [
        pixels.part(Shape(shape.mean + row @ moved, shape.loadings))
        for shape, row in zip(known.shapes, known.share, strict=True)
    ]


def _shown(pixels: _Pixels, guess: GuessedShape, own: Array | None) -> tuple[Rotated, Rotated]:
    """The structure as it is believed to be, and as pixels are asked: at first it may be vague."""
    if own is not None:
        part = pixels.part(Shape(guess.mean + guess.along @ own, guess.own))
        return part, part
    vague = guess.along * np.where(guess.scaled, SCALES[FIRST_SCALE], 1.0)
    loadings = np.concatenate([guess.own, vague], axis=1)
    return pixels.part(Shape(guess.mean, guess.own)), pixels.part(Shape(guess.mean, loadings))


def _shared(fits: Array, weights: Array, image: Array) -> tuple[float, Array]:
    """Log-likelihood of all pixels, and responsibilities (n, C)."""
    joint = fits + np.log(np.maximum(weights, LEAST_WEIGHT))[image]
    total = logsumexp(joint, axis=1)
    return float(total.sum()), np.exp(joint - total[:, None])


def _learned(pixels: _Pixels, part: Rotated, along: Array, share: Array) -> tuple[Array, Array]:
    """What pixels say of ``b`` by which a component is moved along columns, all of them together.

    Returns
    -------
    information : (Q, Q) array
        ``sum_n r_n along' S_n^-1 along`` with the pixels' covariances ``S_n = v_n I + A A'``, by
        Woodbury's identity in the basis in which ``A' A`` is diagonal.
    slope : (Q,) array
        Of the log-likelihood, where the component is.
    """
    weight = share / pixels.noise
    seen = along.T @ part.loadings
    inner = weight[:, None] / (pixels.noise[:, None] + part.value)
    information = weight.sum() * along.T @ along - (seen * inner.sum(0)) @ seen.T
    residual = pixels.target - part.center
    slope = along.T @ (weight @ residual) - seen @ (inner * (residual @ part.loadings)).sum(0)
    return information, slope


def _over_scales(
    information: Array, slope: Array, own: Array, scaled: Array
) -> tuple[float, Array]:
    """Log of the mean over `SCALES` of the integral over ``b``, over the value at ``own``.

    And the posterior mean of ``b`` at the likeliest scale.
    """
    towards = slope + information @ own
    nats, means = [], []
    for scale in SCALES:
        sd = np.where(scaled, scale, 1.0)
        precision = information * sd[:, None] * sd + np.eye(len(sd))
        mean = np.linalg.solve(precision, sd * towards)
        _, log_det = np.linalg.slogdet(precision)
        nats.append(0.5 * (sd * towards) @ mean - 0.5 * log_det)
        means.append(sd * mean)
    here = slope @ own + 0.5 * own @ information @ own
    whole = float(logsumexp(nats) - np.log(len(nats)) - here)
    return whole, means[int(np.argmax(nats))]


def _adjusted(
    pixels: _Pixels, known: _Known, parts: list[Rotated], share: Array, shared: list[Array]
) -> tuple[float, list[Array]]:
    """Evidence's terms of what the pixels of each class share, and this after their next step."""
    nats, new = 0.0, []
    for k, (along, old) in enumerate(zip(known.along, shared, strict=True)):
        information, slope = _learned(pixels, parts[k], along, share[:, k])
        precision = information + np.eye(len(old))
        _, log_det = np.linalg.slogdet(precision)
        nats -= 0.5 * (old @ old + log_det)
        new.append(np.linalg.solve(precision, slope + information @ old))
    return float(nats), new
