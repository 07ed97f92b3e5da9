"""Cosmic rays and other single channels that stand out: script-safe.

A channel is compared with the series' mean spectrum, scaled to the pixel's own counts around it.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing.rebinning import common

BLOCK = 16  # channels that share one brightness; chosen, not tuned
NEAR = 1  # blocks on either side that say how bright the pixel is here; chosen, not tuned
LEAST_AROUND = 1e-9  # counts a channel: guards the division by a dark neighbourhood


def largest_spike(
    counts: Tensor,
    axis: EnergyAxis,
    shift: Tensor,
    typical: Tensor,
    typical_axis: EnergyAxis,
    gain: float,
    readout: float,
) -> Tensor:
    """Largest excess (n,) of one detector channel over what is expected, in units of its sd.

    Parameters
    ----------
    counts : Tensor (n, E)
        Those that are not finite say nothing.
    axis : EnergyAxis
        Of the counts.
    shift : Tensor (n,)
        Shift to remove, eV.
    typical : Tensor (N,)
        Mean spectrum of the series on `typical_axis`; 0 where it is not known.
    typical_axis : EnergyAxis
    gain, readout : float
        Variance of a count: ``gain * counts + readout``.
    """
    # where all have one shift the same is expected of all
    shape = expected_shape(axis, common(shift), typical.to(counts), typical_axis)
    if not bool(torch.isfinite(counts.sum())):  # a sum, as that is quickest
        finite = counts - counts == 0
        shape = torch.where(finite, shape, torch.zeros_like(shape))
        counts = torch.where(finite, counts, torch.zeros_like(counts))
    parts = expected(shape)
    blocks = in_blocks(counts.t().contiguous())
    return excess(blocks, neighbours(blocks.size(0)).to(blocks), parts, gain, readout)


def expected_shape(
    axis: EnergyAxis, shift: Tensor, typical: Tensor, typical_axis: EnergyAxis
) -> Tensor:
    """The typical spectrum in detector channels of spectra shifted by ``shift`` (n,); (n, E).

    0 where the series has nothing: nothing is expected there. See `largest_spike`.
    """
    size = typical.size(0)
    channel = torch.arange(axis.n, dtype=typical.dtype, device=typical.device)
    energy = axis.offset - typical_axis.offset + axis.scale * channel
    place = (energy.unsqueeze(0) - shift.to(typical).unsqueeze(1)) / typical_axis.scale
    on_axis = (place >= 0) & (place <= size - 1)
    place = place.clamp(0.0, float(size - 1))
    low = place.floor().clamp(max=float(size - 2)).long()
    left, right = typical[low], typical[low + 1]
    inside = on_axis & (left > 0) & (right > 0)
    return torch.lerp(left, right, place - low) * inside


def in_blocks(channels: Tensor, block: int = BLOCK) -> Tensor:
    """Channels (E, n) by blocks (E / block, block, n), with zeros where the last is not full."""
    missing = -channels.size(0) % block
    if missing > 0:
        channels = nn.functional.pad(channels, [0, 0, 0, missing])
    return channels.reshape(channels.size(0) // block, block, -1)


def neighbours(n_blocks: int, near: int = NEAR) -> Tensor:
    """The matrix (n_blocks, n_blocks) that makes sums of blocks the mean around each."""
    block = torch.arange(n_blocks)
    return ((block.unsqueeze(1) - block).abs() <= near).float() / (2.0 * near + 1.0)


class Expected(NamedTuple):
    """What is expected in channels as parts of the counts around; by blocks, see `in_blocks`.

    Attributes
    ----------
    some : Tensor (E / block, block, n)
        1 where anything is expected, else 0.
    root, per_root : Tensor (E / block, block, n)
        Root of the part, and its inverse; 0 where nothing is expected.
    """

    some: Tensor
    root: Tensor
    per_root: Tensor


def expected(shape: Tensor, least: float = LEAST_AROUND) -> Expected:
    """What a shape (n, E) makes expected; beyond both its ends nothing is."""
    blocks = in_blocks(shape.t())
    around = neighbours(blocks.size(0)).to(blocks) @ blocks.sum(1)
    root = (blocks / around.clamp(min=least).unsqueeze(1)).sqrt()
    some = root > 0
    return Expected(
        some.to(root), root, torch.where(some, root.reciprocal(), torch.zeros_like(root))
    )


def excess(
    blocks: Tensor,
    near: Tensor,
    expected: Expected,
    gain: float,
    readout: float,
    least: float = LEAST_AROUND,
) -> Tensor:
    """Largest excess (n,) of finite counts over what is expected, in units of its sd.

    Parameters
    ----------
    blocks : Tensor (E / block, block, n)
        Where nothing is expected they say nothing.
    near : Tensor (E / block, E / block)
        See `neighbours`.
    expected : Expected
        Of each, or of all (n = 1).
    gain, readout : float
        As in `largest_spike`.
    least : float
        Counts a channel around, below which there are taken to be as many.
    """
    some, root, per_root = expected
    around = (near @ (blocks * some).sum(1)).clamp(min=least).unsqueeze(1)
    if readout == 0.0:
        # the sd is a channel's root times a block's: none is taken for each count
        level = (gain * around).sqrt()
        in_sd = (blocks * per_root).div_(level).addcmul_(root, level, value=-1.0 / gain)
    else:
        rate = root.square() * around
        in_sd = some * (blocks - rate) * (gain * rate + readout).rsqrt()
    return in_sd.amax((0, 1))
