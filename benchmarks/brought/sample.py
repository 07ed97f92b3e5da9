"""The series that all cases begin from, and what a case makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import eels_bayes as eb

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum

Array = NDArray[Any]

DOSE = 3.0


@dataclass(frozen=True, eq=False)
class Sample:
    """A right series: signals, the name of each pixel's class (n,), the library, and random bits.

    Unknown pixels have an empty name.
    """

    signals: list[EELSSpectrum]
    names: Array
    library: eb.FingerprintLibrary
    rng: np.random.Generator

    @property
    def energy(self) -> Array:
        """Channels, eV."""
        axis: Array = self.signals[0].axes_manager.signal_axes[0].axis
        return axis


@dataclass(frozen=True, eq=False)
class Brought:
    """What a user brings: signals, a library, settings of the preprocessor beside the usual.

    ``names`` are those of pixels (n,) whose class is another than in the right series.
    """

    signals: list[EELSSpectrum]
    library: eb.FingerprintLibrary
    settings: dict[str, Any] = field(default_factory=dict)
    names: Array | None = None


Case = Callable[[Sample], Brought]


def sample(seed: int, *, n_images: int = 8, side: int = 16, dose: float = DOSE) -> Sample:
    """An annealing series with default options."""
    series = eb.simulate.annealing_series(
        n_images=n_images, shape=(side, side), dose=dose, seed=seed
    )
    label = series.truth["label"].to_numpy().ravel()
    names = np.where(label >= 0, np.array(series.library.class_names)[label], "")
    return Sample(series.signals, names, series.library, np.random.default_rng([seed, 1]))


def changed(right: Sample, change: Callable[[Array], Array]) -> Brought:
    """The series with other counts (y, x, E), image by image."""
    signals = [signal.deepcopy() for signal in right.signals]
    for signal in signals:
        signal.data = change(signal.data.astype(float)).astype(np.float32)
    return Brought(signals, right.library)
