"""What a signal holds, before anything is fitted: its windows, its background and its noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes.data.detector_limits import Limits
from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.hyperspy_io import RawImage, energy_axis
from eels_bayes.data.unread_images import Frames, UnreadImage, sampled_images, unread_images
from eels_bayes.plots.inspection_figure import inspection
from eels_bayes.preprocessing.background_check import background_doubts
from eels_bayes.preprocessing.edge_extractor import EdgeExtractor
from eels_bayes.preprocessing.images import group_means
from eels_bayes.preprocessing.noise import channel_share, variance
from eels_bayes.preprocessing.noise_choice import Choice, beside_gain, chosen_noise
from eels_bayes.preprocessing.noise_measurement import LEAST_PIXELS, MeasuredNoise
from eels_bayes.preprocessing.rebinning import rebin
from eels_bayes.preprocessing.series_noise import NOISE_PIXELS, NoiseSample
from eels_bayes.preprocessing.windows import Windows, centers

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Inspection:
    """What `inspected` finds.

    Attributes
    ----------
    raw : RawImage
        As read; of a stack, the first frame.
    n_frames : int
        1 where the signal is no stack.
    windows : Windows
    mean : (E,) array
        Mean spectrum of the finite pixels, counts.
    background : (amplitude, exponent) or None
        Power law before the edge of the mean spectrum: counts a channel of the data at the
        window's start, and exponent.
    measured : MeasuredNoise or None
        None where there are too few pixels.
    choice : Choice
        The noise that is believed, and what contradicts it.
    doubts : str
        What speaks against the background window, and what would do; '' where nothing does.
    beyond : str
        What of the counts was too large to be counted; '' where nothing was.
    """

    raw: RawImage
    n_frames: int
    windows: Windows
    mean: Floats
    background: tuple[float, float] | None
    measured: MeasuredNoise | None
    choice: Choice
    doubts: str
    beyond: str

    def bands(self) -> dict[str, tuple[float, float]]:
        """The windows (eV) by name."""
        named = {
            "background": self.windows.background,
            "normalize": self.windows.normalize,
            "align": self.windows.align,
        }
        return {"window": self.windows.window} | {k: v for k, v in named.items() if v is not None}

    @property
    def title(self) -> str:
        """Title of the signal."""
        info = self.raw.info
        return info.title if info.frame is None else info.frame.stack.title

    def words(self) -> str:
        """All of it in words, a line each."""
        raw, axis = self.raw, self.raw.axis
        size = " x ".join(map(str, raw.info.shape)) or "1"
        end = axis.offset + axis.scale * (axis.n - 1)
        if raw.info.frame is not None:
            size = f"a stack of {self.n_frames} frames of {size}"
        lines = [
            f"{self.title or 'untitled'}: {size} spectra of {axis.n} channels of "
            f"{axis.scale:g} eV, {axis.offset:g} to {end:g} eV"
        ]
        energy = centers(axis)
        for name, (low, high) in self.bands().items():
            inside = (energy >= low) & (energy <= high)
            level = (
                f"{self.mean[inside].mean():.4g} counts a channel" if inside.any() else "off axis"
            )
            lines.append(f"{name} {low:g} to {high:g} eV: {level}")
        if self.background is not None:
            amplitude, exponent = self.background
            lines.append(
                f"background of the mean: {amplitude:.4g} counts a channel at "
                f"{self.windows.window[0]:g} eV, exponent {exponent:.3g}"
            )
        if self.doubts:
            lines.append(f"! {self.doubts}")
        source = raw.stated or "nothing in the metadata"
        lines.append(f"noise stated by {source}: {in_words(raw.noise)}")
        if self.measured is None:
            lines.append("noise measured: too few spectra to tell")
        else:
            found = self.measured
            lines.append(f"noise measured: {in_words(found.noise)}, gain +- {found.gain_error:.1g}")
            gain, factor = found.noise.gain, found.noise.correlation_factor
            wide = self.windows.bin_width
            in_bin = gain * channel_share(factor, wide / axis.scale)
            lines.append(
                f"gain that it shows: {gain * factor:.3g} in one channel, "
                f"{in_bin:.3g} in {wide:g} eV"
            )
        lines.append(f"believed: {in_words(self.choice.noise)}")
        lines += [f"! {message}" for message in (self.beyond, self.choice.message) if message]
        return "\n".join(lines)


def in_words(noise: Noise) -> str:
    """A noise, its usual parts left out."""
    return ", ".join([f"gain {noise.gain:.4g}", *beside_gain(noise)])


def inspected(images: Sequence[UnreadImage], windows: Windows, noise: str | Noise) -> Inspection:
    """Look at a signal.

    Parameters
    ----------
    images : sequence of UnreadImage
        The signal, or its frames; read one by one.
    windows : Windows
    noise : {"auto", "measured", "metadata"} or Noise
        As in `Preprocessor`.

    Raises
    ------
    TypeError, ValueError
        A signal that cannot be read.
    """
    frames = sampled_images(images)()
    raw = next(frames)
    sample, total, n, limits, n_all = NoiseSample(raw), np.zeros(raw.axis.n), 0, Limits(), 0
    for frame in chain([raw], frames):
        sample.add(frame, windows.window, max(LEAST_PIXELS, NOISE_PIXELS // len(images)))
        known = int(np.isfinite(frame.counts).any(axis=1).sum())
        mean = group_means(torch.from_numpy(frame.counts)[None])[0].numpy().astype(float)
        total, n = total + known * mean, n + known
        limits, n_all = limits.beside(frame.limits), n_all + len(frame.counts)
    measured = sample.measured()
    choice = chosen_noise(raw.noise, raw.stated, measured, noise)
    mean = total / max(n, 1) - choice.noise.offset
    background, doubts = _background(mean, n, raw, windows, choice.noise)
    beyond = limits.words(n_all)
    return Inspection(raw, len(images), windows, mean, background, measured, choice, doubts, beyond)


def _background(
    mean: Floats, n: int, raw: RawImage, windows: Windows, noise: Noise
) -> tuple[tuple[float, float] | None, str]:
    """The power law of the mean of n spectra, by unweighted least squares as HyperSpy fits it.

    And what speaks against its window.
    """
    if windows.background is None:
        return None, ""
    extractor = EdgeExtractor(windows.window, windows.background, shrunk=False)
    extractor.set_step(windows.step)
    counts = torch.from_numpy(mean[None]).float()
    canonical, _ = rebin(counts, raw.axis, torch.zeros(1, dtype=torch.float32), extractor.axis())
    edges = extractor(canonical, variance(canonical, 1.0, 0.0), torch.ones(1, dtype=torch.float32))
    amplitude, exponent = edges.background[0].tolist()
    readout = noise.readout * windows.step / raw.axis.scale
    doubts = background_doubts(
        n * canonical[0],
        n * variance(canonical, noise.gain, readout)[0],
        windows.background,
        windows.window,
        extractor.axis(),
    )
    return (amplitude * raw.axis.scale / windows.step, exponent), doubts


def drawn(
    found: Inspection, edges: Mapping[str, float] | None = None, *, window: bool = True
) -> Any:
    """The figure of an inspection; see `plots.inspection_figure`.

    Parameters
    ----------
    found : Inspection
    edges : mapping of str to float, optional
        Onsets to mark, eV, by name.
    window : bool
        Whether to show the window: not where none was asked for.
    """
    raw, measured = found.raw, found.measured
    energy = centers(raw.axis)
    background = None
    if found.background is not None and found.windows.background is not None:
        amplitude, exponent = found.background
        start = found.windows.window[0]
        reach = energy[
            (energy >= found.windows.background[0]) & (energy <= found.windows.window[1])
        ]
        background = (reach, amplitude * (reach / start) ** -exponent)
    stated = f"stated ({raw.stated})" if raw.stated else "as nothing is stated: Poisson"
    lines = {stated: _line(raw.noise)}
    if measured is not None:
        lines["measured, one channel"] = (measured.channel.gain, measured.channel.constant)
        lines["measured, many channels"] = _line(measured.noise)
    return inspection(
        energy,
        found.mean,
        {name: band for name, band in found.bands().items() if window or name != "window"},
        background=background,
        levels=() if measured is None else measured.levels,
        variances=() if measured is None else measured.variances,
        lines=lines,
        edges=edges,
        title=found.title,
    )


def _line(noise: Noise) -> tuple[float, float]:
    """Gain and constant of a noise's variance."""
    return noise.gain, noise.readout - noise.gain * noise.offset


class Inspecting(Protocol):
    """What inspects: a `Preprocessor`."""

    step: float
    noise: str | Noise
    frames: Frames

    def _windows(self) -> Windows: ...


def summary(self: Inspecting, signal: Any) -> str:
    """What a signal holds, in words: axis, counts in the windows, background and noise.

    Parameters
    ----------
    signal : EELSSpectrum
        Not changed; nothing is calibrated. Of a large lazy one a sample is read.

    Returns
    -------
    str
        A line each; what contradicts metadata or windows is marked by "!".

    Raises
    ------
    TypeError, ValueError
        A signal that cannot be read.
    """
    return _of_signal(self, signal).words()


def plot(self: Inspecting, signal: Any) -> Any:
    """What a signal holds, as a figure: mean spectrum, windows, background and noise.

    Parameters
    ----------
    signal : EELSSpectrum
        As in `summary`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return drawn(_of_signal(self, signal))


def _of_signal(preprocessor: Inspecting, signal: Any) -> Inspection:
    """What a signal holds, in channels of its own where no dispersion is known yet."""
    windows = preprocessor._windows()
    windows = replace(windows, step=preprocessor.step or energy_axis(signal).scale)
    return inspected(unread_images([signal], preprocessor.frames), windows, preprocessor.noise)
