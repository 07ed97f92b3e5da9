"""The entropy of a prediction, split into its causes, in nats.

    H[y|x]  =  E H[y|z,f]  +  I(y; z | x)  +  I(y; f | z, x)
    total   =  aleatoric   +  encoder      +  classifier

The latent ``z`` given a spectrum is a mixture of R Gaussians, the logits given ``z`` are Gaussian
with independent classes, and ``p(y | z, f) = softmax(f)``. All expectations are averages over the
same fixed quasi-random nodes, encoder nodes outside and classifier nodes inside, so one input
always gives one answer, and by Jensen's inequality no term is negative.

Everything but `normal_nodes` runs unchanged under ``torch.jit.script``. Notation: n spectra,
R components, K classes, D latent dimensions, Q1 encoder nodes, Q2 classifier nodes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.uncertainty.psi_statistics import GPConstants, gp_moments

__all__ = [
    "Decomposition",
    "contrasts",
    "decompose",
    "decompose_latent",
    "entropies",
    "node_averages",
]


class Decomposition(NamedTuple):
    """Class probabilities and where their doubt comes from.

    Attributes
    ----------
    probabilities : Tensor
        (n, K), rows sum to one.
    total, aleatoric, encoder, classifier : Tensor
        (n,), nats, not negative; the first is the sum of the other three and the entropy of
        ``probabilities``.
    weights : Tensor
        (n, R), of the mixture's components, rows sum to one: as given, or as ``ratio`` has them.
    """

    probabilities: Tensor
    total: Tensor
    aleatoric: Tensor
    encoder: Tensor
    classifier: Tensor
    weights: Tensor


def contrasts(n_classes: int) -> tuple[Tensor, Tensor]:
    """The maps from moments of logits to covariances of ``f_k - f_K``.

    Returns
    -------
    of_covariance : Tensor
        (K K, K K), from an encoder covariance, flattened, to the contrasts', flattened, whose last
        row and column are zero.
    of_variance : Tensor
        (K K, K), the same from the variances of independent logits.
    """
    eye = torch.eye(n_classes, dtype=torch.float64)
    contrast = eye.clone()
    contrast[:, -1] -= 1.0
    of_covariance = torch.kron(contrast, contrast)
    return of_covariance, of_covariance[:, :: n_classes + 1].clone()


def _factor(cov: Tensor, n_columns: int) -> Tensor:
    """Return L (c, K, K-1, n) with ``L L'`` the covariances (c, K, K, n) of contrasts.

    Outer-product Cholesky whose pivots have a floor at rounding, so that a singular or slightly
    indefinite ``cov`` is no error. Plain loops over K keep it exportable. Inputs come last, as
    there are many of them and few classes.
    """
    # no entry is larger than the largest variance
    floor = (1e-6 * cov.amax((1, 2))).clamp(min=1e-30)
    columns: list[Tensor] = []
    for j in range(n_columns):
        column = cov.select(2, j)
        pivot = torch.maximum(column.select(1, j), floor)
        column = column * pivot.rsqrt().unsqueeze(1)
        columns.append(column)
        if j + 1 < n_columns:
            cov = torch.addcmul(cov, column.unsqueeze(2), column.unsqueeze(1), value=-1.0)
    # what is left above the diagonal is rounding
    return torch.stack(columns, 2)


def decompose(
    weights: Tensor,
    mean: Tensor,
    cov_encoder: Tensor,
    var_classifier: Tensor,
    encoder_nodes: Tensor,
    classifier_nodes: Tensor,
    ratio: Tensor | None = None,
) -> Decomposition:
    """Return class probabilities and the three parts of their entropy.

    At nodes ``a`` and ``b`` the logits are ``f = mean + L_encoder a + L_classifier b``. A softmax
    sees differences of logits only, so the nodes have K-1 dimensions. Since ``exp(f)`` is a
    product of an encoder and a classifier factor, all sums over classes and over classifier nodes
    are matrix products, and exponentials are taken of ``Q1 + Q2`` nodes instead of ``Q1 Q2``.

    Parameters
    ----------
    weights : Tensor
        Weights of the mixture's components, (n, R), rows sum to one.
    mean : Tensor
        Mean logits of each component, (n, R, K).
    cov_encoder : Tensor
        Covariance of the logits that the spread of the latent causes, (n, R, K, K).
    var_classifier : Tensor
        Variance of the logits at a given latent, (n, R, K), not negative.
    encoder_nodes, classifier_nodes : Tensor
        Standard normal nodes, (Q1, K-1) and (Q2, K-1), such as `default_nodes` gives; further
        dimensions are not used.
    ratio : Tensor, optional
        (n, K) or (1, K), positive: new prior weights of the classes over those that the mixture
        was computed with. The joint distribution of class, latent and function is weighted by it.

    Returns
    -------
    Decomposition
        ``encoder`` holds the spread within and between components. A row with NaN gives NaN in
        that row only.

    Raises
    ------
    ValueError
        If the nodes have fewer than K-1 dimensions.
    """
    n_classes = mean.size(2)
    n_contrasts = n_classes - 1
    if encoder_nodes.size(1) < n_contrasts or classifier_nodes.size(1) < n_contrasts:
        raise ValueError(
            f"nodes for {n_classes} classes must have at least {n_contrasts} dimensions, "
            f"got {encoder_nodes.size(1)} and {classifier_nodes.size(1)}"
        )
    of_covariance, of_variance = contrasts(n_classes)
    cov = torch.stack(
        (
            of_covariance.to(mean) @ cov_encoder.flatten(0, 1).flatten(1).t(),
            of_variance.to(mean) @ var_classifier.flatten(0, 1).t(),
        )
    )
    n, n_components = weights.size(0), weights.size(1)
    pixel = torch.arange(n, device=mean.device).repeat_interleave(n_components)
    averages = node_averages(
        mean.flatten(0, 1),
        cov,
        encoder_nodes.narrow(1, 0, n_contrasts),
        classifier_nodes.narrow(1, 0, n_contrasts),
        None if ratio is None else ratio.expand(n, -1).index_select(0, pixel),
    )
    of_pixel = (weights.unsqueeze(2) * averages.view(n, n_components, n_classes + 2)).sum(1)
    if ratio is not None:
        joint = weights * averages.narrow(1, 0, n_classes).sum(1).view(n, n_components)
        whole = joint.sum(1, keepdim=True)
        weights, of_pixel = joint / whole, of_pixel / whole
    return entropies(of_pixel, n_classes, weights)


def node_averages(
    mean: Tensor,
    cov: Tensor,
    encoder_nodes: Tensor,
    classifier_nodes: Tensor,
    ratio: Tensor | None = None,
) -> Tensor:
    """What m Gaussians add to the probabilities and entropies of the mixtures they belong to.

    Parameters
    ----------
    mean : Tensor
        Mean logits, (m, K).
    cov : Tensor
        Covariances of contrasts by the encoder and by the classifier, (2, K K, m): see
        `contrasts`.
    encoder_nodes, classifier_nodes : Tensor
        As in `decompose`, in K-1 dimensions.
    ratio : Tensor, optional
        (m, K), as there.

    Returns
    -------
    Tensor
        (m, K + 2): the class probabilities, the entropy given the latent, and that given latent and
        function, nats. With a ratio all are weighted by it; probabilities then sum to the
        Gaussian's own evidence in its favour.
    """
    # Sizes come from the nodes where they can: exporters know those of constants alone.
    n_outer, n_inner = encoder_nodes.size(0), classifier_nodes.size(0)
    n_contrasts = encoder_nodes.size(1)
    n_classes = n_contrasts + 1
    # Products of four sums of exp(-limit) to K, and of their inverses, are normal numbers.
    # Differences between logits beyond the limit matter only where both factors reach it in
    # opposite directions.
    limit = 150.0 if mean.dtype == torch.float64 else 18.0
    factor = _factor(cov.view(2, n_classes, n_classes, -1), n_contrasts)
    factor = factor.permute(0, 3, 1, 2).reshape(2, -1, n_contrasts)
    outer = (factor.select(0, 0) @ encoder_nodes.t()).view(-1, n_classes, n_outer)
    outer = outer + mean.unsqueeze(2)  # (m, K, Q1)
    inner = (factor.select(0, 1) @ classifier_nodes.t()).view(-1, n_classes, n_inner)  # Q2
    outer = (outer - outer.amax(1, keepdim=True)).clamp(min=-limit)
    inner = (inner - inner.amax(1, keepdim=True)).clamp(min=-limit)
    exp_outer = outer.exp()
    exp_inner = inner.exp()
    # (m, Q2, Q1), one over the sum over classes of exp(f)
    inverse = torch.bmm(exp_inner.transpose(1, 2), exp_outer).reciprocal()
    sums = torch.cat((exp_inner, exp_inner * inner), 1)
    sums = torch.bmm(sums, inverse) / n_inner
    given_z = exp_outer * sums.narrow(1, 0, n_classes)  # p(y | z) at each encoder node
    # E[log norm - sum_k p_k f_k], the sum of p_k f_k split like the factors
    energy = torch.addcmul(given_z * outer, exp_outer, sums.narrow(1, n_classes, n_classes))
    if ratio is None:
        log_given_z = given_z.clamp(min=1e-30).log()
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
        log_inverse = -tilted * inverse * tilted.log()
        energy = factor_k * (energy + given_z * factor_k.clamp(min=1e-30).log())
        given_z = factor_k * given_z
        weight_z = given_z.sum(1, keepdim=True)
        log_given_z = (given_z.clamp(min=1e-30) / weight_z.clamp(min=1e-30)).log()
    of_z = (given_z * log_given_z).sum((1, 2))
    of_both = log_inverse.sum((1, 2)) / n_inner + energy.sum((1, 2))
    return torch.cat((given_z.sum(2), -torch.stack((of_z, of_both), 1)), 1) / n_outer


def entropies(averages: Tensor, n_classes: int, weights: Tensor) -> Decomposition:
    """The decomposition from the `node_averages` (n, K + 2) of whole mixtures.

    Their probabilities sum to one; ``weights`` are those that `Decomposition` has.
    """
    marginal = averages.narrow(1, 0, n_classes)
    total = -(marginal * marginal.clamp(min=1e-30).log()).sum(1)
    given_z, given_zf = averages.narrow(1, n_classes, 2).unbind(1)
    # clamped against rounding only: each difference is one of Jensen's
    parts = torch.stack((given_zf, total - given_z, given_z - given_zf), 1).clamp(min=0.0)
    aleatoric, encoder, classifier = parts.unbind(1)
    return Decomposition(marginal, parts.sum(1), aleatoric, encoder, classifier, weights)


def decompose_latent(
    weights: Tensor,
    mean: Tensor,
    var: Tensor,
    constants: GPConstants,
    encoder_nodes: Tensor,
    classifier_nodes: Tensor,
    ratio: Tensor | None = None,
    chunk_size: int = 128,
) -> Decomposition:
    """Return the decomposition for latents that are mixtures of Gaussians.

    Parameters
    ----------
    weights : Tensor
        (n, R), rows sum to one.
    mean, var : Tensor
        Means and variances of the components in latent space, (n, R, D).
    constants : GPConstants
        The trained classifier, in the dtype of the input.
    encoder_nodes, classifier_nodes : Tensor
        Standard normal nodes, (Q1, K-1) and (Q2, K-1), such as `default_nodes` gives.
    ratio : Tensor, optional
        (n, K), see `decompose`.
    chunk_size : int
        Spectra taken at a time: bounds the memory, does not change the result.

    Returns
    -------
    Decomposition
    """
    n, n_components, n_classes = mean.size(0), mean.size(1), constants.A.size(1)
    parts: list[Decomposition] = []
    for start in range(0, max(n, 1), chunk_size):
        stop = start + chunk_size
        moments = gp_moments(
            mean[start:stop].flatten(0, 1), var[start:stop].flatten(0, 1), constants
        )
        part = decompose(
            weights[start:stop],
            moments.mean.view(-1, n_components, n_classes),
            moments.cov_encoder.view(-1, n_components, n_classes, n_classes),
            moments.var_classifier.view(-1, n_components, n_classes),
            encoder_nodes,
            classifier_nodes,
            None if ratio is None else ratio[start:stop],
        )
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    return Decomposition(
        torch.cat([part.probabilities for part in parts]),
        torch.cat([part.total for part in parts]),
        torch.cat([part.aleatoric for part in parts]),
        torch.cat([part.encoder for part in parts]),
        torch.cat([part.classifier for part in parts]),
        torch.cat([part.weights for part in parts]),
    )
