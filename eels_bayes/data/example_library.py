"""The example library: parametric F K edges of Cr2TiC2OxFy at four fluorine contents."""

from __future__ import annotations

from typing import Any

import numpy as np

from eels_bayes.arrays import Floats

STEP = 0.25  # eV, channel width
RANGE = (600.0, 800.0)  # eV: any window around the edge can be cut out of it
# Fluorine fraction, edge height, energy of the main peak (eV), height of the shoulder: chosen to
# resemble published edges of such MXenes, not fitted
STRUCTURES = (
    (0.5, 1.0, 698.0, 0.36),
    (0.25, 0.64, 698.5, 0.34),
    (0.125, 0.3, 698.3, 0.33),
    (0.0, 0.0, 698.0, 0.0),
)
SCALES = (0.92, 1.0, 1.08)  # of the intensity, for three thicknesses

# The F K edge: heights relative to a common unit, energies and widths in eV; chosen by eye
F_STEP = (0.74, 694.5, 3.0)  # height, onset, width
F_SHOULDER = (689.5, 1.9)  # energy, sigma
F_PEAK = (0.42, 2.3)  # height, sigma
F_RESONANCE = (0.17, 717.0, 6.0)  # height, energy, sigma
STEP_DECAY = -2.0  # exponent with which a step falls with energy
# What overlaps: the Cr L1 step (height, onset, width) and an AlF3 peak (energy, sigma)
CR_STEP = (0.25, 696.0, 3.0)
ALF3_PEAK = (698.5, 2.6)


def example_arrays() -> dict[str, Any]:
    """The arguments of `FingerprintLibrary.from_arrays` for `FingerprintLibrary.example`."""
    energy = np.arange(RANGE[0], RANGE[1] + 0.5 * STEP, STEP)
    rows, values = [], []
    for fraction, height, peak, shoulder in STRUCTURES:
        shape = f_k_edge(energy, peak, shoulder)
        rows += [scale * height * shape / shape.max() for scale in SCALES]
        values += [fraction] * len(SCALES)
    height, onset, width = CR_STEP
    residual = height * ionisation_step(energy, onset, width) + gaussian(energy, *ALF3_PEAK)
    return {
        "energy": energy,
        "intensity": np.stack(rows),
        "labels": np.repeat(np.arange(len(STRUCTURES)), len(SCALES)),
        "class_names": [f"{100 * fraction:g} % F" for fraction, *_ in STRUCTURES],
        "values": values,
        "nuisances": residual / residual.max(),
        "value_name": "fluorine fraction",
        "value_range": (0.0, 1.0),
        "source": "parametric example, F K edge of Cr2TiC2OxFy",
    }


def ionisation_step(energy: Floats, onset: float, width: float) -> Floats:
    """An ionisation step: an arctangent of `width` (eV) that decays as the square of energy."""
    step = 0.5 + np.arctan(2 * (energy - onset) / width) / np.pi
    return step * (energy / onset) ** STEP_DECAY


def gaussian(energy: Floats, centre: float, sigma: float) -> Floats:
    """A peak of unit height; energies in eV."""
    return np.exp(-0.5 * ((energy - centre) / sigma) ** 2)


def f_k_edge(energy: Floats, peak: float, shoulder: float) -> Floats:
    """The F K edge: a step, a shoulder of given height, the main peak (eV) and a resonance."""
    return (
        F_STEP[0] * ionisation_step(energy, F_STEP[1], F_STEP[2])
        + shoulder * gaussian(energy, *F_SHOULDER)
        + F_PEAK[0] * gaussian(energy, peak, F_PEAK[1])
        + F_RESONANCE[0] * gaussian(energy, *F_RESONANCE[1:])
    )
