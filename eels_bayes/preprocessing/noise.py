"""Detector noise: Poisson electrons times a gain, plus a constant readout variance.

Script-safe: plain tensors only.
"""

import torch
from torch import Tensor


def variance(counts: Tensor, gain: float, readout: float) -> Tensor:
    """Variance of detector counts, HyperSpy's ``Variance_linear_model``.

    Parameters
    ----------
    counts : Tensor
        Counts, or better their expectation; any shape. Negative ones count as none.
    gain : float
        Counts per detected electron (variance per count).
    readout : float
        Variance that does not depend on the counts, in counts squared.

    Returns
    -------
    Tensor
        ``gain * counts + readout``, same shape; never below 1 % of one electron's.
    """
    found = torch.clamp(counts, min=0.01 * gain)
    if gain != 1.0 or readout != 0.0:
        found = found * gain + readout
    return found


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
