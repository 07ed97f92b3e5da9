"""How spectra of one class differ: in strength, in place and in width, and how that varies."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Floats
from eels_bayes.data.variations import Variations


def differences(energy: Floats, rows: Floats, mean: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each spectrum against a mean: relative strength, shift (eV) and added variance (eV^2).

    Least squares in the mean and its first and second derivatives, which is what a small shift and
    a small broadening do to it.

    Parameters
    ----------
    energy
        Uniform, eV, shape (N,).
    rows
        Shape (n, N).
    mean
        Shape (N,).

    Returns
    -------
    strength, shift, variance
        Shape (n,) each.
    """
    slope = np.gradient(mean, energy)
    basis = np.stack([mean, -slope, 0.5 * np.gradient(slope, energy)], axis=1)
    found = np.linalg.lstsq(basis, rows.T, rcond=None)[0]
    strength = found[0]
    safe = np.where(strength == 0.0, 1.0, strength)
    return strength, found[1] / safe, found[2] / safe


def widened(variations: Variations, by: Variations | None) -> Variations:
    """Variations with independent others in quadrature."""
    if by is None:
        return variations
    return Variations(
        float(np.hypot(variations.shift, by.shift)),
        float(np.hypot(variations.broadening, by.broadening)),
        float(np.hypot(variations.intensity, by.intensity)),
    )


def spread(energy: Floats, groups: list[tuple[Floats, Floats]]) -> Variations | None:
    """The variations of classes, of which each has spectra (n, N) with weights (n,).

    Returns
    -------
    Variations or None
        None where no class has more than one spectrum.
    """
    squares = []
    for rows, weight in groups:
        if len(rows) < 2 or not rows.any():
            continue
        mean = weight @ rows
        strength, shift, variance = differences(energy, rows, mean)
        average = [weight @ strength, weight @ shift]
        squares.append(
            [
                weight @ (shift - average[1]) ** 2,
                weight @ np.abs(variance),
                weight @ (strength / average[0] - 1.0) ** 2,
            ]
        )
    if not squares:
        return None
    shift, broadening, intensity = np.sqrt(np.mean(squares, axis=0))
    return Variations(float(shift), float(broadening), float(intensity))
