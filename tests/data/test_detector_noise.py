"""What metadata state of noise is read as it is meant, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exspy.signals import EELSSpectrum

import eels_bayes as eb
from eels_bayes.data.detector_noise import (
    LINEAR_MODEL,
    checked_noise,
    given_noise,
    stated_noise,
)
from helpers.microscope_files import write_dm


@pytest.fixture
def signal(rng: np.random.Generator) -> EELSSpectrum:
    """Counts of 2 x 3 pixels."""
    return EELSSpectrum(rng.poisson(np.linspace(900.0, 300.0, 50), (2, 3, 50)).astype(float))


def written(path: Path, **calibration: Any) -> EELSSpectrum:
    """A file whose Brightness is calibrated so."""
    counts = np.arange(40.0).reshape(2, 20)
    write_dm(path, counts, energy_offset=440.0, energy_scale=0.5, **calibration)
    (found,) = eb.load(path)
    return found


def test_nothing_stated_is_plain_poisson_noise(signal: EELSSpectrum) -> None:
    assert stated_noise(signal) == (eb.Noise(), "")


def test_what_is_none_is_not_stated(signal: EELSSpectrum) -> None:
    numbers = {"gain_factor": None, "gain_offset": None, "correlation_factor": None}
    signal.metadata.set_item(LINEAR_MODEL, numbers)
    assert stated_noise(signal) == (eb.Noise(), "")
    signal.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", 3.0)
    assert stated_noise(signal).noise == eb.Noise(3.0)


def test_electrons_a_count_are_the_inverse_of_a_gain(tmp_path: Path) -> None:
    found = written(tmp_path / "camera.dm4", brightness_scale=0.25, brightness_unit="e-")
    # HyperSpy copies the scale as it is
    assert found.metadata.get_item(f"{LINEAR_MODEL}.gain_factor") == 0.25
    assert stated_noise(found) == (eb.Noise(4.0), "Brightness.Scale")
    found.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", 3.0)  # by the user
    assert stated_noise(found) == (eb.Noise(3.0), "Variance_linear_model")


def test_a_scale_of_another_unit_says_nothing_of_electrons(tmp_path: Path) -> None:
    found = written(tmp_path / "camera.dm4", brightness_scale=0.25, brightness_unit="Counts")
    assert stated_noise(found) == (eb.Noise(), "")


@pytest.mark.parametrize(("gain", "readout"), [(5.0, 0.0), (0.2, 30.0)])
def test_a_variance_that_hyperspy_estimates_is_read(
    signal: EELSSpectrum, gain: float, readout: float
) -> None:
    signal.estimate_poissonian_noise_variance(gain_factor=gain, gain_offset=readout)
    noise, source = stated_noise(signal)
    assert source == "Noise_properties.variance"
    assert noise == pytest.approx(eb.Noise(gain, readout), rel=1e-6, abs=1e-6)


def test_a_variance_of_expected_counts_is_read_too(rng: np.random.Generator) -> None:
    expected = np.tile(np.linspace(900.0, 300.0, 400), (20, 1))
    signal = EELSSpectrum(4.0 * rng.poisson(expected / 4.0))
    signal.set_noise_variance(EELSSpectrum(4.0 * expected + 100.0))
    noise, _ = stated_noise(signal)
    assert noise.gain == pytest.approx(4.0, rel=0.02)
    assert noise.readout == pytest.approx(100.0, abs=50.0)


def test_a_flat_variance_is_readout_noise(signal: EELSSpectrum) -> None:
    signal.set_noise_variance(81.0)
    noise, _ = stated_noise(signal)
    assert noise.readout == 81.0 and noise.gain * signal.data.mean() < 0.1


def test_variances_that_are_of_another_kind_are_refused(signal: EELSSpectrum) -> None:
    signal.set_noise_variance(EELSSpectrum(1e6 / (1.0 + signal.data)))
    with pytest.raises(ValueError, match=r"no variance of the kind gain \* counts \+ readout"):
        stated_noise(signal)
    signal.metadata.Signal.Noise_properties.variance = EELSSpectrum(np.ones((3, 50)))
    with pytest.raises(ValueError, match=r"has shape \(3, 50\) and the counts \(2, 3, 50\)"):
        stated_noise(signal)


def test_lazy_counts_state_the_same(signal: EELSSpectrum) -> None:
    signal.estimate_poissonian_noise_variance(gain_factor=5.0)
    lazy = signal.as_lazy()
    assert stated_noise(lazy).noise == pytest.approx(stated_noise(signal).noise)
    assert lazy._lazy


@pytest.mark.parametrize(
    "noise", [(0.0,), (-1.0, 0.0), (1.0, -1.0), (1.0, 0.0, np.nan), (1.0, 0.0, 0.0, 0.0)]
)
def test_noise_that_cannot_be_is_refused(noise: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a gain above zero, a readout variance of zero or more"):
        given_noise(noise)
    with pytest.raises(ValueError, match="are needed"):
        checked_noise(eb.Noise(*noise))


@pytest.mark.parametrize("noise", ["measured", 1.0, (), (1.0,) * 5])
def test_what_is_no_noise_is_refused(noise: Any) -> None:
    with pytest.raises(TypeError, match=r"give \(gain, readout\) or a Noise"):
        given_noise(noise)


def test_a_variance_as_an_argument_is_told_where_it_belongs(signal: EELSSpectrum) -> None:
    with pytest.raises(TypeError, match=r"set_noise_variance\(variance\) and give noise='metad"):
        eb.Preprocessor((677, 737), noise=signal)  # type: ignore[arg-type]
