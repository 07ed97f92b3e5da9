"""The kernel of all Gaussian processes here: squared exponential, a lengthscale an axis."""

from __future__ import annotations

import torch
from torch import Tensor


def log_normal(log_median: float, log_sd: float) -> tuple[Tensor, Tensor]:
    """Location and scale of a log-normal prior, which GPyTorch would make in the default dtype."""
    return (
        torch.tensor(log_median, dtype=torch.float32),
        torch.tensor(log_sd, dtype=torch.float32),
    )


def rbf(points: Tensor, inducing: Tensor, lengthscale: Tensor, outputscale: Tensor) -> Tensor:
    """Covariance of a function at points and at inducing points.

    ``s2 exp(-sum_d (z_d - u_d)^2 / (2 l_d^2))``, from the differences themselves: exact where
    points are close, at the cost of n M D numbers of memory.

    Parameters
    ----------
    points : Tensor
        (n, D), latent units.
    inducing : Tensor
        (M, D), latent units.
    lengthscale : Tensor
        (D,), latent units.
    outputscale : Tensor
        Kernel variance s2, scalar.

    Returns
    -------
    Tensor
        (n, M), in the unit of ``outputscale``.
    """
    away = (points / lengthscale).unsqueeze(1) - inducing / lengthscale
    return outputscale * torch.exp(-0.5 * away.square().sum(-1))


def rbf_of_many(
    points: Tensor, inducing: Tensor, lengthscale: Tensor, outputscale: Tensor
) -> Tensor:
    """The same covariance (n, M) through matrix products: less memory, other rounding."""
    distance = torch.cdist(points / lengthscale, inducing / lengthscale)
    return outputscale * torch.exp(-0.5 * distance**2)
