"""The generative model of an experiment's pixels, fitted without labels.

A pixel's profile (its whole spectrum in bins as fine as the edge, in units of its norm) is

    y = center + columns u + (1 + e) f_k(E - d) + m_k + noise,    e ~ N(0, t^2),  d ~ N(0, s^2)

with the continuum of `continuum.Continuum`, a fingerprint ``f_k`` or a mixture of two, what it
misses of the edge (`misfit`), and Poisson noise. The population of ``u``, the class weights and the
library's overall gain, shift, broadening and misfit come from the unlabelled pixels by
expectation-maximisation (see `factor_mixture`), in which every image has class weights of its own
and a continuum of its own to vary around.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.components import (
    LEVELS,
    MIXING,
    Pairs,
    absent,
    components,
    dominant,
    shares,
)
from eels_bayes.forward_model.continuum import Continuum
from eels_bayes.forward_model.directions import negligible_out
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes
from eels_bayes.forward_model.factor_mixture import Population, Rotated, Shape, rotated
from eels_bayes.forward_model.foreign import Foreign, Projection, foreign_shapes
from eels_bayes.forward_model.misfit import Directions, Misfit, spread_by_misfit
from eels_bayes.forward_model.whitening import Whitening

LEAST_DOMINANT = 1e-4  # share of pixels that a class dominates at least: none is ruled out


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """The fitted population of an experiment's pixels; all intensities in edge units.

    Attributes
    ----------
    library : FingerprintLibrary
        On the window's axis, as this experiment shows it (``library_fit`` applied).
    library_fit : LibraryFit
    continuum : Continuum
    mean_profile : (B,) array
        Mean of the profiles: the shape of their Poisson noise.
    middle, spread : (B,) arrays
        Median deviation from the continuum's center and its sd among pixels, both over the root of
        ``mean_profile``; bins far outside are drawn in.
    mean, covariance : (P,) and (P, P) arrays
        Population of the continuum's coefficients ``u``.
    within : (P, P) array
        That part of the covariance by which pixels of one image differ.
    class_weights : (K,) array
        Share of each class, its part in mixed pixels included.
    pair_weights : (K, K) array
        Upper triangle: weight of pixels that mix two classes (see `mixing_pairs`); diagonal:
        weight of pure pixels. Where a class may be absent, its column: weight of pixels of each
        other class whose edge is weaker or stronger than the fingerprints'.
    level_weights : (K, V) array
        How these pixels share out among `components.LEVELS`; rows sum to one.
    pairs : sequence of (int, int)
        The classes that may share a pixel: see `components.pairs_at_once` and `pair_choice`.
    log_likelihood : (I,) array
        Mean log-likelihood of each iteration, nats a pixel.
    misfit : Misfit
        How far fingerprints miss the edge; what all pixels share of it is part of ``library``.
    along : Directions
        The modes of it.
    foreign : Foreign
        Structures that the library lacks.
    noise : float
        Median noise variance of a whitened bin among the pixels of the fit.
    converged : bool
        Whether the fit ended because nothing more was to be gained.
    begun_again : bool
        Whether it is one from another factor than the first, which had left a class that is
        several, and was less likely.
    """

    library: FingerprintLibrary
    library_fit: LibraryFit
    continuum: Continuum
    mean_profile: Array
    middle: Array
    spread: Array
    mean: Array
    covariance: Array
    within: Array
    class_weights: Array
    pair_weights: Array
    level_weights: Array
    pairs: Pairs
    log_likelihood: Array
    misfit: Misfit
    along: Directions
    foreign: Foreign
    noise: float
    converged: bool = True
    begun_again: bool = False

    @property
    def white(self) -> Array:
        """What whitens the profile's noise (B,)."""
        white: Array = 1.0 / np.sqrt(self.mean_profile)
        return white

    def components(self) -> tuple[list[tuple[int, int, float]], Array]:
        """Components and their weights.

        Returns
        -------
        members : list of (int, int, float)
            First class, second class, share of the first.
        weight : (components,) array
            Sums to one.
        """
        members, none = components(self.library, self.pairs), absent(self.library)
        weight = np.array([self.pair_weights[a, b] for a, b, _ in members])
        for row, (a, b, share) in enumerate(members):
            if b == none != a:
                weight[row] *= self.level_weights[a, LEVELS.index(share)]
            elif a != b:
                weight[row] /= len(MIXING)
        return members, weight

    def dominance(self) -> Array:
        """Which class dominates each component, (components, K), rows one-hot."""
        one_hot: Array = np.eye(self.library.n_classes)[dominant(self.library, self.pairs)]
        return one_hot

    @property
    def dominant_weights(self) -> Array:
        """Share of pixels that each class dominates (K,), none quite zero."""
        shares = np.maximum(self.components()[1] @ self.dominance(), LEAST_DOMINANT)
        weights: Array = shares / shares.sum()
        return weights

    def rotated_components(self) -> list[Rotated]:
        """Every component's distribution in whitened bins; see `factor_mixture.rotated`."""
        energy = self.continuum.energy
        # the library is as shown already
        shapes = edge_shapes(
            energy, self.library, LibraryFit(), self.white, self.noise, pairs=self.pairs
        )
        along = self._whitened_misfits()
        shapes = spread_by_misfit(shapes, self.shares(), along, self.misfit, self.noise)
        return self.on_continuum(shapes)

    def rotated_foreign(self) -> list[Rotated]:
        """The same of the structures that the library lacks."""
        to = Projection(self.white, np.eye(len(self.mean_profile)))
        shapes = foreign_shapes(self.foreign, self.along, self.misfit, to)
        doubt = to(self.along.shape) @ np.linalg.cholesky(self.foreign.covariance)
        shapes = [
            Shape(shape.mean, np.concatenate([shape.loadings, negligible_out(root, self.noise)], 1))
            for shape, root in zip(shapes, doubt, strict=True)
        ]
        return self.on_continuum(shapes)

    @cached_property
    def misses(self) -> bool:
        """Whether pixels miss the fingerprints by anything that noise does not hide."""
        along = self._whitened_misfits()
        return any(
            len(negligible_out(along.shape @ self.misfit.spread(row), self.noise).T)
            for row in self.shares() * along.amplitude
        )

    def known(self, library: FingerprintLibrary) -> list[int | None]:
        """Which of this model's classes each class of a library is, by name; None for new ones."""
        names = list(self.library.class_names)
        return [names.index(n) if n in names else None for n in library.class_names]

    def on_continuum(self, shapes: list[Shape]) -> list[Rotated]:
        """Shapes in whitened bins with this model's continuum; see `factor_mixture.rotated`."""
        columns = self.continuum.columns(self.continuum.energy, self.library) * self.white[:, None]
        population = Population(self.components()[1], self.mean, self.covariance)
        return [rotated(columns, population, shape) for shape in shapes]

    def shares(self) -> Array:
        """Share (components, K) of each class in each component."""
        return shares(self.library, self.pairs)

    def _whitened_misfits(self) -> Directions:
        """The misfit's modes in whitened bins."""
        return replace(self.along, shape=self.along.shape * self.white[:, None])

    def whiten(self, profile: Array, level: Array) -> tuple[Array, Array]:
        """Whitened deviations (n, B) of profiles (n, B) from the center, and their noise (n,)."""
        center = self.continuum.center(self.continuum.energy)
        whitening = Whitening(self.mean_profile, center, self.middle, self.spread)
        return whitening.apply(profile, level)
