"""Heads that read Gaussians in latent space by GPs: classes with both uncertainties, and values."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.data.value_range import ANY_VALUE, ValueRange
from eels_bayes.uncertainty.decomposition import Decomposition, entropies
from eels_bayes.uncertainty.packed_gp import GPConstants, PackedGP, pack, place
from eels_bayes.uncertainty.psi_statistics import distinct_moments
from eels_bayes.uncertainty.quadrature import default_nodes, few_nodes
from eels_bayes.uncertainty.softmax_averages import (
    SMALLEST,
    contrast_factors,
    contrasts,
    few_node_averages,
    half_variances,
    likely_others,
    node_averages,
)

# Probability of a pixel that a Gaussian may leave to other classes than its likeliest one and be
# averaged over few nodes only, which 98 or 99 of 100 are. On a default series probabilities are
# then off by 0.0001 in the mean (0.00006 by all nodes), and 4e-6 nats are lost at most (dose 10).
DOUBTFUL = 0.02
# Logits by which a component of the forward model speaks against classes that it is not of, where
# the functions are known. By divergence a prediction of white lines loses up to 0.03 nats of what
# the forward model tells with 0, up to 0.008 with 4, 0.002 with 6 and 0.0004 with 8; where that
# model was wrong at high dose (NLL 0.19), a prediction had 0.08, 0.09 and 0.11 with the last three.
CERTAINTY = 6.0
KNOWN = 40.0  # labels that say as much as the library does of a component: chosen, not tuned


class Gaussians(NamedTuple):
    """The m Gaussians of n pixels' mixtures that are read, pixel by pixel.

    Attributes
    ----------
    weight, pixel : Tensor (m,)
        In which pixel each weighs how much.
    mean, var : Tensor (m, D)
        Along the encoder's axes.
    against : Tensor (m, K)
        Logits that speak against each class, as `logits_against` has them for the component
        that the Gaussian belongs to.
    unread : Tensor (n, K)
        What Gaussians that are not read weigh in each pixel, by the class of their component; with
        the ratio, where there is one.
    """

    weight: Tensor
    pixel: Tensor
    mean: Tensor
    var: Tensor
    against: Tensor
    unread: Tensor


class HeadOutputs(NamedTuple):
    """What heads say of n pixels.

    Attributes
    ----------
    classes : Decomposition
        Class probabilities and the parts of their entropy, nats; its weights are the Gaussians'
        (m,), as the ratio has them.
    each : Tensor (m, K)
        What each Gaussian adds to the class probabilities of its pixel.
    whole : Tensor (n, 1)
        Weight of all Gaussians of a pixel, those that are not read included.
    value, value_sd : Tensor (n,)
        Posterior mean and sd of the library's value, its unit; NaN where there is none.
    """

    classes: Decomposition
    each: Tensor
    whole: Tensor
    value: Tensor
    value_sd: Tensor


def logits_against(
    dominant: Tensor, labels: Tensor, certainty: float = CERTAINTY, known: float = KNOWN
) -> Tensor:
    """Logits (C, K) that speak against each class in each component of the forward model.

    A component is of one class by construction, which its Gaussian in latent space shows but
    roughly: where two classes meet, the spread of the latents takes it across. The component
    itself says which of the two it is, as if it had been labelled ``known`` times, and with each
    other class of the library ``known * exp(-certainty)`` times. Of classes that labels alone tell
    of it says nothing.

    Parameters
    ----------
    dominant : Tensor (C, K')
        One where a component is of a class of the library, else zero.
    labels : Tensor (C, K)
        How many labels of each class it has; there are at least as many classes.
    certainty : float
        Logits, without a label.
    known : float
        Labels.
    """
    of_library = labels[:, : dominant.shape[1]]
    own = (known + (of_library * dominant).sum(1, keepdim=True)).log()
    against = (own - (known * math.exp(-certainty) + of_library).log()).clamp(min=0.0)
    against = against * (1.0 - dominant)
    return nn.functional.pad(against, [0, labels.shape[1] - dominant.shape[1]])


def shares_of_classes(dominant: Tensor, labels: Tensor, known: float = KNOWN) -> Tensor:
    """Probabilities (C, K) of the classes in a component by itself; see `logits_against`."""
    others = [0, labels.shape[1] - dominant.shape[1]]
    counts = known * nn.functional.pad(dominant, others) + labels
    return counts / counts.sum(1, keepdim=True)


def summed(rows: Tensor, pixel: Tensor, n: int) -> Tensor:
    """Sums (n, F) of rows (m, F) over the pixels that they belong to; on a GPU in any order."""
    return rows.new_zeros(n, rows.size(1)).index_add(0, pixel, rows)


class GPHeads(nn.Module):
    """Class probabilities with both uncertainties by the GP classifier; the value by its GP.

    Parameters
    ----------
    classes : GPConstants
        Of the K functions of the classifier.
    value : GPConstants or None
        Of one function, where the library has values.
    value_noise : Tensor, scalar
        Variance of the value at a known latent.
    value_range : (low, high)
        What values are possible: the mean is moved to the nearest of them, and so nearer to every
        value that can be true. The sd stays that of the posterior.
    """

    def __init__(
        self,
        classes: GPConstants,
        value: GPConstants | None,
        value_noise: Tensor,
        value_range: ValueRange = ANY_VALUE,
    ):
        super().__init__()
        self.n_classes = n_classes = classes.mean.shape[0]
        self.value_low, self.value_high = value_range
        self.bounded = value_range != ANY_VALUE
        self.has_value = value is not None
        gps = [classes] if value is None else [classes, value]
        for name, gp in zip(("classes", "value"), gps, strict=False):
            for field, tensor in gp._asdict().items():
                # as precise as they are, so that a stored model packs the same
                self.register_buffer(f"{name}_{field}", tensor.double())
        self.register_buffer("value_noise", value_noise.float())
        self.register_buffer(
            "value_center",
            torch.zeros((), dtype=torch.float32) if value is None else value.mean[0].float(),
            persistent=False,
        )
        # Both at once, and in double precision first: the coefficients are differences.
        double = [GPConstants(*(x.double() for x in gp)) for gp in gps]
        if value is not None:
            double[1] = double[1]._replace(mean=torch.zeros_like(double[1].mean))
        packed = pack(double)
        for field, tensor in packed._asdict().items():
            self.register_buffer(f"packed_{field}", tensor.float(), persistent=False)
        for name, nodes in zip(("encoder", "classifier"), default_nodes(n_classes), strict=True):
            self.register_buffer(f"{name}_nodes", nodes.float(), persistent=False)
        few = zip(("few_encoder", "few_classifier"), few_nodes(n_classes), strict=True)
        for name, nodes in few:
            self.register_buffer(f"{name}_nodes", nodes.float(), persistent=False)
        self.doubtful, self.smallest = DOUBTFUL, SMALLEST
        # a softmax at each pair of few nodes: of more than ten classes all nodes take less time
        pairs = len(self.few_encoder_nodes) * len(self.few_classifier_nodes)
        self.few_will_do = pairs * n_classes < len(self.encoder_nodes) * len(self.classifier_nodes)
        self.few_encoder_nodes: Tensor
        self.few_classifier_nodes: Tensor
        self.value_noise: Tensor
        self.value_center: Tensor
        self.encoder_nodes: Tensor
        self.classifier_nodes: Tensor
        self.packed_center: Tensor
        self.packed_per_reach: Tensor
        self.packed_square: Tensor
        self.packed_per_square: Tensor
        self.packed_log_scale: Tensor
        self.packed_first: Tensor
        self.packed_second: Tensor
        self.packed_prior: Tensor
        self.packed_moments: Tensor
        self.packed_least: Tensor
        # logits against a class count as far as its function is known
        self.per_scale = 1.0 / float(classes.outputscale)
        # from the moments' entries to the covariances that the decomposition reads
        of_covariance, of_variance = contrasts(n_classes)
        n_moments = len(packed.prior)
        of_moments = torch.zeros(2, n_classes**2, n_moments, dtype=torch.float64)
        of_moments[0].index_add_(1, place(n_classes).flatten(), of_covariance)
        of_moments[1, :, n_classes : 2 * n_classes] = of_variance
        self.register_buffer("contrasts", of_moments.float(), persistent=False)
        # and to half the variance of every difference of two logits
        self.register_buffer(
            "half_variances", half_variances(of_moments.sum(0)).float(), persistent=False
        )
        # from these to the value's mean, and its variance at a Gaussian's latents
        of_value = torch.zeros(n_moments, 2, dtype=torch.float32)
        if value is not None:  # its mean, variance and the encoder's come last
            of_value[-3:] = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float32)
        self.register_buffer("of_value", of_value, persistent=False)
        self.contrasts: Tensor
        self.half_variances: Tensor
        self.of_value: Tensor

    def averages(
        self, logits: Tensor, moments: Tensor, read: Gaussians, n: int, ratio: Tensor | None
    ) -> Tensor:
        """Averages (m, K + 2) as `node_averages` has them, over few nodes where these will do.

        A component of the forward model is of one class, so that most Gaussians are sure of theirs,
        and of those that are not most weigh little in their pixel.
        """
        n_classes = self.encoder_nodes.size(1) + 1
        few = self.few_encoder_nodes, self.few_classifier_nodes
        factor = contrast_factors(self.contrasts @ moments.t(), n_classes)
        if not self.few_will_do:
            return node_averages(logits, factor, self.encoder_nodes, self.classifier_nodes, ratio)
        rows = few_node_averages(logits, factor, few[0], few[1], ratio)
        half = (self.half_variances @ moments.t()).view(n_classes, n_classes, -1)
        if ratio is None:
            doubt = likely_others(logits, half) * read.weight
        else:
            share = read.weight * rows.narrow(1, 0, n_classes).sum(1)
            whole = share.new_zeros(n).index_add(0, read.pixel, share)
            share = share / whole.index_select(0, read.pixel)
            doubt = likely_others(logits + ratio.clamp(min=self.smallest).log(), half) * share
        chosen = (doubt > self.doubtful).nonzero().squeeze(1)
        if torch.jit.is_scripting() and chosen.numel() == 0:
            return rows
        averages = node_averages(
            logits.index_select(0, chosen),
            factor.index_select(3, chosen),
            self.encoder_nodes,
            self.classifier_nodes,
            ratio if ratio is None else ratio.index_select(0, chosen),
        )
        return rows.index_copy(0, chosen, averages)

    def forward(self, read: Gaussians, n: int, ratio: Tensor | None) -> HeadOutputs:
        """Read n pixels.

        Parameters
        ----------
        read : Gaussians
        n : int
        ratio : Tensor (m, K) or None
            Prior weights of the classes in each Gaussian over those of the fit.
        """
        n_classes = self.encoder_nodes.size(1) + 1
        moments = distinct_moments(
            read.mean,
            read.var,
            PackedGP(
                self.packed_center,
                self.packed_per_reach,
                self.packed_square,
                self.packed_per_square,
                self.packed_log_scale,
                self.packed_first,
                self.packed_second,
                self.packed_prior,
                self.packed_moments,
                self.packed_least,
            ),
        )
        # E[f_c] - against_c (1 - Var[f_c] / s2)
        logits = torch.sub(moments.narrow(1, 0, n_classes), read.against)
        unknown = moments.narrow(1, n_classes, n_classes)
        logits = torch.addcmul(logits, read.against, unknown, value=self.per_scale)
        rows = self.averages(logits, moments, read, n, ratio)
        probabilities = rows.narrow(1, 0, n_classes)
        if self.has_value:
            # from the prior's mean, so that the square is no large number
            center, spread = (moments @ self.of_value).unbind(1)
            value = torch.stack((center, torch.addcmul(spread, center, center)), 1)
            if ratio is not None:
                value = value * probabilities.sum(1, keepdim=True)
            rows = torch.cat((rows, value), 1)
        weighted = rows * read.weight.unsqueeze(1)
        of_pixel = summed(weighted, read.pixel, n)
        of_read = of_pixel.narrow(1, 0, n_classes)
        # what is not read is certain of its class: it adds to no entropy but the total
        classes = of_read + read.unread
        whole = classes.sum(1, keepdim=True)
        of_parts = torch.cat((classes, of_pixel.narrow(1, n_classes, 2)), 1) / whole
        each = weighted.narrow(1, 0, n_classes) / whole.index_select(0, read.pixel)
        parts = entropies(of_parts, n_classes, each.sum(1))
        if self.has_value:
            value = of_pixel.narrow(1, n_classes + 2, 2) / of_read.sum(1, keepdim=True)
            center, square = value.unbind(1)
            value = center + self.value_center
            if self.bounded:
                value = value.clamp(self.value_low, self.value_high)
            value_sd = ((square - center * center).clamp(min=0.0) + self.value_noise).sqrt()
        else:
            value = value_sd = torch.full_like(parts.total, float("nan"))
        return HeadOutputs(parts, each, whole, value, value_sd)
