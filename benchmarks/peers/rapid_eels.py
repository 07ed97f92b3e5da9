"""In the manner of RapidEELS (Pate et al., Sci. Rep. 11, 19515 (2021)): denoise, then classify.

A convolutional autoencoder learns clean spectra from noisy ones, and a network of dense layers the
class of what it has denoised. Both are supervised, and pixels have no label: they learn from
`labelled` draws of the fingerprints, with the noise of the pixels that are to be read. The layers
are ours: the convolutions of `dual_vae`'s encoder and decoder, so that what differs is the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import trange

import eels_bayes as eb

from .dual_vae import LATENT_DIM, Decoder, Encoder
from .labelled import draw
from .shared import Array, all_rows, intensity

HIDDEN = (64, 32)  # widths of the classifier's layers
N_DRAWS, EPOCHS, BATCH, LEARNING_RATE = 6000, 12, 64, 1e-3
EVALUATION_BATCH = 4096


class RapidEELS(nn.Module):
    """Noisy spectra (n, L) to denoised ones (n, L) and logits (n, K)."""

    def __init__(self, n_channels: int, n_classes: int):
        super().__init__()
        self.encoder = Encoder(n_channels, LATENT_DIM)
        self.decoder = Decoder(n_channels)
        widths = (n_channels, *HIDDEN)
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.head = nn.Sequential(*hidden, nn.Linear(HIDDEN[-1], n_classes))

    def forward(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        denoised = self.decoder(self.encoder(spectra))
        return denoised, self.head(denoised)


@dataclass(frozen=True, eq=False)
class Trained:
    """The network in evaluation mode, and its losses (epochs, 2): denoising, cross-entropy."""

    net: RapidEELS
    history: Array


def train(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    n_draws: int = N_DRAWS,
    epochs: int = EPOCHS,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Trained:
    """Train both parts together on draws of the fingerprints."""
    noisy, clean, labels = draw(spectra, library, n_draws, seed=seed)
    x, y = (torch.as_tensor(rows, dtype=torch.float32) for rows in (noisy, clean))
    target = torch.as_tensor(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = RapidEELS(x.shape[1], library.n_classes)
        optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
        history = []
        for _ in trange(epochs, desc="RapidEELS", disable=not show_progressbar):
            batches = torch.randperm(len(x)).split(BATCH)
            sums = torch.zeros(2)
            for rows in batches:
                denoised, logits = net(x[rows])
                losses = torch.stack(
                    [
                        functional.mse_loss(denoised, y[rows]),
                        functional.cross_entropy(logits, target[rows]),
                    ]
                )
                optimizer.zero_grad()
                losses.sum().backward()
                optimizer.step()
                sums += losses.detach()
            history.append((sums / len(batches)).numpy())
    return Trained(net.eval(), np.array(history))


def read(trained: Trained, spectra: eb.Spectra) -> Array:
    """Class probabilities (n, K) by a trained network; NaN where flagged."""
    pixels = torch.as_tensor(intensity(spectra), dtype=torch.float32)
    with torch.no_grad():
        logits = torch.cat([trained.net(rows)[1] for rows in pixels.split(EVALUATION_BATCH)])
    return all_rows(torch.softmax(logits.double(), 1).numpy(), spectra)


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    n_draws: int = N_DRAWS,
    epochs: int = EPOCHS,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K); NaN where flagged."""
    trained = train(
        spectra,
        library,
        n_draws=n_draws,
        epochs=epochs,
        seed=seed,
        show_progressbar=show_progressbar,
    )
    return read(trained, spectra)
