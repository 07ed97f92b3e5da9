"""A signal in words and as a figure, before anything is fitted."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from exspy.signals import EELSSpectrum

import eels_bayes as eb
from eels_bayes.data.detector_noise import LINEAR_MODEL

OPTIONS = {"background": (600, 675), "normalize": (570, 592.5), "align": (565, 600)}


@pytest.fixture
def signal(series: eb.simulate.Series) -> EELSSpectrum:
    return series.signals[0].deepcopy()


def test_it_says_what_is_there_and_what_is_believed(signal: EELSSpectrum) -> None:
    pre = eb.Preprocessor((677, 737), **OPTIONS)
    words = pre.summary(signal)
    assert "10 x 8 spectra of 1600 channels of 0.25 eV, 390 to 789.75 eV" in words
    for name in ("window 677 to 737", "background 600 to 675", "normalize 570", "align 565"):
        assert name in words
    assert "noise stated by Variance_linear_model: gain 1" in words
    assert "believed: gain 1" in words and "!" not in words
    assert not pre.calibrated and pre.step == 0.0


def test_the_background_is_the_mean_spectrums_own(signal: EELSSpectrum) -> None:
    energy = signal.axes_manager[-1].axis
    signal.data = np.broadcast_to(2000.0 * (energy / 677.0) ** -2.5, signal.data.shape)
    words = eb.Preprocessor((677, 737), 0.5, background=(600, 675)).summary(signal)
    assert "2000 counts a channel at 677 eV, exponent 2.5" in words
    assert "noise measured: too few spectra to tell" in words


def test_contradictions_are_marked(signal: EELSSpectrum) -> None:
    signal.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", 4.0)
    words = eb.Preprocessor((677, 737), **OPTIONS).summary(signal)
    assert "\n! Variance_linear_model states a gain of 4, but the counts scatter" in words
    given = eb.Preprocessor((677, 737), **OPTIONS, noise=(4.0, 0.0)).summary(signal)
    assert "believed: gain 4" in given and "!" not in given


def test_one_spectrum_can_be_looked_at(signal: EELSSpectrum) -> None:
    words = eb.Preprocessor((677, 737)).summary(signal.inav[0, 0])
    assert "one spectra" not in words and "noise measured: too few spectra to tell" in words


@pytest.mark.parametrize("pixels", ["all", "one"])
def test_the_figure_shows_windows_background_and_both_noises(
    signal: EELSSpectrum, pixels: str
) -> None:
    signal.metadata.General.title = "$5 a spectrum"
    shown = signal if pixels == "all" else signal.inav[0, 0]
    figure = eb.Preprocessor((677, 737), **OPTIONS).plot(shown)
    left, right = figure.axes
    names = [text.get_text() for text in left.get_legend().get_texts()]
    assert names[:4] == ["window", "background", "normalize", "align"]
    said = [text.get_text() for text in right.get_legend().get_texts()]
    assert "stated (Variance_linear_model)" in said
    assert ("measured, one channel" in said) == (pixels == "all")
    figure.canvas.draw()
    plt.close(figure)
