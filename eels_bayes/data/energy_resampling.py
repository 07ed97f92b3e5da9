"""Spectra moved, broadened and averaged onto another energy axis."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.arrays import Floats, Ints

CHUNK = 4096  # rows varied at a time: bounds the memory of the Fourier transforms
TOLERANCE = 1e-6  # of a channel, when energies are compared
MOST_BEYOND = 2  # channels at either end that take the end value
TAIL_SIGMAS = 6  # of the broadening, beyond which nothing of it arrives in double precision
NOTHING_LEFT = 40.0  # nats by which a frequency is weaker: exp(-40) is less than a rounding
LEAST_PAD = 8  # channels: keeps the ramp's corner away where nothing is broadened; chosen
RAMP = (4, 64)  # channels of the ramp: in units of the padding, and at least; chosen, not tuned
EVEN = 32  # channels in all are a multiple of it: a Fourier transform of a prime number takes long
MEANS_FROM = 1.5  # new channels so much wider are means over the old ones; chosen, not tuned


def shift_and_broaden(
    rows: Floats, shift: ArrayLike, sigma: ArrayLike, which: Ints | None = None
) -> Floats:
    """Move spectra to higher energy and convolve them with a Gaussian, each by its own amount.

    Multiplication by exp(-2 pi i f shift - 2 (pi f sigma)^2) in the Fourier domain, with the ends
    continued by their values and joined by a smooth ramp, so that nothing leaks around.

    Parameters
    ----------
    rows
        Shape (M, N).
    shift, sigma
        Channels, shape (n,) or ().
    which
        Of which row each of the n is made, shape (n,); of each row one (n = M) if left out.

    Returns
    -------
    ndarray
        Shape (n, N).
    """
    n_channels = rows.shape[1]
    n = len(rows) if which is None else len(which)
    moves, widths = np.broadcast_to(shift, n), np.broadcast_to(sigma, n)
    if n == 0:
        return np.empty((0, n_channels))
    pad = math.ceil(TAIL_SIGMAS * float(widths.max()) + float(np.abs(moves).max())) + LEAST_PAD
    least = n_channels + (2 + RAMP[0]) * pad + RAMP[1]
    ramp = np.linspace(0, np.pi, EVEN * -(-least // EVEN) - n_channels - 2 * pad)
    ramp = (1 + np.cos(ramp)) / 2
    first, last = rows[:, :1], rows[:, -1:]
    padded = np.concatenate(
        [
            np.repeat(first, pad, axis=1),
            rows,
            np.repeat(last, pad, axis=1),
            first + (last - first) * ramp,
        ],
        axis=1,
    )
    frequency = np.fft.rfftfreq(padded.shape[1])
    narrowest = float(widths.min())
    if narrowest > 0:  # nothing is left of higher frequencies
        frequency = frequency[frequency <= math.sqrt(NOTHING_LEFT / 2) / (math.pi * narrowest)]
    factor = np.empty((n, len(frequency)), dtype=complex)
    factor.real = np.multiply.outer(-2 * (np.pi * widths) ** 2, frequency**2)
    factor.imag = np.multiply.outer(-2 * np.pi * moves, frequency)
    np.exp(factor, out=factor)
    transformed = np.fft.rfft(padded)[:, : len(frequency)]
    factor *= transformed if which is None else transformed[which]
    result = np.fft.irfft(factor, n=padded.shape[1])
    return result[:, pad : pad + n_channels]


def check_energy(energy: Floats) -> None:
    """Raise ValueError unless these are ascending channel centres."""
    if energy.ndim != 1 or len(energy) < 2:
        raise ValueError(
            f"energy has shape {energy.shape}; give a 1-D axis of at least two channels"
        )
    if not np.isfinite(energy).all():
        raise ValueError("energy holds NaN or infinity; give finite channel centres in eV")
    if not (np.diff(energy) > 0).all():
        raise ValueError("energy does not ascend strictly; sort the axis, and the spectra with it")


def check_rows(name: str, rows: Floats, n_channels: int) -> None:
    """Raise ValueError unless these are finite spectra of so many channels."""
    if rows.ndim != 2 or rows.shape[1] != n_channels:
        raise ValueError(
            f"{name} has shape {rows.shape}; "
            f"give (number of spectra, {n_channels}) to fit the energy axis"
        )
    if not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist()
        raise ValueError(f"{name} holds NaN or infinity in rows {bad}; give finite numbers")


def interpolate(axis: Floats, energy: Floats, rows: Floats) -> Floats:
    """Rows (n, N) on `energy` (N,) at the channels of `axis` (N',), eV; (n, N').

    Channels much wider than the old ones are means over them.

    Raises
    ------
    ValueError
        The rows do not cover the axis.
    """
    tolerance = TOLERANCE * (energy[1] - energy[0])
    below = int(np.sum(axis < energy[0] - tolerance))
    above = int(np.sum(axis > energy[-1] + tolerance))
    if max(below, above) > MOST_BEYOND:
        raise ValueError(
            f"the fingerprints cover {energy[0]:g} to {energy[-1]:g} eV, but the axis asked for "
            f"runs from {axis[0]:g} to {axis[-1]:g} eV; "
            "give fingerprints that cover it, or a narrower axis"
        )
    if len(axis) > 1 and np.diff(axis).min() > MEANS_FROM * np.diff(energy).max():
        return _channel_means(axis, energy, rows)
    return np.reshape([np.interp(axis, energy, row) for row in rows], (len(rows), len(axis)))


def _channel_means(axis: Floats, energy: Floats, rows: Floats) -> Floats:
    """Means over channels much wider than the old ones: a detector integrates over a channel."""
    width = np.diff(axis)
    borders = np.concatenate(
        [[axis[0] - width[0] / 2], axis[:-1] + width / 2, [axis[-1] + width[-1] / 2]]
    )
    # Beyond its ends a spectrum goes on with its end value.
    points = np.unique(np.concatenate([energy, borders]))
    values = np.reshape([np.interp(points, energy, row) for row in rows], (len(rows), len(points)))
    area = np.zeros_like(values)
    area[:, 1:] = np.cumsum(0.5 * (values[:, 1:] + values[:, :-1]) * np.diff(points), axis=1)
    means: Floats = np.diff(area[:, np.searchsorted(points, borders)], axis=1) / np.diff(borders)
    return means
