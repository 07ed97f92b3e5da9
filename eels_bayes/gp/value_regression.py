"""The library's value (a fluorine fraction, a valence) as a function of the latent.

Gaussian-process regression of the value on latents of pure and mixed clean spectra, in the sparse
form of Titsias (AISTATS 2009), so that mean and variance under a Gaussian latent are closed forms
of the same psi statistics as the classifier's. GPyTorch moves the inducing points to where his
bound is largest: few of them are then enough.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

import gpytorch
import numpy as np
import torch
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from eels_bayes.gp.classifier import spread_points
from eels_bayes.uncertainty.psi_statistics import (
    GPConstants,
    distinct_moments,
    mixture_moments,
    pack,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


N_REACH = 200  # quantiles kept
CHUNK = 1024  # latents a step, to keep memory low


class ValueRegression(NamedTuple):
    """The regression and how far its sd reaches.

    Attributes
    ----------
    constants : GPConstants
        Of one function (K = 1).
    noise_var : Tensor, scalar
        Variance of the value at a known latent.
    reach : Tensor (T,)
        Quantiles of |value - posterior mean| / sd among pixels of known value, at the levels
        (i + 1/2) / T: intervals of a posterior with several modes are not a Gaussian's.
    """

    constants: GPConstants
    noise_var: Tensor
    reach: Tensor


class _SparseGP(gpytorch.models.ExactGP):
    """For inputs and values of unit variance."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        inducing: Tensor,
        likelihood: gpytorch.likelihoods.GaussianLikelihood,
    ):
        super().__init__(x, y, likelihood)
        self.mean_module = gpytorch.means.ZeroMean()
        self.kernel = gpytorch.kernels.ScaleKernel(
            gpytorch.kernels.RBFKernel(
                ard_num_dims=x.shape[1],
                lengthscale_prior=gpytorch.priors.LogNormalPrior(0.5 * math.log(x.shape[1]), 0.7),
            )
        )
        self.kernel.base_kernel.lengthscale = math.sqrt(x.shape[1])
        self.covar_module = gpytorch.kernels.InducingPointKernel(self.kernel, inducing, likelihood)

    def forward(self, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def fit_value(
    latents: Tensor, values: Tensor, *, n_inducing: int, steps: int = 200, seed: int = 0
) -> ValueRegression:
    """Fit the regression.

    Parameters
    ----------
    latents : Tensor (N, D)
        Of which more dimensions may be given later, and the leading D are read.
    values : Tensor (N,)
        In the library's unit.
    n_inducing : int
        Inducing points, at most.
    steps : int
        Of Adam.
    seed : int
        Of the choice of points.

    Returns
    -------
    ValueRegression
        Its tensors are float64.
    """
    latents, values = latents.double(), values.double()
    width = latents.std(0).clamp_min(1e-3 * float(latents.std(0).max()) + 1e-12)
    center, unit = values.mean(), values.std().clamp_min(1e-9)
    x, y = latents / width, (values - center) / unit
    start = spread_points(x, n_inducing, torch.Generator().manual_seed(seed))
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    model = _SparseGP(x, y, start, likelihood).double()
    # where all latents are inducing points, the bound is the evidence: there is nowhere to go
    model.covar_module.inducing_points.requires_grad_(len(start) < len(x))
    objective = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    with warnings.catch_warnings():
        # of the jitter that it adds where inducing points come close to each other
        warnings.simplefilter("ignore", NumericalWarning)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = -objective(model(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
    inducing = model.covar_module.inducing_points.detach() * width
    lengthscale = model.kernel.base_kernel.lengthscale.detach()[0] * width
    outputscale = model.kernel.outputscale.detach() * unit**2
    noise = likelihood.noise.detach()[0] * unit**2

    k_uu = _kernel(inducing, inducing, lengthscale, outputscale)
    k_uu = k_uu + 1e-5 * outputscale * torch.eye(len(inducing), dtype=torch.float64)
    k_uf = _kernel(inducing, latents, lengthscale, outputscale)
    sigma = k_uu + k_uf @ k_uf.T / noise
    weights = torch.linalg.solve(sigma, k_uf @ (values - center)) / noise
    constants = GPConstants(
        inducing,
        lengthscale,
        outputscale,
        center.reshape(1),
        weights[:, None],
        (torch.linalg.inv(k_uu) - torch.linalg.inv(sigma))[None],
    )
    return ValueRegression(constants, noise, gaussian_reach())


def _kernel(a: Tensor, b: Tensor, lengthscale: Tensor, outputscale: Tensor) -> Tensor:
    return outputscale * torch.exp(-0.5 * torch.cdist(a / lengthscale, b / lengthscale) ** 2)


def gaussian_reach() -> Tensor:
    """The table of a normal distribution."""
    levels = (torch.arange(N_REACH, dtype=torch.float64) + 0.5) / N_REACH
    return math.sqrt(2.0) * torch.erfinv(levels)


def calibrated(
    regression: ValueRegression, mean: Tensor, sd: Tensor, truth: Tensor
) -> ValueRegression:
    """The regression with its ``reach`` from n pixels of known value (n,).

    Intervals of mean +- reach sd then cover as they should among such pixels: split conformal
    prediction with a normalised score (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)).
    """
    levels = (torch.arange(N_REACH, dtype=torch.float64) + 0.5) / N_REACH
    score = ((truth - mean) / sd).abs().double()
    return regression._replace(reach=torch.quantile(score, levels))


def value_moments(
    weights: Tensor, mean: Tensor, var: Tensor, regression: ValueRegression
) -> tuple[Tensor, Tensor]:
    """Posterior mean and sd (n,) of the value for latents that are mixtures of Gaussians.

    Parameters
    ----------
    weights : Tensor (n, R)
    mean, var : Tensor (n, R, D)
    regression : ValueRegression
    """
    packed = pack([regression.constants])
    chunks = zip(mean.flatten(0, 1).split(CHUNK), var.flatten(0, 1).split(CHUNK), strict=True)
    moments = torch.cat([distinct_moments(m, v, packed) for m, v in chunks])
    center, left, moved = moments.unbind(1)
    value, var = mixture_moments(weights, center, left + moved)
    return value, (var + regression.noise_var).clamp_min(0.0).sqrt()


def gaussian_reach_array() -> NDArray[np.float64]:
    from scipy.stats import halfnorm

    reach: NDArray[np.float64] = halfnorm.ppf((np.arange(200) + 0.5) / 200)
    return reach
