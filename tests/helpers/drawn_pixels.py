"""Pixels of a small library, drawn from the very model that is fitted, and the fit to them."""

import numpy as np

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import ImageInfo, Spectra
from eels_bayes.data.variations import Variations
from eels_bayes.effort import Effort
from eels_bayes.forward_model.fit import fit_forward_model

STEP, SIZE = 0.5, 4  # eV a channel, channels a bin
ENERGY = np.arange(677, 737, STEP)  # the window
BINS = np.arange(591.75, 800, STEP * SIZE)  # one begins where the window does
FINE = (BINS[:, None] + STEP * (np.arange(SIZE) - 1.5)).ravel()
NORM = 30.0  # counts a channel of an intensity of 1
WEIGHTS = np.array([0.5, 0.3, 0.2])


def library(gain=1.0, shift=0.0):
    """Three classes, told apart by where their edge lies; one overlapping shape."""

    def edge(onset):
        step = 1 / (1 + np.exp(-(ENERGY - onset - shift) / 0.8))
        return step + np.exp(-0.5 * ((ENERGY - onset - shift - 6) / 2) ** 2)

    rows = gain * np.stack([edge(683), 0.7 * edge(690), 0.4 * edge(700)])
    overlap = np.exp(-0.5 * ((ENERGY - 722) / 3) ** 2)
    variations = Variations(shift=0.2, broadening=0.3, intensity=0.06)
    return FingerprintLibrary.from_arrays(
        ENERGY, rows, [0, 1, 2], nuisances=overlap, variations=variations
    )


def continued(rows):
    """Rows of the window on `FINE`: nothing before, the last value as E^-2 behind."""
    before = np.zeros((len(rows), int((ENERGY[0] > FINE).sum())))
    behind = FINE[ENERGY[-1] < FINE]
    return np.concatenate([before, rows, rows[:, -1:] * (ENERGY[-1] / behind) ** 2], axis=1)


def binned(rows):
    return rows.reshape(*rows.shape[:-1], len(BINS), SIZE).mean(-1)


def simulate(
    n=1500,
    seed=0,
    gain=1.0,
    shift=0.0,
    dose=4.0,
    weights=WEIGHTS,
    mixed=0.0,
    background=1.0,
    shown=None,
):
    """Pixels drawn from the very model that is fitted, and their classes."""
    rng = np.random.default_rng(seed)
    shown = shown or library(gain, shift)
    labels = rng.choice(3, n, p=weights)
    edge = shown.vary(n, rng, labels=labels)[0]
    blend = rng.random(n) < mixed
    other = shown.vary(n, rng, labels=(labels + 1) % 3)[0]
    edge[blend] = 0.6 * edge[blend] + 0.4 * other[blend]
    amplitude = background * rng.normal(1.0, 0.03, (n, 1))
    exponent = rng.normal(3.0, 0.05, (n, 1))
    rate = 20 * amplitude * (FINE / ENERGY[0]) ** -exponent + continued(edge)
    rate += rng.normal(0.2, 0.1, (n, 1)) * continued(shown.nuisances)
    norm = NORM * dose
    counts = rng.poisson(norm * rate).astype(np.float32)
    return make(counts, norm), labels


def make(counts, norm):
    n = len(counts)
    window = counts[:, (FINE > 676.9) & (FINE < 736.9)] / np.float32(norm)
    return Spectra(
        intensity=window,
        sd=np.ones_like(window),
        energy=ENERGY,
        image=np.zeros(n, np.int64),
        position=np.arange(n),
        images=(ImageInfo((n,), (), {}, "", EnergyAxis(FINE[0], STEP, len(FINE))),),
        flag=np.zeros(n, np.int64),
        background=np.tile(np.float32([20.0, 3.0]), (n, 1)),
        profile=binned(counts) / np.float32(norm),
        profile_energy=BINS,
        level=np.full(n, 1 / (norm * SIZE), np.float32),
        spike=np.full(n, 3.0, np.float32),
        norm=np.full(n, norm, np.float32),
        shift=np.zeros(n, np.float32),
        counts=counts,
        gain=np.ones(n, np.float32),
        preprocessor=None,
    )


def fit(spectra, lib=None, *, iterations=75, pixels=20_000, **options):
    effort = Effort(forward_iterations=iterations, forward_pixels=pixels)
    lib = lib or library()
    return fit_forward_model(spectra, lib, effort=effort, show_progressbar=False, **options)
