"""Trained Gaussian processes as the constants that their moments at Gaussian inputs need.

`pack` computes once, from the inducing points and the pairs of them, the coefficients that
`psi_statistics.distinct_moments` multiplies the features of its inputs with; see there for the
formulas.

Everything here runs unchanged under ``torch.jit.script``. Notation: D latent dimensions, M inducing
points, P = M (M + 1) / 2 pairs of them, K classes; where several GPs are packed, G of them with M
and P inducing points and pairs in all.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["GPConstants", "PackedGP", "pack", "place"]


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
    """Where the entries of the encoder's covariance are among a GP's moments.

    Parameters
    ----------
    n_classes : int
        Number of functions K.

    Returns
    -------
    Tensor
        (K, K), int64, symmetric: columns of what `psi_statistics.distinct_moments` returns.
    """
    pairs = torch.triu_indices(n_classes, n_classes)
    column = torch.zeros(n_classes, n_classes, dtype=torch.int64)
    number = 2 * n_classes + torch.arange(pairs.size(1))
    column[pairs[0], pairs[1]] = number
    column[pairs[1], pairs[0]] = number
    return column


def pack(gps: list[GPConstants]) -> PackedGP:
    """Compute once what `psi_statistics.distinct_moments` multiplies.

    Parameters
    ----------
    gps : list of GPConstants
        G trained GPs of one latent space and one dtype.

    Returns
    -------
    PackedGP
        In the dtype of ``gps``.
    """
    center = torch.stack([gp.inducing.mean(0) for gp in gps]).unsqueeze(2)
    reach = torch.stack([gp.lengthscale for gp in gps]).unsqueeze(2)
    parts: list[_Coefficients] = []
    for g, gp in enumerate(gps):
        parts.append(_coefficients(gp, center[g, :, 0]))
    square = reach.square()
    return PackedGP(
        center,
        reach.reciprocal(),
        square,
        square.reciprocal(),
        torch.stack([gp.outputscale for gp in gps]).log().view(-1, 1, 1),
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
    """What one GP contributes to a `PackedGP`; S = 2 K + K (K + 1) / 2 moments.

    Attributes
    ----------
    single, product : Tensor
        (2 D + 1, M) and (2 D + 1, P): features to the exponents of psi1 and of its products.
    second : Tensor
        (3 D + 1, P): features to rho.
    prior, least : Tensor
        (S,): moments far from all inducing points, and their lower bounds.
    of_single, of_product, of_excess : Tensor
        (M, S), (P, S) and (P, S): what psi1, its products and the excess of psi2 add.
    """

    single: Tensor
    product: Tensor
    second: Tensor
    prior: Tensor
    of_single: Tensor
    of_product: Tensor
    of_excess: Tensor
    least: Tensor


def _coefficients(gp: GPConstants, center: Tensor) -> _Coefficients:
    """The coefficients of one GP for inputs that are moved by ``center`` (D,)."""
    n_inducing, n_classes = gp.A.size(0), gp.A.size(1)
    u = (gp.inducing - center) / gp.lengthscale
    pairs = torch.triu_indices(n_inducing, n_inducing, device=u.device)
    i, j = pairs[0], pairs[1]
    same = torch.ones_like(u[:, :1])
    single = torch.cat((-0.5 * u.square(), u, same), 1).t()
    u_i, u_j = u[i], u[j]
    second = torch.cat(
        (u_i * u_j, -0.5 * (u_i.square() + u_j.square()), -(u_i + u_j), same[i]), 1
    ).t()
    # a pair stands for itself and its mirror image
    twice = torch.where(i == j, 1.0, 2.0).to(u.dtype).unsqueeze(1)
    of_variance = 0.5 * twice * (gp.B[:, i, j] + gp.B[:, j, i]).t()
    classes = torch.triu_indices(n_classes, n_classes, device=u.device)
    row, column = gp.A[:, classes[0]], gp.A[:, classes[1]]
    of_covariance = 0.5 * twice * (row[i] * column[j] + row[j] * column[i])
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
    """One block-diagonal matrix of these matrices."""
    n_rows = sum([part.size(0) for part in parts])
    n_columns = sum([part.size(1) for part in parts])
    diagonal = parts[0].new_zeros(n_rows, n_columns)
    row, column = 0, 0
    for part in parts:
        diagonal[row : row + part.size(0), column : column + part.size(1)] = part
        row, column = row + part.size(0), column + part.size(1)
    return diagonal
