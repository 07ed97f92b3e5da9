"""The noisy encoder r(z | x): from a pixel's evidence to a mixture of Gaussians. Script-safe.

A mixture of diagonal Gaussians, because at single-pixel noise several classes explain one spectrum.
It reads the forward model's evidence, not the raw spectrum: what a network would have to learn
about Poisson noise and continua is known there in closed form, and the network need only learn how
the latent goes with it, and what is not linear or Gaussian. `encoder_training` fits it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eels_bayes.evidence import Evidence, PixelEvidence
from eels_bayes.nets import GaussianMixture, MixtureEncoder

N_COMPONENTS = 8
LEAST_LOG = -12.0  # log-probabilities below are all the same


class NoisyEncoder(nn.Module):
    """Profiles and their noise level -> mixture of R diagonal Gaussians over z.

    Parameters
    ----------
    evidence : PixelEvidence
        Of the fitted forward model; not trained.
    latent_dim, n_components : int
        D, R.
    """

    def __init__(self, evidence: PixelEvidence, latent_dim: int, n_components: int = N_COMPONENTS):
        super().__init__()
        *_, n_mixed, n_window = evidence.sizes
        n_features = 2 * n_mixed + n_window + 1
        self.least_log = LEAST_LOG  # scripting sees no globals
        self.evidence = evidence
        self.net = MixtureEncoder(n_features, latent_dim, n_components)
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("width", torch.ones(n_features))
        # Structures vary along few directions, bent ones at that: Gaussians that are diagonal along
        # the latents' principal axes follow them where those along the latent's own cannot.
        self.register_buffer("axes", torch.eye(latent_dim))
        self.center: Tensor
        self.width: Tensor
        self.axes: Tensor

    def features(self, found: Evidence) -> Tensor:
        """Evidence as features (n, F) of comparable size."""
        return ((self._raw(found) - self.center) / self.width).clamp(-8.0, 8.0)

    def _raw(self, found: Evidence) -> Tensor:
        log_probability = found.log_probability.clamp(min=self.least_log)
        noise = found.noise.log().unsqueeze(1)
        return torch.cat([log_probability, log_probability.exp(), found.clean, noise], dim=1)

    def standardise(self, profile: Tensor, level: Tensor, z: Tensor) -> None:
        """Set the features' center and width and the latents' axes from a first batch."""
        with torch.no_grad():
            features = self._raw(self.evidence(profile, level))
        self.center, self.width = features.mean(0), features.std(0).clamp_min(1e-3)
        _, axes = torch.linalg.eigh(torch.cov(z.double().T))
        # signs are arbitrary: fix them, so that every machine finds the same axes
        flip = torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True)))
        self.axes = (axes * flip).flip(1).to(self.axes)

    def forward(self, profile: Tensor, level: Tensor) -> GaussianMixture:
        """Posterior of the latent; (n, B) and (n,) -> see GaussianMixture."""
        return self.read(self.evidence(profile, level))

    def read(self, found: Evidence) -> GaussianMixture:
        """Posterior of the latent from the evidence of n pixels."""
        return self.mixture(self.features(found))

    def mixture(self, features: Tensor) -> GaussianMixture:
        """Posterior from features (n, F)."""
        log_weight, mean, sd = self.net(features)
        return GaussianMixture(log_weight, mean, sd, self.axes)


def log_density(mixture: GaussianMixture, z: Tensor) -> Tensor:
    """Log-density (n,) of latents z (n, D) under row-wise mixtures."""
    gaussian = torch.distributions.Normal(mixture.mean, mixture.sd, validate_args=False)
    component = gaussian.log_prob((z @ mixture.axes).unsqueeze(1)).sum(-1)
    return torch.logsumexp(mixture.log_weight + component, dim=1)


def moments(mixture: GaussianMixture) -> tuple[Tensor, Tensor]:
    """Mean and sd (n, D) of latents under row-wise mixtures."""
    weight = mixture.log_weight.exp().unsqueeze(-1)
    mean = (weight * mixture.mean).sum(1)
    # Around the mean: the difference of second moments cancels where the sd is small.
    centred = (mixture.mean - mean.unsqueeze(1)) @ mixture.axes.T
    var = mixture.sd**2 @ (mixture.axes**2).T + centred**2
    return mean @ mixture.axes.T, (weight * var).sum(1).sqrt()


def draw(mixture: GaussianMixture, n_draws: int, generator: torch.Generator) -> Tensor:
    """Draws (n, n_draws, D) from row-wise mixtures."""
    weight = mixture.log_weight.exp().cpu()
    which = torch.multinomial(weight, n_draws, replacement=True, generator=generator)
    index = which.to(mixture.mean.device).unsqueeze(-1).expand(-1, -1, mixture.mean.shape[-1])
    noise = torch.randn(index.shape, generator=generator).to(mixture.mean)
    drawn = mixture.mean.gather(1, index) + mixture.sd.gather(1, index) * noise
    return drawn @ mixture.axes.T
