"""The variational Gaussian-process classifier of latents.

GPyTorch trains it: one function a class under a softmax likelihood (Hensman et al., AISTATS 2015),
whitened inducing values, one RBF kernel with ARD lengthscales and one set of inducing points
shared by all classes, which the closed form of the covariance between classes needs. The prior
mean is zero, so far from all data every class is equally likely. Prediction needs only the
`GPConstants` that `GPClassifier.constants` returns.

Notation: N training latents, D latent dimensions, K classes, M inducing points. A trained
classifier takes latents of more dimensions than it was trained on, and reads the leading D.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import gpytorch
import torch
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from torch import Tensor

from eels_bayes.uncertainty.psi_statistics import GPConstants, Moments, gp_moments

__all__ = ["GPClassifier"]

# Nugget on the inducing values, squared logits. It bounds the entries of A and B, which float32
# prediction needs, and is far below any variance that matters to a softmax.
JITTER = 1e-2
_OUTPUTSCALE = 9.0
_PRIOR_LOG_SD = 0.5
_STATE_NDIM = {
    "inducing": 2,
    "lengthscale": 1,
    "outputscale": 0,
    "variational_mean": 2,
    "variational_factor": 3,
    "jitter": 0,
}


class SharedKernelGP(gpytorch.models.ApproximateGP):
    """K independent zero-mean functions on shared inducing points under a shared kernel."""

    def __init__(self, inducing: Tensor, n_classes: int, jitter: float) -> None:
        n_inducing, dim = inducing.shape
        distribution = gpytorch.variational.CholeskyVariationalDistribution(
            n_inducing, batch_shape=torch.Size([n_classes]), mean_init_std=0.0
        )
        base = gpytorch.variational.VariationalStrategy(
            self, inducing, distribution, jitter_val=jitter
        )
        super().__init__(
            gpytorch.variational.IndependentMultitaskVariationalStrategy(base, num_tasks=n_classes)
        )
        self.base_strategy = base
        self.mean_module = gpytorch.means.ZeroMean()
        # For inputs of unit variance: two random points are then 1/e correlated in the median.
        self.covar_module = gpytorch.kernels.ScaleKernel(
            gpytorch.kernels.RBFKernel(
                ard_num_dims=dim,
                lengthscale_prior=gpytorch.priors.LogNormalPrior(
                    0.5 * math.log(dim), _PRIOR_LOG_SD
                ),
            ),
            outputscale_prior=gpytorch.priors.LogNormalPrior(math.log(_OUTPUTSCALE), _PRIOR_LOG_SD),
        )
        self.double()
        self.covar_module.base_kernel.lengthscale = math.sqrt(dim)
        self.covar_module.outputscale = _OUTPUTSCALE

    def forward(self, x: Tensor) -> MultivariateNormal:
        return MultivariateNormal(self.mean_module(x), self.covar_module(x))

    def marginals(self, x: Tensor) -> MultitaskMultivariateNormal:
        """Return q(f) with marginal variances only: in training three times faster than `()`."""
        return MultitaskMultivariateNormal.from_batch_mvn(self.base_strategy(x))


@dataclass(frozen=True, eq=False)
class GPClassifier:
    """A trained GP classifier. Make one with `fit_gp` or `GPClassifier.from_state`.

    Attributes
    ----------
    inducing : Tensor
        Inducing inputs, (M, D), latent units. All tensors are float64.
    lengthscale : Tensor
        ARD lengthscales, (D,), latent units.
    outputscale : Tensor
        Kernel variance, scalar, squared logits.
    variational_mean : Tensor
        Whitened variational means, (K, M).
    variational_factor : Tensor
        Lower Cholesky factors of the whitened variational covariances, (K, M, M).
    jitter : Tensor
        Nugget on the inducing values, scalar, squared logits.
    loss : tuple of float
        Negative ELBO per training latent at every step, nats; empty where restored.
    """

    inducing: Tensor
    lengthscale: Tensor
    outputscale: Tensor
    variational_mean: Tensor
    variational_factor: Tensor
    jitter: Tensor
    loss: tuple[float, ...] = ()

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return self.variational_mean.shape[0]

    @property
    def state(self) -> dict[str, Tensor]:
        """Everything that prediction needs, as a plain dictionary of tensors."""
        return {name: getattr(self, name) for name in _STATE_NDIM}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> GPClassifier:
        """Return the classifier whose `state` this is.

        Raises
        ------
        ValueError
            If a tensor is missing or shapes do not belong together.
        """
        tensors: dict[str, Tensor] = {}
        for name, ndim in _STATE_NDIM.items():
            if name not in state:
                raise ValueError(f"state lacks {name!r}; it has {sorted(state)}")
            tensors[name] = state[name].detach().to(torch.float64)
            if tensors[name].ndim != ndim:
                raise ValueError(
                    f"state[{name!r}] must have {ndim} dimensions, "
                    f"got shape {tuple(state[name].shape)}"
                )
        n_inducing, dim = tensors["inducing"].shape
        n_classes = tensors["variational_mean"].shape[0]
        expected = {
            "lengthscale": (dim,),
            "variational_mean": (n_classes, n_inducing),
            "variational_factor": (n_classes, n_inducing, n_inducing),
        }
        for name, shape in expected.items():
            if tensors[name].shape != shape:
                raise ValueError(
                    f"state[{name!r}] must have shape {shape} to go with inducing "
                    f"{(n_inducing, dim)}, got {tuple(tensors[name].shape)}"
                )
        return cls(
            inducing=tensors["inducing"],
            lengthscale=tensors["lengthscale"],
            outputscale=tensors["outputscale"],
            variational_mean=tensors["variational_mean"],
            variational_factor=tensors["variational_factor"],
            jitter=tensors["jitter"],
        )

    def constants(self, dtype: torch.dtype = torch.float64) -> GPConstants:
        """Return what `psi_statistics.gp_moments` needs; computed in float64, given in ``dtype``.

        With ``K_uu + jitter I = L L'`` and the whitened mean m and covariance S,
        ``A = L'^-1 m`` and ``B = L'^-1 (I - S) L^-1``.
        """
        eye = torch.eye(len(self.inducing), dtype=torch.float64)
        upper = self._root().mT
        A = torch.linalg.solve_triangular(upper, self.variational_mean.mT, upper=True)
        middle = eye - self.variational_factor @ self.variational_factor.mT
        half = torch.linalg.solve_triangular(upper, middle, upper=True)
        B = torch.linalg.solve_triangular(upper, half.mT, upper=True)
        B = 0.5 * (B + B.mT)
        mean = torch.zeros(self.n_classes, dtype=torch.float64)
        parts = (self.inducing, self.lengthscale, self.outputscale, mean, A, B)
        return GPConstants(*(part.to(dtype) for part in parts))

    def kernel(self, points: Tensor) -> Tensor:
        """Covariance (n, M) of the functions at latents (n, D) and at the inducing points."""
        points = points[..., : len(self.lengthscale)]
        scaled = (points / self.lengthscale).unsqueeze(1) - self.inducing / self.lengthscale
        return self.outputscale * torch.exp(-0.5 * scaled.square().sum(-1))

    def left_variance(self, kernel: Tensor) -> Tensor:
        """Prior variance (n,) that the inducing points do not explain, of `kernel`'s latents."""
        half = torch.linalg.solve_triangular(self._root(), kernel.mT, upper=False)
        return (self.outputscale - half.square().sum(0)).clamp(min=0.0)

    def draw_weights(self, n_draws: int, generator: torch.Generator) -> Tensor:
        """Draws of the functions as weights (S, K, M): ``f_k(z) = weights_k' k(U, z)``.

        They hold what the inducing points know; see `left_variance` for the rest.
        """
        shape = (n_draws, *self.variational_mean.shape)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        white = self.variational_mean + torch.einsum("kij,skj->ski", self.variational_factor, noise)
        flat = white.flatten(0, 1).mT  # (M, S K)
        solved = torch.linalg.solve_triangular(self._root().mT, flat, upper=True)
        return solved.mT.unflatten(0, shape[:2])

    def _root(self) -> Tensor:
        """Lower Cholesky factor (M, M) of the inducing points' covariance."""
        eye = torch.eye(len(self.inducing), dtype=torch.float64)
        return torch.linalg.cholesky(self.kernel(self.inducing) + self.jitter * eye)

    def moments(self, mean: Tensor, var: Tensor, *, chunk_size: int = 512) -> Moments:
        """Return the exact moments of the functions at Gaussian latents, in chunks.

        Parameters
        ----------
        mean, var : Tensor
            Mean and variance of the latents, (n, D), of one dtype.
        chunk_size : int
            Latents taken at a time, to bound the memory; no effect on the result.

        Returns
        -------
        Moments
            In the dtype of ``mean``.
        """
        constants = self.constants(mean.dtype)
        parts = [
            gp_moments(m, v, constants)
            for m, v in zip(mean.split(chunk_size), var.split(chunk_size), strict=True)
        ]
        return Moments(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def latent_function(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return GPyTorch's own posterior of the functions at points without spread.

        Parameters
        ----------
        latents : Tensor
            (n, D).

        Returns
        -------
        mean, var : Tensor
            (n, K), float64, logits and squared logits; the jitter that GPyTorch adds to every
            predictive variance is taken off again.
        """
        jitter = self.jitter.item()
        model = SharedKernelGP(self.inducing, self.n_classes, jitter)
        model.covar_module.base_kernel.lengthscale = self.lengthscale
        model.covar_module.outputscale = self.outputscale
        with torch.no_grad():
            variational = model.base_strategy._variational_distribution
            variational.variational_mean.copy_(self.variational_mean)
            variational.chol_variational_covar.copy_(self.variational_factor)
            model.base_strategy.variational_params_initialized.fill_(1)
            posterior = model.eval()(latents[:, : len(self.lengthscale)].to(torch.float64))
            return posterior.mean, posterior.variance - jitter


def spread_points(points: Tensor, n_points: int, generator: torch.Generator) -> Tensor:
    """Return up to ``n_points`` distinct rows by the seeding of k-means++."""
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    squared = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < n_points and squared.max() > 1e-12:
        chosen.append(int(torch.multinomial(squared, 1, generator=generator)))
        squared = torch.minimum(squared, (points - points[chosen[-1]]).square().sum(1))
    return points[chosen]
