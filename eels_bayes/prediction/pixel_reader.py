"""From profiles to every field of a prediction, as one module: what batches and streams share.

profile -> evidence -> r(z | x) -> moments of the GP -> decomposition; value and novelty beside it.
Script-safe, and built from plain tensors alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.forward_model.pixel_posterior import Evidence
from eels_bayes.latent.mixtures import GaussianMixture, moments
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction import novelty
from eels_bayes.prediction.gp_heads import Gaussians, logits_against, shares_of_classes
from eels_bayes.prediction.novelty import NoveltyScale

# Weight of a Gaussian in a pixel below which it is not read; up to twice of it Gaussians fade, so
# that nothing jumps where one of them comes or goes.
LIGHT = 2e-3
MOST_LEFT_OUT = 0.05  # weight in a pixel of all Gaussians that are not read, where they are many
# Probability of other classes than the one that dominates a component, as far as it decides which
# Gaussians are read; of 0.2 no score changed, and one Gaussian more was read in five.
OTHERWISE = 0.05


class Reading(NamedTuple):
    """All that is said of n pixels.

    Shapes and units are those of the fields of the same name in `Prediction`; ``component_weight``
    (n, R), ``component_mean`` and ``component_sd`` (n, R, D) are those of `JointPosterior`;
    ``component_classes`` (n, R, K) is what each Gaussian adds to the class probabilities.
    """

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
    component_classes: Tensor


def unanswered(reading: Reading, has_value: bool) -> Tensor:
    """Whether what is said of each of n pixels is not finite, so that nothing may be made of it.

    The parts of the entropy are left out, which are NaN where heads do not know them.

    Parameters
    ----------
    reading : Reading
    has_value : bool
        Whether the heads say something of the value.

    Returns
    -------
    Tensor (n,) of bool
    """
    sum_of_all = reading.probabilities.sum(1) + reading.total + reading.novelty
    if has_value:
        sum_of_all = sum_of_all + reading.value + reading.value_sd
    return sum_of_all - sum_of_all != 0


class Reader(nn.Module):
    """Read pixels: from profiles to all that is said of them.

    Parameters
    ----------
    encoder : NoisyEncoder
        Gives the latents' posterior.
    heads : nn.Module
        From `Gaussians`, the number of pixels n and their ratio (m, K) or None to
        `HeadOutputs`. Its ``n_classes`` is K.
    scale : NoveltyScale
        Of the novelty.
    labels : Tensor (C, K), optional
        How many labels of each class each component has; none if left out.
    """

    def __init__(
        self,
        encoder: NoisyEncoder,
        heads: nn.Module,
        scale: NoveltyScale,
        labels: Tensor | None = None,
    ):
        super().__init__()
        self.encoder, self.heads = encoder, heads
        self.light = min(LIGHT, MOST_LEFT_OUT / encoder.n_components)
        self.otherwise = OTHERWISE
        for name, tensor in scale._asdict().items():
            self.register_buffer(name, tensor.float())
        n_classes: Any = heads.n_classes
        dominant = scale.dominant.float()
        if labels is None:
            labels = dominant.new_zeros(len(dominant), n_classes)
        self.register_buffer("labels", labels)
        self.register_buffer("against", logits_against(dominant, labels), persistent=False)
        self.register_buffer("of_class", shares_of_classes(dominant, labels), persistent=False)
        self.whitening: Tensor
        self.center: Tensor
        self.usual: Tensor
        self.scatter: Tensor
        self.table: Tensor
        self.dominant: Tensor
        self.against: Tensor
        self.of_class: Tensor

    def forward(
        self, profile: Tensor, level: Tensor, spike: Tensor, ratio: Tensor | None = None
    ) -> Reading:
        """Read usable pixels.

        Parameters
        ----------
        profile : Tensor (n, B)
        level, spike : Tensor (n,)
            All three as in `Spectra`.
        ratio : Tensor (n or 1, R or 1, K), optional
            Prior weights of the classes, in each component, over those of the fit; positive.

        Returns
        -------
        Reading
        """
        return self.read(self.encoder.evidence(profile, level), spike, ratio)

    def read(self, evidence: Evidence, spike: Tensor, ratio: Tensor | None = None) -> Reading:
        """Read pixels by what the forward model says of them; otherwise as `forward`."""
        mixture = self.encoder.read(evidence)
        component = evidence.log_probability.exp()
        scale = NoveltyScale(
            self.whitening, self.center, self.usual, self.scatter, self.table, self.dominant
        )
        new = novelty.of_pixels(evidence.residual, evidence.unknown, spike, component, scale)
        heavy = self.heavy(component, ratio, self.light)
        return self.of_mixture(component, heavy, mixture, new, ratio)

    def heavy(self, component: Tensor, ratio: Tensor | None, light: float) -> Tensor:
        """Probabilities (n, R) of components, 0 of those whose Gaussians are too light to be read.

        With a ratio a component weighs about as much more as its classes do.
        """
        likely = component
        if ratio is not None:
            n_classes = ratio.size(2)
            others = [0, n_classes - self.dominant.size(1)]  # those that heads alone know
            mostly = nn.functional.pad(self.dominant, others) * (1.0 - self.otherwise)
            likely = component * (ratio * (mostly + self.otherwise / n_classes)).sum(2)
            likely = likely / likely.sum(1, keepdim=True)
        return component * (likely / light - 1.0).clamp(0.0, 1.0)

    def of_mixture(
        self,
        component: Tensor,
        weights: Tensor,
        mixture: GaussianMixture,
        new: Tensor,
        ratio: Tensor | None,
    ) -> Reading:
        """Read pixels by the Gaussians of their latents, of novelty ``new`` (n,).

        Of components' probabilities (n, R) so much is read as ``weights`` (n, R) say.
        """
        n, n_components, dim = mixture.mean.size()
        unread = (component - weights).unsqueeze(2) * self.of_class
        if ratio is not None:
            unread = unread * ratio
        weights = weights.flatten()
        rows = weights.nonzero().squeeze(1)
        pixel = torch.div(rows, n_components, rounding_mode="floor")
        of_component = torch.sub(rows, pixel, alpha=n_components)
        read = Gaussians(
            weights.index_select(0, rows),
            pixel,
            mixture.mean.reshape(-1, dim).index_select(0, rows),
            mixture.sd.reshape(-1, dim).index_select(0, rows).square(),
            self.against.index_select(0, of_component),
            unread.sum(1),
        )
        if ratio is not None:
            ratio = ratio.expand(n, n_components, -1).flatten(0, 1).index_select(0, rows)
        outputs = self.heads(read, n, ratio)
        parts = outputs.classes
        # normalised as what is read
        each = (unread / outputs.whole.unsqueeze(2)).flatten(0, 1)
        each = each.index_add(0, rows, outputs.each).view_as(unread)
        kept = each.sum(2)
        of_read = torch.zeros_like(weights).index_copy(0, rows, parts.weights).view_as(kept)
        of_read = of_read / of_read.sum(1, keepdim=True)
        latent_mean, latent_sd = moments(
            GaussianMixture(of_read.log(), mixture.mean, mixture.sd, mixture.axes)
        )
        return Reading(
            parts.probabilities,
            parts.total,
            parts.aleatoric,
            parts.encoder,
            parts.classifier,
            new,
            outputs.value,
            outputs.value_sd,
            latent_mean,
            latent_sd,
            kept,
            mixture.mean,
            mixture.sd,
            each,
        )
