"""Edge shapes of the example library."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Floats


def ionisation_step(energy: Floats, onset: float, width: float) -> Floats:
    """An ionisation step: an arctangent of `width` (eV) that decays as the square of energy."""
    step = 0.5 + np.arctan(2 * (energy - onset) / width) / np.pi
    return step * (energy / onset) ** -2.0


def gaussian(energy: Floats, centre: float, sigma: float) -> Floats:
    return np.exp(-0.5 * ((energy - centre) / sigma) ** 2)


def f_k_edge(energy: Floats, peak: float, shoulder: float) -> Floats:
    return (
        0.74 * ionisation_step(energy, 694.5, 3.0)
        + shoulder * gaussian(energy, 689.5, 1.9)
        + 0.42 * gaussian(energy, peak, 2.3)
        + 0.17 * gaussian(energy, 717.0, 6.0)
    )
