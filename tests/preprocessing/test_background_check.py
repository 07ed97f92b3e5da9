"""Background windows that hold more than a background: said once, and of no others."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from exspy.signals import EELSSpectrum

import eels_bayes as eb
from eels_bayes.preprocessing.noise_choice import OVERRULE

ENERGY = 500.0 + 0.5 * np.arange(500)
WINDOW = (680.0, 720.0)


def signal_of(mean: np.ndarray, rng: np.random.Generator, pixels: int = 200) -> EELSSpectrum:
    signal = EELSSpectrum(rng.poisson(mean, (pixels, len(mean))).astype(np.float32))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = ENERGY[0], ENERGY[1] - ENERGY[0], "eV"
    return signal


def power_law(exponent: float = 3.0, level: float = 500.0) -> np.ndarray:
    return level * (ENERGY / 600) ** -exponent


def edge(onset: float, height: float) -> np.ndarray:
    return power_law() * height * (onset < ENERGY)


def said(signals: object, background: tuple[float, float], **options: object) -> list[str]:
    """What calibrating warns of, but for the noise."""
    pre = eb.Preprocessor(options.pop("window", WINDOW), background=background, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pre.calibrate(signals)
    words = [str(one.message) for one in caught]
    return [text for text in words if OVERRULE not in text and "background" in text]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("exponent", [1.5, 3.0, 6.0])
def test_a_power_law_is_never_doubted(seed: int, exponent: float) -> None:
    rng = np.random.default_rng(seed)
    for level, pixels in ((0.5, 50), (50.0, 1), (5000.0, 300)):
        signal = signal_of(power_law(exponent, level), rng, pixels)
        for background in ((600, 675), (660, 675), (550, 640.5)):
            assert said(signal, background) == []


@pytest.mark.parametrize(("onset", "height"), [(668.0, 0.05), (630.0, 0.05), (660.0, 0.3)])
def test_an_edge_that_begins_in_the_window_is_said_with_its_energy(
    rng: np.random.Generator, onset: float, height: float
) -> None:
    signal = signal_of(power_law() + edge(onset, height), rng)
    (text,) = said(signal, (600, 675))
    at = float(text.split(" eV, as where an edge begins")[0].split()[-1])
    assert text.startswith("background (600.0, 675.0): the counts rise by ")
    assert abs(at - onset) <= 2.5
    assert ("end it before" in text) == (onset > 640)
    assert said(signal, (600, 675) if onset > 675 else (600, onset - 5)) == []


def test_counts_of_unequal_pixels_and_gain_are_no_misfit(rng: np.random.Generator) -> None:
    exponents = rng.normal(3.0, 0.3, (300, 1))
    mean = rng.uniform(200, 900, (300, 1)) * (ENERGY / 600) ** -exponents
    signal = EELSSpectrum((5 * rng.poisson(mean / 5)).astype(np.float32))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = 500.0, 0.5, "eV"
    assert said(signal, (600, 675)) == []
    assert said(signal.inav[0], (600, 675)) == []  # whose gain is not known


def test_noise_that_neighbours_share_and_nothing_states_is_no_misfit(
    rng: np.random.Generator,
) -> None:
    counts = rng.poisson(power_law(3.0, 20.0), (4, 500)) + rng.normal(0, 20, (4, 500))
    counts[:, 1:] = 0.5 * (counts[:, 1:] + counts[:, :-1])
    signal = EELSSpectrum((5 * counts).astype(np.float32))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = 500.0, 0.5, "eV"
    assert said(signal, (600, 675), noise="metadata") == []


def test_a_spike_is_no_edge(rng: np.random.Generator) -> None:
    signal = signal_of(power_law(), rng, 20)
    signal.data[3, np.searchsorted(ENERGY, 674.5)] += 5000
    assert said(signal, (600, 675)) == []


def test_the_tail_of_an_edge_before_is_a_misfit(rng: np.random.Generator) -> None:
    tail = power_law() * 0.5 * np.exp(-((ENERGY - 600) / 8).clip(0))
    (text,) = said(signal_of(power_law() + tail, rng), (600, 675))
    assert "a power law misses the counts by " in text and "most at 60" in text
    assert said(signal_of(power_law() + tail, rng), (640, 675)) == []


def test_an_exponent_that_cannot_be_is_said(rng: np.random.Generator) -> None:
    rising = signal_of(power_law(-2.0), rng)
    (text,) = said(rising, (600, 675))
    assert float(text.split("exponent is ")[1].split()[0]) == pytest.approx(-2.0, abs=0.05)
    assert "lies between 1 and 8" in text
    steep = signal_of(power_law(11.0), rng)
    (text,) = said(steep, (600, 675))
    assert float(text.split("exponent is ")[1].split()[0]) == pytest.approx(11.0, abs=0.05)
    # what noise leaves open can be
    assert said(signal_of(power_law(9.0, 2.0), rng, 3), (660, 675)) == []


def test_it_is_said_once_for_a_series_and_marked_in_the_summary(rng: np.random.Generator) -> None:
    signals = [signal_of(power_law() + edge(660, 0.2), rng) for _ in range(3)]
    assert len(said(signals, (600, 675))) == 1
    bad = eb.Preprocessor(WINDOW, background=(600, 675)).summary(signals[0])
    good = eb.Preprocessor(WINDOW, background=(600, 655)).summary(signals[0])
    assert "\n! background (600.0, 675.0): the counts rise by " in bad and "! " not in good


def test_a_drift_that_is_removed_is_no_doubt(rng: np.random.Generator) -> None:
    lines = 800 * np.exp(-0.5 * ((ENERGY - 577) / 1.5) ** 2)
    signals = [signal_of(power_law() + lines, rng) for _ in range(2)]
    signals[1].axes_manager[-1].offset += 6.0
    options = {"align": (560, 595), "align_to": 577.0}
    assert said(signals, (590, 675), **options) == []
    assert said(signals, (570, 675), **options) != []


def test_simulated_series_are_doubted_where_their_windows_hold_an_edge(
    series: eb.simulate.Series,
) -> None:
    options = {"window": (677, 737), "align": (567.5, 627.5)}
    for background in ((650, 680), (600, 675), (620, 680)):
        assert said(series.signals, background, **options) == []
    for background in ((520, 680), (560, 680)):  # over oxygen and chromium
        assert said(series.signals, background, **options) != []


# file, window, a background before its edge, and backgrounds that reach into an edge or over one
REAL = [
    ("LSMO_STO_linescan.hspy", (525, 560), (480, 525), [(485, 532), (440, 525)]),
    ("LSMO_STO_linescan.hspy", (630, 690), (585, 630), [(585, 640), (500, 630)]),
    ("LSMO_STO_linescan.hspy", (825, 890), (760, 820), [(600, 820)]),
    ("LSMO_linescan.hspy", (524, 560), (450, 520), [(450, 528)]),
    ("LSMO_linescan.hspy", (628, 660), (590, 625), [(590, 631), (500, 625), (535, 625)]),
    ("CuZn_EELS_mapping_tutorial.hspy", (924, 1004), (780, 916), [(780, 956)]),
    ("CuZn_EELS_mapping_tutorial.hspy", (1016, 1100), (960, 1012), [(850, 1012)]),
    ("eels_si.dm4", (520, 560), (400, 510), [(400, 540)]),
    ("eels_si.dm4", (700, 760), (600, 690), [(420, 690)]),
    ("nmc_linescan.dm3", (512, 550), (470, 508), [(440, 508), (470, 518)]),
    ("nmc_linescan.dm3", (622, 660), (580, 618), [(490, 618)]),
    ("nmc_linescan.dm3", (756, 790), (710, 752), [(600, 752)]),
    ("nmc_linescan.dm3", (828, 860), (795, 826), [(720, 826)]),
]


@pytest.mark.parametrize(("name", "window", "good", "bad"), REAL)
def test_real_files(
    data_dir: Path,
    name: str,
    window: tuple[float, float],
    good: tuple[float, float],
    bad: list[tuple[float, float]],
) -> None:
    signal = eb.load(data_dir / name)[0]
    assert said(signal, good, window=window) == []
    for background in bad:
        assert len(said(signal, background, window=window)) == 1
