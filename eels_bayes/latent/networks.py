"""Networks of the VAE, script-safe.

The encoder's convolutions are those of Hollenbach et al., Sci. Rep. 14, 17881 (2024): four strided
ones of 16, 32, 32 and 64 filters with kernels 7, 7, 3 and 3, LeakyReLU of slope 0.3, no
normalisation layers, and one dense layer. Their decoder mirrors them; dense layers decode as well
here, in a fifteenth of the time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eels_bayes.latent.mixtures import Gaussian

FILTERS = (16, 32, 32, 64)  # of the four convolutions: as published
KERNELS = (7, 7, 3, 3)  # channels that a filter is wide: as published
SLOPE = 0.3  # of every LeakyReLU below zero: as published
STRIDE = 2  # of every convolution: as published
HIDDEN = 256  # units of each of the decoder's hidden layers: chosen, not tuned
DROPOUT = 0.2  # of the encoder's units: as published
# Scales outside this range are numerical accidents, not posteriors.
LOG_SD_MIN = -7.0  # log of a latent's sd: chosen, not tuned
LOG_SD_MAX = 3.0  # log of a latent's sd: chosen, not tuned


def conv_trunk(in_channels: int, dropout: float) -> nn.Sequential:
    """Four strided convolutions; (n, in_channels, L) -> (n, 64 * ceil(L / 16))."""
    layers: list[nn.Module] = []
    for filters, kernel in zip(FILTERS, KERNELS, strict=True):
        layers += [
            nn.Conv1d(in_channels, filters, kernel, STRIDE, kernel // 2, dtype=torch.float32),
            nn.LeakyReLU(SLOPE),
        ]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        in_channels = filters
    return nn.Sequential(*layers, nn.Flatten())


def trunk_length(n_channels: int) -> int:
    """Length of a spectrum of ``n_channels`` after the four strides of two."""
    for _ in FILTERS:
        n_channels = -(-n_channels // STRIDE)
    return n_channels


class ConvEncoder(nn.Module):
    """Spectrum (n, L) -> mean and sd (n, D) of its latent Gaussian."""

    def __init__(self, n_channels: int, latent_dim: int, dropout: float = DROPOUT):
        super().__init__()
        self.latent_dim = latent_dim
        self.log_sd_min, self.log_sd_max = LOG_SD_MIN, LOG_SD_MAX  # scripting sees no globals
        self.trunk = conv_trunk(1, dropout)
        self.head = nn.Linear(
            FILTERS[-1] * trunk_length(n_channels), 2 * latent_dim, dtype=torch.float32
        )

    def forward(self, spectrum: Tensor) -> Gaussian:
        """Mean and sd (n, D) of the latents of spectra (n, L)."""
        out = self.head(self.trunk(spectrum.unsqueeze(1)))
        log_sd = out[:, self.latent_dim :].clamp(self.log_sd_min, self.log_sd_max)
        return Gaussian(out[:, : self.latent_dim], log_sd.exp())


class DenseDecoder(nn.Module):
    """Latent (n, D) -> spectrum (n, L): two hidden layers."""

    def __init__(self, n_channels: int, latent_dim: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, HIDDEN, dtype=torch.float32),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, HIDDEN, dtype=torch.float32),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, n_channels, dtype=torch.float32),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Spectra (n, L) of latents (n, D)."""
        return self.layers(latent)
