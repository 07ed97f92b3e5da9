"""Fitting the noisy encoder r(z | x): neural posterior estimation from single-pixel spectra.

Maximum likelihood of draws z ~ q(z | clean) for matched (clean, noisy) pairs (Papamakarios and
Murray, NeurIPS 2016), so that the encoder's spread is the posterior's, not a regression's error: it
grows as the dose falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from eels_bayes.fit import FitState, Schedule, fit
from eels_bayes.noisy_encoder import NoisyEncoder, log_density
from eels_bayes.reinsertion import Pairs, Reinsertion
from eels_bayes.vae import SpectrumVAE

BATCH = 256
POOL = 25 * BATCH  # pairs drawn at a time: large batches make drawing efficient
REUSE = 2  # passes over them
N_VALIDATION = 4096
# Doses are spread a little beyond the data's (sd of the logarithm), so that one model also serves
# thinner and thicker places.
DOSE_SPREAD = 0.35


def draw_doses(n: int, rng: np.random.Generator) -> np.ndarray:
    """Doses (n,) relative to the data's."""
    return np.exp(DOSE_SPREAD * rng.standard_normal(n))


def draw_pairs(
    vae: SpectrumVAE, reinsertion: Reinsertion, n: int, rng: np.random.Generator
) -> tuple[Pairs, Tensor]:
    """n pairs and latents z ~ q(z | clean)."""
    pairs = reinsertion.draw(n, rng, dose=draw_doses(n, rng))
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

    def features(pairs: Pairs) -> Tensor:
        with torch.no_grad():
            found = encoder.evidence(pairs.profile.to(device), pairs.level.to(device))
            return encoder.features(found)

    held_out_x = features(held_out)

    def loss(features: Tensor, z: Tensor) -> Tensor:
        return -log_density(encoder.mixture(features), z.to(device)).mean()

    def batches(generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
            pairs, z = draw_pairs(vae, reinsertion, POOL, rng)
            x = features(pairs)
            for _ in range(REUSE):
                for rows in torch.as_tensor(rng.permutation(POOL)).split(BATCH):
                    yield x[rows], z[rows]

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
