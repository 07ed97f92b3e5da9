"""What the forward model's fit climbs: the likelihood, and what is expected beforehand.

Steps of expectation-maximisation raise the posterior of what they fit, not the likelihood alone:
where images hold two or three pixels, what is expected of their weights and offsets counts as much
as the counts do.
"""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.forward_model.factor_mixture import (
    IMAGE_PIXELS,
    LEAST_WEIGHT,
    PRIOR_PIXELS,
    Images,
    Population,
)


def log_prior(
    population: Population,
    images: Images,
    pixels: Array,
    prior_covariance: Array,
    offset_variances: Array,
) -> float:
    """Log-density, but for a constant, of what is fitted, nats a pixel.

    The offsets' posterior is integrated over, in the bound that the step maximises: with ``n_i``
    pixels in an image, the population's covariance ``C`` and the offsets' own ``V`` beforehand,
    ``-1/2 (d' V^-1 d + log det(1 + n_i V C^-1))``.

    Parameters
    ----------
    population : Population
    images : Images
    pixels : (I,) array
        Of each image.
    prior_covariance : (P, P) array
        Of the continuum's coefficients.
    offset_variances : (P,) array
        Of these coefficients, expected among images.
    """
    weight = np.maximum(population.weight, LEAST_WEIGHT)
    of_images = np.log(np.maximum(images.weight, LEAST_WEIGHT) / weight)
    total = float(np.log(weight).sum())
    if len(pixels) > 1:
        total += IMAGE_PIXELS * float((of_images @ weight).sum())
    precision = np.linalg.inv(population.covariance)
    _, log_det = np.linalg.slogdet(population.covariance)
    total -= 0.5 * PRIOR_PIXELS * (log_det + np.trace(precision @ prior_covariance))
    total -= 0.5 * float(population.mean @ np.linalg.solve(prior_covariance, population.mean))
    root = np.sqrt(offset_variances)
    value = np.linalg.eigvalsh(precision * np.outer(root, root))
    total -= 0.5 * float((images.offset**2 / offset_variances).sum())
    total -= 0.5 * float(np.log1p(np.outer(pixels, np.maximum(value, 0.0))).sum())
    return total / float(pixels.sum())
