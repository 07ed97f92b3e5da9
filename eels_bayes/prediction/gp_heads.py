"""Heads that read Gaussians in latent space by GPs: classes with both uncertainties, and values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.data.value_range import ANY_VALUE, ValueRange
from eels_bayes.uncertainty.decomposition import Decomposition, entropies
from eels_bayes.uncertainty.packed_gp import GPConstants, PackedGP, pack, place
from eels_bayes.uncertainty.psi_statistics import distinct_moments
from eels_bayes.uncertainty.quadrature import default_nodes, normal_nodes
from eels_bayes.uncertainty.softmax_averages import contrasts, node_averages

# Of a pixel's probability with prior weights of its own: what is averaged over few nodes only.
SMALL_SHARE = 0.05
CHUNK = 256  # Gaussians whose nodes stay in a core's cache


class Gaussians(NamedTuple):
    """The m Gaussians of n pixels' mixtures that are read, pixel by pixel.

    Attributes
    ----------
    weight, pixel : Tensor (m,)
        In which pixel each weighs how much.
    mean, var : Tensor (m, D)
        Along the encoder's axes.
    """

    weight: Tensor
    pixel: Tensor
    mean: Tensor
    var: Tensor


class HeadOutputs(NamedTuple):
    """What heads say of n pixels.

    Attributes
    ----------
    classes : Decomposition
        Class probabilities and the parts of their entropy, nats; its weights are the Gaussians'
        (m,), as the ratio has them.
    each : Tensor (m, K)
        What each Gaussian adds to the class probabilities of its pixel.
    value, value_sd : Tensor (n,)
        Posterior mean and sd of the library's value, its unit; NaN where there is none.
    """

    classes: Decomposition
    each: Tensor
    value: Tensor
    value_sd: Tensor


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
        n_classes = classes.mean.shape[0]
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
        # as few nodes as have the mean and the covariance
        few = normal_nodes(n_classes, n_classes - 1).float()
        self.register_buffer("few_nodes", few, persistent=False)
        self.small_share, self.chunk = SMALL_SHARE, CHUNK
        self.few_nodes: Tensor
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
        # from the moments' entries to the covariances that the decomposition reads
        of_covariance, of_variance = contrasts(n_classes)
        n_moments = len(packed.prior)
        of_moments = torch.zeros(2, n_classes**2, n_moments, dtype=torch.float64)
        of_moments[0].index_add_(1, place(n_classes).flatten(), of_covariance)
        of_moments[1, :, n_classes : 2 * n_classes] = of_variance
        self.register_buffer("contrasts", of_moments.float(), persistent=False)
        # from these to the value's mean, and its variance at a Gaussian's latents
        of_value = torch.zeros(n_moments, 2, dtype=torch.float32)
        if value is not None:  # its mean, variance and the encoder's come last
            of_value[-3:] = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float32)
        self.register_buffer("of_value", of_value, persistent=False)
        self.contrasts: Tensor
        self.of_value: Tensor

    def quick_averages(
        self, logits: Tensor, contrasts: Tensor, read: Gaussians, n: int, ratio: Tensor
    ) -> Tensor:
        """Averages (m, K + 2) as `node_averages` has them, over few nodes where they weigh little.

        Prior weights of their own leave most pixels one or two of the Gaussians.
        """
        rows = node_averages(logits, contrasts, self.few_nodes, self.few_nodes, ratio)
        share = rows.narrow(1, 0, logits.size(1)).sum(1) * read.weight
        of_pixel = share.new_zeros(n).index_add(0, read.pixel, share)
        large = share > self.small_share * of_pixel.index_select(0, read.pixel)
        for chosen in large.nonzero().squeeze(1).split(self.chunk):
            averages = node_averages(
                logits.index_select(0, chosen),
                contrasts.index_select(2, chosen),
                self.encoder_nodes,
                self.classifier_nodes,
                ratio.index_select(0, chosen),
            )
            rows.index_copy_(0, chosen, averages)
        return rows

    def forward(
        self, read: Gaussians, n: int, ratio: Tensor | None, quick: bool = False
    ) -> HeadOutputs:
        """Read n pixels.

        Parameters
        ----------
        read : Gaussians
        n : int
        ratio : Tensor (m, K) or None
            Prior weights of the classes in each Gaussian over those of the fit.
        quick : bool
            Whether Gaussians that weigh little with such a ratio are averaged over few nodes.
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
        logits, contrasts = moments.narrow(1, 0, n_classes), self.contrasts @ moments.t()
        if quick and ratio is not None:
            rows = self.quick_averages(logits, contrasts, read, n, ratio)
        else:
            nodes = self.encoder_nodes, self.classifier_nodes
            rows = node_averages(logits, contrasts, nodes[0], nodes[1], ratio)
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
        whole = of_pixel.narrow(1, 0, n_classes).sum(1, keepdim=True)
        of_pixel = of_pixel / whole
        of_rows = whole.index_select(0, read.pixel)
        each = weighted.narrow(1, 0, n_classes) / of_rows
        evidence = probabilities.sum(1) / of_rows.squeeze(1)
        parts = entropies(of_pixel.narrow(1, 0, n_classes + 2), n_classes, read.weight * evidence)
        if self.has_value:
            center, square = of_pixel.narrow(1, n_classes + 2, 2).unbind(1)
            value = center + self.value_center
            if self.bounded:
                value = value.clamp(self.value_low, self.value_high)
            value_sd = ((square - center * center).clamp(min=0.0) + self.value_noise).sqrt()
        else:
            value = value_sd = torch.full_like(parts.total, float("nan"))
        return HeadOutputs(parts, each, value, value_sd)
