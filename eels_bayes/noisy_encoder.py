"""The noisy encoder r(z | x): neural posterior estimation of the latent from single-pixel spectra.

Fitted by maximum likelihood to draws z ~ q(z | clean) for matched (clean, noisy) pairs
(Papamakarios and Murray, NeurIPS 2016), so its spread is the posterior's, not a regression's error:
it grows as the dose falls. A mixture of diagonal Gaussians, because at single-pixel noise several
classes explain one spectrum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from eels_bayes.fit import FitState, Schedule, fit
from eels_bayes.nets import GaussianMixture, MixtureEncoder
from eels_bayes.preprocess import Edges
from eels_bayes.reinsertion import Pairs, Reinsertion
from eels_bayes.vae import SpectrumVAE

N_COMPONENTS = 8
SPIKE = 20.0  # signal over noise of a channel above which it counts by its logarithm only
N_FIXED = 3  # features beside the pre-edge residuals: noise level and background
BATCH = 256
POOL = 25 * BATCH  # pairs drawn at a time: large batches make the preprocessing efficient
REUSE = 2  # passes over them: drawing costs as much as training
N_VALIDATION = 4096
# Doses are spread a little beyond the data's (sd of the logarithm), so that one model also serves
# thinner and thicker places.
DOSE_SPREAD = 0.35
NONE_SHARE = 0.03  # pairs decoded from N(0, I): structures that are none of the fingerprints


class NoisyEncoder(nn.Module):
    """Edge spectra with their side information -> mixture of R diagonal Gaussians over z.

    Parameters
    ----------
    n_channels, n_context, latent_dim : int
        L, number of pre-edge residuals, D.
    n_components : int
        R.
    scale : float
        Typical intensity, edge units.
    """

    def __init__(
        self,
        n_channels: int,
        n_context: int,
        latent_dim: int,
        n_components: int = N_COMPONENTS,
        scale: float = 1.0,
    ):
        super().__init__()
        n_features = n_context + N_FIXED
        self.spike = SPIKE  # scripting sees no globals
        self.net = MixtureEncoder(n_channels, n_features, latent_dim, n_components)
        self.register_buffer("scale", torch.tensor(float(scale)))
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("width", torch.ones(n_features))
        self.scale: Tensor
        self.center: Tensor
        self.width: Tensor

    def features(self, sd: Tensor, context: Tensor, background: Tensor) -> Tensor:
        """What is not a spectrum, (n, F): noise level, background, pre-edge residuals."""
        level = (sd / self.scale).mean(1, keepdim=True).log()
        return torch.cat([level, background, context], dim=1)

    def standardise(self, noisy: Edges) -> None:
        """Set the features' center and width from a first batch of spectra."""
        ok = noisy.flag == 0
        if int(ok.sum()) < 2:
            raise ValueError(
                "hardly a simulated spectrum survives the preprocessing: are the norms of spectra "
                "positive, and do background and normalize hold counts?"
            )
        sd, context, background = (
            x[ok].to(self.scale.device) for x in (noisy.sd, noisy.context, noisy.background)
        )
        features = self.features(sd, context, background)
        self.center = features.mean(0)
        self.width = features.std(0).clamp_min(1e-3)

    def forward(
        self, intensity: Tensor, sd: Tensor, context: Tensor, background: Tensor
    ) -> GaussianMixture:
        """Posterior of the latent; (n, L), (n, L), (n, Q), (n, 2) -> see GaussianMixture."""
        features = (self.features(sd, context, background) - self.center) / self.width
        # Linear for all but spikes, which must not drown the other channels.
        signal = self.spike * torch.asinh(intensity / sd / self.spike)
        noise = (sd / self.scale).log()
        return self.net(signal, noise, features.clamp(-8.0, 8.0))


def log_density(mixture: GaussianMixture, z: Tensor) -> Tensor:
    """Log-density (n,) of latents z (n, D) under row-wise mixtures."""
    gaussian = torch.distributions.Normal(mixture.mean, mixture.sd, validate_args=False)
    component = gaussian.log_prob(z.unsqueeze(1)).sum(-1)
    return torch.logsumexp(mixture.log_weight + component, dim=1)


def moments(mixture: GaussianMixture) -> tuple[Tensor, Tensor]:
    """Mean and sd (n, D) of row-wise mixtures."""
    weight = mixture.log_weight.exp().unsqueeze(-1)
    mean = (weight * mixture.mean).sum(1)
    # Around the mean: the difference of second moments cancels where the sd is small.
    centred = mixture.mean - mean.unsqueeze(1)
    return mean, (weight * (mixture.sd**2 + centred**2)).sum(1).sqrt()


def draw(mixture: GaussianMixture, n_draws: int, generator: torch.Generator) -> Tensor:
    """Draws (n, n_draws, D) from row-wise mixtures."""
    weight = mixture.log_weight.exp().cpu()
    which = torch.multinomial(weight, n_draws, replacement=True, generator=generator)
    index = which.to(mixture.mean.device).unsqueeze(-1).expand(-1, -1, mixture.mean.shape[-1])
    noise = torch.randn(index.shape, generator=generator).to(mixture.mean)
    return mixture.mean.gather(1, index) + mixture.sd.gather(1, index) * noise


def draw_pairs(
    vae: SpectrumVAE, reinsertion: Reinsertion, n: int, rng: np.random.Generator
) -> tuple[Pairs, Tensor]:
    """n pairs and latents z ~ q(z | clean), a small share of them of no class at all."""
    dose = np.exp(DOSE_SPREAD * rng.standard_normal(n))
    edge = reinsertion.edges(n, rng).spectra
    none = rng.random(n) < NONE_SHARE
    device = vae.log_b.device
    with torch.no_grad():
        z = torch.as_tensor(rng.standard_normal((int(none.sum()), vae.latent_dim)))
        edge[none] = vae.decode(z.float().to(device)).cpu().numpy()
        pairs = reinsertion.draw(n, rng, edge=edge, dose=dose)
        mean, sd = vae.encode(pairs.clean.to(device))
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
    held_out, held_out_z = draw_pairs(vae, reinsertion, N_VALIDATION, np.random.default_rng(seed))
    if state.epoch == 0:
        encoder.standardise(held_out.noisy)

    def loss(noisy: Edges, z: Tensor) -> Tensor:
        ok = noisy.flag == 0
        inputs = [x[ok].to(device) for x in noisy[:4]]
        return -log_density(encoder(*inputs), z[ok].to(device)).mean()

    def batches(generator: torch.Generator) -> Iterator[tuple[Edges, Tensor]]:
        while True:
            rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
            pairs, z = draw_pairs(vae, reinsertion, POOL, rng)
            for _ in range(REUSE):
                for rows in torch.as_tensor(rng.permutation(POOL)).split(BATCH):
                    yield Edges(*(x[rows] for x in pairs.noisy)), z[rows]

    stream: dict[int, Iterator[tuple[Edges, Tensor]]] = {}

    def training_loss(generator: torch.Generator) -> Tensor:
        if state.epoch not in stream:  # afresh in every epoch, so that a resumed one repeats itself
            stream.clear()
            stream[state.epoch] = batches(generator)
        return loss(*next(stream[state.epoch]))

    validation: Callable[[], Tensor] = lambda: loss(held_out.noisy, held_out_z)  # noqa: E731
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
