"""Axes that are moved until an edge stands at its energy, and how well that is known."""

from pathlib import Path

import numpy as np
import pytest
from exspy.signals import EELSSpectrum, LazyEELSSpectrum
from scipy.special import ndtr
from scipy.stats import kstest

import eels_bayes as eb
from eels_bayes.preprocessing.edge_position import edge_position


def signal_of(counts: np.ndarray, offset: float, scale: float, units: str = "eV") -> EELSSpectrum:
    signal = EELSSpectrum(counts.astype(np.float32))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = offset, scale, units
    return signal


def mean_with(onset: float, energy: np.ndarray, height: float = 0.3, white: float = 0.0):
    """A power law with a rounded step at an onset, and a white line 2 eV behind it."""
    background = 1000 * (energy / 600) ** -3.0
    step = ndtr((energy - onset) / 0.7)
    line = white * np.exp(-0.5 * ((energy - onset - 2.0) / 1.0) ** 2)
    return background * (1 + height * step + line)


def drawn(onset: float, rng: np.random.Generator, pixels: int = 30, **shape: float) -> EELSSpectrum:
    energy = onset - 95.3 + 0.25 * np.arange(600)
    return signal_of(rng.poisson(mean_with(onset, energy, **shape), (pixels, 600)), energy[0], 0.25)


def record(signal: EELSSpectrum) -> object:
    return signal.metadata.eels_bayes.axis_calibration


@pytest.mark.parametrize("edge", ["F_K", "Mn_L3", "Cu_L3"])
@pytest.mark.parametrize("off", [-12.0, -3.3, 8.0])
def test_an_axis_that_was_moved_is_moved_back(
    edge: str, off: float, rng: np.random.Generator
) -> None:
    onset = {"F_K": 685.0, "Mn_L3": 640.0, "Cu_L3": 931.0}[edge]
    right = drawn(onset, rng)
    wrong = right.deepcopy()
    wrong.axes_manager[-1].offset += off
    straight, moved = (eb.calibrate_axis(one, edge=edge) for one in (right, wrong))
    assert moved.axes_manager[-1].offset == pytest.approx(straight.axes_manager[-1].offset, abs=0.2)
    assert record(moved).moved + off == pytest.approx(0.0, abs=5 * record(moved).sd + 0.05)
    assert record(moved).energy == onset and record(moved).edge == edge


def test_the_same_window_on_the_edge_gives_the_same_axis(rng: np.random.Generator) -> None:
    signal = drawn(685.0, rng)
    ends = []
    for off in (-20.0, 0.0, 7.75, 300.0):
        moved = signal.deepcopy()
        moved.axes_manager[-1].offset += off
        found = eb.calibrate_axis(moved, edge=(675 + off, 695 + off), energy=685.0)
        ends.append(found.axes_manager[-1].offset)
    np.testing.assert_allclose(ends, ends[0], atol=0.05)


def test_the_signal_stays_and_its_data_are_shared(rng: np.random.Generator) -> None:
    signal = drawn(677.0, rng)
    signal.set_noise_variance(signal.deepcopy())
    signal.metadata.General.title = "map"
    before, axis = signal.metadata.as_dictionary(), signal.axes_manager[-1].axis.copy()
    moved = eb.calibrate_axis(signal, edge="F_K")
    assert np.shares_memory(moved.data, signal.data)
    np.testing.assert_array_equal(signal.axes_manager[-1].axis, axis)
    assert signal.metadata.as_dictionary().keys() == before.keys()
    assert not signal.metadata.has_item("eels_bayes")
    assert moved.metadata.General.title == "map"
    np.testing.assert_allclose(moved.axes_manager[-1].axis - axis, record(moved).moved)
    variance = moved.get_noise_variance()
    np.testing.assert_allclose(variance.axes_manager[-1].axis, moved.axes_manager[-1].axis)
    np.testing.assert_allclose(signal.get_noise_variance().axes_manager[-1].axis, axis)


def test_lazy_signals_and_kiloelectronvolts(rng: np.random.Generator) -> None:
    signal = drawn(677.0, rng)
    plain = eb.calibrate_axis(signal, edge="F_K")
    lazy = eb.calibrate_axis(signal.as_lazy(), edge="F_K")
    assert isinstance(lazy, LazyEELSSpectrum)
    assert record(lazy).moved == record(plain).moved
    axis = signal.axes_manager[-1]
    kilo = signal_of(signal.data, axis.offset / 1e3, axis.scale / 1e3, "keV")
    moved = eb.calibrate_axis(kilo, edge="F_K")
    assert record(moved).moved == pytest.approx(record(plain).moved, abs=1e-6)
    np.testing.assert_allclose(
        1e3 * moved.axes_manager[-1].axis, plain.axes_manager[-1].axis, atol=1e-6
    )


def test_a_series_is_moved_together(rng: np.random.Generator) -> None:
    signals = [drawn(677.0, rng) for _ in range(3)]
    signals[1] = signals[1].isig[20:-30]
    before = [one.axes_manager[-1].offset for one in signals]
    moved = eb.calibrate_axis(signals, edge="F_K")
    by = [one.axes_manager[-1].offset - old for one, old in zip(moved, before, strict=True)]
    np.testing.assert_allclose(by, 8.0, atol=0.2)
    assert np.ptp(by) < 1e-9
    one = eb.calibrate_axis(signals[0], edge="F_K")
    assert record(moved[0]).sd < record(one).sd
    assert isinstance(eb.calibrate_axis(signals[:1], edge="F_K"), list)


def test_the_maximum_is_the_white_lines(rng: np.random.Generator) -> None:
    energy = 560 + 0.25 * np.arange(600)
    fine = np.linspace(636, 646, 100_001)
    top = fine[mean_with(640.0, fine, white=1.0).argmax()]
    signal = signal_of(rng.poisson(mean_with(640.0, energy, white=1.0), (500, 600)), 560, 0.25)
    options = {"edge": "Mn_L3", "energy": 642.5, "feature": "maximum"}
    found = record(eb.calibrate_axis(signal, **options))
    assert found.moved == pytest.approx(642.5 - top, abs=0.1)
    assert 0 < found.sd < 0.05


@pytest.mark.parametrize(
    ("feature", "shape"), [("onset", {}), ("onset", {"white": 1.0}), ("maximum", {"white": 1.0})]
)
def test_the_sd_is_the_spread_over_redraws(feature: str, shape: dict[str, float]) -> None:
    rng = np.random.default_rng(1)
    energy = 590.0 + 0.25 * np.arange(600)
    mean = 20 * mean_with(685.0, energy, **shape)
    found = []
    for _ in range(200):
        counts = rng.poisson(mean).astype(float)
        found.append(edge_position(energy, counts, counts, (670, 700), feature, "F_K"))
    moved, sd = (np.array(column) for column in zip(*found, strict=True))
    # the mean over redraws is the truth but for the parabola's bias
    pull = (moved - moved.mean()) / sd
    assert 0.8 < pull.std() < 1.25
    assert kstest(pull / pull.std(), "norm").pvalue > 0.001
    if feature == "onset" and not shape:
        assert moved.mean() == pytest.approx(685.0, abs=0.05)


@pytest.mark.parametrize("centre", [-8.13, 0.037, 3.2])
def test_the_zero_loss_peak_is_put_at_zero(centre: float, rng: np.random.Generator) -> None:
    energy = -50 + 0.1 * np.arange(1000)
    mean = 20 + 1e4 * np.exp(-0.5 * ((energy - centre) / 0.4) ** 2)
    mean += 300 * np.exp(-0.5 * ((energy - 22) / 4) ** 2)
    signal = signal_of(rng.poisson(mean, (20, 1000)), -50, 0.1)
    moved = eb.calibrate_axis(signal, edge="zero loss")
    assert record(moved).moved == pytest.approx(-centre, abs=0.005)
    assert 0 < record(moved).sd < 0.005 and record(moved).feature == "zero loss"


def test_what_holds_no_edge_is_refused() -> None:
    energy = 600 + 0.25 * np.arange(600)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        counts = rng.poisson(mean_with(900.0, energy), (10, 600))
        with pytest.raises(ValueError, match=r"F_K.*between 665 and 705 eV"):
            eb.calibrate_axis(signal_of(counts, 600, 0.25), edge="F_K")


def test_a_spike_is_no_edge(rng: np.random.Generator) -> None:
    energy = 600 + 0.25 * np.arange(600)
    counts = rng.poisson(mean_with(900.0, energy), (5, 600))
    counts[2, 340] += 5000
    with pytest.raises(ValueError, match=r"F_K between 665 and 705 eV: the rise at 68\d\.?\d* eV"):
        eb.calibrate_axis(signal_of(counts, 600, 0.25), edge="F_K")


def test_maxima_as_high_as_each_other_are_refused(rng: np.random.Generator) -> None:
    energy = 560 + 0.25 * np.arange(600)
    lines = [np.exp(-0.5 * ((energy - at) / 1.0) ** 2) for at in (636.0, 646.0)]
    mean = mean_with(900.0, energy) * (1 + lines[0] + 0.95 * lines[1])
    signal = signal_of(rng.poisson(mean, (20, 600)), 560, 0.25)
    options = {"energy": 636.0, "feature": "maximum"}
    with pytest.raises(ValueError, match=r"maxima as high as each other, at 63\d.* and 64\d"):
        eb.calibrate_axis(signal, edge=(625, 655), **options)
    found = eb.calibrate_axis(signal, edge=(630, 642), **options)
    assert record(found).moved == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edge": "F_Q"}, r"edge is 'F_Q'; a window \(low, high\).*such as F_K"),
        ({"edge": "fluorine"}, r"edge is 'fluorine'.*'F_K' or 'Mn_L3'"),
        ({"edge": "Mn_L2"}, r"edge is 'Mn_L2', and Mn_L3 begins 11 eV before it"),
        ({"edge": (660, 700)}, r"edge is the window \(660.0, 700.0\); energy= is needed"),
        ({"edge": (700, 660), "energy": 1.0}, r"two finite energies in eV, low < high"),
        ({"edge": "F_K", "feature": "maximum"}, r"energy= is needed, as tables hold the onset"),
        ({"edge": "F_K", "feature": "middle"}, r"feature is 'middle'; one of"),
        ({"edge": "F_K", "energy": np.nan}, r"energy is nan; a finite energy in eV is needed"),
        ({"edge": "Cu_L3"}, r"Cu_L3: 0 channels of the energy axis.*between 911 and 951 eV"),
        ({"edge": "zero loss"}, r"zero loss: 0 channels of the energy axis"),
    ],
)
def test_what_cannot_be_is_said(options: dict, message: str, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=message):
        eb.calibrate_axis(drawn(685.0, rng), **options)


def test_signals_without_common_energies_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="no energies in common"):
        eb.calibrate_axis([drawn(685.0, rng), drawn(385.0, rng)], edge="F_K")
    with pytest.raises(ValueError, match="signals is empty"):
        eb.calibrate_axis([], edge="F_K")


def test_a_core_loss_spectrum_has_no_zero_loss_peak(rng: np.random.Generator) -> None:
    signal = signal_of(rng.poisson(100, (5, 400)), -100, 0.5)
    with pytest.raises(ValueError, match="no peak is seen between -20 and 20 eV"):
        eb.calibrate_axis(signal, edge="zero loss")


# file, edge, feature, energy, and by how much the axis is off as seen in its figure, eV
REAL = [
    ("nmc_linescan.dm3", "Mn_L3", "onset", None, 12.6),
    ("nmc_linescan.dm3", "Mn_L3", "maximum", 642.0, 11.6),
    ("LSMO_linescan.hspy", "Mn_L3", "onset", None, 7.6),
    ("LSMO_linescan.hspy", "Mn_L3", "maximum", 642.5, 8.0),
    ("LSMO_STO_linescan.hspy", "La_M5", "onset", None, -0.1),
    ("LSMO_STO_linescan.hspy", "Ti_L3", "onset", None, -0.2),
    ("LSMO_linescan_low_loss.hspy", "zero loss", "onset", None, -3.2),
]


@pytest.mark.parametrize(("name", "edge", "feature", "energy", "off"), REAL)
def test_real_files(
    data_dir: Path, name: str, edge: str, feature: str, energy: float | None, off: float
) -> None:
    signal = eb.load(data_dir / name)[0]
    moved = eb.calibrate_axis(signal, edge=edge, feature=feature, energy=energy)
    assert record(moved).moved == pytest.approx(off, abs=0.4)
    assert 0 < record(moved).sd < 0.4
    again = eb.calibrate_axis(moved, edge=edge, feature=feature, energy=energy)
    # the range that is searched moves along, and with it what its noise asks to smooth over
    assert record(again).moved == pytest.approx(0.0, abs=0.4)


def test_dark_noise_and_wide_channels_are_refused(data_dir: Path) -> None:
    with pytest.raises(ValueError, match="O_K: no edge is seen"):
        eb.calibrate_axis(eb.load(data_dir / "eels_spectrum.dm3"), edge="O_K")
    with pytest.raises(ValueError, match="Cu_L3: noise leaves open by"):
        eb.calibrate_axis(eb.load(data_dir / "CuZn_EELS_mapping_tutorial.hspy"), edge="Cu_L3")


def test_calibrated_signals_are_saved_with_what_was_done(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    moved = eb.calibrate_axis(drawn(677.0, rng), edge=(665, 690), energy=685)
    moved.save(tmp_path / "moved.hspy")
    (loaded,) = eb.load(tmp_path / "moved.hspy")
    assert record(loaded).moved == record(moved).moved
    assert list(record(loaded).edge) == [665, 690] and record(loaded).feature == "onset"


def test_a_window_as_an_array(rng: np.random.Generator) -> None:
    signal = drawn(540.0, rng)
    one = eb.calibrate_axis(signal, edge=np.array([520.0, 560.0]), energy=532.0)
    other = eb.calibrate_axis(signal, edge=(520.0, 560.0), energy=532.0)
    assert one.axes_manager[-1].offset == other.axes_manager[-1].offset
