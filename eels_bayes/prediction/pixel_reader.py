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
from eels_bayes.prediction.gp_heads import Gaussians
from eels_bayes.prediction.novelty import NoveltyScale

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
