"""Images of a series, one or many, read and checked."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes.data.detector_limits import below_ceiling
from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.energy_axis import LIMIT_SLACK, limits
from eels_bayes.data.flags import describe
from eels_bayes.data.hyperspy_io import RawImage
from eels_bayes.data.spectra import Spectra
from eels_bayes.preprocessing.borders import measured_channels, without_borders
from eels_bayes.preprocessing.dead_channels import FILLED_VARIANCE, fill_dead_channels
from eels_bayes.preprocessing.edge_extractor import Processed
from eels_bayes.preprocessing.noise import channel_share
from eels_bayes.preprocessing.rebinning import rebin
from eels_bayes.preprocessing.windows import FINEST, Windows, centers

CHUNK = 4096  # pixels a step, to keep memory low
BAR_DELAY = 3  # seconds before a progress bar appears: what is quicker needs none
NEARLY_ALL = 0.9  # of a group's pixels: a sample may fill a part of an image alone
FAR_BRIGHTER = 10.0  # times as bright as these: no thickness makes a pixel so; a spike does
MANY = 20  # pixels of a group from which on a few odd ones are told from the rest


def as_list(signals: Any) -> list[Any]:
    """Signals as a list: one, or several of them.

    Raises
    ------
    TypeError
        An array, which says nothing of its energies.
    ValueError
        None at all.
    """
    # a HyperSpy signal with navigation axes is iterable too
    if hasattr(signals, "axes_manager") or not isinstance(signals, Iterable):
        return [signals]
    if isinstance(signals, np.ndarray):
        raise TypeError(
            "signals is an array; give EELSSpectrum signals, or a tensor with its EnergyAxis"
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
        """Energies (low, high) around ``window`` that most pixels have once shifted, eV."""
        raw = self.raw
        centre, scale = centers(raw.axis), raw.axis.scale
        below = centre[self.dead & (centre < window[0])]
        above = centre[self.dead & (centre > window[1])]
        first, last = measured_channels(self.counts.numpy())
        low = max([float(centre[first]) - scale, *below[-1:].tolist()]) + 0.5 * scale
        high = min([float(centre[last - 1]) + scale, *above[:1].tolist()]) - 0.5 * scale
        return low - float(shift.min()), high - float(shift.max())

    @property
    def width(self) -> int:
        """Pixels of a row; a part of a line scan is one."""
        shape = self.raw.info.shape
        if len(shape) < 2 and self.raw.position is not None:
            return len(self.counts)
        return shape[-1] if shape else 1

    def averaged(self) -> "SeriesImage":
        """The mean over the pixels, as an image of one pixel."""
        mean = group_means(self.counts[None])
        return replace(self, counts=mean, raw=replace(self.raw, counts=mean.numpy()))


def read_image(
    raw: RawImage,
    number: int,
    windows: Windows,
    believed: Callable[[RawImage], Noise],
    ceiling: float,
    dead: NDArray[np.bool_] | None = None,
) -> SeriesImage:
    """Counts of an image less their offset, with the noise that is believed; see `check_image`.

    ``ceiling`` is where the series' channels saturate.
    """
    noise = believed(raw)
    counts = without_borders(below_ceiling(raw.counts, ceiling), noise.gain)
    counts = counts - np.float32(noise.offset) if noise.offset else counts
    return check_image(replace(raw, counts=counts, noise=noise), number, windows, dead)


def check_image(
    raw: RawImage, number: int, windows: Windows, dead: NDArray[np.bool_] | None = None
) -> SeriesImage:
    """Check an image against what is wanted from it, and fill its dead channels.

    Parameters
    ----------
    raw : RawImage
        As read; not changed.
    number : int
        Its place in the series, for messages.
    windows : Windows
        What will be read of it.
    dead : ndarray (E,) bool, optional
        Which channels are, where the image is a part of one that has shown it.

    Raises
    ------
    ValueError
        The channels wanted are finer than the data's; energies needed are off the axis, or in a
        stretch of dead channels too long to fill.
    """
    axis, step, needed = raw.axis, windows.step, windows.needed()
    name = f"image {number}" + (f" ({raw.info.title!r})" if raw.info.title else "")
    if step < axis.scale * FINEST:
        raise ValueError(
            f"dispersion is {step:g} eV, finer than the {axis.scale:g} eV of {name}: "
            "use the data's or a coarser one"
        )
    low, high = limits(axis, slack=0.0)
    slack = LIMIT_SLACK * axis.scale
    for what, (start, stop) in needed.items():
        if start < low - slack or stop > high + slack:
            raise ValueError(
                f"the energy axis of {name} covers {low:g} to {high:g} eV; {what} needs "
                f"{start:g} to {stop:g} eV"
            )
    counts, filled, unfilled = fill_dead_channels(raw.counts, raw.noise.gain, dead)
    if unfilled.any():  # spectra of which nothing is known have no channels
        unfilled = unfilled & np.isfinite(raw.counts).any()
    energy = centers(axis)[unfilled]
    for what, (start, stop) in needed.items():
        lost = energy[(energy > start) & (energy < stop)]
        if len(lost):
            raise ValueError(
                f"{len(lost)} channels of {name} between {lost[0]:g} and {lost[-1]:g} eV are dead "
                f"in every pixel, too many to fill, and {what} needs them"
            )
    return SeriesImage(name, torch.from_numpy(counts), filled, unfilled, raw)


def edge_spectra(image: SeriesImage, shift: Tensor, windows: Windows, preprocessor: Any) -> Spectra:
    """Edge spectra of an image's pixels, few at a time; channels that were filled have more sd.

    Parameters
    ----------
    image : SeriesImage
    shift : Tensor (n,)
        Shift to remove, eV.
    windows : Windows
    preprocessor : Preprocessor
        Whose ``forward`` reads the counts.
    """
    raw, canonical = image.raw, windows.canonical
    parts: list[Processed] = []
    for start in range(0, len(image.counts), CHUNK):
        chunk = slice(start, start + CHUNK)
        part = preprocessor.forward(
            image.counts[chunk],
            raw.axis,
            shift[chunk],
            raw.noise.gain,
            raw.noise.readout,
            raw.noise.correlation_factor,
        )
        if image.filled.any():
            mask = torch.from_numpy(image.filled).float().expand(len(part.flag), -1)
            share, _ = rebin(mask, raw.axis, shift[chunk], canonical)
            share = share[:, -part.sd.shape[1] :] * (raw.axis.scale / windows.step)
            part = part._replace(sd=part.sd * torch.sqrt(1 + (FILLED_VARIANCE - 1) * share))
        parts.append(part)
    whole = parts[0]
    if len(parts) > 1:
        whole = Processed(*(torch.cat(field) for field in zip(*parts, strict=True)))
    n = len(whole.flag)
    in_bins = channel_share(raw.noise.correlation_factor, windows.bin_width / raw.axis.scale)
    arrays = {name: tensor.numpy() for name, tensor in whole._asdict().items()}
    return Spectra(
        energy=windows.energy,
        image=np.zeros(n, np.int64),
        position=np.arange(n) if raw.position is None else raw.position,
        images=(replace(raw.info, readout=raw.noise.readout * in_bins),),
        profile_energy=windows.profile_energy,
        preprocessor=preprocessor,
        **arrays,
    )


def shown_images(images: Iterable[Any], show_progressbar: bool | None) -> Any:
    """Images with a progress bar."""
    return tqdm(
        images,
        desc="preprocess",
        unit="image",
        disable=show_progressbar is False,
        delay=0 if show_progressbar else BAR_DELAY,
    )


def all_reasons(spectra: Spectra) -> str:
    """Why pixels are flagged, in words, each reason once."""
    reasons = {describe(int(flag)) for flag in np.unique(spectra.flag)}
    return ", or ".join(sorted(reasons))


def group_means(groups: Tensor) -> Tensor:
    """Mean over the finite pixels of groups (g, m, E): (g, E).

    Pixels far brighter than nearly all others are left out: they would be all that is in it.
    """
    brightness = groups.sum(2)
    whole = bool(torch.isfinite(brightness).all())  # as nearly always, and the passes below cost
    finite = groups if whole else torch.where(torch.isfinite(groups), groups, math.nan)
    if groups.shape[1] >= MANY:
        brightness = brightness if whole else finite.nansum(2)
        usual = brightness.double().quantile(NEARLY_ALL, dim=1, keepdim=True)
        odd = (brightness > FAR_BRIGHTER * usual) & (usual > 0)
        if bool(odd.any()):
            finite = torch.where(odd.unsqueeze(2), math.nan, finite)
            whole = False
    if whole:
        return finite.mean(1)
    return torch.nan_to_num(finite.nanmean(1))
