"""The sum of all spectra of a series on one axis, with its noise."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes.data.energy_axis import EnergyAxis, limits
from eels_bayes.data.hyperspy_io import RawImage
from eels_bayes.data.unread_images import UnreadImage, sampled_images
from eels_bayes.preprocessing.borders import without_borders
from eels_bayes.preprocessing.images import group_means
from eels_bayes.preprocessing.rebinning import rebin
from eels_bayes.preprocessing.series_noise import believed_noises, believed_of
from eels_bayes.randomness import alone

Floats = NDArray[np.float64]

LEAST_CHANNELS = 8  # that all have: fewer hold no edge and its background
AXIS_ROUNDING = 1e-6  # of a channel: axes that end this close end alike


def summed_spectrum(
    signals: Sequence[Any], axes: Sequence[EnergyAxis], search: tuple[float, float]
) -> tuple[EnergyAxis, Floats, Floats]:
    """Sum of all spectra of a series.

    Parameters
    ----------
    signals : sequence of EELSSpectrum
        Gone through twice, one by one; of large lazy ones a sample is summed.
    axes : sequence of EnergyAxis
        Of the signals.
    search : (low, high)
        Energies, eV, around which their noise is measured.

    Returns
    -------
    axis : EnergyAxis
        The channels that all have, of the widest width.
    counts, variance : (E,) array
        Sum, and its variance by the noise that is believed.

    Raises
    ------
    ValueError
        They have no channels in common.
    """
    step = max(axis.scale for axis in axes)
    low = max(limits(axis, 0.0)[0] for axis in axes)
    high = min(limits(axis, 0.0)[1] for axis in axes)
    n = math.floor((high - low) / step + AXIS_ROUNDING)
    if n < LEAST_CHANNELS:
        raise ValueError(
            f"the signals have no energies in common: the last begins at {low:g} eV and the first "
            f"ends at {high:g} eV; calibrate them by themselves"
        )
    new = EnergyAxis(low + 0.5 * step, step, n)

    read = sampled_images([UnreadImage(one) for one in signals])

    def images() -> Iterable[RawImage]:
        return read()

    with alone(), warnings.catch_warnings():  # whose filters are the process's
        warnings.simplefilter("ignore")  # what contradicts the metadata is said by Preprocessor
        rows = believed_noises(images(), len(signals), search, "auto")
    counts, variance = np.zeros(n), np.zeros(n)
    for raw in images():
        noise = believed_of(rows, raw.noise)
        known = torch.from_numpy(without_borders(raw.counts, noise.gain))
        mean = group_means(known[None]).double()
        pixels = int(torch.isfinite(known).any(1).sum())
        part = rebin(mean - noise.offset, raw.axis, torch.zeros(1, dtype=torch.float32), new)[0][
            0
        ].numpy()
        counts += pixels * part
        electrons = np.maximum(part, noise.gain)
        variance += pixels * (noise.gain * electrons + noise.readout * step / raw.axis.scale)
    return new, counts, variance
