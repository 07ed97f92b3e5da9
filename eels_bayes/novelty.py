"""Novelty: is a spectrum like the fingerprints' structures or the training data at all?

Three statistics, each blind where another sees: the largest single-channel residual (spikes), the
energy of the smooth residual (an edge of another shape), and the prior's surprise at the latent
(a structure between or beyond the fingerprints). Each becomes a tail probability by its empirical
distribution over held-out training pixels; Fisher's statistic of the three (Fisher, Statistical
Methods, 1925) is calibrated the same way. Script-safe.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

N_MODES = 24  # cosines a smooth residual is expanded in
N_TABLE = 512  # quantiles kept of each statistic's distribution
MIN_PIXELS = 50  # fewer do not show tails


class NoveltyScale(NamedTuple):
    """What the score needs: whitening (L, N_MODES), center (N_MODES,), tables (4, N_TABLE)."""

    whitening: Tensor
    center: Tensor
    tables: Tensor


def statistics(residual: Tensor, surprise: Tensor, whitening: Tensor, center: Tensor) -> Tensor:
    """The three statistics (n, 3) of residuals (n, L) in units of their sd and surprises (n,).

    ``surprise`` is minus the log prior density of the latent, nats.
    """
    spike = residual.abs().amax(1)
    smooth = ((residual.clamp(-6.0, 6.0) @ whitening - center) ** 2).sum(1)
    return torch.stack([spike, smooth, surprise], dim=1)


def tail_probability(values: Tensor, table: Tensor) -> Tensor:
    """Share of the table's distribution (ascending quantiles) that lies at or above ``values``."""
    rank = torch.searchsorted(table, values.contiguous())
    n = float(table.size(0))
    inside = (n - rank + 0.5) / (n + 1.0)
    # Beyond the table the order is kept by an exponential tail, whose scale is the table's from its
    # 0.9 quantile to its last, the 1 - 0.5 / n.
    width = (table[-1] - table[int(0.9 * n)]).clamp(min=1e-6) / math.log(0.2 * n)
    beyond = ((values - table[-1]) / width).clamp(0.0, 60.0)
    return inside * torch.exp(-beyond)


def score(parts: Tensor, scale: NoveltyScale) -> Tensor:
    """Novelty (n,) in [0, 1] of the statistics (n, 3); 1 is like nothing in training."""
    fisher = torch.zeros_like(parts[:, 0])
    for i in range(3):
        fisher = fisher - 2.0 * tail_probability(parts[:, i], scale.tables[i]).log()
    return 1.0 - tail_probability(fisher, scale.tables[3])


def calibrate(residual: Tensor, surprise: Tensor) -> NoveltyScale:
    """Set the score's scale from held-out training pixels.

    Parameters
    ----------
    residual : Tensor (n, L)
        Measured minus decoded over sd.
    surprise : Tensor (n,)
        Minus log prior density of the latent.

    Raises
    ------
    ValueError
        With fewer than 50 pixels: tails cannot be known from so few.
    """
    n, n_channels = residual.shape
    if n < MIN_PIXELS:
        raise ValueError(
            f"novelty needs at least {MIN_PIXELS} held-out pixels to calibrate, got {n}: "
            "fit on more spectra"
        )
    grid = (torch.arange(n_channels, dtype=residual.dtype) + 0.5) / n_channels
    order = torch.arange(min(N_MODES, n_channels), dtype=residual.dtype)
    cosines = torch.cos(torch.pi * grid.unsqueeze(1) * order)
    cosines = cosines / cosines.norm(dim=0)
    modes = residual.clamp(-6.0, 6.0) @ cosines
    cov = torch.cov(modes.T) + 1e-4 * torch.eye(modes.shape[1], dtype=modes.dtype)
    root = torch.linalg.cholesky(torch.linalg.inv(cov))
    whitening = cosines @ root
    center = (modes @ root).mean(0)
    parts = statistics(residual, surprise, whitening, center)
    # The modes' covariance knows these pixels. Each one's energy as without itself (the deleted
    # Mahalanobis distance), or few pixels would make all others new.
    energy = parts[:, 1].clamp(max=0.999 * (n - 1) ** 2 / n)
    deleted = (n / (n - 1)) ** 2 * (n - 2) / (n - 1) * energy / (1 - n * energy / (n - 1) ** 2)
    parts[:, 1] = deleted
    levels = (torch.arange(N_TABLE, dtype=residual.dtype) + 0.5) / N_TABLE
    tables = [torch.quantile(parts[:, i], levels) for i in range(3)]
    scale = NoveltyScale(whitening, center, torch.stack([*tables, tables[0]]))
    fisher = torch.zeros(n, dtype=residual.dtype)
    for i in range(3):
        fisher = fisher - 2.0 * tail_probability(parts[:, i], tables[i]).log()
    return scale._replace(tables=torch.stack([*tables, torch.quantile(fisher, levels)]))
