"""Training of the VAE by stochastic variational inference, and draws of what it encodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from eels_bayes.arrays import Array
from eels_bayes.effort import FULL
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.randomness import own_randomness
from eels_bayes.training import FitState, Schedule, fit

ENCODED = 1024  # spectra at a time: what the convolutions need stays in a core's cache


def fit_vae(
    vae: SpectrumVAE,
    spectra: Tensor,
    held_out: Tensor,
    schedule: Schedule,
    state: FitState,
    *,
    sd: tuple[Tensor, Tensor] | None = None,
    batch_size: int = FULL.vae_batch,
    seed: int = 0,
    after_each: Callable[[], None] = lambda: None,
    show_progressbar: bool = True,
) -> FitState:
    """Train ``vae`` in place on clean spectra (N, L) by stochastic variational inference.

    Parameters
    ----------
    vae : SpectrumVAE
    spectra, held_out : Tensor (N, L)
        Clean spectra to train and to validate on, in edge units, on any device.
    schedule, state
        As :func:`eels_bayes.training.fit` takes them.
    sd : pair of Tensor (N, L), optional
        What is uncertain in the spectra themselves, those held out second; it widens the
        likelihood.
    batch_size : int
        Spectra a step.
    seed : int
        Of everything random in training.
    after_each : callable
        Called after each epoch, when the state holds it.
    show_progressbar : bool

    Returns
    -------
    FitState
        Where training stands, as :func:`eels_bayes.training.fit` returns it.
    """
    device = vae.log_b.device
    noise, held_out_noise = sd or (torch.zeros_like(spectra), torch.zeros_like(held_out))

    def training_loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(spectra), (batch_size,), generator=generator)
        return vae.negative_elbo(spectra[rows].to(device), noise[rows].to(device))

    def validation_loss() -> Tensor:
        # The same latent draws at every epoch, so that epochs can be compared.
        with own_randomness(seed):
            return vae.negative_elbo(held_out.to(device), held_out_noise.to(device))

    return fit(
        vae,
        training_loss,
        validation_loss,
        schedule,
        state,
        seed=seed,
        description="VAE",
        after_each=after_each,
        show_progressbar=show_progressbar,
    )


def encoded_draws(vae: SpectrumVAE, clean: Array, rng: np.random.Generator) -> Tensor:
    """One draw (n, D) of the guide for each clean spectrum (n, L)."""
    spectra = torch.as_tensor(clean, dtype=torch.float32, device=vae.log_b.device)
    with torch.no_grad():
        parts = [vae.encode(part) for part in spectra.split(ENCODED)]
    mean, sd = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    noise = torch.as_tensor(rng.standard_normal(mean.shape), dtype=mean.dtype)
    return mean + sd * noise
