"""Exact moments of a sparse Gaussian process whose input is itself Gaussian.

For a latent ``z ~ N(mean, diag var)`` and the RBF kernel with ARD lengthscales ``l`` and variance
``s2`` the expectations of ``k(z, u)`` and ``k(z, u) k(z, u')`` are closed-form (the psi statistics
of Girard et al., NIPS 2003, and of Titsias and Lawrence, AISTATS 2010). They are computed here as

    psi1[m]                      = s2 prod_d (1 + t_d)^-1/2 exp(-a_md^2 / (2 (1 + t_d)))
    psi2[m, m'] / psi1[m] psi1[m'] = exp(rho[m, m'])
    rho[m, m']  = sum_d log(1 + t_d^2 / (1 + 2 t_d)) / 2
                - sum_d (a_md^2 + a_m'd^2) t_d^2 / (2 (1 + t_d) (1 + 2 t_d))
                + sum_d a_md a_m'd t_d / (1 + 2 t_d)

with ``t = var / l^2`` and ``a = (mean - u) / l``. The last term is a matrix product, and because
``rho`` goes to zero with the input variance, ``psi2 - psi1 psi1' = psi1 psi1' expm1(rho)`` keeps
its relative accuracy in float32 where the plain difference would cancel.

Everything here runs unchanged under ``torch.jit.script``. Notation: n inputs, D latent dimensions,
M inducing points, K classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["GPConstants", "Moments", "gp_moments", "psi1", "psi2"]


class GPConstants(NamedTuple):
    """All that prediction needs of a trained GP with one shared kernel.

    Attributes
    ----------
    inducing : Tensor
        Inducing inputs ``U``, (M, D), latent units.
    lengthscale : Tensor
        ARD lengthscales, (D,), latent units.
    outputscale : Tensor
        Kernel variance ``s2``, scalar, squared logits.
    mean : Tensor
        Prior mean of each function, (K,), logits.
    A : Tensor
        ``K_uu^-1 m_c`` in the columns, (M, K), with ``m_c`` the variational mean.
    B : Tensor
        ``K_uu^-1 - K_uu^-1 S_c K_uu^-1``, (K, M, M), with ``S_c`` the variational covariance.
    """

    inducing: Tensor
    lengthscale: Tensor
    outputscale: Tensor
    mean: Tensor
    A: Tensor
    B: Tensor


class Moments(NamedTuple):
    """Exact moments of the K latent functions under a Gaussian input.

    Attributes
    ----------
    mean : Tensor
        ``E[f_c]``, (n, K), logits.
    cov_encoder : Tensor
        Covariance of ``E[f_c | z]`` over ``z``, (n, K, K): the spread that the input causes.
    var_classifier : Tensor
        ``E[Var(f_c | z)]`` over ``z``, (n, K): the spread of the functions themselves.
    """

    mean: Tensor
    cov_encoder: Tensor
    var_classifier: Tensor


def _kernel_moments(
    mean: Tensor, var: Tensor, inducing: Tensor, lengthscale: Tensor, outputscale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return psi1 (n, M), psi1 psi1' and psi2 - psi1 psi1' (n, M, M)."""
    t = var / lengthscale.square()
    one_t = 1.0 + t
    g = t / (one_t + t)
    tg = t * g
    inv = one_t.reciprocal()
    a = (mean.unsqueeze(1) - inducing) / lengthscale
    at = a.transpose(1, 2)
    quadratic = torch.stack((inv, inv * tg), dim=1) @ at.square()
    logs = torch.log1p(torch.stack((t, tg), dim=1)).sum(2, keepdim=True)
    exponent = -0.5 * (quadratic[:, 0] + logs[:, 0])
    # exp(-80) is nothing beside 1, and zero is faster than the denormals that products would give
    first = outputscale * torch.nn.functional.threshold(exponent, -80.0, -1000.0).exp()
    # the two sides of the outer sum carry half of the constant each
    half = 0.25 * logs[:, 1] - 0.5 * quadratic[:, 1]
    rho = half.unsqueeze(2) + half.unsqueeze(1)
    rho.baddbmm_(a * g.unsqueeze(1), at)
    # rho > 80 only where psi2 < s2^2 exp(-80); unclamped it could make inf * 0
    ratio = torch.expm1(rho.clamp_(max=80.0))
    outer = first.unsqueeze(2) * first.unsqueeze(1)
    return first, outer, ratio * outer


def psi1(
    mean: Tensor, var: Tensor, inducing: Tensor, lengthscale: Tensor, outputscale: Tensor
) -> Tensor:
    """Return ``E[k(z, U)]`` for ``z ~ N(mean, diag var)``.

    Parameters
    ----------
    mean, var : Tensor
        Mean and variance of the input, (n, D); the variance is not negative.
    inducing : Tensor
        Inducing inputs, (M, D).
    lengthscale : Tensor
        ARD lengthscales, (D,).
    outputscale : Tensor
        Kernel variance, scalar.

    Returns
    -------
    Tensor
        (n, M).
    """
    t = var / lengthscale.square()
    a = (mean.unsqueeze(1) - inducing) / lengthscale
    quadratic = (a.square() @ (1.0 / (1.0 + t)).unsqueeze(2)).squeeze(2)
    return outputscale * torch.exp(-0.5 * (quadratic + torch.log1p(t).sum(1, keepdim=True)))


def psi2(
    mean: Tensor, var: Tensor, inducing: Tensor, lengthscale: Tensor, outputscale: Tensor
) -> Tensor:
    """Return ``E[k(U, z) k(z, U)]`` for ``z ~ N(mean, diag var)``, (n, M, M).

    The arguments are those of `psi1`.
    """
    _, outer, excess = _kernel_moments(mean, var, inducing, lengthscale, outputscale)
    return excess + outer


def gp_moments(mean: Tensor, var: Tensor, constants: GPConstants) -> Moments:
    """Return the exact moments of the functions at a Gaussian input.

    ``E[f_c] = mean_c + A_c' psi1``, ``Cov_encoder[f_c, f_d] = A_c' (psi2 - psi1 psi1') A_d`` and
    ``Var_classifier[f_c] = s2 - tr(B_c psi2)``. Intermediate memory is about ``4 n M^2`` numbers,
    so long inputs want chunks (`eels_bayes.gp.GPClassifier.moments` makes them).

    Parameters
    ----------
    mean, var : Tensor
        Mean and variance of the latent input, (n, D). Zero variance gives the plain GP posterior.
        A row with NaN gives NaN in that row only.
    constants : GPConstants
        The trained GP, in the dtype of the input.

    Returns
    -------
    Moments
        ``var_classifier`` is not negative; ``cov_encoder`` is symmetric and positive semi-definite
        up to rounding.
    """
    first, outer, excess = _kernel_moments(
        mean, var, constants.inducing, constants.lengthscale, constants.outputscale
    )
    explained = (excess + outer).flatten(1) @ constants.B.flatten(1).t()
    return Moments(
        constants.mean + first @ constants.A,
        (constants.A.t() @ excess) @ constants.A,
        (constants.outputscale - explained).clamp(min=0.0),
    )
