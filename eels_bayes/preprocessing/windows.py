"""Energy windows of the preprocessing and the axes that they make."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.energy_axis import EnergyAxis

BIN_WIDTHS = (2.0, 1.0, 0.5, 0.25)  # eV of a profile's bins: the widest that shows all of the edge
PROFILE_RANGE = (0.5, 1.5)  # of the window's ends: what lies farther says little about the edge
FINEST = 0.999  # new channel width in units of the data's, with a slack for rounded axes
MOST_CHANNELS = 10**6  # of an axis: detectors have thousands, and a slip must not fill the memory
LEAST_FIT = 4  # channels of a background: two parameters, and something left to see the noise by
LEAST_WINDOW = 2  # channels of a window: an axis needs them
CHANNEL_ROUNDING = 1e-6  # of a channel: what is nearer to a whole number of them is one

Interval = tuple[float, float]


@dataclass(frozen=True)
class Windows:
    """What is read of a spectrum, in eV, and in channels how wide.

    Attributes
    ----------
    window : (low, high)
        The edge.
    background, normalize, align : (low, high) or None
        As in `Preprocessor`.
    step : float
        Channel width of the edge spectra.
    profile_bins : (int, int)
        First bin of the profile and last + 1, counted from the window's start.
    bin_channels : int
        Channels of a bin; about 2 eV of them before calibration.
    """

    window: Interval
    background: Interval | None
    normalize: Interval | None
    align: Interval | None
    step: float
    profile_bins: tuple[int, int] = (0, 0)
    bin_channels: int = 0

    @property
    def bin_width(self) -> float:
        """Width of the profile's bins, eV: whole channels."""
        return self.step * self.n_in_bin

    @property
    def n_in_bin(self) -> int:
        """Channels of a bin, known or not."""
        return self.bin_channels or bin_channels(self.step)

    @property
    def energy(self) -> NDArray[np.float64]:
        """Channel centres of the edge spectra (L,), eV."""
        n_window = edge_channels(self.window, self.step)
        return self.window[0] + self.step * np.arange(n_window, dtype=np.float64)

    @property
    def canonical(self) -> EnergyAxis:
        """The axis of the aligned counts; its last L channels are those of `energy`."""
        return canonical_axis(self.window, self.background, self.step)

    @property
    def profile_energy(self) -> NDArray[np.float64]:
        """Bin centres of the profiles (B,), eV; the bin 0 begins where the window does."""
        bins = np.arange(*self.profile_bins, dtype=np.float64)
        return self.window[0] - 0.5 * self.step + self.bin_width * (bins + 0.5)

    @property
    def canonical_limits(self) -> Interval:
        """Outer borders of the canonical channels, eV."""
        half, centres = 0.5 * self.step, centers(self.canonical)
        return float(centres[0] - half), float(centres[-1] + half)

    def needed(self) -> dict[str, Interval]:
        """Energies (low, high) that spectra must cover, eV, by what needs them."""
        low, high = self.canonical_limits
        ranges = {f"window {self.window}": (self.window[0] - 0.5 * self.step, high)}
        if self.background is not None:
            ranges[f"background {self.background}"] = (low, high)
        for name, band in (("normalize", self.normalize), ("align", self.align)):
            if band is not None:
                ranges[f"{name} {band}"] = band
        if len(self.profile_energy):
            ends = self.profile_energy[[0, -1]] + self.bin_width * np.array([-0.5, 0.5])
            ranges["the range calibrated on"] = (float(ends[0]), float(ends[1]))
        return ranges


def centers(axis: EnergyAxis) -> NDArray[np.float64]:
    """Channel centres (n,) of an axis, eV."""
    return axis.offset + axis.scale * np.arange(axis.n, dtype=np.float64)


def bin_channels(step: float, width: float = BIN_WIDTHS[0]) -> int:
    """Channels of `step` eV in a profile's bin of about `width` eV, one at least."""
    return max(1, round(width / step))


def edge_channels(window: Interval, step: float) -> int:
    """Number L of channels of `step` eV in the window (eV)."""
    return round((window[1] - window[0]) / step)


def canonical_axis(window: Interval, background: Interval | None, step: float) -> EnergyAxis:
    """The axis of the aligned counts: the window's channels, preceded by the background's.

    Raises
    ------
    ValueError
        The window holds fewer than two channels.
    """
    n_window = edge_channels(window, step)
    if n_window < LEAST_WINDOW:
        raise ValueError(
            f"window {window} holds {n_window} channels of {step:g} eV; at least "
            f"{LEAST_WINDOW} are needed: widen the window or use a smaller dispersion"
        )
    start = window[0] if background is None else min(window[0], background[0])
    n_before = max(0, math.ceil((window[0] - start) / step - CHANNEL_ROUNDING))
    return EnergyAxis(window[0] - n_before * step, step, n_before + n_window)


def nearest_channel(energy: float, axis: EnergyAxis) -> int:
    """The channel nearest to an energy above zero (eV): half-way the lower one, as in HyperSpy.

    What rounding of decimal numbers leaves of half a channel is half a channel.
    """
    return math.ceil((energy - axis.offset) / axis.scale - 0.5 - CHANNEL_ROUNDING)


def background_channels(
    background: Interval, window: Interval, axis: EnergyAxis
) -> tuple[int, int]:
    """First channel of the fit window (eV) on the canonical axis, and last + 1.

    The channels nearest to both ends, both included, as ``remove_background(fast=False)`` of
    HyperSpy does.

    Raises
    ------
    ValueError
        There are too few, or they do not lie above 0 eV.
    """
    first, last = (nearest_channel(end, axis) for end in background)
    last = min(last + 1, axis.n)
    if last - first < LEAST_FIT:
        raise ValueError(
            f"background {background} holds {last - first} channels of {axis.scale:g} eV; at "
            f"least {LEAST_FIT} are needed: widen it"
        )
    if axis.offset <= 0:
        raise ValueError(
            f"background {background} with window {window} starts at "
            f"{axis.offset:g} eV; a power law needs energies above zero"
        )
    return first, last
