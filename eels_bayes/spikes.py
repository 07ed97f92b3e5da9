"""Cosmic rays and other single channels that stand out: script-safe.

A channel is compared with the series' mean spectrum, scaled to the pixel's own counts around it.
"""

import torch
from torch import Tensor, nn

BLOCK = 16  # channels that share one brightness
NEAR = 1  # blocks on either side that say how bright the pixel is here


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
) -> Tensor:
    """Largest excess (n,) of one detector channel over what is expected, in units of its sd.

    Parameters
    ----------
    counts : Tensor (n, E)
        Those that are not finite say nothing.
    offset, scale : float
        Centre of the first channel and channel width, eV.
    shift : Tensor (n,)
        Shift to remove, eV.
    typical : Tensor (N,)
        Mean spectrum of the series on an axis that begins at ``first`` with channels ``step``, eV;
        0 where it is not known.
    gain, readout : float
        Variance of a count: ``gain * counts + readout``.
    """
    shape = expected_shape(counts.size(1), offset, scale, shift, typical.to(counts), first, step)
    shape = torch.where(counts - counts == 0, shape, torch.zeros_like(shape))
    return excess(counts, shares(shape), gain, readout)


def expected_shape(
    n_channels: int,
    offset: float,
    scale: float,
    shift: Tensor,
    typical: Tensor,
    first: float,
    step: float,
) -> Tensor:
    """The typical spectrum in detector channels of spectra shifted by ``shift`` (n,); (n, E).

    0 where the series has nothing: nothing is expected there. See `largest_spike`.
    """
    size = typical.size(0)
    channel = torch.arange(n_channels, dtype=typical.dtype, device=typical.device)
    place = (offset - first + scale * channel).unsqueeze(0) - shift.to(typical).unsqueeze(1)
    place = place / step
    on_axis = (place >= 0) & (place <= size - 1)
    place = place.clamp(0.0, float(size - 1))
    low = place.floor().clamp(max=float(size - 2)).long()
    left, right = typical[low], typical[low + 1]
    inside = on_axis & (left > 0) & (right > 0)
    return torch.lerp(left, right, place - low) * inside


def in_blocks(channels: Tensor, block: int = BLOCK) -> Tensor:
    """Channels (n, E) by blocks (n, E / block, block), with zeros where the last is not full."""
    missing = -channels.size(1) % block
    if missing > 0:
        channels = nn.functional.pad(channels, [0, missing])
    return channels.view(-1, channels.size(1) // block, block)


def around(blocks: Tensor, near: int = NEAR) -> Tensor:
    """Mean (n, E / block, 1) of the sums of the blocks around each, itself included."""
    sums = blocks.sum(2).unsqueeze(1)
    return nn.functional.avg_pool1d(sums, 2 * near + 1, stride=1, padding=near).transpose(1, 2)


def shares(shape: Tensor) -> Tensor:
    """What is expected in channels (n, E) as parts of the counts around, by blocks.

    Beyond both ends there is nothing in either.
    """
    blocks = in_blocks(shape)
    return blocks / around(blocks).clamp(min=1e-9)


def excess(counts: Tensor, share: Tensor, gain: float, readout: float) -> Tensor:
    """Largest excess (n,) of counts (n, E) over their share (n, E / block, block) or (1, ...).

    Where that is 0 nothing is expected, and counts may be anything; elsewhere they are finite.
    """
    shown = torch.where(share > 0, in_blocks(counts), torch.zeros_like(share))
    rate = share * around(shown).clamp(min=1e-9)
    var = rate
    if gain != 1.0 or readout != 0.0:
        var = gain * rate + readout
    return ((shown - rate) * var.clamp(min=1e-9).rsqrt()).amax((1, 2))
