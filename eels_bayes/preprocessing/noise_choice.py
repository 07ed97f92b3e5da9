"""Which noise is believed: what metadata state, or what the counts show."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from eels_bayes.data.detector_noise import Noise
from eels_bayes.preprocessing.noise_measurement import MeasuredNoise

CLOSE = math.log(1.15)  # variances that differ by less agree: it moves no probability noticeably
ERRORS = 3.0  # of the measurement, by which they may differ besides
TINY = 1e-12  # counts: guards the logarithm where there are none
LEVELS = (0.1, 0.5, 0.9)  # quantiles of the mean counts at which variances are compared
OVERRULE = "Preprocessor(noise=...) overrules"


class Choice(NamedTuple):
    """The noise that is believed, and what to tell the user; '' where nothing contradicts.

    Attributes
    ----------
    noise : Noise
    message : str
    """

    noise: Noise
    message: str


def chosen_noise(
    stated: Noise, source: str, measured: MeasuredNoise | None, how: str | Noise = "auto"
) -> Choice:
    """The metadata where the counts agree with them, else the counts, unless one is asked for.

    Parameters
    ----------
    stated : Noise
        By the metadata.
    source : str
        What states it; '' where nothing does.
    measured : MeasuredNoise or None
        By the counts; None where there are too few to tell.
    how : {"auto", "measured", "metadata"} or Noise
        As in `Preprocessor`.
    """
    if isinstance(how, Noise):
        return Choice(how, "")
    if measured is None:
        return Choice(stated, "")
    if how == "measured":
        return Choice(measured.noise, "")
    choice = _compared(stated, source, measured)
    return choice._replace(noise=stated) if how == "metadata" else choice


def _compared(stated: Noise, source: str, measured: MeasuredNoise) -> Choice:
    """What is believed of both, and what contradicts it."""
    found = measured.noise
    if agree(stated, measured):
        factor = min(stated.correlation_factor, found.correlation_factor)
        return Choice(stated._replace(correlation_factor=factor), "")
    says = f"{source} states {_words(stated)}" if source else "the metadata state none"
    shown = f"the counts scatter as with {_words(found, measured.gain_error)}"
    if not measured.full_rank:
        return Choice(
            stated,
            f"{says}, and {shown}, in few directions: these are denoised, not counts. Their "
            f"errors cannot be seen, and probabilities will be too sure: give raw counts "
            f"({OVERRULE})",
        )
    doubt = ""
    if found.readout > 0 and found.readout > ERRORS * stated.readout:
        low = found.readout / found.gain
        other = f"noise=Noise({found.gain:.3g}, offset={-low:.3g})"
        doubt = f"; as well, counts may be {low:.3g} too low, with {other}"
    return Choice(found, f"{says}, but {shown}: the counts are believed{doubt} ({OVERRULE})")


def agree(stated: Noise, measured: MeasuredNoise) -> bool:
    """Whether the stated variance of a count is the measured one, but for the errors."""
    found = measured.noise
    line = measured.channel
    error = max(line.ratio_error / abs(line.ratio), measured.wide_error)
    levels = np.quantile(measured.levels, LEVELS)
    usual = max(0.5 * float(levels[1]), TINY)
    counts = np.maximum(levels - found.offset, usual)
    there = found.gain * counts + found.readout
    said = stated.gain * np.maximum(levels - stated.offset, usual) + stated.readout
    return bool((np.abs(np.log(said / there)) < CLOSE + ERRORS * error).all())


def _words(noise: Noise, error: float = 0.0) -> str:
    """A noise in words."""
    gain = f"{noise.gain:.3g}" + (f" +- {error:.1g}" if error else "")
    return ", ".join([f"a gain of {gain}", *beside_gain(noise)])


def beside_gain(noise: Noise) -> list[str]:
    """What a noise holds beside its gain, in words; what is as usual is left out."""
    parts = []
    if noise.readout:
        parts.append(f"a readout variance of {noise.readout:.3g} counts squared")
    if noise.offset:
        parts.append(f"{noise.offset:.3g} counts without an electron")
    if noise.correlation_factor < 1.0:
        parts.append(f"{noise.correlation_factor:.2g} of that variance in a single channel")
    return parts
