"""Cosmic rays and other single channels that stand out: script-safe.

A channel is compared with the series' mean spectrum, scaled to the pixel's own counts around it.
"""

import torch
from torch import Tensor, nn

REACH = 16  # channels on either side that say how bright the pixel is here


def largest_spike(
    counts: Tensor,
    offset: float,
    scale: float,
    shift: Tensor,
    typical: Tensor,
    first: float,
    step: float,
    gain: float,
    readout: float,
    reach: int = REACH,
) -> Tensor:
    """Largest excess (n,) of one detector channel over what is expected, in units of its sd.

    Parameters
    ----------
    counts : Tensor (n, E)
    offset, scale : float
        Centre of the first channel and channel width, eV.
    shift : Tensor (n,)
        Shift to remove, eV.
    typical : Tensor (N,)
        Mean spectrum of the series on an axis that begins at ``first`` with channels ``step``, eV;
        0 where it is not known.
    gain, readout : float
        Variance of a count: ``gain * counts + readout``.
    reach : int
        Channels on either side. An argument, as scripting sees no globals.
    """
    size = typical.size(0)
    typical = typical.to(counts.dtype)
    # beyond what is needed odd counts are allowed, and say nothing
    finite = torch.isfinite(counts)
    counts = torch.where(finite, counts, torch.zeros_like(counts))
    channel = torch.arange(counts.size(1), dtype=counts.dtype, device=counts.device)
    place = (offset - first + scale * channel).unsqueeze(0) - shift.to(counts.dtype).unsqueeze(1)
    place = place / step
    on_axis = (place >= 0) & (place <= size - 1)
    place = place.clamp(0.0, float(size - 1))
    low = place.floor().clamp(max=float(size - 2)).long()
    # where the series has nothing, nothing is expected
    left, right = typical[low], typical[low + 1]
    inside = (on_axis & finite & (left > 0) & (right > 0)).to(counts.dtype)
    expected = torch.lerp(left, right, place - low) * inside
    window = 2 * reach + 1
    pool = torch.stack([counts * inside, expected])
    here, usual = nn.functional.avg_pool1d(pool, window, 1, reach).unbind(0)
    expected = expected * (here / usual.clamp(min=1e-9)).clamp(min=0.0)
    sd = (gain * expected + readout).clamp(min=1e-9).sqrt()
    return ((counts - expected) / sd * inside).amax(1)
