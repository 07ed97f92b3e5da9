"""Labelled pixels and latents, from which the heads learn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.latent.mixtures import GaussianMixture
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction.gp_heads import logits_against

# Of expectation-maximisation, cut short: labels of doubtful pixels, of one class alone, would be
# taken for a word against the other class in the end.
N_STEPS = 3
N_POSTERIOR = 8  # draws of a labelled pixel's latent: chosen, not tuned


class Labelled(NamedTuple):
    """m measured pixels and l latents with their classes.

    Attributes
    ----------
    profile : Tensor (m, B)
    level : Tensor (m,)
        Profiles and noise levels as in `Spectra`.
    pixel_names : tuple of str (m,)
        Their classes.
    latent : Tensor (l, D)
        Latents, along the latent's own axes.
    latent_names : tuple of str (l,)
        Their classes.
    """

    profile: Tensor
    level: Tensor
    pixel_names: tuple[str, ...]
    latent: Tensor
    latent_names: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Classes (m + l,) of the pixels, then of the latents."""
        return self.pixel_names + self.latent_names

    def codes(self, class_names: tuple[str, ...]) -> Tensor:
        """Indices (m + l,) of the classes among ``class_names``."""
        return torch.tensor([class_names.index(name) for name in self.names], dtype=torch.int64)

    def joined(self, added: Labelled) -> Labelled:
        """Both together."""
        return Labelled(
            torch.cat([self.profile, added.profile]),
            torch.cat([self.level, added.level]),
            self.pixel_names + added.pixel_names,
            torch.cat([self.latent, added.latent]),
            self.latent_names + added.latent_names,
        )

    def draws(self, encoder: NoisyEncoder, *, n_draws: int = N_POSTERIOR) -> Tensor:
        """Latents (m + l, S, D) along the encoder's axes: S draws, the same every time."""
        device = encoder.axes.device
        with torch.no_grad():
            mixture = encoder(self.profile.to(device), self.level.to(device))
        measured = _stratified(GaussianMixture(*(x.cpu() for x in mixture)), n_draws)
        given = (self.latent @ encoder.axes.cpu()).unsqueeze(1)
        return torch.cat([measured, given.expand(-1, n_draws, -1)])


def labels_of_components(
    labelled: Labelled, encoder: NoisyEncoder, dominant: Tensor, class_names: tuple[str, ...]
) -> Tensor:
    """How many labels of each class each component of the forward model has, (C, K): expected.

    Which component a label is of is told by its pixel, and by the label as far as components are
    of their classes: where a pixel may be of two classes, no label is a word against one of them.
    Labels that go against a component again and again are believed (expectation-maximisation).

    Parameters
    ----------
    labelled : Labelled
    encoder : NoisyEncoder
    dominant : Tensor (C, K')
        As in `logits_against`.
    class_names : tuple of str
        K, those of the library first.

    Returns
    -------
    Tensor
        On the CPU.
    """
    codes, device = labelled.codes(class_names), encoder.axes.device
    labels = torch.zeros(len(dominant), len(class_names), dtype=torch.float32)
    with torch.no_grad():
        profile, level = labelled.profile.to(device), labelled.level.to(device)
        of_pixels = encoder.evidence(profile, level).log_probability.cpu()
    log_probability = torch.cat([of_pixels, _of_latents(labelled.latent, encoder)])
    of_class = torch.nn.functional.one_hot(codes, len(class_names)).float()
    for _ in range(N_STEPS if len(codes) else 0):
        against = logits_against(dominant.cpu(), labels)
        labels = (log_probability - against.T[codes]).softmax(1).T @ of_class
    return labels


def _of_latents(latent: Tensor, encoder: NoisyEncoder) -> Tensor:
    """Log-probabilities (l, C) of the components by latents without noise."""
    evidence = encoder.evidence
    variance = evidence.variance[: encoder.n_components].unsqueeze(2)
    sd = (encoder.spread.square() + (variance * encoder.slope.square()).sum(1)).sqrt()
    density = torch.distributions.Normal(encoder.offset.cpu(), sd.cpu())
    along = (latent @ encoder.axes.cpu()).unsqueeze(1)
    return torch.log_softmax(density.log_prob(along).sum(2) + evidence.log_weight.cpu().float(), 1)


def nothing_labelled(n_bins: int, latent_dim: int) -> Labelled:
    """No label yet."""
    return Labelled(
        torch.zeros(0, n_bins, dtype=torch.float32),
        torch.zeros(0, dtype=torch.float32),
        (),
        torch.zeros(0, latent_dim, dtype=torch.float32),
        (),
    )


def _stratified(mixture: GaussianMixture, n_draws: int) -> Tensor:
    """Draws (m, S, D) of mixtures that depend on each row alone, not on its place."""
    generator = torch.Generator().manual_seed(0)
    levels = (torch.arange(n_draws, dtype=torch.float32) + 0.5) / n_draws
    total = mixture.log_weight.exp().cumsum(1)
    which = (total.unsqueeze(1) < levels.view(1, -1, 1)).sum(2).clamp(max=total.shape[1] - 1)
    index = which.unsqueeze(2).expand(-1, -1, mixture.mean.shape[2])
    noise = torch.randn(n_draws, mixture.mean.shape[2], generator=generator, dtype=torch.float32)
    return mixture.mean.gather(1, index) + mixture.sd.gather(1, index) * noise
