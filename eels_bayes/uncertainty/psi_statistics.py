"""Exact moments of a sparse Gaussian process whose input is itself Gaussian.

For a latent ``z ~ N(mean, diag var)`` and the RBF kernel with ARD lengthscales ``l`` and variance
``s2`` the expectations of ``k(z, u)`` and ``k(z, u) k(z, u')`` are closed-form (the psi statistics
of Girard et al., NIPS 2003, and of Titsias and Lawrence, AISTATS 2010). They are computed here as

    psi1[m]                      = s2 prod_d (1 + t_d)^-1/2 exp(-a_md^2 / (2 (1 + t_d)))
    psi2[m, m'] / psi1[m] psi1[m'] = exp(rho[m, m'])
    rho[m, m']  = sum_d log(1 + t_d^2 / (1 + 2 t_d)) / 2
                - sum_d (a_md^2 + a_m'd^2) t_d^2 / (2 (1 + t_d) (1 + 2 t_d))
                + sum_d a_md a_m'd t_d / (1 + 2 t_d)

with ``t = var / l^2`` and ``a = (mean - u) / l``. Because ``rho`` goes to zero with the input
variance, ``psi2 - psi1 psi1' = psi1 psi1' expm1(rho)`` keeps its relative accuracy in float32 where
the plain difference would cancel. Both exponents are linear in features of the input alone, with
coefficients that inducing points and pairs of them fix: `packed_gp.pack` computes these once, over
the M (M + 1) / 2 pairs that differ, and `distinct_moments` is a few matrix products.

Everything here runs unchanged under ``torch.jit.script``. Notation: n inputs, D latent dimensions,
M inducing points, P pairs of them, K classes; where several GPs are read at once, G of them with
M and P inducing points and pairs in all.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.uncertainty.packed_gp import GPConstants, PackedGP, pack, place

__all__ = ["Moments", "distinct_moments", "gp_moments", "mixture_moments", "psi1", "psi2"]

# A scripted function sees no globals: this is the default of an argument.

LARGEST_RHO = 80.0  # beyond it psi2 < s2^2 exp(-80); unclamped, exp(rho) could make inf * 0


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
    mean: Tensor, var: Tensor, packed: PackedGP, largest_rho: float = LARGEST_RHO
) -> tuple[Tensor, Tensor]:
    """Return psi1 and its products (n, M + P), and psi2 - psi1 psi1' over pairs (n, P)."""
    # inputs last: there are many of them and few dimensions, and machines take many at once
    mean, var = mean.t(), var.t()  # (D, n)
    # 1 + t is wide / square, without a scalar that would have to be made a tensor
    t = var * packed.per_square
    x = (mean - packed.center) * packed.per_reach
    wide = var + packed.square
    inv = packed.square / wide
    g = var / (wide + var)
    k = g * inv
    inv_x, k_x = inv * x, k * x
    # what no inducing point changes is summed over dimensions before
    of_all = (inv_x * x + t.log1p()).sum(1, keepdim=True)
    of_all = torch.add(packed.log_scale, of_all, alpha=-0.5)
    of_pairs = torch.add(k_x * x, (t * g).log1p(), alpha=0.5).sum(1, keepdim=True)
    first = (torch.cat((inv, inv_x, of_all), 1).flatten(0, 1).t() @ packed.first).exp()
    rho = torch.cat((g, t * k, k_x, of_pairs), 1).flatten(0, 1).t() @ packed.second
    n_pairs = rho.size(1)
    outer = first.narrow(1, first.size(1) - n_pairs, n_pairs)
    return first, torch.expm1(rho.clamp_(max=largest_rho)) * outer


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
    """Return ``E[k(U, z) k(z, U)]`` for ``z ~ N(mean, diag var)``.

    Parameters
    ----------
    mean, var, inducing, lengthscale, outputscale : Tensor
        As in `psi1`.

    Returns
    -------
    Tensor
        (n, M, M).
    """
    n_inducing = inducing.size(0)
    none = inducing.new_zeros(n_inducing, 1)
    of_none = (inducing.new_zeros(1), none, inducing.new_zeros(1, n_inducing, n_inducing))
    packed = pack([GPConstants(inducing, lengthscale, outputscale, *of_none)])
    first, excess = _kernel_moments(mean, var, packed)
    pairs = torch.triu_indices(n_inducing, n_inducing, device=mean.device)
    out = mean.new_zeros(mean.size(0), n_inducing, n_inducing)
    out[:, pairs[0], pairs[1]] = out[:, pairs[1], pairs[0]] = excess + first[:, n_inducing:]
    return out


def distinct_moments(mean: Tensor, var: Tensor, packed: PackedGP) -> Tensor:
    """The exact moments (n, S) of the functions of several GPs at a Gaussian input.

    ``E[f_c] = mean_c + A_c' psi1``, ``Var_classifier[f_c] = s2 - tr(B_c psi2)`` and
    ``Cov_encoder[f_c, f_d] = A_c' (psi2 - psi1 psi1') A_d``, in the order of `PackedGP`.
    Intermediate memory is about ``2 n M^2`` numbers, so long inputs want chunks.

    Parameters
    ----------
    mean, var : Tensor
        Mean and variance of the latent input, (n, D) or more dimensions, of which the leading D
        are read. Zero variance gives the plain GP posterior. A row with NaN gives NaN in that row
        only.
    packed : PackedGP
        The trained GPs, in the dtype of the input.

    Returns
    -------
    Tensor
        (n, S): means (logits), variances by the classifier, and distinct covariances by the
        encoder (squared logits) of each GP in turn.
    """
    dim = packed.center.size(1)
    first, excess = _kernel_moments(mean.narrow(1, 0, dim), var.narrow(1, 0, dim), packed)
    moments = torch.cat((first, excess), 1) @ packed.moments + packed.prior
    return torch.maximum(moments, packed.least)


def mixture_moments(weights: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of one function where the input is a mixture of Gaussians.

    By the law of total variance.

    Parameters
    ----------
    weights : Tensor
        (n, R), of the mixture's components, rows sum to one.
    mean, var : Tensor
        Mean and variance of the function at each component, n R numbers in any shape.

    Returns
    -------
    mean, var : Tensor
        (n,), in the function's unit and its square.
    """
    mean, var = mean.reshape(weights.size()), var.reshape(weights.size())
    center = (weights * mean).sum(1)
    return center, (weights * (var + (mean - center.unsqueeze(1)).square())).sum(1)


def gp_moments(mean: Tensor, var: Tensor, constants: GPConstants) -> Moments:
    """Return the exact moments of one GP's functions at a Gaussian input.

    Parameters
    ----------
    mean, var : Tensor
        Mean and variance of the latent input, (n, D); see `distinct_moments`.
    constants : GPConstants
        The trained GP, in the dtype of the input.

    Returns
    -------
    Moments
        ``var_classifier`` is not negative; ``cov_encoder`` is symmetric and positive semi-definite
        up to rounding.
    """
    moments = distinct_moments(mean, var, pack([constants]))
    n_classes = constants.A.size(1)
    cov = moments.index_select(1, place(n_classes).flatten().to(moments.device))
    return Moments(
        moments.narrow(1, 0, n_classes),
        cov.view(-1, n_classes, n_classes),
        moments.narrow(1, n_classes, n_classes),
    )
