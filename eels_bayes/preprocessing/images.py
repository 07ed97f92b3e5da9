"""Images of a series, one or many, read and checked."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.data.hyperspy_io import RawImage
from eels_bayes.preprocessing.dead_channels import fill_dead_channels

CHUNK = 4096  # pixels a step, to keep memory low
FINEST = 0.999  # new channel width in units of the data's, with a slack for rounded axes


def as_list(signals: Any) -> list[Any]:
    # a HyperSpy signal with navigation axes is iterable too
    if hasattr(signals, "axes_manager") or not isinstance(signals, Iterable):
        return [signals]
    if isinstance(signals, np.ndarray):
        raise TypeError(
            "signals is an array; give EELSSpectrum signals, or a tensor with offset= and scale="
        )
    listed = list(signals)
    if not listed:
        raise ValueError("signals is empty; at least one EELSSpectrum is needed")
    return listed


@dataclass(frozen=True, eq=False)
class SeriesImage:
    """One image of a series, ready to be aligned.

    Attributes
    ----------
    name : str
        What to call it in messages.
    counts : Tensor (n, E)
        Counts with dead channels filled.
    filled : ndarray (E,) bool
        Which channels those are.
    dead : ndarray (E,) bool
        Channels that are dead in every pixel and too many in a row to fill.
    raw : RawImage
        As read.
    """

    name: str
    counts: Tensor
    filled: NDArray[np.bool_]
    dead: NDArray[np.bool_]
    raw: RawImage

    def clear_range(self, shift: Tensor, window: tuple[float, float]) -> tuple[float, float]:
        """Energies (low, high) around ``window`` that all pixels have once shifted, eV."""
        raw = self.raw
        centre = raw.offset + raw.scale * np.arange(len(self.dead))
        below = centre[self.dead & (centre < window[0])]
        above = centre[self.dead & (centre > window[1])]
        low = float(below[-1] if len(below) else centre[0] - raw.scale) + 0.5 * raw.scale
        high = float(above[0] if len(above) else centre[-1] + raw.scale) - 0.5 * raw.scale
        return low - float(shift.min()), high - float(shift.max())

    def averaged(self) -> "SeriesImage":
        """The mean over the pixels, as an image of one pixel."""
        mean = group_means(self.counts[None])
        return replace(self, counts=mean, raw=replace(self.raw, counts=mean.numpy()))


def check_image(
    raw: RawImage, number: int, step: float, needed: dict[str, tuple[float, float]]
) -> SeriesImage:
    """Check an image against what is wanted from it, and fill its dead channels.

    Parameters
    ----------
    raw : RawImage
        As read; not changed.
    number : int
        Its place in the series, for messages.
    step : float
        Channel width wanted, eV.
    needed : dict
        The energies (low, high) that must lie on the axis, by what needs them.

    Raises
    ------
    ValueError
        The width is finer than the data's; energies needed are off the axis, or in a stretch of
        dead channels too long to fill.
    """
    name = f"image {number}" + (f" ({raw.info.title!r})" if raw.info.title else "")
    if step < raw.scale * FINEST:
        raise ValueError(
            f"dispersion is {step:g} eV, finer than the {raw.scale:g} eV of {name}: "
            "use the data's or a coarser one"
        )
    low = raw.offset - 0.5 * raw.scale
    high = low + raw.scale * raw.counts.shape[1]
    slack = 1e-3 * raw.scale
    for what, (start, stop) in needed.items():
        if start < low - slack or stop > high + slack:
            raise ValueError(
                f"the energy axis of {name} covers {low:g} to {high:g} eV; {what} needs "
                f"{start:g} to {stop:g} eV"
            )
    counts, filled, left = fill_dead_channels(raw.counts, raw.gain)
    energy = raw.offset + raw.scale * np.flatnonzero(left)
    for what, (start, stop) in needed.items():
        lost = energy[(energy > start) & (energy < stop)]
        if len(lost):
            raise ValueError(
                f"{len(lost)} channels of {name} between {lost[0]:g} and {lost[-1]:g} eV are dead "
                f"in every pixel, too many to fill, and {what} needs them"
            )
    return SeriesImage(name, torch.from_numpy(counts), filled, left, raw)


def group_means(groups: Tensor) -> Tensor:
    """Mean over the finite pixels of groups (g, m, E): (g, E)."""
    finite = torch.where(torch.isfinite(groups), groups, math.nan)
    return torch.nan_to_num(finite.nanmean(1))
