"""From profiles to every field of a prediction, as one module: what batches and streams share.

profile -> evidence -> r(z | x) -> moments of the GP -> decomposition; value and novelty beside it.
Script-safe, and built from plain tensors alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.latent.mixtures import GaussianMixture, moments
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction import novelty
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.uncertainty.decomposition import Decomposition, contrasts, entropies, node_averages
from eels_bayes.uncertainty.psi_statistics import (
    GPConstants,
    PackedGP,
    distinct_moments,
    pack,
    place,
)
from eels_bayes.uncertainty.quadrature import default_nodes

# Gaussians of less weight in a pixel are not read, and up to twice of it they fade, so that nothing
# jumps where one of them comes or goes. Where they are many, all that is left out weighs at most
# MOST_LEFT_OUT.
LIGHT, MOST_LEFT_OUT = 2e-3, 0.05


class Reading(NamedTuple):
    """All that is said of n pixels; shapes and units as in `Prediction` and `JointPosterior`."""

    probabilities: Tensor
    total: Tensor
    aleatoric: Tensor
    encoder: Tensor
    classifier: Tensor
    novelty: Tensor
    value: Tensor
    value_sd: Tensor
    latent_mean: Tensor
    latent_sd: Tensor
    component_weight: Tensor
    component_mean: Tensor
    component_sd: Tensor


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


class Heads(NamedTuple):
    """What is said of latents.

    Attributes
    ----------
    classes : Decomposition
        Its weights are the Gaussians' (m,), as the ratio has them.
    value, value_sd : Tensor (n,)
    """

    classes: Decomposition
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
    value : GPConstants or None
        Of one function, where the library has values.
    value_noise : Tensor, scalar
        Variance of the value at a known latent.
    """

    def __init__(self, classes: GPConstants, value: GPConstants | None, value_noise: Tensor):
        super().__init__()
        n_classes = classes.mean.shape[0]
        self.has_value = value is not None
        gps = [classes] if value is None else [classes, value]
        for name, gp in zip(("classes", "value"), gps, strict=False):
            for field, tensor in gp._asdict().items():
                # as precise as they are, so that a stored model packs the same
                self.register_buffer(f"{name}_{field}", tensor.double())
        self.register_buffer("value_noise", value_noise.float())
        self.register_buffer(
            "value_center",
            torch.zeros(()) if value is None else value.mean[0].float(),
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
        of_value = torch.zeros(n_moments, 2)
        if value is not None:  # its mean, variance and the encoder's come last
            of_value[-3:] = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        self.register_buffer("of_value", of_value, persistent=False)
        self.contrasts: Tensor
        self.of_value: Tensor

    def forward(self, read: Gaussians, n: int, ratio: Tensor | None) -> Heads:
        """Read n pixels; ``ratio`` (n, K), no other shape, as `decompose` has it."""
        n_classes = self.encoder_nodes.size(1) + 1
        found = distinct_moments(
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
        rows = node_averages(
            found.narrow(1, 0, n_classes),
            self.contrasts @ found.t(),
            self.encoder_nodes,
            self.classifier_nodes,
            None if ratio is None else ratio.index_select(0, read.pixel),
        )
        probabilities = rows.narrow(1, 0, n_classes)
        if self.has_value:
            # from the prior's mean, so that the square is no large number
            center, spread = (found @ self.of_value).unbind(1)
            value = torch.stack((center, torch.addcmul(spread, center, center)), 1)
            if ratio is not None:
                value = value * probabilities.sum(1, keepdim=True)
            rows = torch.cat((rows, value), 1)
        of_pixel = summed(rows * read.weight.unsqueeze(1), read.pixel, n)
        whole = of_pixel.narrow(1, 0, n_classes).sum(1, keepdim=True)
        of_pixel = of_pixel / whole
        evidence = probabilities.sum(1) / whole.squeeze(1).index_select(0, read.pixel)
        parts = entropies(of_pixel.narrow(1, 0, n_classes + 2), n_classes, read.weight * evidence)
        if self.has_value:
            center, square = of_pixel.narrow(1, n_classes + 2, 2).unbind(1)
            value = center + self.value_center
            value_sd = ((square - center * center).clamp(min=0.0) + self.value_noise).sqrt()
        else:
            value = value_sd = torch.full_like(parts.total, float("nan"))
        return Heads(parts, value, value_sd)


class Reader(nn.Module):
    """Read pixels; see the module's head.

    Parameters
    ----------
    encoder : NoisyEncoder
    heads : nn.Module
        From `Gaussians`, the number of pixels n and a ratio (n, K) or None to `Heads`.
    scale : NoveltyScale
    """

    def __init__(self, encoder: NoisyEncoder, heads: nn.Module, scale: NoveltyScale):
        super().__init__()
        self.encoder, self.heads = encoder, heads
        self.light = min(LIGHT, MOST_LEFT_OUT / encoder.n_components)
        self.n_modes = scale.whitening.shape[1]
        for name, tensor in scale._asdict().items():
            self.register_buffer(name, tensor.float())
        self.whitening: Tensor
        self.center: Tensor
        self.table: Tensor

    def forward(
        self, profile: Tensor, level: Tensor, spike: Tensor, ratio: Tensor | None = None
    ) -> Reading:
        """Read usable pixels.

        Parameters
        ----------
        profile : Tensor (n, B)
        level, spike : Tensor (n,)
            All three as in `Spectra`.
        ratio : Tensor (n, K) or (1, K), optional
            Prior weights of the classes over those of the fit, positive.
        """
        found = self.encoder.evidence(profile, level)
        mixture = self.encoder.read(found)
        n, n_components, dim = mixture.mean.size()
        weights = mixture.log_weight.exp()
        at_most = weights
        if ratio is not None:  # which makes no Gaussian heavier than this
            ratio = ratio.expand(n, -1)
            widest = ratio.amax(1, keepdim=True) / ratio.amin(1, keepdim=True)
            at_most = weights * widest
        weights = (weights * (at_most / self.light - 1.0).clamp(0.0, 1.0)).flatten()
        rows = weights.nonzero().squeeze(1)
        read = Gaussians(
            weights.index_select(0, rows),
            torch.div(rows, n_components, rounding_mode="floor"),
            mixture.mean.reshape(-1, dim).index_select(0, rows),
            mixture.sd.reshape(-1, dim).index_select(0, rows).square(),
        )
        heads = self.heads(read, n, ratio)
        parts = heads.classes
        energy = novelty.misfit_energy(found.residual, self.whitening, self.center)
        other = novelty.evidence_ratio(found.unknown, spike, energy, self.n_modes)
        kept = torch.zeros_like(weights).index_copy(0, rows, parts.weights)
        kept = kept.view(n, n_components)
        latent_mean, latent_sd = moments(
            GaussianMixture(kept.log(), mixture.mean, mixture.sd, mixture.axes)
        )
        return Reading(
            parts.probabilities,
            parts.total,
            parts.aleatoric,
            parts.encoder,
            parts.classifier,
            novelty.score(other, NoveltyScale(self.whitening, self.center, self.table)),
            heads.value,
            heads.value_sd,
            latent_mean,
            latent_sd,
            kept,
            mixture.mean,
            mixture.sd,
        )
