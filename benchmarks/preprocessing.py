"""Preprocessing: its speed and background beside HyperSpy's, and whether its sd is true.

    python benchmarks/preprocessing.py [--json FILE] [--smoke]

One thread, all ratios from one run. Part (b) needs the development data and is left out without.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import eels_bayes as eb
from eels_bayes.simulate import Series, annealing_series, mean_counts

WINDOWS: dict[str, Any] = {
    "window": (677, 737),
    "dispersion": 0.25,
    "background": (650, 680),
    "normalize": (570, 592.5),
}
ALIGN = (567.5, 627.5)
ENERGY = 390 + 0.25 * np.arange(1600)
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL_EDGES = {"O K": ((480.0, 525.0), (525, 580)), "Mn L": ((585.0, 630.0), (630, 690))}


def signal_of(counts: np.ndarray) -> Any:
    """EELSSpectrum of counts (..., E) on the series' axis."""
    from exspy.signals import EELSSpectrum

    signal = EELSSpectrum(counts)
    signal.axes_manager[-1].offset, signal.axes_manager[-1].scale = ENERGY[0], 0.25
    signal.axes_manager[-1].units = "eV"
    return signal


def median_time(action: Callable[[], object], repeats: int) -> float:
    """Median seconds of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def speed(series: Series, repeats: int, exact_pixels: int) -> dict[str, float]:
    """(a) Seconds for all pixels beside HyperSpy's background removal alone, fast and exact."""
    data = np.concatenate([s.data.reshape(-1, s.data.shape[-1]) for s in series.signals])
    stack = signal_of(data)
    subset = signal_of(data[:exact_pixels])

    def remove(signal: Any, fast: bool) -> Callable[[], object]:
        return lambda: signal.remove_background(
            signal_range=WINDOWS["background"],
            background_type="Power law",
            fast=fast,
            show_progressbar=False,
        )

    pre = eb.Preprocessor(**WINDOWS, align=ALIGN)
    first = median_time(
        lambda: pre.calibrate(series.signals)(series.signals, show_progressbar=False), repeats
    )
    later = median_time(lambda: pre(series.signals, show_progressbar=False), repeats)
    fast = median_time(remove(stack, True), repeats)
    exact = median_time(remove(subset, False), 1) * len(data) / len(subset)
    return {
        "pixels": len(data),
        "seconds_with_calibration": first,
        "seconds": later,
        "hyperspy_fast_seconds": fast,
        "hyperspy_exact_seconds_extrapolated": exact,
        "times_hyperspy_fast": later / fast,
        "times_hyperspy_exact": later / exact,
    }


def agreement() -> dict[str, float]:
    """(b) Largest difference from HyperSpy's exact fit, as a share of each edge's sd."""
    file = DATA / "LSMO_STO_linescan.hspy"
    if not file.exists():
        return {}
    signal = eb.load(file)[0]
    energy = signal.axes_manager[-1].axis
    result = {}
    for name, (background, window) in REAL_EDGES.items():
        theirs = signal.remove_background(
            signal_range=background, background_type="Power law", fast=False, show_progressbar=False
        ).data[:, (energy >= window[0]) & (energy < window[1])]
        pre = eb.Preprocessor(window, background=background, background_model="power_law")
        ours = pre(signal).intensity
        worst = np.abs(ours - theirs).max(axis=1) / theirs.std(axis=1)
        result[f"{name} largest difference / sd of edge"] = float(worst.max())
    return result


def background_error(series: Series) -> dict[str, float]:
    """(c) RMS error of the background in the last 5 eV of the window, intensity units."""
    last = slice(-20, None)
    truth = series.truth.assign(
        fractions=series.truth.fractions * 0,
        residual=series.truth.residual * 0,
        unknown=series.truth.unknown * 0,
        drift=series.truth.drift * 0,
    )
    lam = np.asarray(mean_counts(truth, series.model, dose=series.dose).values)
    inside = (ENERGY >= 677) & (ENERGY < 737)
    lam = lam.reshape(-1, len(ENERGY))[:, inside]
    result = {}
    for model in ("power_law", "shrunk"):
        pre = eb.Preprocessor(**WINDOWS, align=ALIGN, background_model=model)
        spectra = pre(series.signals, show_progressbar=False)
        fitted = spectra.counts[:, -240:] / spectra.norm[:, None] - spectra.intensity
        error = (fitted - lam / spectra.norm[:, None])[:, last].mean(axis=1)
        result[f"rms {model}"] = float(np.sqrt((error**2).mean()))
        result[f"bias {model}"] = float(error.mean())
    result["shrunk / power_law"] = result["rms shrunk"] / result["rms power_law"]
    return result


def sd_power_law(series: Series, n_pixels: int, n_draws: int) -> np.ndarray:
    """(d) Predicted sd / spread over Poisson redraws of fixed pixels; (L,)."""
    rng = np.random.default_rng(1)
    lam = np.asarray(mean_counts(series.truth, series.model, dose=series.dose).values)
    lam = lam.reshape(-1, len(ENERGY))
    lam = lam[rng.choice(len(lam), n_pixels, replace=False)]
    pre = eb.Preprocessor(**WINDOWS, background_model="power_law")
    predicted, spread = [], []
    for pixel in lam:
        draws = rng.poisson(pixel, (n_draws, len(pixel))).astype(np.float32)
        out = pre(torch.from_numpy(draws), eb.EnergyAxis(ENERGY[0], 0.25, len(ENERGY)))
        predicted.append(out.sd.square().mean(0).numpy())
        spread.append(out.intensity.double().var(0).numpy())
    return np.asarray(np.sqrt(np.mean(predicted, 0) / np.mean(spread, 0)))


def sd_shrunk(dose: float, n_draws: int) -> np.ndarray:
    """(d) The same for redraws of amplitude, exponent (from a normal) and counts; (L,)."""
    rng = np.random.default_rng(2)
    exponent = rng.normal(2.5, 0.15, (n_draws, 1))
    level = dose * rng.uniform(400, 700, (n_draws, 1))
    lines = 0.5 * np.exp(-0.5 * ((ENERGY - 577) / 2) ** 2)
    edge = 0.05 * level * np.exp(-0.5 * ((ENERGY - 700) / 4) ** 2)
    lam = level * ((ENERGY / 665) ** -exponent + lines) + edge
    counts = rng.poisson(lam).astype(np.float32)
    spectra = eb.Preprocessor(**WINDOWS)(signal_of(counts), show_progressbar=False)
    true = edge[:, (ENERGY >= 677) & (ENERGY < 737)] / spectra.norm[:, None]
    error = spectra.intensity.astype(np.float64) - true
    return np.asarray(np.sqrt((spectra.sd.astype(np.float64) ** 2).mean(0) / (error**2).mean(0)))


def ratios(values: np.ndarray) -> dict[str, float]:
    """Smallest, largest and last of ratios by channel."""
    return {"min": float(values.min()), "max": float(values.max()), "last": float(values[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--smoke", action="store_true", help="small and quick, for tests")
    options = parser.parse_args()
    torch.set_num_threads(1)
    small = options.smoke
    n_images, shape = (3, (8, 6)) if small else (24, (30, 19))
    draws = 300 if small else 3000
    series = annealing_series(n_images, shape, seed=0)
    result: dict[str, dict[str, float]] = {
        "a speed": speed(series, 1 if small else 5, 5 if small else 100),
        "b agreement with HyperSpy": agreement(),
    }
    for dose in (0.3, 1.0, 3.0):
        at_dose = series if dose == 1.0 else annealing_series(n_images, shape, dose, seed=0)
        result[f"c background at 732-737 eV, dose {dose:g}"] = background_error(at_dose)
        predicted = sd_power_law(at_dose, 2 if small else 8, draws)
        result[f"d sd / spread, power_law, dose {dose:g}"] = ratios(predicted)
        result[f"d sd / spread, shrunk, dose {dose:g}"] = ratios(sd_shrunk(dose, 4 * draws))
    for part, figures in result.items():
        print(part)
        for name, figure in figures.items():
            print(f"  {name:<45} {figure:12.4g}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
