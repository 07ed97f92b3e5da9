"""The variational Gaussian-process classifier of latents, as it is once trained.

GPyTorch trains it (`fit`): one function a class under a softmax likelihood (Hensman et al., AISTATS
2015). Prediction needs only the `GPConstants` that `GPClassifier.constants` returns.

Notation: N training latents, D latent dimensions, K classes, M inducing points. A trained
classifier takes latents of more dimensions than it was trained on, and reads the leading D.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from eels_bayes.gp.kernel import rbf
from eels_bayes.gp.state import STATE_NDIM, checked_state
from eels_bayes.gp.variational_model import SharedKernelGP
from eels_bayes.uncertainty.packed_gp import GPConstants
from eels_bayes.uncertainty.psi_statistics import Moments, gp_moments

__all__ = ["GPClassifier"]


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
        return {name: getattr(self, name) for name in STATE_NDIM}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> GPClassifier:
        """Return the classifier whose `state` this is.

        Parameters
        ----------
        state : mapping of str to Tensor
            As `state` gives it, of any floating-point dtype.

        Returns
        -------
        GPClassifier
            Its ``loss`` is empty.

        Raises
        ------
        ValueError
            If a tensor is missing or shapes do not belong together.
        """
        tensors = checked_state(state)
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

        Parameters
        ----------
        dtype : torch.dtype
            Of the result.

        Returns
        -------
        GPConstants
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
        """Covariance of the functions at latents and at the inducing points.

        Parameters
        ----------
        points : Tensor
            (n, D) or more dimensions, of which the leading D are read; float64.

        Returns
        -------
        Tensor
            (n, M), squared logits.
        """
        points = points[..., : len(self.lengthscale)]
        return rbf(points, self.inducing, self.lengthscale, self.outputscale)

    def left_variance(self, kernel: Tensor) -> Tensor:
        """Prior variance of the functions that the inducing points do not explain.

        Parameters
        ----------
        kernel : Tensor
            (n, M), of `kernel`.

        Returns
        -------
        Tensor
            (n,), squared logits, not negative.
        """
        return (self.outputscale - self._whitened(kernel).square().sum(0)).clamp(min=0.0)

    def known_share(self, kernel: Tensor) -> Tensor:
        """Share of the functions' prior variance that training has taken away.

        Parameters
        ----------
        kernel : Tensor
            (n, M), of `kernel`.

        Returns
        -------
        Tensor
            (n, K); one where a function is known, zero where nothing is.
        """
        whitened = self._whitened(kernel)
        left = (self.variational_factor.mT @ whitened).square().sum(1)
        return (whitened.square().sum(0) - left).mT / self.outputscale

    def _whitened(self, kernel: Tensor) -> Tensor:
        """Rows of a kernel (n, M) in units of the inducing values' prior, (M, n)."""
        return torch.linalg.solve_triangular(self._root(), kernel.mT, upper=False)

    def draw_weights(self, n_draws: int, generator: torch.Generator) -> Tensor:
        """Draws of the functions as weights of the kernel: ``f_k(z) = weights_k' k(U, z)``.

        They hold what the inducing points know; `left_variance` is the variance of what they do
        not.

        Parameters
        ----------
        n_draws : int
            Number of draws S.
        generator : torch.Generator
            On the CPU.

        Returns
        -------
        Tensor
            (S, K, M), float64.
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

        Examples
        --------
        Where a latent is known its spread adds nothing to the functions' own; where it is not, the
        encoder's part of their covariance says how much.

        >>> import torch
        >>> from eels_bayes.gp.classifier import GPClassifier
        >>> one = torch.ones((), dtype=torch.float64)
        >>> gp = GPClassifier(
        ...     inducing=torch.tensor([[-1.0], [1.0]], dtype=torch.float64),
        ...     lengthscale=one.reshape(1),
        ...     outputscale=9.0 * one,
        ...     variational_mean=torch.tensor([[2.0, -1.0], [-1.0, 2.0]], dtype=torch.float64),
        ...     variational_factor=0.1 * torch.eye(2, dtype=torch.float64).repeat(2, 1, 1),
        ...     jitter=0.01 * one,
        ... )
        >>> mean = torch.tensor([[0.5], [0.5]], dtype=torch.float64)
        >>> var = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        >>> moments = gp.moments(mean, var)
        >>> moments.mean.shape, moments.cov_encoder.shape, moments.var_classifier.shape
        (torch.Size([2, 2]), torch.Size([2, 2, 2]), torch.Size([2, 2]))
        >>> [round(x, 2) for x in moments.cov_encoder[:, 0, 0].tolist()]
        [0.0, 8.15]
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
