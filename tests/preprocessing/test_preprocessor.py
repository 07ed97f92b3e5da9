"""Raw counts to edge spectra: true backgrounds, true sd, the same in training and serving."""

import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from exspy.signals import EELSSpectrum
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.edge_extractor import Processed
from helpers import specimens

ENERGY = 500 + 0.5 * np.arange(540)  # to 769.5 eV
OPTIONS: dict[str, Any] = {
    "window": (677, 737),
    "dispersion": 0.5,
    "background": (650, 680),
    "normalize": (570, 592.5),
}
ALIGN = (567.5, 627.5)
SAME = ("intensity", "sd", "background", "profile", "level", "spike", "norm", "shift", "counts")
IN_WINDOW = (ENERGY >= 677) & (ENERGY < 737)

AXIS = eb.EnergyAxis(500.0, 0.5, 540)


def lines(energy: np.ndarray) -> np.ndarray:
    """The reference edge, relative to the background."""
    return 0.5 * np.exp(-0.5 * ((energy - 577) / 1.6) ** 2) + 0.3 * np.exp(
        -0.5 * ((energy - 585) / 1.8) ** 2
    )


def edge(energy: np.ndarray) -> np.ndarray:
    """The edge being read, relative to the background."""
    return 0.08 * np.exp(-0.5 * ((energy - 700) / 5) ** 2)


def rates(
    n: int, rng: np.random.Generator, *, shift: np.ndarray | float = 0.0, level: float = 1000.0
) -> np.ndarray:
    """Mean counts (n, E): power law with lines and edge, all moved by `shift`."""
    energy = ENERGY - np.reshape(shift, (-1, 1))
    amplitude = level * rng.uniform(0.7, 1.3, (n, 1))
    exponent = rng.normal(2.5, 0.15, (n, 1))
    return amplitude * ((energy / 665) ** -exponent + lines(energy) + edge(energy))


def signal_of(counts: np.ndarray, offset: float = 500.0, scale: float = 0.5) -> EELSSpectrum:
    signal = EELSSpectrum(counts)
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = offset, scale, "eV"
    return signal


def running_sum(counts: np.ndarray, energy: np.ndarray | float) -> np.ndarray:
    """Counts (n, E) below some energies, a channel's spread evenly over it."""
    borders = np.append(ENERGY, ENERGY[-1] + 0.5) - 0.25
    total = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, 1, np.float64)], 1)
    return np.array([np.interp(energy, borders, row) for row in total])


@pytest.fixture(scope="module")
def image() -> EELSSpectrum:
    """A noisy image of 6 x 5 pixels, aligned."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rates(30, rng)).astype(np.float32)
    return signal_of(counts.reshape(6, 5, -1))


def same(one: Any, other: Any, rtol: float = 1e-5) -> None:
    for name in SAME:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=rtol, atol=1e-4, err_msg=name
        )


# The axis and what comes out


def test_the_default_layout() -> None:
    pre = eb.Preprocessor((677, 737), 0.25, (650, 680), (570, 592.5), ALIGN)
    np.testing.assert_allclose(pre.energy, 677 + 0.25 * np.arange(240))
    np.testing.assert_allclose(pre.canonical_energy[-240:], pre.energy)
    assert pre.canonical_energy[0] == 650.0
    assert pre.bin_width == 2.0
    assert pre.profile_energy.shape == (0,)  # the images say how much there is
    counts = torch.poisson(torch.full((3, 1600), 500.0), generator=torch.Generator().manual_seed(0))
    out = pre(counts, eb.EnergyAxis(390.0, 0.25, 1600))
    assert isinstance(out, Processed)
    assert out.intensity.shape == out.sd.shape == (3, 240)
    assert out.counts.shape == (3, 348)
    assert out.profile.shape == (3, 0)
    assert out.level.shape == (3,)
    assert out.spike.tolist() == [0.0] * 3  # nor are spikes sought
    assert out.background.shape == (3, 2)
    assert out.flag.dtype == torch.int64


def test_noise_free_spectra_give_the_true_edge_and_background(image: EELSSpectrum) -> None:
    rng = np.random.default_rng(1)
    exponent = rng.normal(2.5, 0.3, (5, 1))
    amplitude = rng.uniform(200, 900, (5, 1))
    power = amplitude * (ENERGY / 677) ** -exponent
    lam = power + amplitude * lines(ENERGY) + amplitude * edge(ENERGY) * (ENERGY > 681)
    for model in ("power_law", "shrunk"):
        pre = eb.Preprocessor(**OPTIONS, background_model=model)
        out = pre(torch.from_numpy(lam).float(), AXIS)  # not calibrated: exponent free
        inside = (ENERGY > 569.9) & (ENERGY < 592.4)
        np.testing.assert_allclose(out.norm, 0.035 * lam[:, inside].mean(1), rtol=2e-3)
        norm = out.norm.numpy()[:, None]
        true = (lam - power)[:, IN_WINDOW] / norm
        np.testing.assert_allclose(out.intensity, true, atol=2e-3)
        np.testing.assert_allclose(out.background[:, :1], amplitude / norm, rtol=1e-4)
        np.testing.assert_allclose(out.background[:, 1:], exponent, atol=2e-3)


def test_without_background_or_normalisation(image: EELSSpectrum) -> None:
    plain = eb.Preprocessor((677, 737))(image)
    counts = image.data.reshape(30, -1)[:, IN_WINDOW]
    np.testing.assert_array_equal(plain.intensity, counts)
    np.testing.assert_array_equal(plain.norm, 1.0)
    np.testing.assert_array_equal(plain.background, 0.0)
    # without a shift to allow for, the profile is as long as its range of energies allows
    assert plain.profile.shape == (30, 134)
    np.testing.assert_allclose(plain.level, 0.25)  # counts: a mean of four channels
    np.testing.assert_allclose(plain.sd.mean(), np.sqrt(counts.mean()), rtol=0.05)
    assert eb.Preprocessor((677, 737), normalize=(570, 592.5))(image).norm.min() > 10
    in_counts = eb.Preprocessor((677, 737), background=(650, 680))(image)
    np.testing.assert_array_equal(in_counts.norm, 1.0)
    assert np.abs(in_counts.intensity.mean()) < 40


def test_the_dispersion_is_the_first_signals_and_wider_channels_are_sums(
    image: EELSSpectrum,
) -> None:
    pre = eb.Preprocessor((677, 737), background=(650, 680))
    fine = pre(image)
    assert pre.step == 0.5
    wide = eb.Preprocessor((677, 737), 2.0, (650, 680))(image)
    np.testing.assert_allclose(wide.energy, 677 + 2 * np.arange(30))
    sums = fine.counts.sum(1)[0] / wide.counts.sum(1)[0]
    assert sums == pytest.approx(fine.counts.shape[1] * 0.5 / (wide.counts.shape[1] * 2), rel=0.03)


@pytest.mark.filterwarnings("ignore:background")  # some lie over an edge
@settings(max_examples=60)
@given(
    window=st.tuples(st.floats(600, 680), st.floats(20, 60)),
    dispersion=st.floats(0.5, 4.0),
    gap=st.floats(-2, 30),
    width=st.floats(20, 60),
)
def test_any_windows_and_dispersions_work(
    window: tuple[float, float], dispersion: float, gap: float, width: float
) -> None:
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.poisson(rates(4, rng))).float()
    low, high = window[0], window[0] + window[1]
    pre = eb.Preprocessor((low, high), dispersion, (low - gap - width, low - gap))
    out = pre(counts, AXIS)
    assert out.intensity.shape == (4, len(pre.energy)) == (4, round(window[1] / dispersion))
    covered = pre.canonical_energy[0] - dispersion / 2 >= 499.75
    assert bool((out.flag == 0).all()) == covered
    if not covered:
        return
    assert bool(torch.isfinite(out.intensity).all())
    pre.calibrate(signal_of(counts.numpy()))
    out, bins = pre(counts, AXIS), pre.profile_energy
    assert out.profile.shape == (4, len(bins))
    assert bool((out.flag == 0).all())
    ends = bins[[0, -1]] + pre.bin_width * np.array([-0.5, 0.5])
    assert 499.74 < ends[0] <= pre.canonical_energy[0] + 0.5 * pre.bin_width + dispersion
    assert pre.energy[-1] + 0.5 * dispersion - pre.bin_width < ends[1] < 769.76
    # every electron between the ends is in one bin
    total = running_sum(counts.numpy(), ends[1]) - running_sum(counts.numpy(), ends[0])
    binned = out.profile.sum(1).double() * pre.bin_width / dispersion
    np.testing.assert_allclose(binned, total, rtol=1e-5)


# The same in training and serving


@pytest.mark.parametrize("model", ["shrunk", "power_law"])
def test_scripted_is_eager(image: EELSSpectrum, model: str) -> None:
    for options in (
        {**OPTIONS, "align": ALIGN, "background_model": model},
        {"window": (677, 737), "dispersion": 0.5},
        {"window": (677, 737), "dispersion": 1.2, "normalize": (570, 592.5)},
    ):
        pre = eb.Preprocessor(**options).calibrate(image)
        assert len(pre.profile_energy) > 100
        scripted = torch.jit.script(pre)
        counts = torch.from_numpy(image.data.reshape(30, -1).copy())
        counts[3, 300], counts[4] = torch.nan, 0.0
        shift = torch.linspace(-1, 1, 30)
        for moved in (shift, torch.zeros(30)):
            given = (counts, AXIS, moved, 0.7, 2.0)
            for one, other in zip(scripted(*given), pre.forward(*given), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6, equal_nan=True)
        found = pre.estimate_shift(counts, AXIS)
        torch.testing.assert_close(scripted.estimate_shift(counts, AXIS), found)


def test_a_pixel_is_the_same_alone_in_a_batch_and_in_any_order(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS)
    whole = pre(image)
    counts = torch.from_numpy(image.data.reshape(30, -1))
    for k in (0, 17):
        alone = pre(counts[k : k + 1], AXIS)
        same(alone, whole[k : k + 1])
    order = np.random.default_rng(0).permutation(30)
    mixed = pre(signal_of(image.data.reshape(30, -1)[order]))
    same(mixed, whole[order])


def test_order_of_pixels_does_not_matter_to_calibration_and_alignment(image: EELSSpectrum) -> None:
    order = np.random.default_rng(0).permutation(30)
    first = eb.Preprocessor(**OPTIONS, align=ALIGN)
    second = eb.Preprocessor(**OPTIONS, align=ALIGN)
    straight = first(image)
    mixed = second(signal_of(image.data.reshape(30, -1)[order]))
    torch.testing.assert_close(first.extractor.exponent, second.extractor.exponent)
    same(mixed, straight[order], rtol=1e-4)


def test_calibration_is_kept_and_restored(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**{**OPTIONS, "dispersion": None}, align=ALIGN, unit=0.05)
    assert not pre.calibrated
    spectra = pre(image)
    assert pre.calibrated
    prior = pre.extractor.exponent.clone()
    other = signal_of(rates(10, np.random.default_rng(5)) * 2)
    pre(other)
    assert torch.equal(pre.extractor.exponent, prior)
    again = eb.Preprocessor.from_options(pre.options())
    again.load_state_dict(pre.state_dict())
    assert again.calibrated
    assert again.options() == pre.options()
    np.testing.assert_array_equal(again.profile_bins, pre.profile_bins)
    assert len(pre.typical) == 540 and len(eb.Preprocessor(**OPTIONS).typical) == 0
    torch.testing.assert_close(again.typical, pre.typical, rtol=0, atol=0)
    assert float(again.typical_first) == float(pre.typical_first) == pytest.approx(500.0, abs=1e-3)
    np.testing.assert_array_equal(again.profile_energy, spectra.profile_energy)
    assert len(spectra.profile_energy) > 100
    same(again(image), spectra)
    with pytest.raises(ValueError, match=r"options holds .*'window'.* are needed"):
        eb.Preprocessor.from_options({"window": (1, 2)})


def test_the_signal_is_never_changed(image: EELSSpectrum) -> None:
    counts = image.data.copy()
    counts[..., 400] = 0
    signal = signal_of(counts)
    before, metadata = counts.copy(), signal.metadata.as_dictionary()
    eb.Preprocessor(**OPTIONS, align=ALIGN)(signal)
    np.testing.assert_array_equal(signal.data, before)
    assert signal.metadata.as_dictionary() == metadata


def test_lazy_signals_chunked_along_energy_give_the_same(image: EELSSpectrum) -> None:
    lazy = image.as_lazy()
    lazy.data = da.from_array(image.data, chunks=(4, 2, 33))
    pre = eb.Preprocessor(**OPTIONS, align=ALIGN)
    same(pre(lazy), pre(image))


def test_images_of_other_axes_go_together(image: EELSSpectrum) -> None:
    rng = np.random.default_rng(3)
    fine = rng.poisson(rates(4, rng)).repeat(2, axis=-1) / 2
    both = eb.Preprocessor(**OPTIONS)([image, signal_of(fine, 499.875, 0.25)])
    assert both.image.tolist() == [0] * 30 + [1] * 4
    assert both.position[30:].tolist() == [0, 1, 2, 3]
    assert both.images[0].shape == (6, 5)
    maps = both.to_signals()
    assert [one.data.shape for one in maps] == [(6, 5, 120), (4, 120)]
    np.testing.assert_array_equal(maps[0].data.reshape(30, -1), both.intensity[:30])


# The profile: the whole spectrum in wide bins


@pytest.mark.parametrize("shift", [0.0, 1.5, -0.83])
def test_the_profile_is_the_sum_of_the_aligned_counts_over_the_norm(
    image: EELSSpectrum, shift: float
) -> None:
    counts = image.data.reshape(30, -1)
    pre = eb.Preprocessor(**OPTIONS, align=ALIGN).calibrate(image)
    out = pre(torch.from_numpy(counts), AXIS, torch.full((30,), shift))
    bins = pre.profile_energy
    assert (np.diff(bins) == 2.0).all()
    borders = np.append(bins - 1.0, bins[-1] + 1.0)
    assert np.abs(borders - (677 - 0.25)).min() < 1e-9  # one begins where the window does
    summed = np.diff(running_sum(counts, borders + shift))
    if shift == 1.5:  # whole channels: the plain sum
        members = np.abs(ENERGY - shift - bins[60]) < 1.0
        assert members.sum() == 4
        np.testing.assert_allclose(summed[:, 60], counts[:, members].sum(1))
    wanted = 0.25 * summed / out.norm.numpy()[:, None]  # mean of a bin's four channels
    np.testing.assert_allclose(out.profile, wanted, rtol=2e-5)
    # where the edge is, it is background and edge together
    window = np.flatnonzero((bins > 677) & (bins < 737))
    gross = out.counts[:, -120:].reshape(30, 30, 4).mean(2) / out.norm[:, None]
    np.testing.assert_allclose(out.profile[:, window], gross, rtol=1e-3 if shift == -0.83 else 1e-5)


@pytest.mark.filterwarnings("ignore:background")  # one spectrum is flat
def test_profiles_are_as_wide_as_all_images_allow(image: EELSSpectrum) -> None:
    def span(signals: Any, **options: Any) -> list[float]:
        pre = eb.Preprocessor(**{**OPTIONS, **options})
        spectra = pre(signals)
        np.testing.assert_array_equal(spectra.profile_energy, pre.profile_energy)
        assert spectra.profile.shape == (len(spectra), len(pre.profile_energy))
        return (pre.profile_energy[[0, -1]] + [-1.0, 1.0]).tolist()

    # bins of 2 eV are counted from the window's start, here 676.75 eV
    assert span(image) == [500.75, 768.75]
    later = signal_of(image.data[..., 40:-30], offset=520.0)  # 519.75 to 754.75 eV
    assert span([image, later]) == [520.75, 754.75]
    assert span([later, image]) == [520.75, 754.75]
    # neither image covers what both together do not
    early = signal_of(image.data[..., :-50])  # to 744.75 eV
    assert span([later, early]) == [520.75, 744.75]
    # later images may drift 3 eV further where images are aligned at all
    assert span(image, align=ALIGN) == [502.75, 766.75]
    # but what the window and the background need is never given up for that
    options = {"window": (677, 769), "background": (650, 680), "align": ALIGN}
    assert span(image, **options) == [502.75, 768.75]
    # half the window's start to one and a half times its end, and no farther
    wide = signal_of(np.random.default_rng(0).poisson(500.0, (3, 700)), offset=4.0)
    options = {"window": (100, 140), "background": (70, 98), "normalize": None}
    assert span(wide, **options) == [51.75, 209.75]


@pytest.mark.parametrize("by", ["image", "pixel"])
def test_drift_shortens_the_profile(by: str, rng: np.random.Generator) -> None:
    signals, _ = drifted(by, rng)
    pre = eb.Preprocessor(**OPTIONS, align=ALIGN, align_by=by)
    spectra = pre(signals)
    assert spectra.ok.all()
    low, high = pre.profile_energy[[0, -1]] + [-1.0, 1.0]
    # what all pixels still have once moved, 3 eV further, to whole bins
    first, last = 499.75 - spectra.shift.min() + 3.0, 769.75 - spectra.shift.max() - 3.0
    assert first <= low < first + 2.0
    assert last - 2.0 < high <= last
    assert np.ptp(spectra.shift) > 8.5


def test_a_dead_stretch_cuts_the_profile(image: EELSSpectrum) -> None:
    counts = image.data.copy()
    counts[..., (ENERGY > 610) & (ENERGY < 620)] = 0
    counts[..., (ENERGY > 750) & (ENERGY < 760)] = 0
    pre = eb.Preprocessor(**OPTIONS)
    spectra = pre([image, signal_of(counts)])
    assert spectra.ok.all()
    assert (pre.profile_energy[[0, -1]] + [-1.0, 1.0]).tolist() == [620.75, 748.75]
    # the lines lie beyond the dead stretch, and normalise still
    whole = eb.Preprocessor(**OPTIONS)(image)
    np.testing.assert_array_equal(spectra.norm[:30], whole.norm)
    # a few channels are filled, and cost nothing
    counts = image.data.copy()
    counts[..., (ENERGY > 610) & (ENERGY < 613)] = 0
    filled = eb.Preprocessor(**OPTIONS)(signal_of(counts))
    np.testing.assert_array_equal(filled.profile_energy, whole.profile_energy)
    ratio = filled.profile / whole.profile
    assert ratio.min() > 0.8 and ratio.max() < 1.2


def test_a_later_image_must_cover_what_was_calibrated_on(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS)
    pre(image)
    later = signal_of(image.data[..., 40:-30], offset=520.0)
    with pytest.raises(
        ValueError,
        match=r"image 1 covers 519.75 to 754.75 eV; the range calibrated on needs 500.75 to 768.75",
    ):
        pre([image, later])
    dead = image.data.copy()
    dead[..., (ENERGY > 610) & (ENERGY < 620)] = 0
    with pytest.raises(ValueError, match=r"image 0 .* dead .* and the range calibrated on needs"):
        pre(signal_of(dead))
    # starting over asks for no more than the windows do
    pre.calibrate(later)
    assert pre(later).profile_energy[0] == 521.75
    same(pre(later), eb.Preprocessor(**OPTIONS)(later))


def test_a_pixel_that_drifts_beyond_the_calibrated_range_is_off_axis(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS, align=ALIGN).calibrate(image)
    low, high = pre.profile_energy[[0, -1]] + [-1.0, 1.0]
    room = np.array([499.75 - low, 769.75 - high])
    assert (np.abs(room) >= 3.0).all()  # the margin
    shift = torch.tensor([0.0, room[0] + 0.01, room[0] - 0.01, room[1] - 0.01, room[1] + 0.01])
    counts = torch.from_numpy(image.data.reshape(30, -1)[:5])
    out = pre(counts, AXIS, shift)
    off = int(eb.Flag.OFF_AXIS)
    assert out.flag.tolist() == [0, 0, off, 0, off]
    bad = out.flag > 0
    assert bool(torch.isnan(out.profile[bad]).all() and torch.isnan(out.level[bad]).all())
    assert bool(torch.isfinite(out.profile[~bad]).all())
    # without the profile there is room enough for the windows
    bare = eb.Preprocessor(**OPTIONS, align=ALIGN)
    assert bare(counts, AXIS, shift).flag.tolist() == [0] * 5


@pytest.mark.filterwarnings("ignore:background.*exponent")  # which is 0
@pytest.mark.parametrize(("gain", "readout"), [(1.0, 0.0), (0.3, 0.0), (2.5, 0.0), (0.5, 40.0)])
def test_level_is_the_noise_variance_of_an_intensity_of_one(gain: float, readout: float) -> None:
    # flat, so that readout noise is the same share of all bins; bins are whole channels
    rate = torch.full((540,), 60.0)
    generator = torch.Generator().manual_seed(0)
    counts = noise.draw_counts(rate.expand(4000, -1), gain, generator)
    counts += readout**0.5 * torch.randn(counts.shape, generator=generator)
    options = {**OPTIONS, "window": (677, 717), "dispersion": 1.0, "noise": (gain, readout)}
    pre = eb.Preprocessor(**options)
    pre.calibrate(signal_of(counts[:50].numpy(), 500.25))
    out = pre(counts, eb.EnergyAxis(500.25, 0.5, 540), gain=gain, readout=readout)
    assert bool((out.flag == 0).all())
    # the norm has its own, smaller noise, which is not the bins'
    norm = out.norm.double()
    profile = out.profile.double() * (norm / norm.mean())[:, None]
    found = float((profile.var(0) / profile.mean(0)).mean())
    wanted = float((out.level.double() * norm / norm.mean()).mean())
    assert found == pytest.approx(wanted, rel=0.01)
    # by hand: a bin is the mean of two channels
    fano = gain + readout / 60.0
    assert wanted == pytest.approx(fano / float(norm.mean()) / 2, rel=0.01)


def test_a_window_too_short_for_a_bin_has_no_profile(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor((677, 678))
    short = signal_of(image.data[..., 354:356], offset=677.0)
    for _calibrated in (False, True):
        assert pre(short).profile.shape == (30, 0)


# Spikes


def simulated(**process: Any) -> tuple[eb.Spectra, Any]:
    """Spectra of a small simulated series, and the truth."""
    series = eb.simulate.annealing_series(
        n_images=4, shape=(10, 8), process=eb.simulate.Process(**process)
    )
    pre = eb.Preprocessor((677, 737), 0.5, (600, 675), (570, 592.5), align=(565, 600))
    return pre(series.signals), series.truth


def test_brightness_drift_and_thickness_of_a_series_make_no_false_spike() -> None:
    spectra, _ = simulated()
    assert np.ptp(spectra.shift) > 1.0 and spectra.norm.max() > 1.5 * spectra.norm.min()
    assert np.quantile(spectra.spike, 0.99) < 6.0
    assert spectra.spike.min() > 2.0  # the largest of many normals


def test_simulated_spikes_are_found() -> None:
    spectra, truth = simulated(spikes=0.2)
    hit = truth.spike.to_numpy().ravel()
    assert 30 < hit.sum() < 100
    assert (spectra.spike[hit] > 6.0).mean() > 0.95
    assert (spectra.spike[~hit] < 6.0).mean() > 0.98  # nor do they spoil what is typical


def test_images_of_other_brightness_and_range_make_no_step_in_what_is_typical(
    rng: np.random.Generator,
) -> None:
    # where the bright image ends, the mean of both must not fall
    lam = rates(40, rng, level=3000.0)
    bright, dim = rng.poisson(20 * lam[:20]), rng.poisson(lam[20:])
    bright, dim = bright.astype(np.float32), dim.astype(np.float32)
    cut = signal_of(bright[:, 40:-30], offset=520.0)
    spectra = eb.Preprocessor(**OPTIONS)([cut, signal_of(dim)])
    assert spectra.spike.max() < 6.0


def test_a_dead_stretch_is_no_spike(image: EELSSpectrum) -> None:
    counts = image.data.copy()
    counts[..., (ENERGY > 610) & (ENERGY < 620)] = 0
    assert eb.Preprocessor(**OPTIONS)(signal_of(counts)).spike.max() < 6.0


# Background and sd


def test_the_plain_power_law_is_hyperspys(oxide_interface: Path) -> None:
    signal = eb.load(oxide_interface)[0]
    energy = signal.axes_manager[-1].axis
    for background, window in (((480.0, 525.0), (525, 580)), ((585.0, 630.0), (630, 690))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # HyperSpy misses an optional accelerator
            theirs = signal.remove_background(
                background, "Power law", fast=False, show_progressbar=False
            )
        theirs = theirs.data[:, (energy >= window[0]) & (energy < window[1])]
        options = {"background_model": "power_law", "noise": "measured"}
        pre = eb.Preprocessor(window, background=background, **options)
        worst = np.abs(pre(signal).intensity - theirs).max(1) / theirs.std(1)
        assert worst.max() < 0.001


def test_shrinking_improves_the_far_end() -> None:
    rng = np.random.default_rng(0)
    lam = rates(1500, rng)
    signal = signal_of(rng.poisson(lam).astype(np.float32))
    assert edge(ENERGY)[IN_WINDOW][-10:].max() < 1e-5  # what is left there is error
    error = {}
    for model in ("power_law", "shrunk"):
        pre = eb.Preprocessor(**OPTIONS, background_model=model)
        left = pre(signal).intensity[:, -10:].mean(1, dtype=np.float64)
        error[model] = float(np.sqrt((left**2).mean()))
    assert error["shrunk"] < 0.6 * error["power_law"]
    assert float(pre.extractor.exponent[0]) == pytest.approx(2.5, abs=0.03)
    assert float(pre.extractor.exponent[1]) == pytest.approx(0.15, rel=0.25)


@pytest.mark.parametrize("gain", [0.3, 1.0])
def test_sd_of_the_power_law_is_the_spread_over_redraws(gain: float) -> None:
    lam = torch.from_numpy(rates(4, np.random.default_rng(2), level=300.0)).float()
    pre = eb.Preprocessor(**OPTIONS, background_model="power_law")
    generator = torch.Generator().manual_seed(0)
    predicted, spread = [], []
    for pixel in lam:
        draws = noise.draw_counts(pixel.expand(1500, -1), gain, generator)
        out = pre(draws, AXIS, gain=gain)
        assert bool((out.flag == 0).all())
        predicted.append(out.sd.square().mean(0))
        spread.append(out.intensity.double().var(0))
    ratio = torch.sqrt(torch.stack(predicted).mean(0) / torch.stack(spread).mean(0))
    assert float(ratio.min()) > 0.92
    assert float(ratio.max()) < 1.08
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("shift", [0.0, 0.27])
def test_sd_when_shrunk_is_the_spread_over_the_prior_and_redraws(shift: float) -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(rates(6000, rng, level=300.0)).astype(np.float32)
    pre = eb.Preprocessor(**OPTIONS).calibrate(signal_of(counts))
    # moving the axis by a fraction of a channel mixes channels, whose noise is then smaller
    axis = eb.EnergyAxis(500.0 + shift, 0.5, counts.shape[1])
    out = pre(torch.from_numpy(counts), axis, torch.full((6000,), shift + shift))
    moved = pre.energy + shift
    level = (out.norm / 0.035).numpy()[:, None]
    amplitude = level / np.mean((577.0 / 665) ** -2.5 + lines(np.linspace(570, 592.5, 400)))
    error = out.intensity.numpy() - edge(moved) * amplitude / out.norm.numpy()[:, None]
    far = slice(60, None)  # the edge, known here only by its mean level, has ended
    ratio = np.sqrt((out.sd.numpy() ** 2).mean(0) / (error.astype(np.float64) ** 2).mean(0))
    assert ratio[far].min() > 0.92
    assert ratio[far].max() < 1.08


def test_sd_is_right_inside_the_fit_window_too() -> None:
    rng = np.random.default_rng(6)
    lam = 400 * (ENERGY / 665) ** -rng.normal(2.5, 0.15, (6000, 1))
    counts = rng.poisson(lam).astype(np.float32)
    pre = eb.Preprocessor((652, 700), background=(650, 660)).calibrate(signal_of(counts))
    # so short a window cannot tell the prior: the law is about its use
    pre.extractor.exponent = torch.tensor([2.5, 0.15])
    spectra = pre(signal_of(counts))
    ratio = np.sqrt((spectra.sd**2).mean(0) / (spectra.intensity.astype(np.float64) ** 2).mean(0))
    assert ratio.min() > 0.94
    assert ratio.max() < 1.06


def test_readout_noise_enters_the_sd() -> None:
    rng = np.random.default_rng(7)
    lam = rates(1, rng, level=50.0)
    counts = torch.from_numpy(rng.poisson(lam, (3000, 540)) + rng.normal(0, 8, (3000, 540))).float()
    pre = eb.Preprocessor(**OPTIONS, background_model="power_law")
    out = pre(counts, AXIS, readout=64.0)
    ratio = torch.sqrt(out.sd.square().mean(0) / out.intensity.double().var(0))
    assert float(ratio.min()) > 0.92
    assert float(ratio.max()) < 1.08


@pytest.mark.parametrize("model", ["shrunk", "power_law"])
def test_sd_is_right_for_steep_backgrounds_over_wide_windows(model: str) -> None:
    energy = 200 + 2.0 * np.arange(200)
    lam = 3000 * (energy / 210) ** -5.0
    counts = np.random.default_rng(8).poisson(lam, (4000, 200)).astype(np.float32)
    pre = eb.Preprocessor((380, 590), 2.0, (210, 378), background_model=model)
    axis = eb.EnergyAxis(200.0, 2.0, counts.shape[1])
    out = pre(torch.from_numpy(counts), axis)  # not calibrated: exponent free
    ratio = torch.sqrt(out.sd.square().mean(0) / out.intensity.double().var(0))
    assert float(ratio.min()) > 0.92
    assert float(ratio.max()) < 1.08


def test_sd_never_falls_below_the_backgrounds_own_noise() -> None:
    counts = torch.poisson(torch.full((50, 540), 0.2), generator=torch.Generator().manual_seed(0))
    pre = eb.Preprocessor((677, 737), 0.5, (600, 680))
    out = pre(counts, AXIS)
    ok = out.flag == 0
    assert int(ok.sum()) > 40
    background = out.counts[ok, -120:] - out.intensity[ok]
    assert bool((out.sd[ok][:, 10:].square() >= 0.999 * background[:, 10:]).all())
    bare = eb.Preprocessor((677, 737), 0.5)(counts, AXIS)
    assert float(bare.sd.min()) > 0.2


# Alignment


def drifted(by: str, rng: np.random.Generator) -> tuple[list[EELSSpectrum], np.ndarray]:
    """Five images of 4 x 3 pixels whose drift differs by image, row or pixel, and the drift."""
    own = np.array([-2.3, 0.4, 0.0, 1.15, 6.7])[:, None, None]
    spread = {"image": 0.0, "row": 0.6, "pixel": 0.6}[by]
    shape = {"image": (5, 1, 1), "row": (5, 4, 1), "pixel": (5, 4, 3)}[by]
    true = np.broadcast_to(own + spread * rng.normal(size=shape), (5, 4, 3)).reshape(60)
    lam = rates(60, rng, shift=true, level=2e5)
    counts = rng.poisson(lam).astype(np.float32).reshape(5, 4, 3, -1)
    return [signal_of(one) for one in counts], true


@pytest.mark.parametrize("by", ["image", "row", "pixel"])
def test_shifts_are_recovered(by: str, rng: np.random.Generator) -> None:
    signals, true = drifted(by, rng)
    spectra = eb.Preprocessor(**OPTIONS, align=ALIGN, align_by=by)(signals)
    error = spectra.shift - true
    assert np.ptp(error) < 0.03 * 0.5 * (1 if by == "image" else 2)
    if by == "image":
        assert abs(error.mean() + np.median(true)) < 0.02  # the median drift stays


@pytest.mark.parametrize("by", ["image", "row", "pixel"])
def test_align_to_makes_shifts_absolute(by: str, rng: np.random.Generator) -> None:
    signals, true = drifted(by, rng)
    pre = eb.Preprocessor(**OPTIONS, align=ALIGN, align_by=by, align_to=577.0)
    spectra = pre(signals)
    np.testing.assert_allclose(spectra.shift, true, atol=0.06)
    streamed = torch.from_numpy(signals[4].data.reshape(12, -1))
    np.testing.assert_allclose(pre.estimate_shift(streamed, AXIS), true[48:], atol=0.06)


def test_an_image_without_the_reference_edge_is_left_alone_with_a_warning(
    image: EELSSpectrum,
) -> None:
    rng = np.random.default_rng(0)
    blank = signal_of(rng.poisson(300 * (ENERGY / 665) ** -2.5, (2, 540)).astype(np.float32))
    pre = eb.Preprocessor(**OPTIONS, align=ALIGN).calibrate(image)
    with pytest.warns(UserWarning, match=r"image 1 shows nothing there that resembles"):
        spectra = pre([image, blank])
    np.testing.assert_array_equal(spectra.shift[30:], 0.0)


def test_without_align_nothing_moves(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS)
    np.testing.assert_array_equal(pre(image).shift, 0.0)
    counts = torch.from_numpy(image.data.reshape(30, -1))
    np.testing.assert_array_equal(pre.estimate_shift(counts, AXIS), 0.0)


# Bad input


def test_bad_pixels_are_flagged_and_leave_the_rest_alone(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS, align=ALIGN)
    clean = pre(image)
    counts = image.data.reshape(30, -1).copy()
    counts[1, 400], counts[2, 150], counts[3, 420] = np.nan, np.inf, -np.inf
    counts[4], counts[5] = 0.0, 37.0
    counts[6, (ENERGY > 645) & (ENERGY < 685)] = 0.0
    counts[7, (ENERGY > 565) & (ENERGY < 600)] = -3.0
    counts[8, 3] = np.nan  # in the margin for drift: nothing needs it
    counts[9, 20] = np.nan  # the profile alone needs it
    spectra = pre(signal_of(counts.reshape(6, 5, -1)))
    flag = eb.Flag
    wanted = np.zeros(30, np.int64)
    wanted[[1, 2, 3, 9]] = flag.NON_FINITE
    wanted[4], wanted[5] = flag.DEAD | flag.NO_REFERENCE, flag.DEAD
    wanted[6], wanted[7] = flag.NO_BACKGROUND, flag.NO_REFERENCE
    np.testing.assert_array_equal(spectra.flag, wanted)
    bad = wanted > 0
    for name in ("intensity", "sd", "background", "profile", "level", "spike"):
        assert np.isnan(getattr(spectra, name)[bad]).all()
        assert np.isfinite(getattr(spectra, name)[~bad]).all()
    shifted = np.abs(spectra.shift - clean.shift).max()
    assert shifted < 0.1
    unmoved = pre.forward(torch.from_numpy(counts), AXIS, torch.from_numpy(clean.shift), 1.0, 0.0)
    np.testing.assert_array_equal(unmoved.intensity[~bad], clean.intensity[~bad])
    np.testing.assert_array_equal(unmoved.sd[~bad], clean.sd[~bad])
    np.testing.assert_array_equal(unmoved.profile[~bad], clean.profile[~bad])
    # the margin's own counts are beside the point; the others' spikes are as before
    np.testing.assert_allclose(unmoved.spike[~bad], clean.spike[~bad], rtol=1e-4)


def test_a_window_that_alignment_moves_off_the_axis_is_flagged() -> None:
    counts = torch.from_numpy(rates(3, np.random.default_rng(0))).float()
    pre = eb.Preprocessor(**{**OPTIONS, "window": (677, 769)})
    shift = torch.tensor([0.0, 3.0, torch.nan])
    out = pre(counts, AXIS, shift)
    assert out.flag.tolist() == [0, int(eb.Flag.OFF_AXIS), int(eb.Flag.NON_FINITE)]


def test_no_usable_pixel_is_an_error_that_says_why() -> None:
    for counts, why in (
        (np.full((2, 540), np.nan), "NaN, infinite, saturated or wrapped counts"),
        (np.zeros((2, 540)), "the same counts in every channel"),
        (-rates(2, np.random.default_rng(0)), "no counts above the noise in the background"),
    ):
        with pytest.raises(ValueError, match=f"none of 2 pixels is usable: .*{why}"):
            eb.Preprocessor(**OPTIONS)(signal_of(counts))


def test_dark_noise_is_no_background_and_no_reference_even_where_its_mean_is_positive() -> None:
    dark = np.random.default_rng(0).normal(0.0, 50.0, (200, 540)).astype(np.float32)
    counts = torch.from_numpy(dark)
    background = eb.Preprocessor((677, 737), 0.5, (600, 680))(counts, AXIS)
    reference = eb.Preprocessor((677, 737), 0.5, normalize=(570, 592.5))(counts, AXIS)
    assert int((background.flag == eb.Flag.NO_BACKGROUND).sum()) > 195
    assert int((reference.flag == eb.Flag.NO_REFERENCE).sum()) > 195


@pytest.mark.parametrize(
    "options",
    [
        {"window": (677, 737), "background": (650, 680), "normalize": (570, 592.5)},
        {"window": (532, 600), "background": (480, 530)},  # its mean there is just above zero
        {"window": (280, 340), "background": (230, 280), "background_model": "power_law"},
        {"window": (677, 737), "normalize": (500, 530)},
    ],
)
def test_a_file_of_dark_noise_is_refused(dark_noise: Path, options: dict[str, Any]) -> None:
    signal = eb.load(dark_noise)[0]
    with pytest.raises(ValueError, match="none of 1 pixels is usable: no counts above the noise"):
        eb.Preprocessor(**options)(signal)


def test_axes_that_miss_a_window_are_refused(image: EELSSpectrum) -> None:
    for options, what in (
        ({"window": (677, 790)}, r"window \(677.0, 790.0\) needs 676.75 to 789.75 eV"),
        ({"window": (677, 737), "background": (480, 600)}, r"background .* needs 479.75"),
        ({"window": (677, 737), "normalize": (490, 592)}, r"normalize .* needs 490 to 592 eV"),
        ({"window": (677, 737), "align": (750, 780)}, r"align .* needs 750 to 780 eV"),
    ):
        with pytest.raises(ValueError, match="image 0 covers 499.75 to 769.75 eV; " + what):
            eb.Preprocessor(**options)(image)


def test_finer_channels_than_the_data_have_are_refused(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor((677, 737), 0.25)
    with pytest.raises(ValueError, match=r"dispersion is 0.25 eV, finer than the 0.5 eV of image"):
        pre(image)
    with pytest.raises(ValueError, match=r"dispersion is 0.25 eV, finer than the data's 0.5 eV"):
        pre(torch.ones(2, 540), AXIS)
    with pytest.raises(ValueError, match="the dispersion is not known yet"):
        eb.Preprocessor((677, 737))(torch.ones(2, 540), AXIS)


def test_nothing_is_learned_from_signals_that_are_refused(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS)
    with pytest.raises(ValueError, match="none of 2 pixels is usable"):
        pre(signal_of(np.zeros((2, 540))))
    assert not pre.calibrated
    assert len(pre.profile_energy) == 0
    same(pre(image), eb.Preprocessor(**OPTIONS)(image))


def test_the_progress_bar_is_shown_when_asked_for(
    image: EELSSpectrum, capsys: pytest.CaptureFixture[str]
) -> None:
    pre = eb.Preprocessor(**OPTIONS)
    pre(image, show_progressbar=False)
    pre(image)  # quick
    assert capsys.readouterr().err == ""
    pre(image, show_progressbar=True)
    assert "preprocess: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (737, 677)}, r"window is \(737, 677\)"),
        ({"window": (677, 678), "dispersion": 1}, "holds 1 channels of 1 eV; at least 2"),
        ({"window": (677, 737), "dispersion": -1}, "dispersion is -1"),
        ({"window": (677, 737), "background": (677, 740)}, "it must end before the window does"),
        (
            {"window": (677, 737), "background": (650, 651), "dispersion": 1},
            r"background \(650.0, 651.0\) holds 2 channels of 1 eV; at least 4",
        ),
        ({"window": (50, 90), "background": (-20, 40), "dispersion": 1}, "energies above zero"),
        ({"window": (677, 737), "align": (570, 571), "dispersion": 0.5}, "align .* at least 5"),
        ({"window": (677, 737), "align_to": 577}, "align_to is 577 eV and align is None"),
        ({"window": (677, 737), "align": (560, 570), "align_to": 577}, "window that contains it"),
        ({"window": (677, 737), "align_by": "line"}, "align_by is 'line'"),
        ({"window": (677, 737), "background_model": "poly"}, "background_model is 'poly'"),
        ({"window": (677, 737), "unit": 0}, "unit is 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        eb.Preprocessor(**options)


def test_what_is_no_signal_is_refused(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS)
    with pytest.raises(TypeError, match="signals is an array; give EELSSpectrum"):
        pre(image.data)
    with pytest.raises(ValueError, match="signals is empty"):
        pre([])
    with pytest.raises(TypeError, match="signal is a str"):
        pre(["file.dm4"])
    with pytest.raises(TypeError, match="need their axis"):
        pre(torch.ones(2, 540))
    with pytest.raises(ValueError, match=r"counts have shape \(540,\); \(n, E\) is needed"):
        pre(torch.ones(540), AXIS)
    with pytest.raises(ValueError, match="counts have 500 channels, and their axis 540"):
        pre(torch.ones(2, 500), AXIS)


def test_counts_of_any_number_type_are_the_same(image: EELSSpectrum) -> None:
    pre = eb.Preprocessor(**OPTIONS)
    counts = torch.from_numpy(image.data.reshape(30, -1))
    for _calibrated in (False, True):
        wanted = pre(counts, AXIS)
        for kind in (torch.int16, torch.int64, torch.float64):
            same(pre(counts.to(kind), AXIS), wanted, rtol=1e-4)
        pre.calibrate(image)


def test_dead_channels_are_filled_with_a_larger_sd(image: EELSSpectrum) -> None:
    clean = eb.Preprocessor(**OPTIONS)(image)
    counts = image.data.copy()
    k = int(np.flatnonzero(IN_WINDOW)[70])
    counts[..., k] = 0
    pre = eb.Preprocessor(**OPTIONS)
    spectra = pre(signal_of(counts))
    assert spectra.ok.all()
    middle = (spectra.counts[:, -51] + spectra.counts[:, -49]) / 2
    np.testing.assert_allclose(spectra.counts[:, -50], middle, rtol=1e-6)
    np.testing.assert_allclose(spectra.sd[:, 70] / clean.sd[:, 70], 2.0, rtol=0.05)
    np.testing.assert_allclose(spectra.sd[:, 60], clean.sd[:, 60], rtol=0.05)
    counts[..., k : k + 12] = 0
    with pytest.raises(ValueError, match=r"12 channels of image 0 between 712 and 717.5 eV are"):
        pre(signal_of(counts))
    counts = image.data.copy()
    counts[..., :20] = 0  # a blank margin that no window needs
    blank = eb.Preprocessor(**OPTIONS)(signal_of(counts))
    assert blank.profile_energy[0] - 1 >= 509.75 > blank.profile_energy[0] - 3
    np.testing.assert_allclose(blank.intensity, clean.intensity, rtol=1e-5, atol=1e-4)
    cut = clean.profile_energy >= blank.profile_energy[0]
    np.testing.assert_allclose(blank.profile, clean.profile[:, cut], rtol=1e-5)


# Files, real and written


def test_a_real_dm4_with_negative_counts(data_dir: Path) -> None:
    signal = eb.load(data_dir / "eels_si.dm4")[0]
    options = {"background": (600, 690), "noise": "metadata"}
    spectra = eb.Preprocessor((700, 760), **options)(signal)
    assert spectra.ok.all()
    # the file's Brightness.Scale is 0.1285 electrons a count
    np.testing.assert_allclose(spectra.gain, 1 / 0.1285347, rtol=1e-6)
    far = eb.Preprocessor((2200, 2300), background=(2100, 2200), noise="metadata")(signal)
    assert far.counts.min() < 0
    assert far.ok.all()
    assert np.isfinite(far.intensity).all()
    assert (far.sd > 0).all()


def test_negative_counts_of_a_file_stay(tmp_path: Path, rng: np.random.Generator) -> None:
    specimens.four_pixels(tmp_path / "dark.dm4", rng)
    signal = eb.load(tmp_path / "dark.dm4")[0]
    near = eb.Preprocessor((700, 760), background=(600, 690), noise=(1.0, 100.0))(signal)
    far = eb.Preprocessor((2200, 2300), background=(2100, 2200), noise=(1.0, 100.0))(signal)
    assert near.ok.all() and far.ok.all()
    assert near.counts.min() > 0 > far.counts.min()
    at = signal.axes_manager[-1].value_range_to_indices(2200.0, 2299.0)
    np.testing.assert_array_equal(far.counts.min(), signal.data[..., at[0] : at[1] + 1].min())
    assert np.isfinite(far.intensity).all()
    assert (far.sd > 0).all()


def test_copper_edges_are_as_strong_as_hyperspy_finds_them(copper_zinc: Path) -> None:
    copper = eb.load(copper_zinc)[0].inav[20:30, 20:28]
    spectra = eb.Preprocessor((924, 1004), background=(780, 916), noise="metadata")(copper)
    assert spectra.ok.all()
    assert spectra.images[0].shape == (8, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HyperSpy misses an optional accelerator
        theirs = copper.remove_background(
            (780.0, 916.0), "Power law", fast=False, show_progressbar=False
        )
    strength = theirs.data[..., 28:38].mean(-1).ravel()
    assert np.corrcoef(spectra.intensity.mean(1), strength)[0, 1] > 0.95


def test_lanthanum_is_on_one_side_of_an_interface(oxide_interface: Path) -> None:
    lanthanum = eb.load(oxide_interface)[0]
    found = eb.Preprocessor((825, 890), background=(760, 820), noise="measured")(lanthanum)
    rise = found.intensity.mean(1)
    assert rise.max() > 3 * abs(rise.min())
