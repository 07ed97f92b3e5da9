"""The images of a series: checked, repaired, and their drift."""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.data.hyperspy_io import RawImage
from eels_bayes.preprocessing.dead_channels import fill_dead_channels
from eels_bayes.preprocessing.rebinning import find_shift, make_reference, rebin

SEARCH = 15.0  # eV: how far images may have drifted
SEARCH_WITHIN = 5.0  # eV: how far rows and pixels may lie from their image
FADED = 0.3  # correlation with the reference below which there is nothing to align on
FINEST = 0.999  # new channel width in units of the data's, with a slack for rounded axes
CHUNK = 4096  # spectra a step, to keep memory low


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
        mean = _mean(self.counts[None])
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


def series_reference(
    images: list[SeriesImage], align: tuple[float, float], step: float, align_to: float | None
) -> Tensor:
    """Mean of the aligned images in the align window, made ready for `rebinning.find_shift`.

    Parameters
    ----------
    images : list of SeriesImage
        All images are aligned to the brightest first, then averaged.
    align : (low, high)
        Window of the reference edge, eV.
    step : float
        Channel width of the reference, eV.
    align_to : float, optional
        Energy that the maximum of the mean gets, eV; otherwise the mean lies at the median drift.

    Returns
    -------
    Tensor (N,)
        With channel centres from ``align[0] + step / 2``.
    """
    first, n_align = align[0] + 0.5 * step, round((align[1] - align[0]) / step)
    means = [image.averaged().counts for image in images]

    def cut(shifts: list[float]) -> Tensor:
        rows = [
            rebin(mean, image.raw.offset, image.raw.scale, torch.tensor([s]), first, step, n_align)[
                0
            ]
            for mean, image, s in zip(means, images, shifts, strict=True)
        ]
        return torch.cat(rows)

    unshifted = cut([0.0] * len(images))
    brightest = make_reference(unshifted[int(unshifted.sum(1).argmax())])
    found = []
    for mean, image in zip(means, images, strict=True):
        axis = (image.raw.offset, image.raw.scale)
        shift, seen = find_shift(mean, *axis, torch.zeros(1), brightest, first, step, SEARCH)
        found.append(float(shift) if float(seen) >= FADED else 0.0)
    middle = float(np.median(found))
    aligned = cut([shift - middle for shift in found]).mean(0)
    if align_to is not None:
        middle += align_to - (first + step * _peak(aligned))
        aligned = cut([shift - middle for shift in found]).mean(0)
    return make_reference(aligned)


def image_shifts(
    image: SeriesImage,
    reference: Tensor,
    align: tuple[float, float],
    step: float,
    align_by: str,
) -> Tensor:
    """Shift of every pixel against the reference, shared by image, by row or by none; (n,) in eV.

    Warns where the image shows nothing that resembles the reference, and leaves it as it is.
    """
    counts, raw = image.counts, image.raw
    n, first = len(counts), align[0] + 0.5 * step
    axis = (raw.offset, raw.scale)
    shift, seen = find_shift(
        _mean(counts[None]), *axis, torch.zeros(1), reference, first, step, SEARCH
    )
    if float(seen) < FADED:
        warnings.warn(
            f"align {align}: {image.name} shows nothing there that resembles the reference "
            f"(correlation {float(seen):.2f}); it is left unaligned",
            stacklevel=2,
        )
        return torch.zeros(n)
    if align_by == "image":
        return shift.expand(n)
    groups = counts
    if align_by == "row":
        width = raw.info.shape[-1] if raw.info.shape else 1
        groups = _mean(counts.reshape(-1, width, counts.shape[1]))
    parts = [
        find_shift(part, *axis, shift.expand(len(part)), reference, first, step, SEARCH_WITHIN)[0]
        for part in groups.split(CHUNK)
    ]
    return torch.cat(parts).repeat_interleave(n // len(groups))


def _mean(groups: Tensor) -> Tensor:
    """Mean over the finite pixels of groups (g, m, E): (g, E)."""
    finite = torch.where(torch.isfinite(groups), groups, math.nan)
    return torch.nan_to_num(finite.nanmean(1))


def _peak(spectrum: Tensor) -> float:
    """Place of the maximum in channels, by a parabola through its neighbours."""
    k = int(spectrum.argmax())
    if k in (0, len(spectrum) - 1):
        return float(k)
    left, top, right = (float(v) for v in spectrum[k - 1 : k + 2])
    bend = left - 2 * top + right
    return k + (0.5 * (left - right) / bend if bend < 0 else 0.0)
