"""Specimens like those of the development data, measured by chance and written to files.

Each function draws counts from the generator, and writes them to the path that it is given.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from helpers.microscope_files import write_dm


def copper_zinc(path: Path, rng: np.random.Generator) -> None:
    """Map of copper and zinc oxide that overlap and end within it; 4 counts an electron."""
    energy = 700.0 + 8.0 * np.arange(162)
    y, x = np.mgrid[:50, :40]
    copper = np.clip(1.5 - np.hypot(y - 20, x - 13) / 14, 0, 1)[..., None]
    zinc = np.clip(1.5 - np.hypot(y - 28, x - 26) / 14, 0, 1)[..., None]
    mean = (9000 + 4000 * (copper + zinc)) * (energy / 700) ** -3.5
    mean += 1500 * copper * _edge(energy, 931) + 1200 * zinc * _edge(energy, 1020)
    counts = (4 * rng.poisson(mean / 4)).astype(np.int16)
    write_dm(path, counts, energy_offset=700.0, energy_scale=8.0, scan_step=0.92)


def oxide_interface(path: Path, rng: np.random.Generator) -> None:
    """Line from an oxide of titanium to one of manganese and lanthanum, of many counts."""
    energy = 395.0 + np.arange(512)
    second = np.linspace(-0.5, 1.5, 10).clip(0, 1)[:, None]
    mean = 300e3 * (energy / 395) ** -2.6 + 25e3 * _edge(energy, 532)
    mean = mean + 90e3 * (1 - second) * _edge(energy, 456)
    mean += second * (20e3 * _edge(energy, 640) + 15e3 * _edge(energy, 832))
    counts = rng.poisson(mean).astype(np.float32)
    write_dm(path, counts, version=3, energy_offset=395.0, energy_scale=1.0, scan_step=0.4)


def dark_noise(path: Path, rng: np.random.Generator) -> None:
    """Spectrum without a beam, after dark correction."""
    counts = rng.normal(-4.0, 75.0, 2048).astype(np.float32)
    write_dm(path, counts, version=3, energy_offset=-100.0, energy_scale=0.5)


def four_pixels(path: Path, rng: np.random.Generator) -> None:
    """Map of an oxide, whose counts are negative here and there where it is dark."""
    energy = 300.0 + np.arange(2048)
    mean = 8000 * (energy / 300) ** -2.8 + 500 * _edge(energy, 532)
    counts = rng.poisson(mean, (2, 2, 2048)) + rng.normal(0.0, 10.0, (2, 2, 2048))
    write_dm(path, counts.astype(np.float32), energy_offset=300.0, energy_scale=1.0)


def _edge(energy: NDArray[np.float64], onset: float) -> NDArray[np.float64]:
    """A step that falls as a power of the energy."""
    return np.where(energy > onset, (energy / onset) ** -3.0, 0.0)
