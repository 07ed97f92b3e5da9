"""Samples that are not thin: the plain library and one that was convolved with the low loss.

    python benchmarks/thickness.py [--thickness 0 0.3 0.6 1] [--dose 1] [--seed 7000] [--json FILE]

An annealing series whose whole core loss, background and edges alike, has plural scattering before
its Poisson noise is drawn, and a low loss of the same pixels with noise of its own. A pixel's
thickness in mean free paths is the one given times the simulator's relative thickness, which varies
between images (30 %) and within them (5 %). Scattering is written independently of the library's:
from a plasmon's single-scattering distribution S by Poisson statistics,

    P = IFFT exp(t (FFT S - 1)).

A classifier is fitted to one series and scored on the pixels of another one, of the next seed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from annealing import preprocess
from numpy.typing import NDArray

import eels_bayes as eb
from eels_bayes.simulate import SpectrumModel, draw_truth, mean_counts

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum

Array = NDArray[Any]

CHANNEL = 0.25  # eV
CORE_LOSS = (390.0, 1600)  # first channel (eV), channels
BEFORE = 320  # channels simulated besides, below the first: losses of 80 eV
CONTINUED = 480  # channels below these, continued as a power law
PLASMON = (22.0, 8.0)  # energy and width, eV
LOW_LOSS = (-20.0, 800)  # first channel (eV), channels
RESOLUTION = 0.45  # eV, sigma of the zero-loss peak
LOW_LOSS_ELECTRONS = 2e5  # a pixel
FOURIER = 4096  # channels of a Fourier transform: 1024 eV, far more than is ever lost
SIZE: dict[str, Any] = {"n_images": 16, "shape": (16, 16)}


def scattered_share(thickness: Array) -> Array:
    """Share of the electrons (n, F) that lost 0, 1, ... channels at (n,) mean free paths."""
    loss = CHANNEL * np.arange(FOURIER)
    energy, width = PLASMON
    single = loss * width / ((loss**2 - energy**2) ** 2 + (loss * width) ** 2)
    transform = np.fft.rfft(single / single.sum())
    share: Array = np.fft.irfft(np.exp(thickness[:, None] * (transform - 1.0)), n=FOURIER)
    return share


def thick_spectra(mean: Array, share: Array) -> Array:
    """Mean counts (n, E) of a core loss after losses, shares (n, F), from those (n, E') without."""
    first = CORE_LOSS[0] - CHANNEL * BEFORE
    below = first - CHANNEL * np.arange(CONTINUED, 0, -1)
    fitted = slice(0, BEFORE // 4)
    at = np.log(first + CHANNEL * np.arange(mean.shape[1])[fitted])
    slope, level = np.polyfit(at, np.log(mean[:, fitted]).T, 1)
    continued = np.exp(level[:, None] + slope[:, None] * np.log(below))
    whole = np.concatenate([continued, mean], axis=1)
    transform = np.fft.rfft(whole, n=FOURIER) * np.fft.rfft(share)
    thick: Array = np.fft.irfft(transform, n=FOURIER)[:, CONTINUED + BEFORE : whole.shape[1]]
    return thick


def low_losses(share: Array) -> Array:
    """Mean counts (n, E) of a low loss with its zero-loss peak."""
    first, n_channels = LOW_LOSS
    loss = CHANNEL * np.arange(FOURIER)
    loss[FOURIER // 2 :] -= CHANNEL * FOURIER
    peak = np.exp(-0.5 * (loss / RESOLUTION) ** 2)
    transform = np.fft.rfft(share) * np.fft.rfft(peak / peak.sum())
    before = round(-first / CHANNEL)
    seen = np.roll(np.fft.irfft(transform, n=FOURIER), before, axis=1)[:, :n_channels]
    mean: Array = LOW_LOSS_ELECTRONS * np.maximum(seen, 0.0)
    return mean


def signal_of(counts: Array, shape: tuple[int, ...], first: float) -> EELSSpectrum:
    """Counts (n, E) as a signal."""
    from exspy.signals import EELSSpectrum

    signal = EELSSpectrum(counts.reshape(*shape, -1).astype(np.float32))
    axis = signal.axes_manager.signal_axes[0]
    axis.name, axis.units, axis.offset, axis.scale = "Energy loss", "eV", first, CHANNEL
    return signal


def simulate(
    thickness: float, dose: float, seed: int, n_images: int, shape: tuple[int, int]
) -> tuple[eb.simulate.Series, list[EELSSpectrum]]:
    """A series at a mean thickness in mean free paths, and its low losses."""
    first, n_channels = CORE_LOSS
    energy = first + CHANNEL * np.arange(-BEFORE, n_channels)
    model = SpectrumModel(eb.simulate.Process(), eb.FingerprintLibrary.example(), energy)
    truth = draw_truth(model, n_images, shape, seed)
    rng = np.random.default_rng([seed, 1])
    core_loss, low_loss = [], []
    for k in range(n_images):
        image = truth.isel(image=k)
        share = scattered_share(thickness * image["thickness"].to_numpy().ravel())
        mean = mean_counts(image, model, dose=dose).to_numpy().reshape(len(share), -1)
        core_loss.append(signal_of(rng.poisson(thick_spectra(mean, share)), shape, first))
        low_loss.append(signal_of(rng.poisson(low_losses(share)), shape, LOW_LOSS[0]))
    return eb.simulate.Series(core_loss, truth, model, dose), low_loss


def run(thickness: float, dose: float, seed: int, effort: eb.Effort) -> list[dict[str, Any]]:
    """Scores of both libraries at one thickness."""
    series, low_loss = simulate(thickness, dose, seed, **SIZE)
    other, _ = simulate(thickness, dose, seed + 1, **SIZE)
    spectra, plain = preprocess(series), eb.FingerprintLibrary.example()
    labels = other.truth["label"].to_numpy().ravel()
    values = other.truth["value"].to_numpy().ravel()
    rows = []
    for name, library in (("plain", plain), ("scattered", plain.scattered(low_loss))):
        start = time.process_time()
        clf = eb.EELSClassifier(library, seed=0, effort=effort)
        clf.fit(spectra, show_progressbar=False)
        seconds = time.process_time() - start
        read = clf.preprocessor(other.signals, show_progressbar=False)
        pred = clf.predict(read, show_progressbar=False)
        ok = read.ok & (labels >= 0)
        low, high = pred.value_interval(0.9)
        rows.append(
            {
                "thickness": thickness,
                "library": name,
                "fingerprints": len(library.intensity),
                **eb.metrics.summary(pred.probabilities[ok], labels[ok]),
                "value_rmse": float(np.sqrt(np.mean((pred.value[ok] - values[ok]) ** 2))),
                "value_covered": float(np.mean((low[ok] <= values[ok]) & (values[ok] <= high[ok]))),
                "novel": float(np.mean(pred.novelty[ok] > 0.99)),
                "gain": clf.fitted.forward.library_fit.gain,
                "seconds": seconds,
            }
        )
        print(
            "{thickness:4g}  {library:10s} {fingerprints:3d} rows: accuracy {accuracy:.3f}, "
            "NLL {nll:.3f}, ECE {ece:.3f}; value: rmse {value_rmse:.3f}, 90 % intervals hold "
            "{value_covered:.3f}; novelty over 0.99: {novel:.3f}; gain {gain:.2f}; "
            "fit {seconds:.0f} s".format(**rows[-1]),
            flush=True,
        )
    return rows


def main() -> None:
    """Run and print; write JSON after every thickness."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thickness", type=float, nargs="*", default=(0.0, 0.3, 0.6, 1.0))
    parser.add_argument("--dose", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7000)
    parser.add_argument("--quick", action="store_true", help="with Effort.quick()")
    parser.add_argument("--json", type=Path, help="where results are written")
    options = parser.parse_args()
    effort = eb.Effort.quick() if options.quick else eb.Effort()
    rows: list[dict[str, Any]] = []
    for thickness in options.thickness:
        rows += run(thickness, options.dose, options.seed, effort)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
