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
coefficients that inducing points and pairs of them fix: `pack` computes these once, over the
M (M + 1) / 2 pairs that differ, and `packed_moments` is a few matrix products.

Everything here runs unchanged under ``torch.jit.script``. Notation: n inputs, D latent dimensions,
M inducing points, P pairs of them, K classes.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "GPConstants",
    "Moments",
    "PackedGP",
    "distinct_moments",
    "gp_moments",
    "mixture_moments",
    "pack",
    "packed_moments",
    "padded",
    "psi1",
    "psi2",
]


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


class PackedGP(NamedTuple):
    """The constants of G GPs of one size as the coefficients that `packed_moments` multiplies.

    Attributes
    ----------
    center, per_reach, square, per_square : Tensor
        (G, 1, D): moves inputs, then multiplies them; squared lengthscales and their inverses.
    log_scale : Tensor
        (G, 1, 1): log of the kernel variance.
    first : Tensor
        (G, 2 D + 1, M + P): features to the exponents of psi1 and of its products.
    second : Tensor
        (G, 3 D + 1, P): features to rho.
    prior : Tensor
        (G, 1, S): the S = 2 K + K (K + 1) / 2 moments far from all inducing points: means,
        variances, and the entries of the encoder's covariance on and above the diagonal.
    expected, spread : Tensor
        (G, M + P, S) and (G, P, S): what psi1 and its products, and the excess of psi2, add.
    least : Tensor
        (S,): bounds of the moments from below: 0 for variances.
    place : Tensor
        (K, K): where the covariance's entries are among the moments.
    """

    center: Tensor
    per_reach: Tensor
    square: Tensor
    per_square: Tensor
    log_scale: Tensor
    first: Tensor
    second: Tensor
    prior: Tensor
    expected: Tensor
    spread: Tensor
    least: Tensor
    place: Tensor


def padded(constants: GPConstants, n_inducing: int, n_classes: int) -> GPConstants:
    """The same GP with inducing points of no weight and functions that are zero besides."""
    extra, more = n_inducing - constants.inducing.size(0), n_classes - constants.mean.size(0)
    pad = torch.nn.functional.pad
    return GPConstants(
        torch.cat((constants.inducing, constants.inducing[:1].expand(extra, -1))),
        constants.lengthscale,
        constants.outputscale,
        pad(constants.mean, [0, more]),
        pad(constants.A, [0, more, 0, extra]),
        pad(constants.B, [0, extra, 0, extra, 0, more]),
    )


def pack(gps: list[GPConstants]) -> PackedGP:
    """Compute once what `packed_moments` multiplies, in the dtype of ``gps``.

    They have as many inducing points and functions as one another: see `padded`.
    """
    n_inducing, n_classes = gps[0].inducing.size(0), gps[0].A.size(1)
    inducing = torch.stack([one.inducing for one in gps])
    reach = torch.stack([one.lengthscale for one in gps]).unsqueeze(1)
    A, B = torch.stack([one.A for one in gps]), torch.stack([one.B for one in gps])
    scale = torch.stack([one.outputscale for one in gps]).view(-1, 1, 1)
    center = inducing.mean(1, keepdim=True)
    u = (inducing - center) / reach
    pairs = torch.triu_indices(n_inducing, n_inducing, device=u.device)
    i, j = pairs[0], pairs[1]
    same = torch.ones_like(u[:, :, :1])
    single = torch.cat((-0.5 * u.square(), u, same), 2).transpose(1, 2)
    square = reach.square()
    left, right = u[:, i], u[:, j]
    second = torch.cat(
        (left * right, -0.5 * (left.square() + right.square()), -(left + right), same[:, i]), 2
    ).transpose(1, 2)
    # a pair stands for itself and its mirror image
    twice = torch.where(i == j, 1.0, 2.0).to(u.dtype).view(1, -1, 1)
    of_variance = 0.5 * twice * (B[:, :, i, j] + B[:, :, j, i]).transpose(1, 2)
    classes = torch.triu_indices(n_classes, n_classes, device=u.device)
    one_class, other = A[:, :, classes[0]], A[:, :, classes[1]]
    of_covariance = one_class[:, i] * other[:, j] + one_class[:, j] * other[:, i]
    # moments: means, variances, covariances
    n_moments = 2 * n_classes + classes.size(1)
    prior = u.new_zeros(len(gps), 1, n_moments)
    prior[:, 0, :n_classes] = torch.stack([one.mean for one in gps])
    prior[:, :, n_classes : 2 * n_classes] = scale
    expected = u.new_zeros(len(gps), n_inducing + i.size(0), n_moments)
    expected[:, :n_inducing, :n_classes] = A
    expected[:, n_inducing:, n_classes : 2 * n_classes] = -of_variance
    spread = torch.cat(
        (torch.zeros_like(of_variance), -of_variance, 0.5 * twice * of_covariance), 2
    )
    least = torch.full_like(prior[0, 0], -math.inf)
    least[n_classes : 2 * n_classes] = 0.0
    place = torch.zeros(n_classes, n_classes, dtype=torch.int64, device=u.device)
    number = 2 * n_classes + torch.arange(classes.size(1), device=u.device)
    place[classes[0], classes[1]] = number
    place[classes[1], classes[0]] = number
    return PackedGP(
        center,
        reach.reciprocal(),
        square,
        square.reciprocal(),
        scale.log(),
        torch.cat((single, single[:, :, i] + single[:, :, j]), 2).contiguous(),
        second.contiguous(),
        prior,
        expected,
        spread,
        least,
        place,
    )


def _kernel_moments(mean: Tensor, var: Tensor, packed: PackedGP) -> tuple[Tensor, Tensor]:
    """Return psi1 and its products (G, n, M + P), and psi2 - psi1 psi1' over pairs (G, n, P)."""
    # 1 + t is wide / square, without a scalar that would have to be made a tensor
    t = var * packed.per_square
    x = (mean - packed.center) * packed.per_reach
    wide = var + packed.square
    inv = packed.square / wide
    g = var / (wide + var)
    k = g * inv
    inv_x, k_x = inv * x, k * x
    # what no inducing point changes is summed over dimensions before
    of_all = (inv_x * x + t.log1p()).sum(2, keepdim=True)
    of_all = torch.add(packed.log_scale, of_all, alpha=-0.5)
    of_pairs = torch.add(k_x * x, (t * g).log1p(), alpha=0.5).sum(2, keepdim=True)
    exponent = torch.bmm(torch.cat((inv, inv_x, of_all), 2), packed.first)
    rho = torch.bmm(torch.cat((g, t * k, k_x, of_pairs), 2), packed.second)
    first = exponent.exp()
    n_inducing, n_pairs = packed.first.size(2) - packed.second.size(2), packed.second.size(2)
    # rho > 80 only where psi2 < s2^2 exp(-80); unclamped it could make inf * 0
    outer = first.narrow(2, n_inducing, n_pairs)
    return first, torch.expm1(rho.clamp(max=80.0)) * outer


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
    n_inducing = inducing.size(0)
    none = inducing.new_zeros(n_inducing, 1)
    of_none = (inducing.new_zeros(1), none, inducing.new_zeros(1, n_inducing, n_inducing))
    packed = pack([GPConstants(inducing, lengthscale, outputscale, *of_none)])
    first, excess = _kernel_moments(mean, var, packed)
    pairs = torch.triu_indices(n_inducing, n_inducing, device=mean.device)
    out = mean.new_zeros(mean.size(0), n_inducing, n_inducing)
    out[:, pairs[0], pairs[1]] = out[:, pairs[1], pairs[0]] = (excess + first[:, :, n_inducing:])[0]
    return out


def distinct_moments(mean: Tensor, var: Tensor, packed: PackedGP) -> Tensor:
    """The moments of `packed_moments` side by side (G, n, S); see `PackedGP`."""
    first, excess = _kernel_moments(mean, var, packed)
    found = torch.baddbmm(packed.prior, first, packed.expected)
    return torch.maximum(torch.baddbmm(found, excess, packed.spread), packed.least)


def packed_moments(mean: Tensor, var: Tensor, packed: PackedGP) -> Moments:
    """Return the exact moments of the functions of G GPs at a Gaussian input.

    ``E[f_c] = mean_c + A_c' psi1``, ``Cov_encoder[f_c, f_d] = A_c' (psi2 - psi1 psi1') A_d`` and
    ``Var_classifier[f_c] = s2 - tr(B_c psi2)``. Intermediate memory is about ``2 G n M^2`` numbers,
    so long inputs want chunks.

    Parameters
    ----------
    mean, var : Tensor
        Mean and variance of the latent input, (n, D). Zero variance gives the plain GP posterior.
        A row with NaN gives NaN in that row only.
    packed : PackedGP
        The trained GPs, in the dtype of the input.

    Returns
    -------
    Moments
        With a leading axis of size G. ``var_classifier`` is not negative; ``cov_encoder`` is
        symmetric and positive semi-definite up to rounding.
    """
    found = distinct_moments(mean, var, packed)
    n_classes = packed.place.size(0)
    cov = found.index_select(2, packed.place.flatten())
    return Moments(
        found.narrow(2, 0, n_classes),
        cov.view(cov.size(0), -1, n_classes, n_classes),
        found.narrow(2, n_classes, n_classes),
    )


def mixture_moments(weights: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (n,) of one function where the input is a mixture of R Gaussians.

    ``weights`` (n, R), ``mean`` and ``var`` (n R, 1) at the components; the law of total variance.
    """
    mean, var = mean.reshape(weights.size()), var.reshape(weights.size())
    center = (weights * mean).sum(1)
    return center, (weights * (var + (mean - center.unsqueeze(1)).square())).sum(1)


def gp_moments(mean: Tensor, var: Tensor, constants: GPConstants) -> Moments:
    """Return the exact moments (n, ...) at a Gaussian input of one GP that is not packed.

    See `packed_moments`.
    """
    found = packed_moments(mean, var, pack([constants]))
    return Moments(found.mean[0], found.cov_encoder[0], found.var_classifier[0])
