"""Fingerprints after plural scattering: Poisson's law, areas, thickness, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exspy.signals import EELSSpectrum
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import eels_bayes as eb
from eels_bayes.data.plural_scattering import _low_loss, scattering
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.model_evidence import evidence_of

Array = NDArray[np.float64]
LIBRARY = eb.FingerprintLibrary.example()
STEP = 0.25  # eV, of the library and of most low losses here
SIGMA = 0.4  # eV, of the zero-loss peak


def losses(thickness: float, scale: float = STEP) -> Array:
    """Share of electrons a channel of energy loss, 8192 of them, by Poisson statistics.

    Every event loses 10 to 30 eV, so that nothing lies where the zero-loss peak ends.
    """
    loss = scale * np.arange(8192)
    single = np.where((loss > 10) & (loss < 30), np.sin(np.pi * (loss - 10) / 20) ** 2, 0.0)
    transform = np.fft.rfft(single / single.sum())
    return np.fft.irfft(np.exp(thickness * (transform - 1.0)), n=8192)


def low_loss(
    *thickness: float,
    scale: float = STEP,
    sigma: float = SIGMA,
    offset: float = 0.0,
    end: float = 250.0,
    electrons: float = 1e5,
) -> EELSSpectrum:
    """A pixel of each thickness without noise, its zero-loss peak at ``offset``."""
    before = round(20.0 / scale)
    energy = scale * np.arange(-before, round(end / scale))
    width = 60
    peak = np.arange(-width, width + 1) == 0.0
    if sigma:
        peak = np.exp(-0.5 * (scale * np.arange(-width, width + 1) / sigma) ** 2)
    lead = np.zeros(before - width) if before > width else np.zeros(0)
    rows = []
    for t in thickness:
        seen = np.convolve(losses(t, scale)[: len(energy) + width], peak / peak.sum())
        seen = np.concatenate([lead, seen[max(0, width - before) :]])
        rows.append(np.maximum(electrons * seen[: len(energy)], 0.0))
    signal = EELSSpectrum(np.array(rows))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = energy[0] + offset, scale, "eV"
    return signal


def expected(rows: Array, thickness: float) -> Array:
    share = losses(thickness)[: rows.shape[1]]
    return np.array([np.convolve(row, share)[: rows.shape[1]] for row in rows])


def test_without_scattering_the_library_stays_bit_for_bit() -> None:
    same = LIBRARY.scattered(low_loss(0.0, sigma=0.0))
    for name in ("energy", "intensity", "labels", "values", "nuisances"):
        np.testing.assert_array_equal(getattr(same, name), getattr(LIBRARY, name))
    assert (same.class_names, same.variations) == (LIBRARY.class_names, LIBRARY.variations)


def test_a_zero_loss_peaks_width_broadens_nothing() -> None:
    for sigma in (0.0, 0.3, 0.8):
        same = LIBRARY.scattered(low_loss(0.0, sigma=sigma))
        np.testing.assert_allclose(same.intensity, LIBRARY.intensity, atol=1e-5)


@settings(max_examples=12)
@given(thickness=st.floats(0.1, 1.5), offset=st.floats(-3.0, 3.0))
def test_edges_are_convolved_with_what_is_lost(thickness: float, offset: float) -> None:
    thick = LIBRARY.scattered(low_loss(thickness, offset=offset))
    wanted = expected(LIBRARY.intensity, thickness)
    np.testing.assert_allclose(thick.intensity, wanted, atol=4e-3)
    np.testing.assert_allclose(thick.nuisances, expected(LIBRARY.nuisances, thickness), atol=4e-3)


def test_twice_is_once_with_both_thicknesses() -> None:
    twice = LIBRARY.scattered(low_loss(0.3)).scattered(low_loss(0.5))
    once = LIBRARY.scattered(low_loss(0.8))
    np.testing.assert_allclose(twice.intensity, once.intensity, atol=2e-3)
    np.testing.assert_allclose(twice.nuisances, once.nuisances, atol=2e-3)


def test_the_area_stays_and_the_onset_keeps_the_zero_loss_share() -> None:
    peak = np.zeros((2, 1000))
    peak[:, 100] = (1.0, 0.5)
    library = eb.FingerprintLibrary.from_arrays(STEP * np.arange(1000), peak, ["a", "b"])
    thick = library.scattered(low_loss(0.7))
    np.testing.assert_allclose(thick.intensity.sum(1), peak.sum(1), rtol=1e-6)
    np.testing.assert_allclose(thick.intensity[:, 100], np.exp(-0.7) * peak[:, 100], rtol=1e-6)
    assert np.all(thick.intensity[:, :100] == 0)


@pytest.mark.parametrize("scale", [0.1, 0.3, 0.5, 1.0])
def test_other_channels_than_the_librarys_keep_the_area(scale: float) -> None:
    found = scattering(low_loss(0.6, scale=scale), STEP, 2000)
    assert found.kernels[0].sum() == pytest.approx(1.0, abs=1e-9)
    wanted = np.cumsum(losses(0.6)[:2000])
    np.testing.assert_allclose(np.cumsum(found.kernels[0])[40:], wanted[40:], atol=5e-3)


def test_thickness_is_exspys_and_true() -> None:
    true = np.array([0.1, 0.4, 0.9])
    signal = low_loss(*true)
    np.testing.assert_allclose(_low_loss(signal).thickness, true, atol=1e-3)
    threshold = float(signal.mean().estimate_elastic_scattering_threshold().data[0])
    theirs = signal.estimate_thickness(threshold=threshold).data
    np.testing.assert_allclose(_low_loss(signal).thickness, theirs, atol=1e-6)


def test_thickness_of_counts(rng: np.random.Generator) -> None:
    signal = low_loss(*np.full(50, 0.5))
    signal.data = rng.poisson(signal.data).astype(np.float32)
    found = _low_loss(signal).thickness
    assert found.mean() == pytest.approx(0.5, abs=0.005)
    assert len(scattering(signal, STEP, 800).kernels) == 1


def test_thin_and_thick_pixels_give_fingerprints_of_their_own() -> None:
    thickness = np.linspace(0.2, 0.8, 12)
    signal = low_loss(*thickness)
    library = LIBRARY.scattered(signal)
    n_groups = len(library.intensity) // len(LIBRARY.intensity)
    assert n_groups == 4
    np.testing.assert_array_equal(library.labels, np.tile(LIBRARY.labels, n_groups))
    np.testing.assert_array_equal(library.values, np.tile(LIBRARY.values, n_groups))
    np.testing.assert_allclose(library.class_values, LIBRARY.class_values)
    onset = scattering(signal, STEP, 800).kernels[:, 0]
    wanted = np.exp(-thickness).reshape(n_groups, -1).mean(1)
    np.testing.assert_allclose(onset, wanted, atol=1e-3)
    several = LIBRARY.scattered([low_loss(*thickness[::-1][:7]), low_loss(*thickness[:5])])
    np.testing.assert_allclose(several.intensity, library.intensity, atol=1e-12)
    assert len(scattering(low_loss(*np.linspace(0.1, 3.0, 30)), STEP, 800).kernels) == 5


def test_signals_with_other_axes_go_together() -> None:
    mixed = scattering([low_loss(0.5), low_loss(0.5, scale=0.5, end=150.0, offset=2.0)], STEP, 800)
    np.testing.assert_allclose(mixed.mean, scattering(low_loss(0.5), STEP, 800).mean, atol=2e-3)


def test_pixels_without_a_peak_are_left_out() -> None:
    alone = LIBRARY.scattered(low_loss(0.4))
    signal = low_loss(0.4, 0.4, 0.4, 0.4, 0.4)
    signal.data[1] = 0.0
    signal.data[2, 7] = np.nan
    signal.data[3] = signal.data[3, ::-1]
    np.testing.assert_allclose(LIBRARY.scattered(signal).intensity, alone.intensity, atol=1e-12)


def test_a_level_below_the_zero_loss_peak_is_the_detectors() -> None:
    signal = low_loss(0.4)
    signal.data += 30.0
    dark = LIBRARY.scattered(signal)
    np.testing.assert_allclose(
        dark.intensity, LIBRARY.scattered(low_loss(0.4)).intensity, atol=1e-6
    )


def test_the_signal_stays_as_it_is() -> None:
    signal = low_loss(0.4)
    before = signal.data.copy()
    LIBRARY.scattered(signal)
    np.testing.assert_array_equal(signal.data, before)


def test_low_losses_that_cannot_be_are_refused() -> None:
    core_loss = low_loss(0.4, offset=500.0)
    with pytest.raises(ValueError, match=r"low_loss runs from 480 to 749.75 eV; a low loss with 0"):
        LIBRARY.scattered(core_loss)
    with pytest.raises(ValueError, match="low_loss is empty; give at least one"):
        LIBRARY.scattered([])
    with pytest.raises(TypeError, match="signal is a ndarray; an EELSSpectrum"):
        LIBRARY.scattered([np.ones(30)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"channels of 2 eV; 1 eV or less are needed"):
        LIBRARY.scattered(low_loss(0.4, scale=2.0))
    with pytest.raises(ValueError, match=r"low_loss ends 7.5 eV behind its zero-loss peak; at l"):
        LIBRARY.scattered(low_loss(0.4, end=8.0))
    nothing = low_loss(0.4)
    nothing.data[:] = 0.0
    with pytest.raises(ValueError, match="low_loss has no pixel with finite counts above zero"):
        LIBRARY.scattered(nothing)
    nothing.data[:, :70], nothing.data[:, 80] = 30.0, 40.0
    with pytest.raises(ValueError, match="no pixel of low_loss has counts above the level that it"):
        LIBRARY.scattered(nothing)
    hidden = low_loss(0.4)
    hidden.data[:, 40:120] = 0.0
    with pytest.raises(
        ValueError, match=r"low_loss is highest at 2\d\.?\d* eV; its zero-loss peak"
    ):
        LIBRARY.scattered(hidden)
    saturated = low_loss(0.4, 0.4)
    saturated.data[1] = np.minimum(saturated.data[1], 5000.0)
    saturated.data[0] *= 0.1
    with pytest.raises(ValueError, match=r"cut off at 5000 counts in 1 of 2 pixels .* saturated"):
        LIBRARY.scattered(saturated)


def test_what_is_missing_is_said() -> None:
    with pytest.warns(UserWarning, match=r"low_loss ends 24 eV behind its .* with about \d+ % of"):
        LIBRARY.scattered(low_loss(1.0, end=25.0))
    late = LIBRARY.resample(np.arange(700.0, 760.0, STEP))
    with pytest.warns(UserWarning, match="the library begins where its edges are above zero"):
        late.scattered(low_loss(0.5))


def test_a_library_on_an_uneven_axis_is_refused() -> None:
    uneven = LIBRARY.resample(np.geomspace(650.0, 750.0, 100))
    with pytest.raises(ValueError, match="the library's energy axis is not uniform"):
        uneven.scattered(low_loss(0.5))


def test_a_real_line_scan_grows_thicker(data_dir: Path) -> None:
    signal = eb.load(data_dir / "LSMO_linescan_low_loss.hspy")[0]
    thickness = _low_loss(signal).thickness
    assert 0.2 < thickness[:10].mean() < 0.35 and 0.45 < thickness[-10:].mean() < 0.55
    library = LIBRARY.scattered(signal)
    peak = library.intensity[library.labels == 0].max(1)
    assert np.all(peak < 0.85) and peak[:3].mean() > peak[-3:].mean()


def test_a_thick_sample_is_read_by_the_scattered_library(
    series: eb.simulate.Series, spectra: eb.Spectra, rng: np.random.Generator
) -> None:
    share = losses(0.8)[:800]
    thick = []
    for k, signal in enumerate(series.signals):
        mean = eb.simulate.mean_counts(series.truth.isel(image=k), series.model, dose=2.0)
        mean = mean.to_numpy()
        rows = np.pad(mean, ((0, 0), (0, 0), (800, 0)), mode="edge").reshape(-1, 2400)
        rows = np.array([np.convolve(row, share, mode="valid")[1:] for row in rows])
        thick.append(signal._deepcopy_with_new_data(rng.poisson(rows).reshape(mean.shape)))
    read = spectra.preprocessor(thick, show_progressbar=False)
    label = series.truth["label"].to_numpy().ravel()
    use = read.ok & (label >= 0)
    weights = np.bincount(label[use], minlength=LIBRARY.n_classes) / use.sum()
    scores = []
    for library in (LIBRARY, LIBRARY.scattered(low_loss(0.8))):
        model = fit_forward_model(
            read,
            library,
            class_weights=weights,
            effort=eb.Effort.quick(),
            show_progressbar=False,
        )
        found = evidence_of(model)(torch.from_numpy(read.profile), torch.from_numpy(read.level))
        p = found.log_probability.double().exp().numpy() @ model.dominance()
        scores.append(eb.metrics.summary(p[use] / p[use].sum(1, keepdims=True), label[use]))
    plain, scattered = scores
    assert scattered["nll"] < plain["nll"] - 0.1
