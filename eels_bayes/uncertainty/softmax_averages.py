"""Averages of a softmax's probabilities and entropies over fixed nodes of Gaussian logits.

A softmax sees differences of logits only. Of K logits the K - 1 contrasts ``f_k - f_K`` are drawn:
their covariances are linear in those of the logits (`contrasts`), and nodes of the standard normal
distribution are carried to them by a Cholesky factor (`contrast_factors`). `node_averages` sums
over the nodes.

Everything but the maps `contrasts` and `half_variances` runs unchanged under ``torch.jit.script``.
Notation: m Gaussians, K classes, Q1 encoder nodes, Q2 classifier nodes.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "contrast_factors",
    "contrasts",
    "few_node_averages",
    "half_variances",
    "likely_others",
    "node_averages",
]

# Scripted functions see no globals: these are defaults of their arguments.

PIVOT_FLOOR = 1e-6  # of the largest variance, least pivot of a factor: about float32's rounding
LEAST_PIVOT = 1e-30  # squared logits: keeps the factor of a covariance of zeros finite
# Products of four sums of exp(-limit) to K, and of their inverses, are normal numbers. Differences
# between logits beyond the limit matter only where both factors reach it in opposite directions.
LIMIT_DOUBLE = 150.0  # logits below the largest, in float64
LIMIT_SINGLE = 18.0  # logits below the largest, in float32
SMALLEST = 1e-30  # probability of which a logarithm is still taken: p log p of less is 0 in float32


def contrasts(n_classes: int) -> tuple[Tensor, Tensor]:
    """The maps from moments of logits to covariances of the contrasts ``f_k - f_K``.

    Parameters
    ----------
    n_classes : int
        Number of classes K.

    Returns
    -------
    of_covariance : Tensor
        (K K, K K), float64: from an encoder covariance, flattened, to the contrasts', flattened,
        whose last row and column are zero.
    of_variance : Tensor
        (K K, K), float64: the same from the variances of independent logits.
    """
    eye = torch.eye(n_classes, dtype=torch.float64)
    contrast = eye.clone()
    contrast[:, -1] -= 1.0
    of_covariance = torch.kron(contrast, contrast)
    return of_covariance, of_covariance[:, :: n_classes + 1].clone()


def half_variances(of_contrasts: Tensor) -> Tensor:
    """The map to half the variance of each ``f_j - f_k`` from that to covariances of contrasts.

    Parameters
    ----------
    of_contrasts : Tensor
        (K K, F): from any F numbers to the covariances (K, K) of ``f_k - f_K``, flattened.

    Returns
    -------
    Tensor
        (K K, F): from them to ``Var[f_j - f_k] / 2`` in row ``j K + k``.
    """
    n_classes = math.isqrt(len(of_contrasts))
    cov = of_contrasts.view(n_classes, n_classes, -1)
    var = cov.diagonal().t()
    return (0.5 * (var.unsqueeze(1) + var.unsqueeze(0)) - cov).flatten(0, 1)


def likely_others(mean: Tensor, half_variance: Tensor) -> Tensor:
    """A bound on the probability of all classes but the likeliest one.

    A softmax gives classes j beside k at most ``sum_j exp(f_j - f_k)``, whose mean is that of
    log-normal variables. The k that it is least for is taken.

    Parameters
    ----------
    mean : Tensor (m, K)
        Mean logits.
    half_variance : Tensor (K, K, m)
        Half the variances of the differences ``f_j - f_k``; see `half_variances`.

    Returns
    -------
    Tensor (m,)
        May be infinite.
    """
    logits = mean.t()
    of_others = (logits.unsqueeze(1) - logits.unsqueeze(0) + half_variance).exp().sum(0)
    return of_others.amin(0) - 1.0


def contrast_factors(
    cov: Tensor,
    n_classes: int,
    relative_floor: float = PIVOT_FLOOR,
    least_floor: float = LEAST_PIVOT,
) -> Tensor:
    """Return columns L (2, K-1, K, m) with ``L' L`` the covariances (2, K K, m) of contrasts.

    Outer-product Cholesky whose pivots have a floor at rounding, so that a singular or slightly
    indefinite ``cov`` is no error, and whose rows are no longer than the sd of their contrast: what
    is rounding alone, without a sign, would grow from column to column without end. Plain loops
    over K keep it exportable. Inputs come last, as there are many of them and few classes.
    """
    # Sizes come from the classes where they can: exporters know those of constants alone.
    n_columns = n_classes - 1
    cov = cov.view(2, n_classes, n_classes, -1)
    # no entry is larger than the largest variance
    floor = (relative_floor * cov.amax((1, 2))).clamp(min=least_floor)
    left = torch.stack([cov.select(1, k).select(1, k) for k in range(n_classes)], 1)
    columns: list[Tensor] = []
    for j in range(n_columns):
        column = cov.select(2, j)
        pivot = torch.maximum(column.select(1, j), floor)
        sd = left.clamp(min=0.0).sqrt()
        column = torch.maximum(torch.minimum(column * pivot.rsqrt().unsqueeze(1), sd), -sd)
        columns.append(column)
        if j + 1 < n_columns:
            cov = torch.addcmul(cov, column.unsqueeze(2), column.unsqueeze(1), value=-1.0)
            left = torch.addcmul(left, column, column, value=-1.0)
    # what is left above the diagonal is rounding
    return torch.stack(columns, 1)


def node_averages(
    mean: Tensor,
    factor: Tensor,
    encoder_nodes: Tensor,
    classifier_nodes: Tensor,
    ratio: Tensor | None = None,
    limit_double: float = LIMIT_DOUBLE,
    limit_single: float = LIMIT_SINGLE,
    smallest: float = SMALLEST,
) -> Tensor:
    """What m Gaussians add to the probabilities and entropies of the mixtures they belong to.

    Parameters
    ----------
    mean : Tensor
        Mean logits, (m, K).
    factor : Tensor
        Of covariances of contrasts by the encoder and by the classifier, (2, K-1, K, m): see
        `contrast_factors`.
    encoder_nodes, classifier_nodes : Tensor
        As in `decompose`, in K-1 dimensions.
    ratio : Tensor, optional
        (m, K), as there.
    limit_double, limit_single : float
        How far below the largest a logit may lie, in either dtype: guards against overflow.
    smallest : float
        Least probability of which a logarithm is taken.

    Returns
    -------
    Tensor
        (m, K + 2): the class probabilities, the entropy given the latent, and that given latent and
        function, nats. With a ratio all are weighted by it; probabilities then sum to the
        Gaussian's own evidence in its favour.
    """
    # Sizes come from the nodes where they can: exporters know those of constants alone.
    n_outer, n_inner = encoder_nodes.size(0), classifier_nodes.size(0)
    n_classes = encoder_nodes.size(1) + 1
    limit = limit_double if mean.dtype == torch.float64 else limit_single
    factor = factor.permute(0, 3, 2, 1).contiguous()
    outer = factor.select(0, 0) @ encoder_nodes.t() + mean.unsqueeze(2)  # (m, K, Q1)
    inner = factor.select(0, 1) @ classifier_nodes.t()  # (m, K, Q2)
    outer = (outer - outer.amax(1, keepdim=True)).clamp_(min=-limit)
    inner = (inner - inner.amax(1, keepdim=True)).clamp_(min=-limit)
    exp_outer = outer.exp()
    exp_inner = inner.exp()
    # (m, Q2, Q1), one over the sum over classes of exp(f)
    inverse = torch.bmm(exp_inner.transpose(1, 2), exp_outer).reciprocal_()
    sums = torch.cat((exp_inner, exp_inner * inner), 1)
    sums = torch.bmm(sums, inverse) / n_inner
    given_z = exp_outer * sums.narrow(1, 0, n_classes)  # p(y | z) at each encoder node
    # E[log norm - sum_k p_k f_k], the sum of p_k f_k split like the factors
    energy = torch.addcmul(given_z * outer, exp_outer, sums.narrow(1, n_classes, n_classes))
    if ratio is None:
        log_given_z = given_z.clamp(min=smallest).log()
        if n_inner % 4 == 0:
            # a logarithm costs more than all else: one of each four nodes' product
            half, quarter = n_inner // 2, n_inner // 4
            of_two = inverse.narrow(1, 0, half) * inverse.narrow(1, half, half)
            of_four = of_two.narrow(1, 0, quarter) * of_two.narrow(1, quarter, quarter)
            log_inverse = of_four.log()
        else:
            log_inverse = inverse.log()
    else:
        # every node weighs as much more as its classes do; H = log sum - mean log, unnormalised
        factor_k = ratio.unsqueeze(2)
        tilted = torch.bmm((exp_inner * factor_k).transpose(1, 2), exp_outer)
        log_inverse = tilted.mul(inverse).mul_(tilted.log_()).neg_()
        energy = factor_k * (energy + given_z * factor_k.clamp(min=smallest).log())
        given_z = factor_k * given_z
        weight_z = given_z.sum(1, keepdim=True)
        log_given_z = (given_z.clamp(min=smallest) / weight_z.clamp(min=smallest)).log()
    of_z = (given_z * log_given_z).sum((1, 2))
    of_both = log_inverse.sum((1, 2)) / n_inner + energy.sum((1, 2))
    return torch.cat((given_z.sum(2), -torch.stack((of_z, of_both), 1)), 1) / n_outer


def few_node_averages(
    mean: Tensor,
    factor: Tensor,
    encoder_nodes: Tensor,
    classifier_nodes: Tensor,
    ratio: Tensor | None = None,
    smallest: float = SMALLEST,
) -> Tensor:
    """The same as `node_averages`, in fewer steps where there are few nodes.

    A softmax at each pair of nodes, whose logits are not split. Gaussians come last, as there are
    more of them than nodes.
    """
    n_outer, n_inner = encoder_nodes.size(0), classifier_nodes.size(0)
    n_classes = encoder_nodes.size(1) + 1
    # the mean as one more column, so that compilers reckon it once and not at each node
    columns = torch.cat((mean.t().unsqueeze(0), factor.select(0, 0))).flatten(1)
    nodes = torch.nn.functional.pad(encoder_nodes, [1, 0], value=1.0)
    outer = (nodes @ columns).view(n_outer, 1, n_classes, -1)
    inner = (classifier_nodes @ factor.select(0, 1).flatten(1)).view(n_inner, n_classes, -1)
    log_p = torch.log_softmax(outer + inner, 2)  # (Q1, Q2, K, m)
    p = log_p.exp()
    if ratio is None:
        given_z = p.sum(1) / n_inner
        log_given_z = given_z.clamp(min=smallest).log()
    else:
        factor_k = ratio.t()
        p = factor_k * p
        log_p = log_p + factor_k.clamp(min=smallest).log() - p.sum(2, keepdim=True).log()
        given_z = p.sum(1) / n_inner
        weight_z = given_z.sum(1, keepdim=True)
        log_given_z = (given_z.clamp(min=smallest) / weight_z.clamp(min=smallest)).log()
    of_z = (given_z * log_given_z).sum((0, 1))
    of_both = (p * log_p).sum((0, 1, 2)) / n_inner
    return torch.cat((given_z.sum(0), -torch.stack((of_z, of_both)))).t() / n_outer
