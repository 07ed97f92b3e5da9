"""The library's value (a fluorine fraction, a valence) as a function of the latent.

Gaussian-process regression of the value on latents of pure and mixed clean spectra, in the sparse
form of Titsias (AISTATS 2009), so that mean and variance under a Gaussian latent are closed forms
of the same psi statistics as the classifier's. The inducing points move to where his bound is
largest: few of them are then enough.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.adam import Adam, falling
from eels_bayes.gp.inducing_points import spread_points
from eels_bayes.gp.kernel import rbf, rbf_of_many
from eels_bayes.gp.reach import gaussian_reach, reach_levels
from eels_bayes.training import learning
from eels_bayes.uncertainty.packed_gp import GPConstants, pack
from eels_bayes.uncertainty.psi_statistics import distinct_moments, mixture_moments

LIGHT = 1e-6  # weight in a pixel of a Gaussian that is not read: of many, most have less
CHUNK = 1024  # latents a step: bounds the memory, does not change the result
PRIOR_LOG_SD = 0.7  # of the log-normal prior of lengthscales, latents of unit sd; not tuned
LEARNING_RATE = 0.1  # of Adam at the start; chosen, not tuned
LEAST_WIDTH = 1e-3  # of the widest dimension's sd: a constant dimension has no width of its own
LEAST_NOISE = 1e-4  # variance of values of unit variance: keeps the bound finite
NUGGET = 5e-6  # of the kernel variance, on the inducing values: keeps float64 inverses accurate
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
    reach_of_mixed : Tensor (T,)
        The same for intervals that hold the value of mixed pixels as often as of all: with
        neighbours. A pure pixel's value is known as soon as its class is, and neighbours tell most
        classes; quantiles over all single pixels are too small for the mixed ones.
    """

    constants: GPConstants
    noise_var: Tensor
    reach: Tensor
    reach_of_mixed: Tensor


class _SparseGP(nn.Module):
    """A GP on inducing inputs (M, D), for inputs (N, D) and values (N,) of unit variance.

    Scales are softplus of what is trained, so that they stay positive.
    """

    def __init__(self, inducing: Tensor, *, moving: bool):
        super().__init__()
        n_dims = inducing.shape[1]
        zero = inducing.new_zeros(())
        self.inducing = nn.Parameter(inducing.clone(), requires_grad=moving)
        start = math.log(math.expm1(math.sqrt(n_dims)))
        self.raw_lengthscale = nn.Parameter(zero + inducing.new_full((n_dims,), start))
        self.raw_outputscale, self.raw_noise = nn.Parameter(zero), nn.Parameter(zero.clone())
        self.prior_log_median = 0.5 * math.log(n_dims)

    def scales(self) -> tuple[Tensor, Tensor, Tensor]:
        """Lengthscales (D,), kernel variance and noise variance."""
        lengthscale, outputscale, noise = (
            nn.functional.softplus(x)
            for x in (self.raw_lengthscale, self.raw_outputscale, self.raw_noise)
        )
        return lengthscale, outputscale, noise + LEAST_NOISE

    def log_evidence(self, x: Tensor, y: Tensor) -> Tensor:
        """Titsias' lower bound with the lengthscales' log-normal prior, nats a value."""
        lengthscale, outputscale, noise = self.scales()
        n_values, eye = len(y), torch.eye(len(self.inducing), dtype=x.dtype)
        k_uu = rbf(self.inducing, self.inducing, lengthscale, outputscale)
        root = torch.linalg.cholesky(k_uu + NUGGET * outputscale * eye)
        k_uf = rbf(self.inducing, x, lengthscale, outputscale)
        w = torch.linalg.solve_triangular(root, k_uf, upper=False)  # (M, N)
        inner = torch.linalg.cholesky(eye + w @ w.mT / noise)
        fitted = torch.linalg.solve_triangular(inner, (w @ y).unsqueeze(1), upper=False) / noise
        square = (y.square().sum() - noise * fitted.square().sum()) / noise
        log_det = 2.0 * inner.diagonal().log().sum() + n_values * noise.log()
        unexplained = (n_values * outputscale - w.square().sum()) / noise
        away = (lengthscale.log() - self.prior_log_median) / PRIOR_LOG_SD
        prior = (lengthscale.log() + 0.5 * away.square()).sum()
        return -(0.5 * (square + log_det + unexplained) + prior) / n_values


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
    # where all latents are inducing points, the bound is the evidence: there is nowhere to go
    model = _SparseGP(start, moving=len(start) < len(x))
    optimizer = Adam(model.parameters())
    for step in range(steps):
        optimizer.zero_grad()
        loss = -model.log_evidence(x, y)
        loss.backward()
        optimizer.step(falling(LEARNING_RATE, step / steps))
    lengthscale, outputscale, noise = (part.detach() for part in model.scales())
    inducing, lengthscale = model.inducing.detach() * width, lengthscale * width
    outputscale, noise = outputscale * unit**2, noise * unit**2

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
    usual = torch.from_numpy(gaussian_reach())
    return ValueRegression(constants, noise, usual, usual)


class Known(NamedTuple):
    """Pixels (n,) of known value, and what `value_moments` says of them, in the library's unit."""

    mean: Tensor
    sd: Tensor
    truth: Tensor


def with_conformal_reach(
    regression: ValueRegression, pixels: Known, mixed: Known | None
) -> ValueRegression:
    """The regression with its ``reach`` from pixels of known value.

    Intervals of mean +- reach sd then cover as they should among such pixels: split conformal
    prediction with a normalised score (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)). Those
    that reach as far as the mixed need, too, cover among these by themselves: conformal prediction
    by category (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, ch. 4).

    Parameters
    ----------
    regression : ValueRegression
    pixels : Known
        As frequent as in the data.
    mixed : Known or None
        Those that two classes share, where there are any.

    Returns
    -------
    ValueRegression
    """
    reach = _quantiles(pixels)
    of_mixed = reach if mixed is None else torch.maximum(reach, _quantiles(mixed))
    return regression._replace(reach=reach, reach_of_mixed=of_mixed)


def _quantiles(known: Known) -> Tensor:
    """Of distances in sd between means and truths, at the levels of intervals."""
    score = ((known.truth - known.mean) / known.sd).abs().double()
    return torch.quantile(score, torch.from_numpy(reach_levels()))


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
    heavy = (weights > LIGHT).flatten()
    chunks = (x.flatten(0, 1)[heavy].split(CHUNK) for x in (mean, var))
    moments = mean.new_zeros(len(heavy), 3)
    moments[heavy] = torch.cat(
        [distinct_moments(m, v, packed) for m, v in zip(*chunks, strict=True)]
    )
    center, of_function, of_latent = moments.unbind(1)
    value, var = mixture_moments(weights, center, of_function + of_latent)
    return value, (var + regression.noise_var).clamp_min(0.0).sqrt()
