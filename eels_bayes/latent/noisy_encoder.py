"""The noisy encoder r(z | x): from a pixel's evidence to a mixture of Gaussians. Script-safe.

One Gaussian for each component of the forward model, because at single-pixel noise several classes
explain one spectrum. Given a component, a pixel's deviations g from its center along its principal
axes are Gaussian with a mean and variance that `pixel_posterior` knows at the pixel's own noise.
Within one component the clean spectrum hardly bends the VAE's encoder, so that

    z = offset_c + slope_c' g + e,    e ~ N(0, spread_c^2),

and r(z | x) follows in closed form, for any dose. `noisy_encoder_fit` finds the three.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eels_bayes.forward_model.pixel_posterior import Evidence, PixelEvidence
from eels_bayes.latent.mixtures import GaussianMixture

# nats about the structure, below which an axis of the latents is noise. A VAE leaves 0.06 to 0.1 in
# axes without which classes are told apart as well, and doubt is smaller.
LEAST_INFORMATION = 0.1


class NoisyEncoder(nn.Module):
    """Profiles and their noise level -> mixture of R = C diagonal Gaussians over z.

    Parameters
    ----------
    evidence : PixelEvidence
        Of the fitted forward model, with C components and S axes of each.
    latent_dim : int
        D. The buffers mean nothing until `fit_noisy_encoder` or ``load_state_dict`` fills them.
    """

    def __init__(self, evidence: PixelEvidence, latent_dim: int):
        super().__init__()
        _, n_span, n_components, *_ = evidence.sizes
        self.evidence = evidence
        self.latent_dim, self.n_components = latent_dim, n_components
        # Structures vary along few directions: Gaussians that are diagonal along these follow them
        # where those along the latent's own axes cannot.
        self.register_buffer("axes", torch.eye(latent_dim, dtype=torch.float32))
        self.register_buffer("offset", torch.zeros(n_components, latent_dim, dtype=torch.float32))
        self.register_buffer(
            "slope", torch.zeros(n_components, n_span, latent_dim, dtype=torch.float32)
        )
        self.register_buffer("spread", torch.ones(n_components, latent_dim, dtype=torch.float32))
        self.axes: Tensor
        self.offset: Tensor
        self.slope: Tensor
        self.spread: Tensor

    def forward(self, profile: Tensor, level: Tensor) -> GaussianMixture:
        """Posterior of the latent; (n, B) and (n,) -> see GaussianMixture."""
        return self.read(self.evidence(profile, level))

    def read(self, evidence: Evidence) -> GaussianMixture:
        """Posterior of the latent from the evidence of n pixels."""
        prior = self.evidence.variance.narrow(0, 0, self.n_components).unsqueeze(2)  # (C, S, 1)
        of_prior = prior * self.slope
        mean = torch.bmm(evidence.factor.transpose(0, 1), of_prior)  # (C, n, D)
        # of what noise hides, over the noise
        hidden = torch.bmm(evidence.shrink.transpose(0, 1), of_prior * self.slope)
        noise = evidence.noise.view(-1, 1, 1)
        return GaussianMixture(
            evidence.log_probability,
            mean.transpose(0, 1) + self.offset,
            torch.addcmul(self.spread.square(), hidden.transpose(0, 1), noise).sqrt(),
            self.axes,
        )

    def read_some(self, profile: Tensor, level: Tensor, wanted: Tensor) -> GaussianMixture:
        """As `forward`, of those components that are wanted, (n, C) of bool; others are zeros.

        The evidence is not known then: nor are the weights, which are NaN.
        """
        evidence, dim = self.evidence, self.latent_dim
        along, noise = evidence.along(profile, level)
        mean, var = (along.new_zeros(len(along), self.n_components, dim) for _ in range(2))
        for c in range(self.n_components):
            rows = wanted[:, c].nonzero().squeeze(1)
            if len(rows) == 0:
                continue
            factor, shrink = evidence.of_component(along[rows], noise[rows], c)
            of_prior = evidence.variance[c].unsqueeze(1) * self.slope[c]
            hidden = shrink @ (of_prior * self.slope[c])
            mean[rows, c] = torch.addmm(self.offset[c], factor, of_prior)
            var[rows, c] = torch.addcmul(self.spread[c].square(), hidden, noise[rows, None])
        unknown = torch.full_like(mean[:, :, 0], torch.nan)
        return GaussianMixture(unknown, mean, var.sqrt(), self.axes)


def active_axes(encoder: NoisyEncoder) -> int:
    """How many of the leading axes tell structures apart; at least one.

    Along axes of less than `LEAST_INFORMATION` latents are noise; a trained VAE leaves most of its
    axes so.
    """
    active = (information(encoder) > LEAST_INFORMATION).nonzero()
    return int(active.max()) + 1 if len(active) else 1


def information(encoder: NoisyEncoder) -> Tensor:
    """What a latent tells of structures along each axis (D,), at most, of spectra without noise.

    Nats. It is that of Gaussians of the same variances: by how far they lie apart, and by how
    differently wide they are.
    """
    evidence = encoder.evidence
    weight = evidence.log_weight.double().softmax(0).unsqueeze(1)  # (C, 1)
    offset, slope = encoder.offset.double(), encoder.slope.double()
    center = (weight * offset).sum(0)
    prior = evidence.variance.narrow(0, 0, encoder.n_components).double().unsqueeze(2)
    motion = (weight * ((offset - center).square() + (slope.square() * prior).sum(1))).sum(0)
    var = encoder.spread.double().square()
    whole = motion + (weight * var).sum(0)
    return 0.5 * (whole.log() - (weight * var.log()).sum(0))
