"""What somebody said of pixels and of latents: labels for the heads to learn from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.latent.mixtures import GaussianMixture
from eels_bayes.latent.noisy_encoder import NoisyEncoder

N_POSTERIOR = 8  # draws of a labelled pixel's latent


class Labelled(NamedTuple):
    """Measured pixels that somebody labelled, m of them, and l labelled latents.

    Attributes
    ----------
    profile : Tensor (m, B)
    level : Tensor (m,)
        As in `Spectra`.
    pixel_names : tuple of str (m,)
        Their classes.
    latent : Tensor (l, D)
    latent_names : tuple of str (l,)
    """

    profile: Tensor
    level: Tensor
    pixel_names: tuple[str, ...]
    latent: Tensor
    latent_names: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Classes of everything."""
        return self.pixel_names + self.latent_names

    def codes(self, class_names: tuple[str, ...]) -> Tensor:
        """Indices (m + l,) of the classes among ``class_names``."""
        return torch.tensor([class_names.index(name) for name in self.names], dtype=torch.int64)

    def joined(self, other: Labelled) -> Labelled:
        """Both together."""
        return Labelled(
            torch.cat([self.profile, other.profile]),
            torch.cat([self.level, other.level]),
            self.pixel_names + other.pixel_names,
            torch.cat([self.latent, other.latent]),
            self.latent_names + other.latent_names,
        )

    def draws(self, encoder: NoisyEncoder) -> Tensor:
        """Latents (m + l, `N_POSTERIOR`, D) along the encoder's axes; drawn the same every time."""
        device = encoder.axes.device
        with torch.no_grad():
            mixture = encoder(self.profile.to(device), self.level.to(device))
        measured = _stratified(GaussianMixture(*(x.cpu() for x in mixture)))
        given = (self.latent @ encoder.axes.cpu()).unsqueeze(1)
        return torch.cat([measured, given.expand(-1, N_POSTERIOR, -1)])


def nothing_labelled(n_bins: int, latent_dim: int) -> Labelled:
    """No label yet."""
    return Labelled(torch.zeros(0, n_bins), torch.zeros(0), (), torch.zeros(0, latent_dim), ())


def _stratified(mixture: GaussianMixture) -> Tensor:
    """Draws (m, `N_POSTERIOR`, D) of mixtures that depend on each row alone, not on its place."""
    generator = torch.Generator().manual_seed(0)
    levels = (torch.arange(N_POSTERIOR) + 0.5) / N_POSTERIOR
    total = mixture.log_weight.exp().cumsum(1)
    which = (total.unsqueeze(1) < levels.view(1, -1, 1)).sum(2).clamp(max=total.shape[1] - 1)
    index = which.unsqueeze(2).expand(-1, -1, mixture.mean.shape[2])
    noise = torch.randn(N_POSTERIOR, mixture.mean.shape[2], generator=generator)
    return mixture.mean.gather(1, index) + mixture.sd.gather(1, index) * noise
