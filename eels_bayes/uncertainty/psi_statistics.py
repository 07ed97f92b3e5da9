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
M (M + 1) / 2 pairs that differ, and `distinct_moments` is a few matrix products.

Everything here runs unchanged under ``torch.jit.script``. Notation: n inputs, D latent dimensions,
M inducing points, P pairs of them, K classes; where several GPs are read at once, G of them with
M and P inducing points and pairs in all.
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
    "place",
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
    """The constants of G GPs as the coefficients that `distinct_moments` multiplies.

    Their matrices stand in blocks on the diagonal of one, so that all are one product. A GP of K
    functions has 2 K + K (K + 1) / 2 moments: means, variances, and the entries of the encoder's
    covariance on and above the diagonal, see `place`. S are the moments of all, GP after GP.

    Attributes
    ----------
    center, per_reach, square, per_square : Tensor
        (G, D, 1): moves inputs, then multiplies them; squared lengthscales and their inverses.
    log_scale : Tensor
        (G, 1, 1): log of the kernel variance.
    first : Tensor
        (G (2 D + 1), M + P): features to the exponents of psi1 and of its products.
    second : Tensor
        (G (3 D + 1), P): features to rho.
    prior : Tensor
        (S,): the moments far from all inducing points.
    moments : Tensor
        (M + 2 P, S): what psi1, its products and the excess of psi2 over them add to the moments.
    least : Tensor
        (S,): bounds of the moments from below: 0 for variances.
    """

    center: Tensor
    per_reach: Tensor
    square: Tensor
    per_square: Tensor
    log_scale: Tensor
    first: Tensor
    second: Tensor
    prior: Tensor
    moments: Tensor
    least: Tensor


def place(n_classes: int) -> Tensor:
    """Where the entries (K, K) of the encoder's covariance are among a GP's moments."""
    pairs = torch.triu_indices(n_classes, n_classes)
    found = torch.zeros(n_classes, n_classes, dtype=torch.int64)
    number = 2 * n_classes + torch.arange(pairs.size(1))
    found[pairs[0], pairs[1]] = number
    found[pairs[1], pairs[0]] = number
    return found


def pack(gps: list[GPConstants]) -> PackedGP:
    """Compute once what `distinct_moments` multiplies, in the dtype of ``gps``."""
    center = torch.stack([one.inducing.mean(0) for one in gps]).unsqueeze(2)
    reach = torch.stack([one.lengthscale for one in gps]).unsqueeze(2)
    parts: list[_Coefficients] = []
    for g, one in enumerate(gps):
        parts.append(_coefficients(one, center[g, :, 0]))
    square = reach.square()
    return PackedGP(
        center,
        reach.reciprocal(),
        square,
        square.reciprocal(),
        torch.stack([one.outputscale for one in gps]).log().view(-1, 1, 1),
        torch.cat((_blocks([x.single for x in parts]), _blocks([x.product for x in parts])), 1),
        _blocks([x.second for x in parts]),
        torch.cat([x.prior for x in parts]),
        torch.cat(
            (
                _blocks([x.of_single for x in parts]),
                _blocks([x.of_product for x in parts]),
                _blocks([x.of_excess for x in parts]),
            )
        ),
        torch.cat([x.least for x in parts]),
    )


class _Coefficients(NamedTuple):
    """What one GP contributes to a `PackedGP`."""

    single: Tensor
    product: Tensor
    second: Tensor
    prior: Tensor
    of_single: Tensor
    of_product: Tensor
    of_excess: Tensor
    least: Tensor


def _coefficients(gp: GPConstants, center: Tensor) -> _Coefficients:
    n_inducing, n_classes = gp.A.size(0), gp.A.size(1)
    u = (gp.inducing - center) / gp.lengthscale
    pairs = torch.triu_indices(n_inducing, n_inducing, device=u.device)
    i, j = pairs[0], pairs[1]
    same = torch.ones_like(u[:, :1])
    single = torch.cat((-0.5 * u.square(), u, same), 1).t()
    left, right = u[i], u[j]
    second = torch.cat(
        (left * right, -0.5 * (left.square() + right.square()), -(left + right), same[i]), 1
    ).t()
    # a pair stands for itself and its mirror image
    twice = torch.where(i == j, 1.0, 2.0).to(u.dtype).unsqueeze(1)
    of_variance = 0.5 * twice * (gp.B[:, i, j] + gp.B[:, j, i]).t()
    classes = torch.triu_indices(n_classes, n_classes, device=u.device)
    one, other = gp.A[:, classes[0]], gp.A[:, classes[1]]
    of_covariance = 0.5 * twice * (one[i] * other[j] + one[j] * other[i])
    of_mean, none = u.new_zeros(i.size(0), n_classes), torch.zeros_like(of_covariance)
    prior = torch.cat((gp.mean, gp.outputscale.expand(n_classes), none[0]))
    least = torch.full_like(prior, -math.inf)
    least[n_classes : 2 * n_classes] = 0.0
    return _Coefficients(
        single,
        single[:, i] + single[:, j],
        second,
        prior,
        torch.nn.functional.pad(gp.A, [0, prior.size(0) - n_classes]),
        torch.cat((of_mean, -of_variance, none), 1),
        torch.cat((of_mean, -of_variance, of_covariance), 1),
        least,
    )


def _blocks(parts: list[Tensor]) -> Tensor:
    """Matrices on the diagonal of one."""
    n_rows = sum([part.size(0) for part in parts])
    n_columns = sum([part.size(1) for part in parts])
    whole = parts[0].new_zeros(n_rows, n_columns)
    row, column = 0, 0
    for part in parts:
        whole[row : row + part.size(0), column : column + part.size(1)] = part
        row, column = row + part.size(0), column + part.size(1)
    return whole


def _kernel_moments(mean: Tensor, var: Tensor, packed: PackedGP) -> tuple[Tensor, Tensor]:
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
    # rho > 80 only where psi2 < s2^2 exp(-80); unclamped it could make inf * 0
    outer = first.narrow(1, first.size(1) - n_pairs, n_pairs)
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
    """
    dim = packed.center.size(1)
    first, excess = _kernel_moments(mean.narrow(1, 0, dim), var.narrow(1, 0, dim), packed)
    found = torch.cat((first, excess), 1) @ packed.moments + packed.prior
    return torch.maximum(found, packed.least)


def mixture_moments(weights: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (n,) of one function where the input is a mixture of R Gaussians.

    ``weights`` (n, R), ``mean`` and ``var`` (n R, 1) at the components; the law of total variance.
    """
    mean, var = mean.reshape(weights.size()), var.reshape(weights.size())
    center = (weights * mean).sum(1)
    return center, (weights * (var + (mean - center.unsqueeze(1)).square())).sum(1)


def gp_moments(mean: Tensor, var: Tensor, constants: GPConstants) -> Moments:
    """Return the exact moments of one GP's functions at a Gaussian input.

    Parameters as in `distinct_moments`, ``constants`` not packed. ``var_classifier`` is not
    negative; ``cov_encoder`` is symmetric and positive semi-definite up to rounding.
    """
    found = distinct_moments(mean, var, pack([constants]))
    n_classes = constants.A.size(1)
    cov = found.index_select(1, place(n_classes).flatten().to(found.device))
    return Moments(
        found.narrow(1, 0, n_classes),
        cov.view(-1, n_classes, n_classes),
        found.narrow(1, n_classes, n_classes),
    )
