"""Options that several commands share: how counts are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyclopts import Parameter

from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.hyperspy_io import energy_axis
from eels_bayes.data.unread_images import unread_images
from eels_bayes.preprocessing.inspection import Inspection, inspected
from eels_bayes.preprocessing.options import UNIT
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.windows import Windows

Band = tuple[float, float]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How counts are read.

    Parameters
    ----------
    background
        Where the background before the edge is fitted, eV.
    normalize
        The reference edge, or the stretch, that intensities are relative to, eV; counts if left
        out.
    align
        A reference edge to align on, eV.
    dispersion
        eV a channel; the first file's if left out.
    unit
        Share of the mean counts in --normalize that is an intensity of 1.
    gain
        Variance of a count; by default measured, and compared with what the file states.
    offset
        Counts of a channel that no electron came to, beside --gain.
    """

    background: Band | None = None
    normalize: Band | None = None
    align: Band | None = None
    dispersion: float | None = None
    unit: float = UNIT
    gain: float | None = None
    offset: float | None = None

    def preprocessor(self, window: Band) -> Preprocessor:
        """What reads counts so."""
        if self.gain is None and self.offset is not None:
            raise ValueError("--offset needs --gain, the variance of a count above it")
        noise = "auto" if self.gain is None else Noise(self.gain, offset=self.offset or 0.0)
        return Preprocessor(
            window,
            self.dispersion,
            self.background,
            self.normalize,
            self.align,
            unit=self.unit,
            noise=noise,
        )

    def inspection(self, signal: Any, window: Band) -> Inspection:
        """What a signal holds, read so."""
        pre = self.preprocessor(window)
        step = self.dispersion or energy_axis(signal).scale
        windows = Windows(pre.window, pre.background, pre.normalize, pre.align, step)
        return inspected(unread_images([signal], pre.frames), windows, pre.noise)
