"""Metadata are believed where the counts agree with them, else the counts, and the user is told."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from exspy.signals import EELSSpectrum

import eels_bayes as eb
from eels_bayes.data.detector_noise import LINEAR_MODEL
from eels_bayes.preprocessing.noise import channel_share, mixed_share
from eels_bayes.preprocessing.rebinning import rebin

WINDOWS = {"background": (600, 675), "normalize": (570, 592.5)}


def changed(
    series: eb.simulate.Series,
    change: Callable[[Any], Any] = lambda counts: counts,
    stated: float | None = None,
) -> list[EELSSpectrum]:
    """The signals with other counts, and metadata that state a gain, or nothing."""
    found = []
    for signal in series.signals:
        copy = signal.deepcopy()
        copy.data = np.asarray(change(copy.data.astype(float)), dtype=np.float32)
        del copy.metadata.Signal.Noise_properties
        if stated is not None:
            copy.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", stated)
        found.append(copy)
    return found


def calibrated(signals: list[EELSSpectrum], **options: Any) -> eb.Preprocessor:
    return eb.Preprocessor((677, 737), 0.5, **WINDOWS, **options).calibrate(signals)


@pytest.mark.parametrize("stated", [1.0, None])
def test_metadata_that_are_right_are_believed_to_the_last_digit(
    series: eb.simulate.Series, stated: float | None
) -> None:
    assert calibrated(changed(series, stated=stated)).detector_noise == eb.Noise()


@pytest.mark.parametrize("stated", [60.0, 2.0, 0.5, 1 / 60])
def test_counts_overrule_metadata_that_are_wrong(series: eb.simulate.Series, stated: float) -> None:
    signals = changed(series, stated=stated)
    message = f"Variance_linear_model states a gain of {stated:.3g}, but the counts scatter as .*"
    with pytest.warns(UserWarning, match=message + r"the counts are believed"):
        pre = calibrated(signals)
    assert pre.detector_noise.gain == pytest.approx(1.0, rel=0.01)
    # whoever asks for it gets it
    for noise, expected in (
        ("measured", pre.detector_noise),
        ("metadata", eb.Noise(stated)),
        ((3.0, 4.0), eb.Noise(3.0, 4.0)),
    ):
        assert calibrated(signals, noise=noise).detector_noise == expected
    spectra = eb.Preprocessor((677, 737), 0.5, **WINDOWS, noise="metadata")(signals)
    np.testing.assert_allclose(spectra.gain, stated, rtol=1e-6)


def test_counts_of_any_unit_are_read_alike(series: eb.simulate.Series, spectra: eb.Spectra) -> None:
    one = eb.Preprocessor((677, 737), 0.5, **WINDOWS)(changed(series))
    pre = eb.Preprocessor((677, 737), 0.5, **WINDOWS)
    with pytest.warns(UserWarning, match="the metadata state none, but the counts scatter as"):
        other = pre(changed(series, lambda counts: counts / 200.0))
    np.testing.assert_allclose(other.intensity, one.intensity, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(other.sd, one.sd, rtol=0.01)
    np.testing.assert_allclose(other.level, one.level, rtol=0.01)
    assert len(spectra) == len(one)


def test_dark_offsets_are_noticed_and_taken_away(series: eb.simulate.Series) -> None:
    plain = eb.Preprocessor((677, 737), 0.5, **WINDOWS)(changed(series, stated=1.0))
    pre = eb.Preprocessor((677, 737), 0.5, **WINDOWS)
    with pytest.warns(UserWarning, match=r"9\d|10\d counts without an electron"):
        spectra = pre(changed(series, lambda counts: counts + 100.0, stated=1.0))
    assert pre.detector_noise.offset == pytest.approx(100.0, abs=15.0)
    assert np.abs(spectra.norm / plain.norm - 1.0).max() < 0.03
    with pytest.warns(UserWarning, match="as well, counts may be .* too low"):
        calibrated(changed(series, lambda counts: counts - 100.0, stated=1.0))


def test_denoised_counts_are_named(series: eb.simulate.Series) -> None:
    counts = np.concatenate([signal.data.reshape(80, -1) for signal in series.signals])
    mean = counts.mean(0)
    _, _, directions = np.linalg.svd(counts - mean, full_matrices=False)
    keep = directions[:6].T @ directions[:6]
    with pytest.warns(UserWarning, match="in few directions: these are denoised, not counts"):
        pre = calibrated(changed(series, lambda data: mean + (data - mean) @ keep))
    assert pre.detector_noise == eb.Noise()


def test_noise_that_no_count_explains_is_readout(
    series: eb.simulate.Series, rng: np.random.Generator
) -> None:
    def flat(counts: Any) -> Any:
        smooth = np.broadcast_to(counts.mean((0, 1)), counts.shape)
        return smooth + 30.0 * rng.standard_normal(counts.shape)

    with pytest.warns(UserWarning, match="a readout variance of"):
        pre = calibrated(changed(series, flat, stated=1.0))
    assert pre.detector_noise.readout == pytest.approx(900.0, rel=0.1)


def test_what_was_believed_is_kept_for_later_signals(series: eb.simulate.Series) -> None:
    signals = changed(series, lambda counts: 5.0 * counts, stated=0.2)
    with pytest.warns(UserWarning, match="the counts are believed"):
        pre = calibrated(signals)
    again = eb.Preprocessor.restored(pre.options(), pre.state_dict())
    assert again.detector_noise == pre.detector_noise
    one_pixel = signals[0].inav[0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert again(one_pixel).gain == pytest.approx(5.0, rel=0.01)
    # a signal that states something else is no sign that the counts are another detector's
    one_pixel.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", 0.3)
    assert again(one_pixel).gain == pytest.approx(5.0, rel=0.01)


def test_images_that_state_their_own_noise_keep_it(series: eb.simulate.Series) -> None:
    signals = changed(series, stated=1.0)
    for signal in signals[2:]:
        signal.data = 3.0 * signal.data
        signal.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", 3.0)
    spectra = eb.Preprocessor((677, 737), 0.5, **WINDOWS)(signals)
    np.testing.assert_array_equal(spectra.gain, np.repeat([1.0, 3.0], 160))


def test_noises_that_cannot_be_are_not_loaded(series: eb.simulate.Series) -> None:
    pre = calibrated(changed(series))
    state = pre.state_dict()
    state["noises"] = -state["noises"]
    with pytest.raises(ValueError, match="a gain above zero"):
        eb.Preprocessor.from_options(pre.options()).load_state_dict(state)


@pytest.mark.parametrize(
    "noise", ["guessed", None, 3.0, (), (0.0, 1.0), (1.0, 0.0, 0.0, 2.0)], ids=str
)
def test_noise_that_cannot_be_is_refused(noise: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="noise"):
        eb.Preprocessor((677, 737), noise=noise)


@pytest.mark.parametrize(("shift", "step"), [(0.0, 0.25), (0.125, 0.25), (0.06, 0.5), (0.0, 1.0)])
def test_shared_electrons_leave_a_channel_less_of_the_variance(
    rng: np.random.Generator, shift: float, step: float
) -> None:
    spread = 0.15
    electrons = rng.poisson(400.0, (4000, 80)).astype(np.float32)
    counts = (1 - 2 * spread) * electrons
    counts += spread * (np.roll(electrons, 1, 1) + np.roll(electrons, -1, 1))
    axis = eb.EnergyAxis(0.0, 0.25, 80)
    new = eb.EnergyAxis(2.0 + 0.5 * (step - 0.25), step, int(16 / step))
    found, factor = rebin(torch.from_numpy(counts), axis, torch.full((4000,), shift), new)
    alone = (1 - 2 * spread) ** 2 + 2 * spread**2
    share = mixed_share(factor, alone, step / 0.25)
    variance = float((found.double().var(0) / found.double().mean(0)).mean())
    assert variance == pytest.approx(float(share.mean()), rel=0.03)
    if shift == 0.0:
        assert float(share.mean()) == pytest.approx(channel_share(alone, step / 0.25))
