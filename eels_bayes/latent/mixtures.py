"""Gaussians and their mixtures in latent space: density, moments and draws."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """Mean and standard deviation of a diagonal Gaussian, both (n, D)."""

    mean: Tensor
    sd: Tensor


class GaussianMixture(NamedTuple):
    """R Gaussians a row, diagonal along common axes.

    Attributes
    ----------
    log_weight : Tensor (n, R)
    mean, sd : Tensor (n, R, D)
        Along the axes: a latent is ``mean @ axes.T``.
    axes : Tensor (D, D)
        Orthonormal columns.
    """

    log_weight: Tensor
    mean: Tensor
    sd: Tensor
    axes: Tensor


def log_density(mixture: GaussianMixture, z: Tensor) -> Tensor:
    """Log-density (n,) of latents z (n, D) under row-wise mixtures."""
    gaussian = torch.distributions.Normal(mixture.mean, mixture.sd, validate_args=False)
    component = gaussian.log_prob((z @ mixture.axes).unsqueeze(1)).sum(-1)
    return torch.logsumexp(mixture.log_weight + component, dim=1)


def moments(mixture: GaussianMixture) -> tuple[Tensor, Tensor]:
    """Mean and sd (n, D) of latents under row-wise mixtures."""
    weight = mixture.log_weight.exp().unsqueeze(-1)
    mean = (weight * mixture.mean).sum(1)
    # Around the mean: the difference of second moments cancels where the sd is small.
    centred = (mixture.mean - mean.unsqueeze(1)) @ mixture.axes.T
    var = mixture.sd**2 @ (mixture.axes**2).T + centred**2
    return mean @ mixture.axes.T, (weight * var).sum(1).sqrt()


def draw(mixture: GaussianMixture, n_draws: int, generator: torch.Generator) -> Tensor:
    """Draws (n, n_draws, D) from row-wise mixtures."""
    weight = mixture.log_weight.exp().cpu()
    which = torch.multinomial(weight, n_draws, replacement=True, generator=generator)
    index = which.to(mixture.mean.device).unsqueeze(-1).expand(-1, -1, mixture.mean.shape[-1])
    noise = torch.randn(index.shape, generator=generator, dtype=torch.float32).to(mixture.mean)
    drawn = mixture.mean.gather(1, index) + mixture.sd.gather(1, index) * noise
    return drawn @ mixture.axes.T
