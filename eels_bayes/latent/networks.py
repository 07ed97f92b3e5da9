"""Networks of the VAE (1-D convolutions), script-safe.

The convolutions' sizes are those of Hollenbach et al., Sci. Rep. 14, 17881 (2024): four strided
convolutions of 16, 32, 32 and 64 filters with kernels 7, 7, 3 and 3, LeakyReLU of slope 0.3, no
normalisation layers, and one dense layer. The decoder mirrors them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eels_bayes.latent.mixtures import Gaussian

FILTERS = (16, 32, 32, 64)  # of the four convolutions: as published
KERNELS = (7, 7, 3, 3)  # channels that a filter is wide: as published
SLOPE = 0.3  # of the LeakyReLU below zero: as published
STRIDE = 2  # of every convolution: as published
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


class ConvDecoder(nn.Module):
    """Latent (n, D) -> spectrum (n, L); the encoder mirrored."""

    def __init__(self, n_channels: int, latent_dim: int):
        super().__init__()
        self.n_channels = n_channels
        self.length = trunk_length(n_channels)
        self.filters = FILTERS[-1]
        self.dense = nn.Linear(latent_dim, FILTERS[-1] * self.length, dtype=torch.float32)
        layers: list[nn.Module] = []
        filters = (*FILTERS[::-1][1:], 1)
        for n_in, n_out, kernel in zip(FILTERS[::-1], filters, KERNELS[::-1], strict=True):
            layers += [
                nn.LeakyReLU(SLOPE),
                nn.ConvTranspose1d(
                    n_in,
                    n_out,
                    kernel,
                    stride=STRIDE,
                    padding=kernel // 2,
                    output_padding=1,
                    dtype=torch.float32,
                ),
            ]
        self.trunk = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        """Spectra (n, L) of latents (n, D)."""
        hidden = self.dense(latent).reshape(-1, self.filters, self.length)
        # Each stride doubles, so the result is a little longer than the window: cut its end.
        return self.trunk(hidden)[:, 0, : self.n_channels]
