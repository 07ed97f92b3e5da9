"""The entropy of a prediction, split into its causes, in nats.

    H[y|x]  =  E H[y|z,f]  +  I(y; z | x)  +  I(y; f | z, x)
    total   =  aleatoric   +  encoder      +  classifier

The latent ``z`` given a spectrum is a mixture of R Gaussians, the logits given ``z`` are Gaussian
with independent classes, and ``p(y | z, f) = softmax(f)``. All expectations are averages over the
same fixed quasi-random nodes, encoder nodes outside and classifier nodes inside, so one input
always gives one answer, and by Jensen's inequality no term is negative.

Everything here runs unchanged under ``torch.jit.script``. Notation: n spectra, R components,
K classes, D latent dimensions, Q1 encoder nodes, Q2 classifier nodes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.uncertainty.packed_gp import GPConstants
from eels_bayes.uncertainty.psi_statistics import gp_moments
from eels_bayes.uncertainty.softmax_averages import (
    SMALLEST,
    contrast_factors,
    contrasts,
    node_averages,
)

__all__ = ["Decomposition", "decompose", "decompose_latent", "entropies"]


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
        contrast_factors(cov, n_classes),
        encoder_nodes.narrow(1, 0, n_contrasts),
        classifier_nodes.narrow(1, 0, n_contrasts),
        None if ratio is None else ratio.expand(n, -1).index_select(0, pixel),
    )
    of_pixel = (weights.unsqueeze(2) * averages.view(n, n_components, n_classes + 2)).sum(1)
    if ratio is not None:
        joint = weights * averages.narrow(1, 0, n_classes).sum(1).view(n, n_components)
        evidence = joint.sum(1, keepdim=True)
        weights, of_pixel = joint / evidence, of_pixel / evidence
    return entropies(of_pixel, n_classes, weights)


def entropies(
    averages: Tensor, n_classes: int, weights: Tensor, smallest: float = SMALLEST
) -> Decomposition:
    """The decomposition from the node averages of whole mixtures.

    Parameters
    ----------
    averages : Tensor
        (n, K + 2), as `softmax_averages.node_averages` has them, summed over the components of
        each mixture; their probabilities sum to one.
    n_classes : int
        Number of classes K.
    weights : Tensor
        (n, R), of the mixtures' components: handed on.
    smallest : float
        Least probability of which a logarithm is taken.

    Returns
    -------
    Decomposition
    """
    marginal = averages.narrow(1, 0, n_classes)
    total = -(marginal * marginal.clamp(min=smallest).log()).sum(1)
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

    Raises
    ------
    ValueError
        If the nodes have fewer than K-1 dimensions.

    Examples
    --------
    Two classes, and two latents: one known well and beside an inducing point, one known badly.

    >>> import torch
    >>> from eels_bayes.uncertainty.packed_gp import GPConstants
    >>> from eels_bayes.uncertainty.quadrature import default_nodes
    >>> inducing, weights = torch.tensor([[-2.0], [2.0]]), torch.tensor([[0.4, -0.4], [-0.4, 0.4]])
    >>> scales, B = (torch.ones(1), torch.tensor(9.0)), 0.1 * torch.eye(2).repeat(2, 1, 1)
    >>> constants = GPConstants(inducing, *scales, torch.zeros(2), weights, B)
    >>> mean = torch.tensor([[[-2.0]], [[0.0]]])  # (n, R, D) = (2, 1, 1)
    >>> var = torch.tensor([[[0.01]], [[4.0]]])
    >>> nodes = [x.float() for x in default_nodes(2)]
    >>> parts = decompose_latent(torch.ones(2, 1), mean, var, constants, *nodes)
    >>> [[round(p, 2) for p in row] for row in parts.probabilities.tolist()]
    [[1.0, 0.0], [0.5, 0.5]]
    >>> total = parts.aleatoric + parts.encoder + parts.classifier
    >>> bool(torch.allclose(total, parts.total))
    True
    >>> [round(nats, 2) for nats in parts.encoder.tolist()]
    [0.0, 0.23]
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
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Decomposition]) -> Decomposition:
    """The decomposition of all pixels from those of some after others."""
    return Decomposition(
        torch.cat([part.probabilities for part in parts]),
        torch.cat([part.total for part in parts]),
        torch.cat([part.aleatoric for part in parts]),
        torch.cat([part.encoder for part in parts]),
        torch.cat([part.classifier for part in parts]),
        torch.cat([part.weights for part in parts]),
    )
