"""The noisy encoder r(z | x): neural posterior estimation of the latent from single-pixel spectra.

Fitted by maximum likelihood to draws z ~ q(z | clean) for matched (clean, noisy) pairs
(Papamakarios and Murray, NeurIPS 2016), so its spread is the posterior's, not a regression's error:
it grows as the dose falls. A mixture of diagonal Gaussians, because at single-pixel noise several
classes explain one spectrum. It reads the forward model's evidence, not the raw spectrum: what a
network would have to learn about Poisson noise and continua is known there in closed form, and the
network need only learn how the latent goes with it, and what is not linear or Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from eels_bayes.evidence import PixelEvidence
from eels_bayes.fit import FitState, Schedule, fit
from eels_bayes.nets import GaussianMixture, MixtureEncoder
from eels_bayes.reinsertion import Clean, Pairs, Reinsertion
from eels_bayes.vae import SpectrumVAE

N_COMPONENTS = 8
BATCH = 256
POOL = 25 * BATCH  # pairs drawn at a time: large batches make drawing efficient
REUSE = 2  # passes over them
N_VALIDATION = 4096
# Doses are spread a little beyond the data's (sd of the logarithm), so that one model also serves
# thinner and thicker places.
DOSE_SPREAD = 0.35
NONE_SHARE = 0.03  # pairs decoded from N(0, I): structures that are none of the fingerprints
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
        _, _, n_mixed, n_window = evidence.sizes
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

    def features(self, profile: Tensor, level: Tensor) -> Tensor:
        """Evidence as features (n, F) of comparable size."""
        return ((self._raw(profile, level) - self.center) / self.width).clamp(-8.0, 8.0)

    def _raw(self, profile: Tensor, level: Tensor) -> Tensor:
        found = self.evidence(profile, level)
        log_probability = found.log_probability.clamp(min=self.least_log)
        noise = found.noise.log().unsqueeze(1)
        return torch.cat([log_probability, log_probability.exp(), found.clean, noise], dim=1)

    def standardise(self, profile: Tensor, level: Tensor, z: Tensor) -> None:
        """Set the features' center and width and the latents' axes from a first batch."""
        with torch.no_grad():
            features = self._raw(profile, level)
        self.center, self.width = features.mean(0), features.std(0).clamp_min(1e-3)
        _, axes = torch.linalg.eigh(torch.cov(z.double().T))
        # signs are arbitrary: fix them, so that every machine finds the same axes
        flip = torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True)))
        self.axes = (axes * flip).flip(1).to(self.axes)

    def forward(self, profile: Tensor, level: Tensor) -> GaussianMixture:
        """Posterior of the latent; (n, B) and (n,) -> see GaussianMixture."""
        return self.mixture(self.features(profile, level))

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


def draw_edges(
    vae: SpectrumVAE, reinsertion: Reinsertion, n: int, rng: np.random.Generator
) -> Clean:
    """Edges to put back; a few are decoded from N(0, I): of no class, shares and values NaN."""
    clean = reinsertion.edges(n, rng)
    none = rng.random(n) < NONE_SHARE
    z = torch.as_tensor(rng.standard_normal((int(none.sum()), vae.latent_dim)))
    with torch.no_grad():
        clean.spectra[none] = vae.decode(z.float().to(vae.log_b.device)).cpu().numpy()
    clean.fractions[none] = np.nan
    if clean.values is not None:
        clean.values[none] = np.nan
    return clean


def draw_doses(n: int, rng: np.random.Generator) -> np.ndarray:
    """Doses (n,) relative to the data's."""
    return np.exp(DOSE_SPREAD * rng.standard_normal(n))


def draw_pairs(
    vae: SpectrumVAE, reinsertion: Reinsertion, n: int, rng: np.random.Generator
) -> tuple[Pairs, Tensor]:
    """n pairs and latents z ~ q(z | clean)."""
    edge = draw_edges(vae, reinsertion, n, rng).spectra
    pairs = reinsertion.draw(n, rng, edge=edge, dose=draw_doses(n, rng))
    with torch.no_grad():
        mean, sd = vae.encode(pairs.clean.to(vae.log_b.device))
    noise = torch.as_tensor(rng.standard_normal(mean.shape), dtype=mean.dtype)
    return pairs, mean.cpu() + sd.cpu() * noise


def fit_noisy_encoder(
    vae: SpectrumVAE,
    reinsertion: Reinsertion,
    schedule: Schedule,
    state: FitState,
    *,
    encoder: NoisyEncoder,
    seed: int = 0,
    show_progressbar: bool = True,
) -> FitState:
    """Fit ``encoder`` in place to endless fresh pairs; see the module's head.

    Parameters
    ----------
    vae : SpectrumVAE
        Trained; not changed.
    reinsertion : Reinsertion
    schedule, state
        As :func:`eels_bayes.fit.fit` takes them.
    seed : int
        Of the pairs and of everything random in training.
    """
    vae.eval()
    device = next(encoder.parameters()).device
    rng = np.random.default_rng(seed)
    held_out, held_out_z = draw_pairs(vae, reinsertion, N_VALIDATION, rng)
    if state.epoch == 0:
        encoder.standardise(held_out.profile.to(device), held_out.level.to(device), held_out_z)
    with torch.no_grad():
        held_out_x = encoder.features(held_out.profile.to(device), held_out.level.to(device))

    def loss(features: Tensor, z: Tensor) -> Tensor:
        return -log_density(encoder.mixture(features), z.to(device)).mean()

    def batches(generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
            pairs, z = draw_pairs(vae, reinsertion, POOL, rng)
            with torch.no_grad():
                features = encoder.features(pairs.profile.to(device), pairs.level.to(device))
            for _ in range(REUSE):
                for rows in torch.as_tensor(rng.permutation(POOL)).split(BATCH):
                    yield features[rows], z[rows]

    stream: dict[int, Iterator[tuple[Tensor, Tensor]]] = {}

    def training_loss(generator: torch.Generator) -> Tensor:
        if state.epoch not in stream:  # afresh in every epoch, so that a resumed one repeats itself
            stream.clear()
            stream[state.epoch] = batches(generator)
        return loss(*next(stream[state.epoch]))

    validation: Callable[[], Tensor] = lambda: loss(held_out_x, held_out_z)  # noqa: E731
    return fit(
        encoder,
        training_loss,
        validation,
        schedule,
        state,
        seed=seed + 1,
        description="noisy encoder",
        show_progressbar=show_progressbar,
    )
