"""Labelled pixels and latents, from which the heads learn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.latent.mixtures import GaussianMixture
from eels_bayes.latent.noisy_encoder import NoisyEncoder

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
