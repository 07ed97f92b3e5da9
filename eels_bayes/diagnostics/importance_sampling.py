"""Importance sampling of the latent posterior, from the best Gaussian."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eels_bayes.adam import Adam, falling
from eels_bayes.arrays import Array
from eels_bayes.arviz_bridge import pareto_smoothed
from eels_bayes.diagnostics.latent_posterior import CHUNK, LatentModel
from eels_bayes.latent import mixtures
from eels_bayes.latent.mixtures import Gaussian, GaussianMixture
from eels_bayes.training import learning

STEPS = 200  # of the search for the best Gaussian: chosen, not tuned
DRAWS = 8  # of each spectrum's latent a step
LEARNING_RATE = 0.03  # Adam's first step, in latent units and in log sd: chosen, not tuned
WIDENED = 1.2  # of the best Gaussian's sd in a proposal: importance weights need heavier tails
N_DRAWS = 2000  # of an importance sample, for each spectrum: chosen, not tuned


@learning()
def best_gaussian(model: LatentModel, *, steps: int = STEPS, seed: int = 0) -> Gaussian:
    """The Gaussian of largest ELBO for each spectrum, (n, D), diagonal along the amortised axes.

    Found by Adam on reparametrised draws, from the amortised posterior's moments: a local optimum,
    which under a prior of several modes may be one of them (Cremer, Li and Duvenaud, ICML 2018,
    whose "approximation gap" it leaves).
    """
    axes = model.amortised.axes
    mean, sd = mixtures.moments(
        model.amortised._replace(axes=torch.eye(len(axes), dtype=torch.float32).to(axes))
    )
    mean = mean.clone().requires_grad_()
    log_sd = sd.log().requires_grad_()
    optimizer = Adam([mean, log_sd])
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        noise = torch.randn(
            len(mean), DRAWS, mean.shape[1], generator=generator, dtype=torch.float32
        ).to(mean)
        z = (mean.unsqueeze(1) + log_sd.exp().unsqueeze(1) * noise) @ axes.T
        # The entropy in closed form, up to its constant.
        loss = -(model.log_joint(z).mean(1) + log_sd.sum(1)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(falling(LEARNING_RATE, step / steps))
    return Gaussian(mean.detach(), log_sd.detach().exp())


def weighted_draws(
    model: LatentModel, q: GaussianMixture, n_draws: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Draws (n, S, D) from ``q`` and their ``log p(x, z) - log q(z)`` (n, S), nats.

    The mean of the latter over draws is the ELBO of ``q``.
    """
    z = mixtures.draw(q, n_draws, torch.Generator().manual_seed(seed))
    per_part = max(1, CHUNK // len(model))
    with torch.no_grad():
        density = torch.stack([mixtures.log_density(q, draw) for draw in z.unbind(1)], dim=1)
        joint = torch.cat([model.log_joint(part) for part in z.split(per_part, dim=1)], dim=1)
    return z, joint - density


class ImportanceSample(NamedTuple):
    """Weighted draws from the posterior of n spectra.

    Attributes
    ----------
    z : Tensor (n, S, D)
    log_weight : Tensor (n, S)
        Pareto-smoothed ``log p(x, z) - log q(z)``, nats.
    pareto_k : array (n,)
        Above 0.7 the weights cannot be relied on (Vehtari et al., JMLR 25 (72), 2024).
    """

    z: Tensor
    log_weight: Tensor
    pareto_k: Array

    def log_evidence(self) -> tuple[Array, Array]:
        """Evidence of each spectrum and its standard error by the delta method.

        Returns
        -------
        log_evidence, standard_error : (n,) arrays
            ``log p(x)``, nats.
        """
        n_draws = self.log_weight.shape[1]
        log_mean = self.log_weight.logsumexp(1, keepdim=True) - np.log(n_draws)
        relative = (self.log_weight - log_mean).exp()
        return log_mean[:, 0].cpu().numpy(), (relative.std(1) / n_draws**0.5).cpu().numpy()

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the posterior.

        Returns
        -------
        mean : Tensor (n, D)
        covariance : Tensor (n, D, D)
        """
        weight = self.log_weight.softmax(1)
        mean = (weight.unsqueeze(-1) * self.z).sum(1)
        centred = self.z - mean.unsqueeze(1)
        return mean, (weight.unsqueeze(-1) * centred).mT @ centred

    def resample(self, n_draws: int, generator: torch.Generator) -> Tensor:
        """Draws (n, S, D) of the posterior, with replacement; S is ``n_draws``."""
        weight = self.log_weight.softmax(1).cpu()
        which = torch.multinomial(weight, n_draws, replacement=True, generator=generator)
        index = which.to(self.z.device).unsqueeze(-1).expand(-1, -1, self.z.shape[-1])
        return self.z.gather(1, index)


def importance_sample(
    model: LatentModel, gaussian: Gaussian, *, n_draws: int = N_DRAWS, seed: int = 0
) -> ImportanceSample:
    """Draw from an equal mixture of the amortised posterior and of a fitted Gaussian, and weigh.

    The Gaussian, from :func:`best_gaussian` and a little widened, is fitted to the very posterior,
    so that an encoder that missed it is no disaster.
    """
    mean, sd = gaussian
    amortised = model.amortised
    log_weight = torch.cat([amortised.log_weight, mean.new_zeros(len(mean), 1)], 1)
    proposal = GaussianMixture(
        log_weight - math.log(2.0),
        torch.cat([amortised.mean, mean.unsqueeze(1)], 1),
        torch.cat([amortised.sd, WIDENED * sd.unsqueeze(1)], 1),
        amortised.axes,
    )
    z, raw = weighted_draws(model, proposal, n_draws, seed)
    smoothed, k = pareto_smoothed(raw.cpu().numpy())
    return ImportanceSample(z.double(), torch.as_tensor(smoothed).to(raw), k)
