"""Offsets of images from the population's mean, which their pixels share.

What classes and continua have in common by chance, in a few images, is then not taken for a
covariance of the continuum's coefficients ``u``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.forward_model.factor_mixture import Expectation, Images, Population


class Offsets(NamedTuple):
    """Posterior of the images' offsets: mean (I, P), and covariances weighed by pixels (P, P)."""

    mean: Array
    covariance: Array


def offsets(step: Expectation, old: Population, images: Images, variances: Array) -> Offsets:
    """What an E-step says of the images' offsets.

    Parameters
    ----------
    step : Expectation
    old : Population
    images : Images
        Those that the step was taken with.
    variances : (P,) array
        Of the offsets, expected beforehand.

    Returns
    -------
    Offsets
    """
    root = np.linalg.cholesky(old.covariance)
    value, basis = np.linalg.eigh(root.T @ (root / variances[:, None]))
    shrink = 1.0 / (step.pixels[:, None] + value)
    before = np.linalg.solve(root, images.offset.T).T
    mean = ((step.first + step.pixels[:, None] * before) @ basis * shrink) @ basis.T
    mean -= mean.mean(0)  # what images have in common is the population's
    spread = root @ basis
    return Offsets(mean @ root.T, (spread * (step.pixels @ shrink / step.n)) @ spread.T)


def recentred(
    step: Expectation, old: Population, images: Images, posterior: Offsets
) -> Expectation:
    """The statistics as they are about new offsets, whose own doubt counts as spread."""
    root = np.linalg.cholesky(old.covariance)
    moved = np.linalg.solve(root, (posterior.mean - images.offset).T).T
    doubt = np.linalg.solve(root, np.linalg.solve(root, posterior.covariance).T)
    cross = step.first.T @ moved
    square = (moved * step.pixels[:, None]).T @ moved
    return replace(
        step,
        first=step.first - moved * step.pixels[:, None],
        second=step.second - cross - cross.T + square + step.n * doubt,
    )


def pooled(population: Population, images: Images, pixels: Array) -> Population:
    """The population of the pixels (I,) of all images together: offsets add to its covariance."""
    share = pixels / pixels.sum()
    middle = share @ images.offset
    apart = images.offset - middle
    between = (apart * share[:, None]).T @ apart
    return Population(population.weight, population.mean + middle, population.covariance + between)
