"""From profiles to every field of a prediction, as one module: what batches and streams share.

profile -> evidence -> r(z | x) -> moments of the GP -> decomposition; value and novelty beside it.
Script-safe, and built from plain tensors alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes import novelty
from eels_bayes.nets import GaussianMixture
from eels_bayes.noisy_encoder import NoisyEncoder, moments
from eels_bayes.novelty import NoveltyScale
from eels_bayes.psi import (
    GPConstants,
    PackedGP,
    distinct_moments,
    mixture_moments,
    pack,
    padded,
)
from eels_bayes.uncertainty import Decomposition, contrasts, decompose_contrasts, default_nodes

HEAVIEST = 10  # of the mixture's Gaussians are read; the others weigh nothing beside them


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


class Heads(NamedTuple):
    """What is said of latents: the decomposition, and the value's mean and sd (n,)."""

    classes: Decomposition
    value: Tensor
    value_sd: Tensor


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
        # Both at once, and in double precision first: the coefficients are differences.
        n_inducing = max(gp.inducing.shape[0] for gp in gps)
        double = [GPConstants(*(x.double() for x in gp)) for gp in gps]
        packed = pack([padded(gp, n_inducing, n_classes) for gp in double])
        for field, tensor in packed._asdict().items():
            whole = tensor if tensor.dtype == torch.int64 else tensor.float()
            self.register_buffer(f"packed_{field}", whole, persistent=False)
        for name, nodes in zip(("encoder", "classifier"), default_nodes(n_classes), strict=True):
            self.register_buffer(f"{name}_nodes", nodes.float(), persistent=False)
        self.value_noise: Tensor
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
        self.packed_expected: Tensor
        self.packed_spread: Tensor
        self.packed_least: Tensor
        self.packed_place: Tensor
        # from the moments' entries to the covariances that the decomposition reads
        of_covariance, of_variance = contrasts(n_classes)
        of_moments = torch.zeros(2, packed.prior.size(2), n_classes**2, dtype=torch.float64)
        of_moments[0].index_add_(0, packed.place.flatten(), of_covariance)
        of_moments[1, n_classes : 2 * n_classes] = of_variance
        self.register_buffer("contrasts", of_moments.float(), persistent=False)
        self.contrasts: Tensor

    def forward(self, weights: Tensor, mean: Tensor, var: Tensor, ratio: Tensor | None) -> Heads:
        """Read mixtures (n, R), (n, R, D); ``ratio`` as `decompose` has it."""
        n_classes = self.packed_place.size(0)
        found = distinct_moments(
            mean.flatten(0, 1),
            var.flatten(0, 1),
            PackedGP(
                self.packed_center,
                self.packed_per_reach,
                self.packed_square,
                self.packed_per_square,
                self.packed_log_scale,
                self.packed_first,
                self.packed_second,
                self.packed_prior,
                self.packed_expected,
                self.packed_spread,
                self.packed_least,
                self.packed_place,
            ),
        )
        classes = found[0]
        parts = decompose_contrasts(
            weights,
            classes.narrow(1, 0, n_classes),
            classes @ self.contrasts,
            self.encoder_nodes,
            self.classifier_nodes,
            ratio,
        )
        if self.has_value:
            one = found[1]
            value, value_var = mixture_moments(
                parts.weights,
                one.narrow(1, 0, 1),
                one.narrow(1, n_classes, 1) + one.narrow(1, 2 * n_classes, 1),
            )
            value_sd = (value_var + self.value_noise).clamp(min=0.0).sqrt()
        else:
            value = value_sd = torch.full_like(parts.total, float("nan"))
        return Heads(parts, value, value_sd)


class Reader(nn.Module):
    """Read pixels; see the module's head.

    Parameters
    ----------
    encoder : NoisyEncoder
    heads : nn.Module
        From mixtures of latents to `Heads`.
    scale : NoveltyScale
    """

    def __init__(self, encoder: NoisyEncoder, heads: nn.Module, scale: NoveltyScale):
        super().__init__()
        self.encoder, self.heads = encoder, heads
        self.n_read = min(HEAVIEST, encoder.n_components)  # scripting sees no globals
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
            Prior weights of the classes over those of the fit.
        """
        found = self.encoder.evidence(profile, level)
        mixture = self.encoder.read(found)
        log_weight, which = mixture.log_weight.topk(self.n_read, dim=1)
        weights = torch.softmax(log_weight, 1)
        index = which.unsqueeze(2).expand(-1, -1, mixture.mean.size(2))
        mean = mixture.mean.gather(1, index)
        var = mixture.sd.gather(1, index).square()
        heads = self.heads(weights, mean, var, ratio)
        parts = heads.classes
        energy = novelty.misfit_energy(found.residual, self.whitening, self.center)
        other = novelty.evidence_ratio(found.unknown, spike, energy, self.n_modes)
        sd = var.sqrt()
        latent_mean, latent_sd = moments(
            GaussianMixture(parts.weights.log(), mean, sd, mixture.axes)
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
            parts.weights,
            mean,
            sd,
        )
