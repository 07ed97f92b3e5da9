"""Expectation-maximisation of the forward model: what is fitted to, and one step of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model import foreign
from eels_bayes.forward_model.acceleration import State, Step
from eels_bayes.forward_model.class_weights import shared_out, with_mixed
from eels_bayes.forward_model.components import Pairs, dominant, shares
from eels_bayes.forward_model.directions import spanned
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes, mean_edges, unlike_all
from eels_bayes.forward_model.factor_mixture import (
    Expectation,
    Images,
    Shape,
    Unknown,
    expectation,
    maximisation,
)
from eels_bayes.forward_model.factor_moments import N_COMMON, MisfitMoments
from eels_bayes.forward_model.foreign import Projection, foreign_shapes
from eels_bayes.forward_model.image_offsets import offsets, recentred
from eels_bayes.forward_model.library_step import by_levels, moved, varied
from eels_bayes.forward_model.misfit import MOST_MISFIT, Directions, shared_on, with_misfit
from eels_bayes.forward_model.misfit_step import improved, log_density
from eels_bayes.forward_model.objective import log_prior

EXPLORED = (-1.0, 1.0)  # eV of shift that the compressed space allows for
FEW = 1024  # pixels
SMALLEST_NORM = 1e-12  # of a direction in whitened bins: keeps one of zeros finite


@dataclass(frozen=True, eq=False)
class Problem:
    """What a step of expectation-maximisation needs besides the state.

    Attributes
    ----------
    library : FingerprintLibrary
        As given: its variations are the prior.
    energy, white : (B,) arrays
        Centres of the profile's bins, eV, and what whitens them.
    basis : (B, R) array
        Orthonormal; spans all that is not noise.
    target : (n, R) array
        Whitened pixels in it.
    noise : (n,) array
        Noise variance of a whitened bin.
    outside : (n,) array
        Log-likelihood of what the basis leaves out, which is noise, nats.
    columns : (R, P) array
        Of the continuum, whitened, in the basis.
    along, directions : Directions
        Of the misfit: in the bins, and whitened in the basis.
    image : (n,) array of int
        Image of each pixel.
    prior_covariance : (P, P) array
        Of the continuum's coefficients.
    offset_variances : (P,) array
        Of these coefficients, expected among images.
    class_weights : (K,) array or None
        Of the pure classes, where they are known.
    unknown_share : float
        Of pixels that no class describes, beforehand; 0 takes each for one of the classes.
    most_misfit : float
        Relative misfit that all pixels may share.
    mixing : bool
        Whether pixels may mix two classes.
    """

    library: FingerprintLibrary
    energy: Array
    white: Array
    basis: Array
    target: Array
    noise: Array
    outside: Array
    columns: Array
    along: Directions
    directions: Directions
    image: Array
    prior_covariance: Array
    offset_variances: Array
    class_weights: Array | None
    unknown_share: float = 0.0
    most_misfit: float = MOST_MISFIT
    mixing: bool = True

    def improve(self, old: State) -> Step:
        """One step of expectation-maximisation."""
        population, images = old.population, old.images
        step = self.expect(old)
        of_images = offsets(step, population, images, self.offset_variances)
        step = recentred(step, population, images, of_images)
        new = maximisation(step, population, self.prior_covariance)
        weight, weights = shared_out(
            step.responsibility,
            step.responsibility.sum(1),
            dominant(self.library, ()),
            self.class_weights,
        )
        if not self.mixing:  # as much is expected when pixels may mix again
            n_classes = self.library.n_classes
            weight = with_mixed(weight, population.weight, n_classes)
            weights = with_mixed(weights, images.weight, n_classes)
        library = varied(self.library, old.library, step)
        if self.mixing:
            library = by_levels(self.library, library)
        misfit, shift = improved(
            old.misfit,
            step.misfit,
            step.shift,
            shares(self.library, old.pairs),
            self.directions.amplitude,
            self.most_misfit,
        )
        state = State(
            replace(new, weight=weight),
            Images(weights, of_images.mean),
            moved(old.library_fit, step.common.mean, shift, old.library, library),
            library,
            misfit,
            self._foreign(old, step),
            old.pairs,
        )
        prior = log_prior(
            population, images, step.pixels, self.prior_covariance, self.offset_variances
        )
        prior += log_density(old.misfit, state.misfit.covariance) / step.n
        prior += foreign.log_density(old.foreign, state.foreign.covariance) / step.n
        likelihood = step.log_likelihood + float(self.outside.mean())
        return Step(state, likelihood + prior, likelihood)

    def expect(self, old: State) -> Expectation:
        """The E-step: what the pixels say, if the state is right."""
        images = old.images
        if not self.mixing:
            weight = images.weight.copy()
            weight[:, self.library.n_classes :] = 0.0
            images = replace(images, weight=weight)
        shapes = self.shapes(old)
        return expectation(
            self.target,
            self.noise,
            self.columns,
            old.population,
            shapes,
            images,
            self.image,
            self.directions.shape.shape[1],
            self.others(old, shapes),
            quick=len(self.target) > FEW,  # of few, single precision saves nothing
        )

    def _foreign(self, old: State, step: Expectation) -> foreign.Foreign:
        """The structures beside the library after an E-step; what may be anything comes last."""
        n = len(old.foreign)
        if not n:
            return old.foreign
        moments = MisfitMoments(*(part[:n] for part in step.other_misfit))
        return foreign.learned(
            old.foreign, step.other_pixels[:n], step.n, moments, old.misfit.pixel
        )

    def sample(self, most: int) -> Problem:
        """The same with every so many pixels, at most about ``most``."""
        rows = slice(None, None, -(-len(self.target) // most))
        return replace(
            self,
            target=self.target[rows],
            noise=self.noise[rows],
            outside=self.outside[rows],
            image=self.image[rows],
        )

    def unlike(self, state: State, unknown_share: float) -> float:
        """Share of the pixels that are of no class, where ``unknown_share`` is expected."""
        step = replace(self, unknown_share=unknown_share).expect(state)
        return float(step.other_pixels.sum()) / step.n

    def shapes(self, state: State) -> list[Shape]:
        """The components in the basis."""
        noise = float(np.median(self.noise))
        shapes = [
            Shape(self.basis.T @ shape.mean, self.basis.T @ shape.loadings)
            for shape in edge_shapes(
                self.energy, state.library, state.library_fit, self.white, noise, pairs=state.pairs
            )
        ]
        share = shares(self.library, state.pairs)
        return with_misfit(shapes, share, self.directions, state.misfit)

    def common(self, state: State) -> Array:
        """What intensity, shift and broadening make of each class (K, B, N_COMMON), edge units."""
        flat = np.ones(len(self.energy))
        shapes = edge_shapes(self.energy, state.library, state.library_fit, flat)
        return np.array([shape.loadings[:, :N_COMMON] for shape in shapes])

    def edges(self, state: State) -> Array:
        """Mean edge (K, B) of each class with what its pixels share of misfit, edge units."""
        edges = mean_edges(self.energy, state.library, state.library_fit)
        return edges + shared_on(self.along, state.misfit, self.energy, self.energy)

    def others(self, state: State, shapes: list[Shape]) -> list[Unknown]:
        """What a pixel of no class may look like: structures that were found, then anything.

        ``shapes`` are the components, the classes alone first.
        """
        to = Projection(self.white, self.basis)
        lacked = foreign_shapes(state.foreign, self.along, state.misfit, to)
        found = [Unknown(*each) for each in zip(lacked, state.foreign.share, strict=True)]
        if self.unknown_share:
            edges = np.array([shape.mean for shape in shapes[: self.library.n_classes]])
            shape = unlike_all(edges, self.directions.shape)
            found.append(Unknown(shape, self.unknown_share))
        return found


def log_likelihood_outside(target: Array, noise: Array, basis: Array) -> Array:
    """Log-likelihood (n,) of what a basis (B, R) leaves of whitened pixels (n, B), nats."""
    square = (target**2).sum(1) - ((target @ basis) ** 2).sum(1)
    left = basis.shape[0] - basis.shape[1]
    outside: Array = -0.5 * (square / noise + left * np.log(2 * np.pi * noise))
    return outside


def span(
    energy: Array,
    library: FingerprintLibrary,
    fit: LibraryFit,
    columns: Array,
    misfit: Array,
    white: Array,
    noise: float,
    pairs: Pairs,
) -> Array:
    """Orthonormal basis (B, R) of all that is not noise.

    The noise is white, so what is orthogonal to every shape says nothing of any of them.
    """
    spans = [columns, misfit]
    for shift in (0.0, *EXPLORED):
        there = LibraryFit(shift=fit.shift + shift, moved=fit.moved)
        for shape in edge_shapes(energy, library, there, white, noise, pairs=pairs):
            spans += [shape.mean[:, None], shape.loadings]
    stacked = np.concatenate(spans, axis=1)
    stacked = stacked / np.maximum(np.linalg.norm(stacked, axis=0), SMALLEST_NORM)
    return spanned(stacked)
