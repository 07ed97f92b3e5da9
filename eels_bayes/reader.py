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
from eels_bayes.psi import GPConstants, Moments, PackedGP, mixture_moments, pack, packed_moments
from eels_bayes.uncertainty import Decomposition, decompose, default_nodes

HEAVIEST = 4  # of the mixture's Gaussians are read; the others weigh nothing beside them


class Reading(NamedTuple):
    """All that networks say of n pixels; shapes and units as in `Prediction`."""

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


class GPHead(nn.Module):
    """A trained sparse GP ready to be read, in single precision."""

    def __init__(self, constants: GPConstants):
        super().__init__()
        for name, tensor in constants._asdict().items():
            self.register_buffer(name, tensor.float())
        # in double precision first: the coefficients are differences
        for name, tensor in pack(GPConstants(*(x.double() for x in constants)))._asdict().items():
            whole = tensor if tensor.dtype == torch.int64 else tensor.float()
            self.register_buffer(f"packed_{name}", whole, persistent=False)
        self.packed_center: Tensor
        self.packed_reach: Tensor
        self.packed_first: Tensor
        self.packed_second: Tensor
        self.packed_log_scale: Tensor
        self.packed_mean: Tensor
        self.packed_outputscale: Tensor
        self.packed_expected: Tensor
        self.packed_spread: Tensor
        self.packed_place: Tensor

    def forward(self, mean: Tensor, var: Tensor) -> Moments:
        """Moments of its functions at Gaussian latents (n, D)."""
        return packed_moments(
            mean,
            var,
            PackedGP(
                self.packed_center,
                self.packed_reach,
                self.packed_first,
                self.packed_second,
                self.packed_log_scale,
                self.packed_mean,
                self.packed_outputscale,
                self.packed_expected,
                self.packed_spread,
                self.packed_place,
            ),
        )


class GPClasses(nn.Module):
    """Class probabilities with both uncertainties, by the GP."""

    def __init__(self, constants: GPConstants):
        super().__init__()
        self.gp = GPHead(constants)
        encoder_nodes, classifier_nodes = default_nodes(constants.mean.shape[0])
        self.register_buffer("encoder_nodes", encoder_nodes.float(), persistent=False)
        self.register_buffer("classifier_nodes", classifier_nodes.float(), persistent=False)
        self.encoder_nodes: Tensor
        self.classifier_nodes: Tensor

    def forward(
        self, weights: Tensor, mean: Tensor, var: Tensor, ratio: Tensor | None
    ) -> Decomposition:
        """Decomposition for mixtures (n, R), (n, R, D); ``ratio`` as `decompose` has it."""
        found = self.gp(mean.flatten(0, 1), var.flatten(0, 1))
        n, n_components, n_classes = mean.size(0), mean.size(1), found.mean.size(1)
        return decompose(
            weights,
            found.mean.view(n, n_components, n_classes),
            found.cov_encoder.view(n, n_components, n_classes, n_classes),
            found.var_classifier.view(n, n_components, n_classes),
            self.encoder_nodes,
            self.classifier_nodes,
            ratio,
        )


class Reader(nn.Module):
    """Read pixels; see the module's head.

    Parameters
    ----------
    encoder : NoisyEncoder
    classes : nn.Module
        From mixtures of latents to a `Decomposition`.
    value : GPConstants or None
        Regression of the library's value, where it has one.
    value_noise : Tensor, scalar
        Variance of the value at a known latent.
    scale : NoveltyScale
    """

    def __init__(
        self,
        encoder: NoisyEncoder,
        classes: nn.Module,
        value: GPConstants | None,
        value_noise: Tensor,
        scale: NoveltyScale,
    ):
        super().__init__()
        self.encoder, self.classes = encoder, classes
        self.value = None if value is None else GPHead(value)
        self.n_read = min(HEAVIEST, encoder.net.n_components)  # scripting sees no globals
        self.n_modes = scale.whitening.shape[1]
        self.register_buffer("value_noise", value_noise.float())
        for name, tensor in scale._asdict().items():
            self.register_buffer(name, tensor.float())
        self.value_noise: Tensor
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
        parts = self.classes(weights, mean, var, ratio)
        weights = parts.weights
        if self.value is not None:
            value, value_var = mixture_moments(
                weights, self.value(mean.flatten(0, 1), var.flatten(0, 1))
            )
            value_sd = (value_var + self.value_noise).clamp(min=0.0).sqrt()
        else:
            value = value_sd = torch.full_like(parts.total, float("nan"))
        energy = novelty.misfit_energy(found.residual, self.whitening, self.center)
        other = novelty.evidence_ratio(found.unknown, spike, energy, self.n_modes)
        latent_mean, latent_sd = moments(
            GaussianMixture(weights.log(), mean, var.sqrt(), mixture.axes)
        )
        return Reading(
            parts.probabilities,
            parts.total,
            parts.aleatoric,
            parts.encoder,
            parts.classifier,
            novelty.score(other, NoveltyScale(self.whitening, self.center, self.table)),
            value,
            value_sd,
            latent_mean,
            latent_sd,
        )
