"""The GPyTorch model of the classifier's functions, which is trained and asked for posteriors.

One function a class, whitened inducing values, one RBF kernel with ARD lengthscales and one set of
inducing points for all, which the closed form of the covariance between classes needs. The prior
mean is zero, so far from all data every class is equally likely.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eels_bayes.gp.kernel import log_normal
from eels_bayes.gp.quiet_gpytorch import MultitaskMultivariateNormal, MultivariateNormal, gpytorch

OUTPUTSCALE = 9.0  # squared logits, median of its prior: a function of sd 3 is sure; not tuned
PRIOR_LOG_SD = 0.5  # of the log-normal priors of lengthscales and kernel variance; not tuned


class SharedKernelGP(gpytorch.models.ApproximateGP):
    """K independent zero-mean functions on shared inducing points under a shared kernel.

    Parameters
    ----------
    inducing : Tensor
        Inducing inputs to begin with, (M, D), float64, of latents of unit variance.
    n_classes : int
        Number of functions K.
    jitter : float
        Nugget on the inducing values, squared logits.
    """

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
        self.n_classes = n_classes
        self.base_strategy = base
        self.mean_module = gpytorch.means.ZeroMean()
        # For inputs of unit variance: two random points are then 1/e correlated in the median.
        self.covar_module = gpytorch.kernels.ScaleKernel(
            gpytorch.kernels.RBFKernel(
                ard_num_dims=dim,
                lengthscale_prior=gpytorch.priors.LogNormalPrior(
                    *log_normal(0.5 * math.log(dim), PRIOR_LOG_SD)
                ),
            ),
            outputscale_prior=gpytorch.priors.LogNormalPrior(
                *log_normal(math.log(OUTPUTSCALE), PRIOR_LOG_SD)
            ),
        )
        self.covar_module.float()  # see `log_normal`
        self.double()
        start = torch.tensor(math.sqrt(dim), dtype=torch.float32)
        self.covar_module.base_kernel.lengthscale = start.double()
        self.covar_module.outputscale = OUTPUTSCALE

    def forward(self, x: Tensor) -> MultivariateNormal:
        """The prior of the functions at latents (n, D)."""
        return MultivariateNormal(self.mean_module(x), self.covar_module(x))

    def marginals(self, x: Tensor) -> MultitaskMultivariateNormal:
        """Return q(f) with marginal variances only: in training three times faster than `()`."""
        return MultitaskMultivariateNormal.from_batch_mvn(self.base_strategy(x))
