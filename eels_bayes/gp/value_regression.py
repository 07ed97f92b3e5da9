"""The library's value (a fluorine fraction, a valence) as a function of the latent.

Gaussian-process regression of the value on latents of pure and mixed clean spectra, in the sparse
form of Titsias (AISTATS 2009), so that mean and variance under a Gaussian latent are closed forms
of the same psi statistics as the classifier's. GPyTorch moves the inducing points to where his
bound is largest: few of them are then enough.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.adam import Adam, falling
from eels_bayes.gp.inducing_points import spread_points
from eels_bayes.gp.kernel import log_normal, rbf_of_many
from eels_bayes.gp.quiet_gpytorch import NumericalWarning, gpytorch
from eels_bayes.gp.reach import gaussian_reach, reach_levels
from eels_bayes.training import learning
from eels_bayes.uncertainty.packed_gp import GPConstants, pack
from eels_bayes.uncertainty.psi_statistics import distinct_moments, mixture_moments

CHUNK = 1024  # latents a step: bounds the memory, does not change the result
PRIOR_LOG_SD = 0.7  # of the log-normal prior of lengthscales, latents of unit sd; not tuned
LEARNING_RATE = 0.1  # of Adam at the start; chosen, not tuned
LEAST_WIDTH = 1e-3  # of the widest dimension's sd: a constant dimension has no width of its own
NUGGET = 1e-5  # of the kernel variance, on the inducing values: keeps float64 inverses accurate
TINY = 1e-12  # latent units: width of latents that are all one point
LEAST_UNIT = 1e-9  # library's unit: sd of values that are all the same


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
    """A GP on inducing inputs (M, D), for inputs (N, D) and values (N,) of unit variance."""

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
                lengthscale_prior=gpytorch.priors.LogNormalPrior(
                    *log_normal(0.5 * math.log(x.shape[1]), PRIOR_LOG_SD)
                ),
            )
        )
        self.kernel.float()  # see `log_normal`
        self.kernel.base_kernel.lengthscale = math.sqrt(x.shape[1])
        self.covar_module = gpytorch.kernels.InducingPointKernel(self.kernel, inducing, likelihood)

    def forward(self, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
        """The prior of the function at latents (n, D)."""
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


@learning()
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
        Its tensors are float64, its ``reach`` that of a normal distribution.
    """
    latents, values = latents.double(), values.double()
    width = latents.std(0).clamp_min(LEAST_WIDTH * float(latents.std(0).max()) + TINY)
    center, unit = values.mean(), values.std().clamp_min(LEAST_UNIT)
    x, y = latents / width, (values - center) / unit
    start = spread_points(x, n_inducing, torch.Generator().manual_seed(seed))
    likelihood = gpytorch.likelihoods.GaussianLikelihood().float().double()  # see `log_normal`
    model = _SparseGP(x, y, start, likelihood).double()
    # where all latents are inducing points, the bound is the evidence: there is nowhere to go
    model.covar_module.inducing_points.requires_grad_(len(start) < len(x))
    objective = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = Adam(model.parameters())
    model.train()
    with warnings.catch_warnings():
        # of the jitter that it adds where inducing points come close to each other
        warnings.simplefilter("ignore", NumericalWarning)
        for step in range(steps):
            optimizer.zero_grad()
            loss = -objective(model(x), y)
            loss.backward()
            optimizer.step(falling(LEARNING_RATE, step / steps))
    inducing = model.covar_module.inducing_points.detach() * width
    lengthscale = model.kernel.base_kernel.lengthscale.detach()[0] * width
    outputscale = model.kernel.outputscale.detach() * unit**2
    noise = likelihood.noise.detach()[0] * unit**2

    k_uu = rbf_of_many(inducing, inducing, lengthscale, outputscale)
    k_uu = k_uu + NUGGET * outputscale * torch.eye(len(inducing), dtype=torch.float64)
    k_uf = rbf_of_many(inducing, latents, lengthscale, outputscale)
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
    return ValueRegression(constants, noise, torch.from_numpy(gaussian_reach()))


def with_conformal_reach(
    regression: ValueRegression, mean: Tensor, sd: Tensor, truth: Tensor
) -> ValueRegression:
    """The regression with its ``reach`` from pixels of known value.

    Intervals of mean +- reach sd then cover as they should among such pixels: split conformal
    prediction with a normalised score (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)).

    Parameters
    ----------
    regression : ValueRegression
    mean, sd : Tensor (n,)
        What `value_moments` says of the pixels, in the library's unit.
    truth : Tensor (n,)
        Their values.

    Returns
    -------
    ValueRegression
    """
    score = ((truth - mean) / sd).abs().double()
    return regression._replace(reach=torch.quantile(score, torch.from_numpy(reach_levels())))


def value_moments(
    weights: Tensor, mean: Tensor, var: Tensor, regression: ValueRegression
) -> tuple[Tensor, Tensor]:
    """Posterior mean and sd of the value for latents that are mixtures of Gaussians.

    Parameters
    ----------
    weights : Tensor (n, R)
        Rows sum to one.
    mean, var : Tensor (n, R, D)
        Of the Gaussians; further dimensions than the regression's are not read.
    regression : ValueRegression

    Returns
    -------
    mean, sd : Tensor (n,)
        In the library's unit; the sd holds the value's own scatter at a known latent.
    """
    packed = pack([regression.constants])
    chunks = zip(mean.flatten(0, 1).split(CHUNK), var.flatten(0, 1).split(CHUNK), strict=True)
    moments = torch.cat([distinct_moments(m, v, packed) for m, v in chunks])
    center, of_function, of_latent = moments.unbind(1)
    value, var = mixture_moments(weights, center, of_function + of_latent)
    return value, (var + regression.noise_var).clamp_min(0.0).sqrt()
