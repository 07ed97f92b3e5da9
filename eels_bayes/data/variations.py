"""How a measured spectrum of a structure differs from its fingerprint, and draws of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.arrays import Floats, Ints
from eels_bayes.data.energy_resampling import CHUNK, shift_and_broaden
from eels_bayes.data.library_arrays import integers, uniform_step


@dataclass(frozen=True)
class Variations:
    """How a measured spectrum of a structure differs from its fingerprint.

    Parameters
    ----------
    shift
        Standard deviation of the energy shift, eV.
    broadening
        Scale of the half-normal distribution of the extra Gaussian broadening's sigma, eV.
    intensity
        Relative standard deviation of the intensity.

    Raises
    ------
    ValueError
        Where one is negative or not finite.
    """

    shift: float = 0.2
    broadening: float = 0.4
    intensity: float = 0.06

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            validation.not_negative(f"Variations.{item.name}", getattr(self, item.name))


def draw_varied(
    intensity: Floats,
    energy: Floats,
    fingerprint_labels: Ints,
    variations: Variations,
    n: int,
    rng: np.random.Generator,
    labels: ArrayLike | None,
) -> tuple[Floats, Ints]:
    """Fingerprints under their variations, and which they are; see `FingerprintLibrary.vary`.

    Parameters
    ----------
    intensity : (M, N) array
        The fingerprints.
    energy : (N,) array
        Channel centres, eV.
    fingerprint_labels : (M,) array of int
        Their classes.
    variations : Variations
    n, rng, labels :
        As in `FingerprintLibrary.vary`.

    Returns
    -------
    spectra : (n, N) array
    which : (n,) array of int
        The fingerprint that each was drawn from.
    """
    step = uniform_step(energy)
    n = validation.whole("n", n, 0)
    n_classes = int(fingerprint_labels.max()) + 1
    classes = _classes(n, n_classes, rng, labels)
    order = np.argsort(fingerprint_labels, kind="stable")
    sizes = np.bincount(fingerprint_labels, minlength=n_classes)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    which = order[first[classes] + (rng.random(n) * sizes[classes]).astype(np.int64)]
    shift = rng.normal(0.0, variations.shift, n)
    sigma = np.abs(rng.normal(0.0, variations.broadening, n))
    scale = np.maximum(rng.normal(1.0, variations.intensity, n), 0.0)

    spectra = np.empty((n, len(energy)))
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        spectra[rows] = shift_and_broaden(
            intensity, shift[rows] / step, sigma[rows] / step, which[rows]
        )
    spectra *= scale[:, None]
    return spectra, which


def _classes(n: int, n_classes: int, rng: np.random.Generator, labels: ArrayLike | None) -> Ints:
    """Class (n,) of each spectrum: those given, or drawn with equal probability."""
    if labels is None:
        return rng.integers(n_classes, size=n)
    classes = integers("labels", labels)
    if classes.shape != (n,):
        raise ValueError(
            f"labels has shape {classes.shape}; give one class for each of n = {n} spectra"
        )
    if n and (classes.min() < 0 or classes.max() >= n_classes):
        raise ValueError(
            f"labels run from {classes.min()} to {classes.max()}; classes are 0..{n_classes - 1}"
        )
    return classes
