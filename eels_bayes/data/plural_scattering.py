"""Plural scattering: what a sample that is not thin makes of single-scattering edges.

An electron that ionised an atom has lost energy to plasmons besides, as often as any other
electron. With J the low loss of the same place, recorded from its zero-loss peak on,

    edge of the sample = single-scattering edge * J / sum J

where * is a convolution (Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope,
3rd edition, 2011, section 4.3). Fingerprints are convolved, data are never deconvolved, so that
counts stay counts. J enters by its total: an edge keeps its area, a share of which moves to higher
energies. That is how much of an edge stands in spectra in units of their own counts, whatever the
thickness. The zero-loss peak enters as all of its area in one channel: what it is wide is the
instrument's resolution, which the experiment's edges have already and the forward model fits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eels_bayes.arrays import Array, Floats, Ints
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.hyperspy_io import is_low_loss, read_counts
from eels_bayes.data.library_arrays import uniform_step
from eels_bayes.quiet_imports import import_quietly

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum

COARSEST = 1.0  # eV a channel: exSpy looks for the zero-loss peak's end in ten channels at least
PEAK_HALF_WIDTH = 1.0  # eV around the highest channel whose centroid is the peak's centre
OFF_ZERO = 20.0  # eV by which axes of files may be off; chosen
JUMP = 5.0  # eV from the image's zero-loss peak beyond which a pixel shows no peak; chosen
END_START, END_WINDOW = 1.0, 10.0  # eV from the peak's centre where its end is looked for: exSpy's
GROUP_WIDTH = 0.15  # mean free paths that pixels with one kernel may spread; chosen, not tuned
MOST_GROUPS = 5  # so that a library grows five times at most
INNER = (0.05, 0.95)  # quantiles between which thicknesses spread
GAINED = 10.0  # eV that no electron gains: counts there are the detector's, as everywhere; chosen
LEVEL_CHANNELS = 10  # whose mean is the level at the low loss's ends, at least
BEGINS = 0.1  # of its maximum: an edge that high in the first channel began before it; chosen
MOST_MISSING = 0.02  # share of the electrons that may lie beyond it; chosen


class Scattering(NamedTuple):
    """Energy losses besides that of the edge.

    Attributes
    ----------
    kernels : (G, N) array
        Share of the electrons that lost 0, 1, ... N - 1 channels, of G groups of as many pixels
        each, from thin to thick.
    mean : (N,) array
        Of all pixels.
    missing, end : float
        Share of the electrons that seem to have lost more than the end of the low loss, eV; of
        several signals the one that lacks most.
    """

    kernels: Floats
    mean: Floats
    missing: float
    end: float


class _LowLoss(NamedTuple):
    """Usable pixels of one signal.

    ``thickness`` (n,) in mean free paths; ``share`` (n, E) of the electrons with ``losses`` (E,),
    eV, 0 where the zero-loss peak has its centre; the first ``n_elastic`` channels are that peak.
    """

    thickness: Array
    share: Array
    losses: Array
    n_elastic: int


def scattered(
    energy: Floats,
    intensity: Floats,
    labels: Ints,
    values: Floats | None,
    nuisances: Floats,
    low_loss: EELSSpectrum | Iterable[EELSSpectrum],
) -> dict[str, Any]:
    """What changes in a library; see `FingerprintLibrary.scattered`, whose fields these are.

    Parameters
    ----------
    energy : (N,) array
    intensity : (M, N) array
    labels : (M,) array of int
    values : (M,) array or None
    nuisances : (Q, N) array
    low_loss : EELSSpectrum or several of them

    Returns
    -------
    dict
        ``intensity`` (G M, N): all fingerprints in the thinnest group of pixels, then in the next;
        ``labels``, ``values`` and ``nuisances``.
    """
    step = uniform_step(energy)
    peak = np.abs(intensity).max(axis=1)
    if (np.abs(intensity[:, 0]) > BEGINS * peak).any():
        warnings.warn(
            "the library begins where its edges are above zero already; what lies below its first "
            "channel is taken for zero: give fingerprints that begin before the edge",
            stacklevel=3,
        )
    losses = scattering(low_loss, step, intensity.shape[1])
    if losses.missing > MOST_MISSING:
        warnings.warn(
            f"low_loss ends {losses.end:.0f} eV behind its zero-loss peak, with about "
            f"{100 * losses.missing:.0f} % of the electrons beyond it: the fingerprints lack these "
            "losses",
            stacklevel=3,
        )
    n_groups = len(losses.kernels)
    return {
        "intensity": np.concatenate([convolved(intensity, kernel) for kernel in losses.kernels]),
        "labels": np.tile(labels, n_groups),
        "values": None if values is None else np.tile(values, n_groups),
        "nuisances": convolved(nuisances, losses.mean),
    }


def scattering(
    low_loss: EELSSpectrum | Iterable[EELSSpectrum], step: float, n_channels: int
) -> Scattering:
    """Distributions of energy losses by plural scattering, from measured low losses.

    Parameters
    ----------
    low_loss : EELSSpectrum or several of them
        With the zero-loss peak, any pixels.
    step : float
        Width of the channels that the losses are wanted in, eV.
    n_channels : int
        How many of them.

    Returns
    -------
    Scattering

    Raises
    ------
    TypeError, ValueError
        As `FingerprintLibrary.scattered` says.
    """
    signals = [low_loss] if hasattr(low_loss, "axes_manager") else list(low_loss)
    if not signals:
        raise ValueError("low_loss is empty; give at least one low-loss signal")
    parts = [_low_loss(signal) for signal in signals]
    group, n_groups = _groups(np.concatenate([part.thickness for part in parts]))
    kernels = np.zeros((n_groups, n_channels))
    start = 0
    for part in parts:
        of_pixel = group[start : start + len(part.thickness)]
        start += len(of_pixel)
        for g in range(n_groups):
            kernels[g] += _kernel(part.share[of_pixel == g].sum(0), part, step, n_channels)
    pixels = np.bincount(group, minlength=n_groups)
    missing, end = max((_missing(part), -part.losses[-1]) for part in parts)
    return Scattering(kernels / pixels[:, None], kernels.sum(0) / pixels.sum(), missing, -end)


def convolved(rows: Floats, kernel: Floats) -> Floats:
    """Rows (M, N) after losses of 0, 1, ... channels with shares (N,); nothing lies before them."""
    n = rows.shape[1]
    return np.reshape([np.convolve(row, kernel)[:n] for row in rows], rows.shape)


def _low_loss(signal: EELSSpectrum) -> _LowLoss:
    """A signal's pixels with their zero-loss peaks at 0, and how thick the sample is there."""
    import_quietly("exspy.signals")
    from exspy.signals import EELSSpectrum

    counts, axis = _counts(signal)
    scale = axis.scale
    spectra, losses = _aligned(counts, axis)
    if losses[-1] < END_START + END_WINDOW:
        raise ValueError(
            f"low_loss ends {losses[-1]:g} eV behind its zero-loss peak; at least "
            f"{END_START + END_WINDOW:g} eV are needed, and what edges stretch over is better"
        )
    dark = losses < -GAINED
    if dark.sum() >= LEVEL_CHANNELS:
        spectra -= spectra[:, dark].mean(1, keepdims=True)
    pixels = {"size": len(spectra), "navigate": True}
    energy = {"size": len(losses), "scale": scale, "offset": losses[0], "units": "eV"}
    low = EELSSpectrum(spectra, axes=[pixels, energy])
    found = low.mean().estimate_elastic_scattering_threshold(window=END_WINDOW, start=END_START)
    end = float(np.nan_to_num(found.data[0], nan=END_START))  # NaN: flat from the start on
    elastic = low.estimate_elastic_scattering_intensity(threshold=end).data
    total = spectra.sum(1)
    usable = (elastic > 0) & (total > 0)
    if not usable.any():
        raise ValueError(
            "no pixel of low_loss has counts above the level that it has below its zero-loss peak"
        )
    n_elastic = low.axes_manager.signal_axes[0].value2index(end)  # where exSpy cuts
    return _LowLoss(
        np.log(total / elastic)[usable],
        (spectra / total[:, None])[usable],
        losses,
        n_elastic,
    )


def _counts(signal: EELSSpectrum) -> tuple[Array, EnergyAxis]:
    """Counts (n, E) of the pixels that count anything, or ValueError."""
    raw = read_counts(signal)
    axis = raw.axis
    if not is_low_loss(signal):
        raise ValueError(
            f"low_loss runs from {axis.offset:g} to {axis.offset + axis.scale * (axis.n - 1):g} "
            "eV; a low loss with 0 eV, its zero-loss peak, inside its axis is needed"
        )
    if axis.scale > COARSEST:
        raise ValueError(
            f"low_loss has channels of {axis.scale:g} eV; {COARSEST:g} eV or less are needed to "
            "tell the zero-loss peak from what was lost"
        )
    if raw.limits.saturated:
        raise ValueError(
            f"the zero-loss peak is cut off at {raw.limits.ceiling:g} counts in "
            f"{raw.limits.saturated} of {len(raw.counts)} pixels of low_loss: the detector was "
            "saturated there; leave these pixels out, or record the low loss with a shorter "
            "exposure"
        )
    counts = raw.counts.astype(float) - raw.noise.offset
    counts = counts[np.isfinite(counts).all(1) & (counts.sum(1) > 0)]
    if not len(counts):
        raise ValueError("low_loss has no pixel with finite counts above zero")
    return counts, axis


def _aligned(counts: Array, axis: EnergyAxis) -> tuple[Array, Array]:
    """Spectra (n', E') with the zero-loss peak's centre at a loss of 0, and losses (E',) in eV.

    A channel's counts are shared out between the two that it comes to lie in.
    """
    reach = max(1, round(PEAK_HALF_WIDTH / axis.scale))
    highest = counts.argmax(1)
    about = highest[:, None] + np.arange(-reach, reach + 1)
    peak = np.take_along_axis(counts, about.clip(0, axis.n - 1), 1)
    peak = np.where((about >= 0) & (about < axis.n), np.maximum(peak, 0.0), 0.0)
    centre = (peak * about).sum(1) / peak.sum(1)
    middle = float(np.median(centre))
    if abs(axis.offset + axis.scale * middle) > OFF_ZERO:
        raise ValueError(
            f"low_loss is highest at {axis.offset + axis.scale * middle:g} eV; its zero-loss peak "
            f"is needed within {OFF_ZERO:g} eV of 0: correct the axis (align_zero_loss_peak)"
        )
    near = np.abs(centre - middle) * axis.scale < JUMP
    counts, centre = counts[near], centre[near]
    whole = np.floor(centre).astype(int)
    before, behind = whole.min(), axis.n - 2 - whole.max()
    channels = whole[:, None] + np.arange(-before, behind + 1)
    part = (centre - whole)[:, None]
    left, right = (np.take_along_axis(counts, channels + k, 1) for k in (0, 1))
    return (1 - part) * left + part * right, axis.scale * np.arange(-before, behind + 1)


def _missing(low: _LowLoss) -> float:
    """Share of the electrons that have lost more than the last channel's energy.

    What falls as E^-3, as the losses of free electrons do, has an area beyond any energy of half
    of that energy times the level there.
    """
    level = low.share[:, -LEVEL_CHANNELS:].mean() / (low.losses[1] - low.losses[0])
    return float(0.5 * level * low.losses[-1])


def _groups(thickness: Array) -> tuple[Ints, int]:
    """Group (n,) of each pixel by its thickness (n,), from thin to thick, and their number."""
    spread = np.diff(np.quantile(thickness, INNER))[0]
    n_groups = int(np.clip(np.ceil(spread / GROUP_WIDTH), 1, min(MOST_GROUPS, len(thickness))))
    rank = np.argsort(np.argsort(thickness, kind="stable"), kind="stable")
    return rank * n_groups // len(thickness), n_groups


def _kernel(share: Array, low: _LowLoss, step: float, n_channels: int) -> Array:
    """Losses (n_channels,) of shares (E,): the zero-loss peak in the first channel."""
    scale = low.losses[1] - low.losses[0]
    lost = share[low.n_elastic :]
    borders = low.losses[low.n_elastic] + scale * (np.arange(len(lost) + 1) - 0.5)
    below = np.concatenate([[0.0], np.cumsum(lost)])
    kernel: Array = np.diff(np.interp(step * (np.arange(n_channels + 1) - 0.5), borders, below))
    kernel[0] += share.sum() - lost.sum()
    return kernel
