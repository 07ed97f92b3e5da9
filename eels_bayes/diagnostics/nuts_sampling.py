"""NUTS chains of the latent posterior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from eels_bayes.arrays import Array
from eels_bayes.diagnostics.importance_sampling import ImportanceSample
from eels_bayes.diagnostics.latent_posterior import LatentModel
from eels_bayes.randomness import own_randomness
from eels_bayes.training import learning

MAX_TREE_DEPTH = 5  # all spectra move together: the slowest must not set the price
LEAST_VARIANCE = 1e-8  # of a latent: an sd of 1e-4 of the prior's; keeps the whitening finite


class Chains(NamedTuple):
    """NUTS draws z (C, S, n, D), log joint density (C, S, n) and divergent transitions (S,)."""

    z: Array
    log_joint: Array
    diverging: Array


@learning()
def run_nuts(
    model: LatentModel,
    sample: ImportanceSample,
    *,
    n_draws: int,
    n_warmup: int,
    n_chains: int,
    seed: int = 0,
) -> Chains:
    """Sample the posterior of all spectra at once by the No-U-Turn sampler.

    Spectra are independent given the decoder, so n spectra times C chains are one product density,
    whose trajectories, step size and divergences they share. The importance sample whitens each
    spectrum's space and gives the chains' starts. Under a prior of several modes a chain seldom
    leaves the mode it starts in: the weights of the modes are then those of the importance sample,
    and a large R-hat says so. Hoffman and Gelman, JMLR 15, 1593 (2014).
    """
    mean, covariance = sample.moments()
    mean = mean.unsqueeze(1)
    root = torch.linalg.cholesky(_shrunk(covariance, sample.log_weight))
    start = sample.resample(n_chains, torch.Generator().manual_seed(seed))

    def latent(u: Tensor) -> Tensor:
        """Whitened coordinates as latents."""
        return mean + u @ root.mT

    def potential(position: dict[str, Tensor]) -> Tensor:
        """Minus the log density, all spectra and chains together."""
        return -model.log_joint(latent(position["u"])).sum()

    with own_randomness(seed):
        chain = MCMC(
            NUTS(potential_fn=potential, adapt_mass_matrix=False, max_tree_depth=MAX_TREE_DEPTH),
            n_draws,
            warmup_steps=n_warmup,
            initial_params={
                "u": torch.linalg.solve_triangular(root, (start - mean).mT, upper=False).mT
            },
            disable_progbar=True,
        )
        chain.run()
        draws = chain.get_samples()["u"]  # (S, n, C, D)
    with torch.no_grad():
        z = torch.stack([latent(u) for u in draws])
        joint = torch.stack([model.log_joint(draw) for draw in z])
    diverging = np.zeros(n_draws, dtype=bool)
    diverging[chain.diagnostics()["divergences"]["chain 0"]] = True
    return Chains(
        z.permute(2, 0, 1, 3).cpu().numpy(), joint.permute(2, 0, 1).cpu().numpy(), diverging
    )


def _shrunk(covariance: Tensor, log_weight: Tensor) -> Tensor:
    """Covariances (n, D, D) drawn towards their diagonal where few draws carry the weight."""
    dim = covariance.shape[-1]
    effective = 1.0 / log_weight.softmax(1).square().sum(1)
    part = (dim / (dim + effective))[:, None, None]
    variance = torch.diagonal(covariance, dim1=-2, dim2=-1).clamp_min(LEAST_VARIANCE)
    return (1.0 - part) * covariance + part * torch.diag_embed(variance)
