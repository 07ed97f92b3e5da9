"""Detector noise: Poisson electrons times a gain, plus a constant readout variance.

Script-safe: plain tensors only.
"""

import torch
from torch import Tensor

LEAST_ELECTRONS = 0.01  # in a channel: guards the variance of empty channels; chosen, not tuned
LEAST_COUNTS = 1e-6  # in all channels together: guards the division by none


def variance(
    counts: Tensor, gain: float, readout: float, least_electrons: float = LEAST_ELECTRONS
) -> Tensor:
    """Variance of detector counts, HyperSpy's ``Variance_linear_model``.

    Parameters
    ----------
    counts : Tensor
        Counts, or better their expectation; any shape. Negative ones count as none.
    gain : float
        Counts per detected electron (variance per count).
    readout : float
        Variance that does not depend on the counts, in counts squared.
    least_electrons : float
        Fewer than these are taken for as many.

    Returns
    -------
    Tensor
        ``gain * counts + readout``, same shape; never below 1 % of one electron's.
    """
    total = torch.clamp(counts, min=least_electrons * gain)
    if gain != 1.0 or readout != 0.0:
        total = total * gain + readout
    return total


def channel_share(correlation_factor: float, width: float) -> float:
    """Variance of the mean of `width` neighbouring channels, over what that of many would have.

    With electrons spread over neighbours a sum of b channels has the variance
    ``1 - (1 - correlation_factor) / b`` a channel, in units of that of a long sum.
    """
    return 1.0 - (1.0 - correlation_factor) / max(width, 1.0)


def mixed_share(factor: Tensor, correlation_factor: float, width: float) -> Tensor:
    """What is left of a channel's variance where a shift mixed it, and neighbours share electrons.

    Parameters
    ----------
    factor : Tensor (n, C) or (1, C)
        Second result of `rebinning.rebin`: what is left of the variance of independent channels.
    correlation_factor : float
        See `detector_noise.Noise`.
    width : float
        Width of the new channels, in old ones.

    Returns
    -------
    Tensor
        ``factor`` where `correlation_factor` is 1; `channel_share` where nothing was mixed. The
        products of neighbours' weights that enter beside the squares are those of new channels of
        a whole number of old ones.
    """
    shared = torch.clamp(0.5 * (1.0 - factor), min=max(width, 1.0) - 1.0) / max(width, 1.0)
    return correlation_factor * factor + (1.0 - correlation_factor) * shared


def variance_by_pixel(
    counts: Tensor, gain: Tensor, readout: float, least_electrons: float = LEAST_ELECTRONS
) -> Tensor:
    """Variance (n, C) of counts (n, C) where every pixel has its own gain (n,); see `variance`."""
    gains = gain[:, None]
    return torch.maximum(counts, least_electrons * gains) * gains + readout


def fano_factor(variance: Tensor, counts: Tensor, least: float = LEAST_COUNTS) -> Tensor:
    """Variance per count (n,) of whole spectra: their variances (n, C) over their counts (n, C)."""
    return variance.sum(1) / counts.clamp(min=0.0).sum(1).clamp(min=least)


def noise_level(fano: Tensor, norm: Tensor, step: float, bin_width: float) -> Tensor:
    """Noise (n,): variance of an intensity of 1 in one bin of the profile.

    An intensity of 1 is ``norm`` counts in each of the ``bin_width / step`` channels of a bin, so
    that the variance of their mean is ``fano * norm / (bin_width / step)`` counts squared.

    Parameters
    ----------
    fano : Tensor (n,)
        Variance per count, see `fano_factor`.
    norm : Tensor (n,)
        Counts a channel that make an intensity of 1.
    step, bin_width : float
        Width of a channel and of a bin, eV.
    """
    return fano / norm * (step / bin_width)


def draw_counts(
    rate: Tensor, gain: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Draw counts whose mean is `rate` and whose variance is ``gain * rate``.

    Parameters
    ----------
    rate : Tensor
        Expected counts, any shape; negative rates count as zero.
    gain : float
        Counts per detected electron.
    generator : torch.Generator, optional
        Source of randomness; torch's default one otherwise.

    Returns
    -------
    Tensor
        ``gain * Poisson(rate / gain)``, same shape and type.
    """
    return gain * torch.poisson(torch.clamp(rate, min=0.0) / gain, generator=generator)
