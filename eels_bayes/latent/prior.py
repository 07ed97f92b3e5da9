"""Priors over the latent: the standard normal and the explicit fingerprint mixture.

    p(z) = pi_0 N(0, I) + sum_k pi_k (1/J) sum_j N(mean_kj, diag sd_kj^2)

The components are the guide's own posteriors at the fingerprints and their physical variations: a
VampPrior (Tomczak and Welling, AISTATS 2018) whose pseudo-inputs are physics. This module takes
means and sds as tensors, so it knows nothing of encoders.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

VARIANCE_FLOOR = 1e-12  # squared variance of a class whose fingerprint does not vary, not to be 0


class FingerprintPrior(NamedTuple):
    """The explicit mixture of J Gaussians for each of K classes, and of a standard normal.

    Attributes
    ----------
    mean, sd : Tensor (K, J, D)
    log_weight : Tensor (K + 1,)
        Of the classes and, last, of "none of these".
    """

    mean: Tensor
    sd: Tensor
    log_weight: Tensor


def class_log_density(prior: FingerprintPrior, z: Tensor) -> Tensor:
    """``log p(z | k)`` for every class and, last, for "none of these" (the standard normal).

    Parameters
    ----------
    prior : FingerprintPrior
    z : Tensor, (..., D)

    Returns
    -------
    Tensor, (..., K + 1)
    """
    n_classes, n_variations, dim = prior.mean.shape
    dtype, z = z.dtype, z.double()  # the expanded square cancels where components are narrow
    precision = prior.sd.reshape(-1, dim).double() ** -2
    mean = prior.mean.reshape(-1, dim).double()
    # (z - m)^2 / s^2 by matrix products: no (n, K J, D) array.
    quadratic = z**2 @ precision.T - 2 * z @ (mean * precision).T + (mean**2 * precision).sum(-1)
    log_norm = -prior.sd.double().log().sum(-1).reshape(-1) - 0.5 * dim * math.log(2 * math.pi)
    component = (log_norm - 0.5 * quadratic).unflatten(-1, (n_classes, n_variations))
    classes = component.logsumexp(-1) - math.log(n_variations)
    none = -0.5 * (z**2).sum(-1, keepdim=True) - 0.5 * dim * math.log(2 * math.pi)
    return torch.cat([classes, none], dim=-1).to(dtype)


def log_density(prior: FingerprintPrior, z: Tensor) -> Tensor:
    """``log p(z)`` of the mixture; ``z`` is (..., D), the result (...)."""
    return (class_log_density(prior, z) + prior.log_weight).logsumexp(-1)


def log_prior(prior: FingerprintPrior | None, z: Tensor) -> Tensor:
    """``log p(z)`` (...) of latents (..., D); ``None`` is the standard normal."""
    if prior is None:
        return -0.5 * (z**2 + math.log(2.0 * math.pi)).sum(-1)
    return log_density(prior, z)


def class_probabilities(prior: FingerprintPrior, z: Tensor) -> Tensor:
    """``p(k | z)`` by Bayes' rule, (..., K + 1); the last column is "none of these"."""
    return (class_log_density(prior, z) + prior.log_weight).softmax(-1)


class _Mixture(dist.MixtureSameFamily):
    """Pyro's mixture with the support that MCMC asks for."""

    support = constraints.real_vector


def distribution(
    prior: FingerprintPrior | None, latent_dim: int, like: Tensor
) -> dist.Distribution:
    """The prior as a Pyro distribution over one latent of ``latent_dim`` dimensions.

    ``None`` stands for the standard normal. ``like`` gives dtype and device.
    """
    zero = like.new_zeros(1, latent_dim)
    if prior is None:
        return dist.Normal(zero[0], 1.0 + zero[0]).to_event(1)
    n_variations = prior.mean.shape[1]
    per_component = (prior.log_weight[:-1] - math.log(n_variations)).repeat_interleave(n_variations)
    return _Mixture(
        dist.Categorical(logits=torch.cat([per_component, prior.log_weight[-1:]])),
        dist.Normal(
            torch.cat([prior.mean.flatten(0, 1), zero]),
            torch.cat([prior.sd.flatten(0, 1), 1.0 + zero]),
        ).to_event(1),
    )


def smooth(prior: FingerprintPrior) -> FingerprintPrior:
    """Widen each component by Silverman's rule, so that J draws stand for a continuous class.

    A class is a continuum of variations; between J drawn ones its density must not fall to nothing.
    The kernel's width is that of a Gaussian kernel density estimate from J points
    (Silverman, Density Estimation, 1986, eq. 4.14) in the dimensions the class varies in.
    """
    n_variations = prior.mean.shape[1]
    spread = prior.mean.std(1, correction=min(1, n_variations - 1), keepdim=True)
    # Effective dimension of a class's variation: the participation ratio of its variances.
    var = spread.squeeze(1) ** 2
    dim = (var.sum(-1) ** 2 / (var**2).sum(-1).clamp_min(VARIANCE_FLOOR)).clamp_min(1.0)
    width = (4 / (dim + 2) / n_variations) ** (1 / (dim + 4))
    sd = (prior.sd**2 + (width[:, None, None] * spread) ** 2).sqrt()
    return prior._replace(sd=sd)
