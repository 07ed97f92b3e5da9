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
    shape = expected_shape(counts.size(1), offset, scale, shift, typical.to(counts), first, step)
    return excess(counts, shape, gain, readout, reach)


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


def excess(
    counts: Tensor, shape: Tensor, gain: float, readout: float, reach: int = REACH
) -> Tensor:
    """Largest excess (n,) of counts (n, E) over the shape (n, E) or (1, E) scaled to them.

    0 where nothing is expected.
    """
    # beyond what is needed odd counts are allowed, and say nothing
    seen = (counts - counts == 0) & (shape > 0)
    nothing = torch.zeros_like(shape)
    shown = torch.stack((torch.where(seen, counts, nothing), torch.where(seen, shape, nothing)))
    total = nn.functional.pad(shown, [reach + 1, reach]).cumsum(2)
    near = total[:, :, 2 * reach + 1 :] - total[:, :, : -2 * reach - 1]
    here, usual = near.clamp(min=1e-9).unbind(0)
    counts, shape = shown.unbind(0)
    rate = shape * (here / usual)
    var = rate
    if gain != 1.0 or readout != 0.0:
        var = gain * rate + readout
    return ((counts - rate) * var.clamp(min=1e-9).rsqrt()).amax(1)
