"""Novelty: is a spectrum like the fingerprints' structures or the training data at all?

The score is the evidence for anything else against that for the library, by its rank among pixels
that the fitted model draws of the same class. So it means the same for every class and from any
number of pixels, and a misfit that all pixels of an experiment share is seen. Which class a pixel
is of is not known: the evidence is ranked beyond what is usual of its class probabilities, as
those which fit none well are seldom sure. Anything else is an
unknown structure (by the forward model's likelihood), a spike (a channel that stands out), or a
misfit (the energy of the smooth residual, what a larger variance would say of it). Evidences add
up, so that an alternative which a pixel does not suggest takes nothing from the others.
Script-safe.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.forward_model.pixel_posterior import log_sum

N_MODES = 24  # cosines a smooth residual is expanded in
N_TABLE = 128  # quantiles kept of the evidence ratio's distribution
MIN_PIXELS = 50  # fewer do not show tails
SPIKE_COST = 12.0  # nats: log of the channels a spike may lie in, and of the sizes it may have
MISFIT = 4.0  # variance of a misfit over the usual one
RESIDUAL_LIMIT = 6.0  # sd: what stands out further is for the spikes, and no smooth misfit
SPIKE_LIMIT = 40.0  # sd: keeps the square of a spike finite in single precision
GAP_FLOOR = 1e-6  # nats between neighbouring quantiles at least, so that ties divide
TAIL_QUANTILE = 0.9  # from which the table's tail is taken to be exponential: chosen, not tuned
# Its probability over that of the last quantile, 1 - 0.5 / N: N times this, (1 - 0.9) / 0.5.
TAIL_RATIO = 0.2
TAIL_LIMIT = 60.0  # tail widths: keeps a p-value above the smallest number in single precision
# Pixels that speak for one number of all classes, so that what classes which hardly any pixel tells
# apart have in common is shared among them: chosen, not tuned
RIDGE = 30.0
LEAST_SCATTER = 0.2  # of the mean of all classes, for each
LEAST_SCATTER_NATS = 1e-3  # where the evidence is the same in all pixels, not to divide by 0
MODE_RIDGE = 1e-4  # sd^2 added to the modes' variances, so that their covariance has an inverse
ENERGY_LIMIT = 0.999  # of the largest energy that one of n pixels can have


class NoveltyScale(NamedTuple):
    """What the score needs.

    Attributes
    ----------
    whitening, center : Tensor (L, N_MODES) and (N_MODES,)
        Of the residual's modes.
    usual, scatter : Tensor (K,)
        Evidence ratio that is usual of each class, and by how much it lies above, nats.
    table : Tensor (K, N_TABLE)
        Quantiles among pixels of each class, of the evidence ratio beyond the usual one over its
        scatter, ascending.
    dominant : Tensor (C, K)
        Which class dominates each component, rows one-hot.
    """

    whitening: Tensor
    center: Tensor
    usual: Tensor
    scatter: Tensor
    table: Tensor
    dominant: Tensor


def misfit_energy(
    residual: Tensor, whitening: Tensor, center: Tensor, limit: float = RESIDUAL_LIMIT
) -> Tensor:
    """Energy (n,) of the smooth part of residuals (n, L) in units of their sd."""
    modes = residual.clamp(-limit, limit) @ whitening - center
    return (modes * modes).sum(1)


def evidence_ratio(
    unknown: Tensor,
    spike: Tensor,
    energy: Tensor,
    n_modes: int,
    spike_cost: float = SPIKE_COST,
    wider: float = MISFIT,
    spike_limit: float = SPIKE_LIMIT,
) -> Tensor:
    """Log evidence (n,) for anything else over that for the library, nats.

    A spike of z sd has likelihood ratio exp(z^2 / 2) in its channel, spread over all channels and
    sizes; a misfit is a variance ``wider`` times the usual one in each of the modes. (Arguments, as
    scripting sees no globals.)
    """
    size = spike.clamp(0.0, spike_limit)
    stands_out = 0.5 * size * size - spike_cost
    misfit = energy * (0.5 - 0.5 / wider) - 0.5 * n_modes * math.log(wider)
    return log_sum(torch.stack((unknown, stands_out, misfit), 1))


def tail_probability(
    values: Tensor,
    table: Tensor,
    gap_floor: float = GAP_FLOOR,
    tail_quantile: float = TAIL_QUANTILE,
    tail_ratio: float = TAIL_RATIO,
    tail_limit: float = TAIL_LIMIT,
) -> Tensor:
    """Share (n, K) of each row's distribution, ascending (K, T), at or above values (n,)."""
    # counted, as exporters know no binary search; a gap's own share is linear, so that rounding
    # does not move a value by a whole one
    gap = (table[:, 1:] - table[:, :-1]).clamp(min=gap_floor)
    passed = ((values.view(-1, 1, 1) - table[:, :-1]) / gap).clamp(0.0, 1.0).sum(2)
    n = float(table.size(1))
    inside = (n - passed) / (n + 1.0)
    # Beyond the table the order is kept by an exponential tail, whose scale is the table's from
    # this quantile to its last.
    last = table[:, -1]
    tail = (last - table[:, int(tail_quantile * n)]).clamp(min=gap_floor)
    width = tail / math.log(tail_ratio * n)
    beyond = ((values.unsqueeze(1) - last) / width).clamp(0.0, tail_limit)
    return inside * torch.exp(-beyond)


def score(ratio: Tensor, component: Tensor, scale: NoveltyScale) -> Tensor:
    """Novelty (n,) in [0, 1] of evidence ratios (n,); 1 is like nothing that is known.

    ``component`` (n, C) holds the components' probabilities in each pixel.
    """
    of_class = component @ scale.dominant
    beyond = (ratio - of_class @ scale.usual) / (of_class @ scale.scatter)
    return 1.0 - (of_class * tail_probability(beyond, scale.table)).sum(1)


def of_pixels(
    residual: Tensor, unknown: Tensor, spike: Tensor, component: Tensor, scale: NoveltyScale
) -> Tensor:
    """Novelty (n,) of pixels: `score` of their evidence.

    Residuals (n, W), log evidence of an unknown structure (n,) and probabilities of components
    (n, C) are those of `Evidence`; ``spike`` (n,) is that of `Spectra`.
    """
    energy = misfit_energy(residual, scale.whitening, scale.center)
    ratio = evidence_ratio(unknown, spike, energy, scale.whitening.size(1))
    return score(ratio, component, scale)


def fit_novelty_scale(
    residual: Tensor,
    unknown: Tensor,
    spike: Tensor,
    component: Tensor,
    label: Tensor,
    dominant: Tensor,
) -> NoveltyScale:
    """Fit the score's scale to pixels of known classes, in each of which it is uniform.

    Parameters
    ----------
    residual : Tensor (n, L)
        Measured minus decoded over sd.
    unknown : Tensor (n,)
        Log evidence ratio of an unknown structure, nats.
    spike : Tensor (n,)
        Largest excess of a channel, sd.
    component : Tensor (n, C)
        The components' probabilities.
    label : Tensor (n,) of int
        Class of each pixel.
    dominant : Tensor (C, K)
        Which class dominates each component of the forward model, rows one-hot.

    Returns
    -------
    NoveltyScale

    Raises
    ------
    ValueError
        With fewer than 50 pixels of a class: tails cannot be known from so few.
    """
    n, n_channels = residual.shape
    fewest = int(torch.bincount(label, minlength=dominant.shape[1]).min())
    if fewest < MIN_PIXELS:
        raise ValueError(
            f"novelty needs at least {MIN_PIXELS} pixels of each class to calibrate, got {fewest}"
        )
    grid = (torch.arange(n_channels, dtype=residual.dtype) + 0.5) / n_channels
    order = torch.arange(min(N_MODES, n_channels), dtype=residual.dtype)
    cosines = torch.cos(torch.pi * grid.unsqueeze(1) * order)
    cosines = cosines / cosines.norm(dim=0)
    modes = residual.clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT) @ cosines
    cov = torch.cov(modes.T) + MODE_RIDGE * torch.eye(modes.shape[1], dtype=modes.dtype)
    root = torch.linalg.cholesky(torch.linalg.inv(cov))
    whitening = cosines @ root
    center = (modes @ root).mean(0)
    # The modes' covariance knows these pixels. Each one's energy as without itself (the deleted
    # Mahalanobis distance), or few pixels would make all others new.
    most = ENERGY_LIMIT * (n - 1) ** 2 / n
    energy = misfit_energy(residual, whitening, center).clamp(max=most)
    energy = (n / (n - 1)) ** 2 * (n - 2) / (n - 1) * energy / (1 - n * energy / (n - 1) ** 2)
    ratio = evidence_ratio(unknown, spike, energy, modes.shape[1])
    ratio, dominant = ratio.to(residual.dtype), dominant.to(residual.dtype)
    of_class = component.to(residual.dtype) @ dominant
    usual = _linear(of_class, ratio)
    above = (ratio - of_class @ usual).clamp(min=0.0)
    least = max(LEAST_SCATTER * float(above.mean()), LEAST_SCATTER_NATS)
    scatter = _linear(of_class, above).clamp(min=least)
    beyond = (ratio - of_class @ usual) / (of_class @ scatter)
    levels = (torch.arange(N_TABLE, dtype=residual.dtype) + 0.5) / N_TABLE
    table = [torch.quantile(beyond[label == k], levels) for k in range(dominant.shape[1])]
    return NoveltyScale(whitening, center, usual, scatter, torch.stack(table), dominant)


def _linear(of_class: Tensor, rows: Tensor) -> Tensor:
    """The (K,) numbers whose means by class probabilities (n, K) are nearest to rows (n,).

    Ridge regression towards the mean, in double precision.
    """
    share, given = of_class.double(), rows.double()
    mean = given.mean()
    normal = share.T @ share + RIDGE * torch.eye(share.shape[1], dtype=share.dtype)
    found = mean + torch.linalg.solve(normal, share.T @ (given - mean))
    return found.to(rows)
