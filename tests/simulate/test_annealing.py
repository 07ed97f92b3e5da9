import dataclasses
from typing import Any

import numpy as np
import pytest
import xarray as xr

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.simulate import (
    Process,
    Series,
    SpectrumModel,
    annealing_series,
    draw_truth,
    mean_counts,
)

pytest.importorskip("exspy")


@pytest.fixture(scope="module")
def series() -> Series:
    """The default series of 24 images of 30 x 19 pixels."""
    return annealing_series(seed=0)


def small(
    seed: int = 1, dose: float = 1.0, n_images: int = 2, persistent: float = 0.0, **change: Any
) -> Series:
    process = Process(**change)
    return annealing_series(n_images, (12, 9), dose, seed, process=process, persistent=persistent)


def counts_of(series: Series) -> np.ndarray:
    return np.stack([signal.data for signal in series.signals])


def nominal(model: SpectrumModel, series: Series, **change: object) -> xr.Dataset:
    """One pixel whose nuisances all have their mean and whose classes are mixed evenly."""
    process, one = model.process, series.truth.isel(image=0, y=0, x=0)
    values: dict = {
        "thickness": 1.0,
        "background": series.truth["background"].mean().item(),
        "exponent": process.exponent,
        "edges": ("edge", np.ones(3)),
        "intensity": 1.0,
        "residual": process.residual_mean,
        "misfit": ("mode", np.zeros(one.sizes["mode"])),
        "drift": 0.0,
        "unknown": False,
        "fractions": ("class", np.full(one.sizes["class"], 0.25)),
    }
    return one.assign({**values, **change})


@pytest.mark.parametrize(
    ("energy", "level"),
    [
        *((390, 2.1), (450, 1.5), (456, 2.1), (462, 2.1), (500, 1.35), (527, 1.25), (533, 1.45)),
        *((568, 1.15), (577, 1.9), (585, 1.65), (592, 1.3), (650, 1.13), (789, 0.8)),
    ],
)
def test_levels_are_those_of_the_experiment(series: Series, energy: float, level: float) -> None:
    # Read off a published series, in units of the total at 685 eV; images differ by 7 % there
    mean = mean_counts(nominal(series.model, series), series.model)
    relative = mean.interp(energy=energy) / mean.interp(energy=685)
    assert relative.item() == pytest.approx(level, rel=0.07)


def test_total_and_edge_heights_are_the_process_s(series: Series) -> None:
    mean = mean_counts(nominal(series.model, series), series.model)
    assert mean.interp(energy=685).item() == pytest.approx(550, rel=0.03)
    shapes = series.model.shapes()
    np.testing.assert_allclose(shapes.fingerprints.max(axis=1), [29, 29 * 0.64, 8.7, 0], atol=0.05)
    assert shapes.residual.max() == pytest.approx(29, abs=0.05)
    energy = series.model.energy
    ti, o, cr = shapes.edges
    assert energy[ti.argmax()] == pytest.approx(462, abs=0.5)
    assert energy[cr.argmax()] == pytest.approx(577, abs=0.5)
    assert energy[o.argmax()] == pytest.approx(533, abs=1)
    # White lines of 2 to 3 eV, and nothing before the onsets. The L1 jump of the hydrogenic L shell
    # is taken out: after the lines the continuum only falls.
    line = cr - np.interp(energy, [574, 581], np.interp([574, 581], energy, cr))
    width = np.sum(line[(energy > 574) & (energy < 581)] > line.max() / 2) * 0.25
    assert 2 <= width <= 3
    for edge, onset, after in ((ti, 456, 530), (o, 532, 600), (cr, 577, 620)):
        assert edge[energy < onset - 20].max() < 0.01 * edge.max()
        assert np.diff(edge[energy > after]).max() < 0


def test_counts_span_the_range_of_the_experiment(series: Series) -> None:
    means = np.stack([signal.data.mean(axis=(0, 1)) for signal in series.signals])
    for channel, low, high in ((0, 600, 1900), (-1, 220, 700)):
        assert low < means[:, channel].min() < 1.6 * low
        assert high / 1.6 < means[:, channel].max() < high


def test_signals_are_spectrum_images(series: Series) -> None:
    assert len(series.signals) == 24
    signal = series.signals[10]
    assert type(signal).__name__ == "EELSSpectrum"
    assert signal.data.shape == (30, 19, 1600) and signal.data.dtype == np.float32
    axes = [(a.name, a.units, a.scale) for a in signal.axes_manager.navigation_axes]
    assert axes == [("x", "nm", 4.0), ("y", "nm", 4.0)]
    (energy,) = signal.axes_manager.signal_axes
    assert (energy.offset, energy.scale, energy.size, energy.units) == (390.0, 0.25, 1600, "eV")
    np.testing.assert_array_equal(energy.axis, series.truth["energy"])
    assert signal.metadata.General.title == "400 °C, area 2"
    assert (series.truth.temperature[10], series.truth.area[10]) == (400, 2)
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 200
    noise = signal.metadata.Signal.Noise_properties.Variance_linear_model
    assert noise.as_dictionary() == {"gain_factor": 1, "gain_offset": 0, "correlation_factor": 1}


def test_truth_is_consistent(series: Series) -> None:
    truth = series.truth
    fractions = truth["fractions"].transpose("image", "y", "x", "class").to_numpy()
    assert fractions.shape == (24, 30, 19, 4)
    assert fractions.min() >= 0
    np.testing.assert_allclose(fractions.sum(axis=-1), 1, atol=1e-12)
    np.testing.assert_array_equal(truth["label"], fractions.argmax(axis=-1))
    np.testing.assert_allclose(truth["value"], fractions @ [0.5, 0.25, 0.125, 0.0])
    # At most two neighbouring classes mix
    present = fractions > 0
    assert present.sum(axis=-1).max() == 2
    first, last = present.argmax(axis=-1), 3 - present[..., ::-1].argmax(axis=-1)
    assert (last - first).max() == 1
    assert not truth["unknown"].any() and not truth["spike"].any()
    assert truth["drift"].attrs["units"] == "eV"
    assert truth["temperature"].attrs["units"] == "degC"
    assert truth["class"].values.tolist() == list(series.library.class_names)


@pytest.mark.parametrize("seed", range(4))
def test_composition_follows_the_temperature(seed: int) -> None:
    truth = draw_truth(SpectrumModel(Process(), FingerprintLibrary.example()), seed=seed)
    share = np.bincount(truth["label"].to_numpy().ravel(), minlength=4) / truth["label"].size
    assert share.min() >= 0.10, share
    mixed = (truth["fractions"].max("class") < 1).mean().item()
    assert 0.07 < mixed < 0.13
    by_temperature = truth["fractions"].groupby("temperature").mean(("image", "y", "x"))
    assert by_temperature.sel(temperature=25).to_numpy()[0] > 0.5
    assert by_temperature.sel(temperature=800).to_numpy()[3] > 0.5
    value = truth["value"].groupby("temperature").mean(...).to_numpy()
    assert np.corrcoef(np.arange(8), value)[0, 1] < -0.9
    # Domains: neighbours nearly always agree
    label = truth["label"].to_numpy()
    assert (label[:, :, 1:] == label[:, :, :-1]).mean() > 0.85


def test_nuisances_have_the_stated_distributions() -> None:
    process = Process(drift_row=0.05)
    truth = draw_truth(SpectrumModel(process, FingerprintLibrary.example()), 40, (16, 16), seed=3)

    def pixel_sd(name: str) -> float:
        values = truth[name]
        return float((values - values.mean(("y", "x"))).std())

    def image_sd(name: str) -> float:
        return float(truth[name].mean(("y", "x")).std())

    level = truth["background"].mean().item()
    assert pixel_sd("background") / level == pytest.approx(0.02, rel=0.05)
    assert image_sd("background") / level == pytest.approx(0.02, rel=0.35)
    assert pixel_sd("exponent") == pytest.approx(0.03, rel=0.05)
    assert image_sd("exponent") == pytest.approx(0.05, rel=0.35)
    assert truth["exponent"].mean().item() == pytest.approx(process.exponent, abs=0.03)
    assert truth["intensity"].std().item() == pytest.approx(0.06, rel=0.05)
    assert truth["edges"].std().item() == pytest.approx(0.03, rel=0.05)
    assert truth["misfit"].std().item() == pytest.approx(0.002, rel=0.05)
    assert truth["residual"].mean().item() == pytest.approx(0.25, rel=0.03)
    assert truth["residual"].std().item() == pytest.approx(0.08, rel=0.05)
    assert truth["residual"].min().item() > 0
    assert image_sd("drift") == pytest.approx(1.2, rel=0.35)
    rows = truth["drift"]
    assert float(rows.std("x").max()) < 1e-12
    assert pixel_sd("drift") == pytest.approx(0.05, rel=0.1)
    log_thickness = np.log(truth["thickness"])
    assert float(log_thickness.mean(("y", "x")).std()) == pytest.approx(0.27, rel=0.25)
    assert truth["thickness"].mean().item() == pytest.approx(1, abs=0.15)
    within = float((log_thickness - log_thickness.mean(("y", "x"))).std())
    assert 0.03 < within < 0.055
    # Smooth within the image
    steps = float(log_thickness.diff("x").std())
    assert steps < 0.4 * within


def test_lognormal_intensities_have_the_stated_distributions() -> None:
    sd = {"edges": 0.1, "intensity": 0.3, "residual": 0.7}
    change = {"edge_jitter": 0.1, "intensity_jitter": 0.3, "residual_sd": 0.7 * 0.25}
    model = SpectrumModel(
        Process(**change, intensity_law="lognormal"), FingerprintLibrary.example()
    )
    truth = draw_truth(model, 40, (16, 16), seed=3)
    for name, relative in sd.items():
        values = truth[name].to_numpy().ravel() / (0.25 if name == "residual" else 1.0)
        assert values.mean() == pytest.approx(1, rel=0.02)
        assert values.std() == pytest.approx(relative, rel=0.05)
        # the logarithm is normal, where that of a normal or gamma variable is skew
        logs = np.log(values)
        assert np.mean((logs - logs.mean()) ** 3) / logs.std() ** 3 == pytest.approx(0, abs=0.08)
        sd_log = np.sqrt(np.log1p(relative**2))
        assert logs.std() == pytest.approx(sd_log, rel=0.03)
        assert logs.mean() == pytest.approx(-0.5 * sd_log**2, abs=0.02)


def test_the_law_of_intensities_leaves_the_rest_of_the_truth() -> None:
    kept = ["label", "fractions", "thickness", "drift", "exponent", "misfit", "spike"]
    plain, other = small().truth, small(intensity_law="lognormal").truth
    xr.testing.assert_identical(plain[kept], other[kept])
    # the same normal numbers are read, so that small intensities agree to first order
    np.testing.assert_allclose(plain["edges"], other["edges"], atol=0.03**2 * 8)


def test_misfit_is_a_gaussian_curve_of_the_stated_length() -> None:
    model = SpectrumModel(Process(misfit_length=25.0), FingerprintLibrary.example())
    basis = model.shapes().misfit
    covariance = basis.T @ basis
    distance = model.energy[:, None] - model.energy
    np.testing.assert_allclose(covariance, np.exp(-(distance**2) / (2 * 25.0**2)), atol=5e-4)


def test_the_mean_is_the_documented_formula(series: Series) -> None:
    truth, model = series.truth.isel(image=7, y=4, x=11), series.model
    drift = truth["drift"].item()
    shapes, energy = model.shapes(drift), model.energy - drift
    background = truth["background"].item() * (energy / 685) ** -truth["exponent"].item()
    background *= 1 + truth["misfit"].to_numpy() @ shapes.misfit
    edge = truth["intensity"].item() * (truth["fractions"].to_numpy() @ shapes.fingerprints)
    rest = truth["edges"].to_numpy() @ shapes.edges + truth["residual"].item() * shapes.residual
    expected = 3.0 * truth["thickness"].item() * (background + edge + rest)
    mean = mean_counts(truth, model, dose=3.0)
    assert mean.dims == ("energy",)
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    # The shapes themselves move with the drift
    np.testing.assert_allclose(
        model.shapes(2.5).fingerprints[:, 10:], model.shapes().fingerprints[:, :-10], atol=1e-9
    )


def test_mean_counts_takes_selections_and_hypotheses(series: Series) -> None:
    model, image = series.model, series.truth.isel(image=5)
    whole = mean_counts(image, model)
    assert whole.dims == ("y", "x", "energy") and whole.shape == (30, 19, 1600)
    stacked = image.stack(pixel=("y", "x")).isel(pixel=slice(30, 50))
    np.testing.assert_array_equal(
        mean_counts(stacked, model), whole.to_numpy().reshape(-1, 1600)[30:50]
    )
    pixel = series.truth.isel(image=5, y=3, x=2)
    pure = xr.DataArray(np.eye(4), dims=("hypothesis", "class"), coords={"class": pixel["class"]})
    four = mean_counts(pixel.assign(fractions=pure), model)
    assert four.dims == ("hypothesis", "energy")
    difference = (four[0] - four[3]).to_numpy()
    scale = pixel["thickness"].item() * pixel["intensity"].item()
    expected = scale * model.shapes(pixel["drift"].item()).fingerprints[0]
    np.testing.assert_allclose(difference, expected, atol=1e-3)
    with pytest.raises(KeyError, match="exponent"):
        mean_counts(pixel.drop_vars("exponent"), model)


def test_counts_are_poisson_around_the_mean(series: Series) -> None:
    chi, third, total = 0.0, 0.0, 0
    for index in (0, 13, 23):
        mean = mean_counts(series.truth.isel(image=index), series.model).to_numpy()
        data = series.signals[index].data
        assert np.array_equal(data, np.round(data)) and data.min() >= 0
        z = (data - mean) / np.sqrt(mean)
        assert abs(z.mean()) < 5 / np.sqrt(z.size)
        chi += float((z.astype(np.float64) ** 2).sum())
        third += float((z.astype(np.float64) ** 3 * np.sqrt(mean)).sum())
        total += z.size
        neighbours = float((z[..., 1:] * z[..., :-1]).mean())
        assert abs(neighbours) < 5 / np.sqrt(z.size)
    assert chi / total == pytest.approx(1, abs=5 * np.sqrt(2 / total))
    # Skewness 1 / sqrt(mean), which a Gaussian draw would not have
    assert third / total == pytest.approx(1, abs=0.3)


def test_same_seed_same_counts_and_the_dose_leaves_the_truth() -> None:
    one, two, other = small(seed=5), small(seed=5), small(seed=6)
    np.testing.assert_array_equal(counts_of(one), counts_of(two))
    xr.testing.assert_identical(one.truth, two.truth)
    xr.testing.assert_identical(one.truth, draw_truth(one.model, 2, (12, 9), seed=5))
    assert not np.array_equal(counts_of(one), counts_of(other))
    high = small(seed=5, dose=10.0)
    xr.testing.assert_identical(one.truth, high.truth)
    assert counts_of(high).mean() / counts_of(one).mean() == pytest.approx(10, rel=1e-3)
    assert not np.array_equal(one.signals[0].data, one.signals[1].data)


@pytest.mark.parametrize(
    "change",
    [{"gain": 4.0}, {"spikes": 0.2}, {"dead_channels": 5}, {"misfit": 3.0}, {"energy_offset": 1.0}],
)
def test_a_defect_leaves_the_rest_of_the_truth(change: dict) -> None:
    kept = ["label", "fractions", "thickness", "drift", "residual", "exponent", "intensity"]
    xr.testing.assert_identical(small().truth[kept], small(**change).truth[kept])


def test_mixture_width_zero_makes_pure_pixels() -> None:
    assert set(np.unique(small(mixture=0.0).truth["fractions"])) == {0.0, 1.0}
    # Ramps as wide as a step join: everything between the ends' centres is a mixture
    truth = small(mixture=1.0).truth
    between = (truth["composition"] > 0) & (truth["composition"] < 3)
    assert 0.1 < between.mean().item() < 0.9
    np.testing.assert_array_equal(truth["fractions"].max("class") < 1, between)


def test_misfit_scales() -> None:
    one, three = small().truth["misfit"], small(misfit=3.0).truth["misfit"]
    np.testing.assert_allclose(three, 3 * one)


def test_fixed_pattern_is_the_same_in_all_images() -> None:
    series = small(fixed_pattern=0.03, dose=100.0)
    gain = series.truth["channel_gain"].to_numpy()
    assert gain.std() == pytest.approx(0.03, rel=0.1) and gain.mean() == pytest.approx(1, abs=0.01)
    flat = series.truth.drop_vars("channel_gain")
    for index, signal in enumerate(series.signals):
        mean = mean_counts(flat.isel(image=index), series.model, dose=100.0).to_numpy()
        measured = signal.data.sum(axis=(0, 1)) / mean.sum(axis=(0, 1))
        np.testing.assert_allclose(measured, gain, atol=0.004)


def test_dead_channels_count_nothing() -> None:
    series = small(dead_channels=7, spikes=0.5)
    dead = series.truth["channel_gain"].to_numpy() == 0
    assert dead.sum() == 7
    data = counts_of(series)
    np.testing.assert_array_equal(data[..., dead], 0)
    assert data[..., ~dead].min() > 0


def test_spikes_hit_the_marked_pixels() -> None:
    series, clean = small(spikes=0.25), small()
    excess = counts_of(series) - counts_of(clean)
    spike = series.truth["spike"].to_numpy()
    assert spike.mean() == pytest.approx(0.25, abs=0.1)
    np.testing.assert_array_equal((excess > 0).any(axis=-1), spike)
    width = (excess > 0).sum(axis=-1)[spike]
    assert set(width) == {1, 2, 3}
    hit = excess[excess > 0]
    assert hit.min() >= 199 and hit.max() <= 5001
    channels = [np.flatnonzero(row) for row in excess[spike]]
    assert all(np.ptp(found) == len(found) - 1 for found in channels)


def test_unknown_pixels_are_patches_of_another_edge() -> None:
    series, known = small(unknown=0.3), small()
    unknown = series.truth["unknown"].to_numpy()
    assert unknown.mean(axis=(1, 2)) == pytest.approx(0.3, abs=0.01)
    assert (unknown[:, :, 1:] == unknown[:, :, :-1]).mean() > 0.8
    assert (series.truth["label"].to_numpy() == -1).tolist() == unknown.tolist()
    np.testing.assert_array_equal(np.isnan(series.truth["value"]), unknown)
    np.testing.assert_array_equal(series.truth["fractions"].sum("class"), 1.0 * ~unknown)
    others = np.where(unknown, -1, known.truth["label"])
    np.testing.assert_array_equal(series.truth["label"], others)
    shapes = series.model.shapes()
    brightest = shapes.fingerprints[0]
    expected = (np.roll(brightest, 4) + np.roll(brightest, 20)) / 2  # 1 and 5 eV: 3 eV, split by 4
    np.testing.assert_allclose(shapes.unknown[40:-40], expected[40:-40], atol=0.01)
    # It is in the counts as well
    y, x = np.argwhere(unknown[0])[0]
    with_edge = mean_counts(series.truth.isel(image=0, y=y, x=x), series.model)
    without = mean_counts(series.truth.isel(image=0, y=y, x=x).assign(unknown=False), series.model)
    assert (with_edge - without).max().item() > 10


def test_offset_and_broadening_move_edges_of_the_experiment() -> None:
    library = FingerprintLibrary.example()
    plain = SpectrumModel(Process(), library).shapes()
    moved = SpectrumModel(Process(energy_offset=-1.5), library).shapes()
    np.testing.assert_allclose(moved.fingerprints[:, :-20], plain.fingerprints[:, 6:-14], atol=5e-3)
    np.testing.assert_allclose(moved.residual[:-20], plain.residual[6:-14], atol=5e-3)
    np.testing.assert_array_equal(moved.edges, plain.edges)
    broad = SpectrumModel(Process(broadening=2.0), library).shapes().fingerprints[0]
    kernel = np.exp(-0.5 * (np.arange(-60, 61) * 0.25 / 2.0) ** 2)
    expected = np.convolve(plain.fingerprints[0], kernel / kernel.sum(), mode="same")
    np.testing.assert_allclose(broad[100:-100], expected[100:-100], atol=0.01)
    assert broad.max() < 0.9 * plain.fingerprints[0].max()


def test_gain_multiplies_electrons() -> None:
    series, plain = small(gain=3.5), small()
    np.testing.assert_array_equal(counts_of(series), 3.5 * counts_of(plain))
    noise = series.signals[0].metadata.Signal.Noise_properties.Variance_linear_model
    assert noise.gain_factor == 3.5
    mean = mean_counts(series.truth.isel(image=0), series.model).to_numpy()
    z = (series.signals[0].data - mean) / np.sqrt(3.5 * mean)
    assert z.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("n_images", "temperatures", "areas"),
    [
        (1, [400], [1]),
        (2, [25, 800], [1, 1]),
        (4, [25, 300, 600, 800], [1, 1, 1, 1]),
        (8, [25, 200, 300, 400, 500, 600, 700, 800], [1] * 8),
        (24, np.repeat([25, 200, 300, 400, 500, 600, 700, 800], 3), [1, 2, 3] * 8),
    ],
)
def test_images_are_spread_over_the_temperatures(
    n_images: int, temperatures: list, areas: list
) -> None:
    series = annealing_series(n_images, (2, 3), 0.1)
    np.testing.assert_array_equal(series.truth["temperature"], temperatures)
    np.testing.assert_array_equal(series.truth["area"], areas)
    titles = [signal.metadata.General.title for signal in series.signals]
    expected = [f"{t} °C, area {a}" for t, a in zip(temperatures, areas, strict=True)]
    assert titles == expected


def test_another_library_is_passed_through_from_high_to_low_values() -> None:
    energy = np.arange(680.0, 740.0, 0.5)
    rows = [np.full(len(energy), height) for height in (0.2, 1.0, 0.6)]
    library = FingerprintLibrary.from_arrays(energy, rows, [0, 1, 2], values=[0.1, 0.9, 0.5])
    model = SpectrumModel(Process(), library)
    label = draw_truth(model)["label"]
    assert (label[:3] == 1).mean() > 0.5 and (label[-3:] == 0).mean() > 0.5
    shapes = model.shapes()
    # No nuisance shape; nothing more than 10 eV below the axis, a decay above it
    np.testing.assert_array_equal(shapes.residual, 0)
    axis = 390 + 0.25 * np.arange(1600)
    assert np.abs(shapes.fingerprints[:, axis < 669]).max() < 1e-9
    at_end, beyond = (np.interp(e, axis, shapes.fingerprints[1]) for e in (739.5, 780.0))
    assert beyond / at_end == pytest.approx((739.5 / 780.0) ** 2, rel=1e-3)
    plain = dataclasses.replace(library, values=None)
    by_order = annealing_series(2, (4, 4), 0.1, library=plain)
    assert (by_order.truth["label"][0] == 0).mean() > 0.5
    assert by_order.truth["value"].isnull().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edge_jitter": -0.1}, r"Process\.edge_jitter is -0\.1; give a finite number >= 0"),
        ({"exponent": np.nan}, r"Process\.exponent is nan"),
        ({"gain": 0.0}, r"Process\.gain is 0; give a positive number"),
        ({"mixture": 1.5}, r"Process\.mixture is 1\.5; give a number from 0 to 1"),
        ({"unknown": 2.0}, r"Process\.unknown is 2\.0; give a number from 0 to 1"),
        ({"residual_mean": 0.0}, r"Process\.residual_mean is 0; give a positive mean"),
        (
            {"intensity_law": "gamma"},
            r"Process\.intensity_law is 'gamma'; give 'normal' or 'lognormal'",
        ),
        ({"dead_channels": 1.5}, r"Process\.dead_channels is 1\.5; give a whole number"),
    ],
)
def test_wrong_hyperparameters_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Process(**change)


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="n_images must be a whole number of at least 1, got 0"):
        annealing_series(0)
    with pytest.raises(ValueError, match=r"shape is \(3, 0\); give rows and columns"):
        annealing_series(1, (3, 0))
    with pytest.raises(ValueError, match="dose is 0"):
        annealing_series(1, (3, 3), 0.0)
    library = FingerprintLibrary.example()
    with pytest.raises(ValueError, match=r"energy runs from 200 .* knows 310 to 889 eV"):
        SpectrumModel(Process(), library, np.arange(200.0, 400.0))
    with pytest.raises(ValueError, match="library covers 600 to 800 eV, outside the detector's"):
        SpectrumModel(Process(), library, np.arange(400.0, 500.0))
    with pytest.raises(ValueError, match="drift is 120 eV; the forward model knows 10 eV"):
        SpectrumModel(Process(), library).shapes(120.0)


def test_no_randomness_is_left_where_every_spread_is_zero() -> None:
    names = [f.name for f in dataclasses.fields(Process)]
    spreads = [n for n in names if n.endswith(("_sd", "_image", "_pixel", "_jitter", "_row"))]
    process = Process(**dict.fromkeys(spreads, 0.0), misfit=0.0)
    truth = annealing_series(8, (3, 3), seed=1, process=process).truth
    again = annealing_series(8, (3, 3), seed=2, process=process).truth
    xr.testing.assert_identical(truth, again)


def test_nothing_persists_by_default() -> None:
    np.testing.assert_array_equal(counts_of(small(persistent=0.0)), counts_of(small()))


@pytest.mark.parametrize("persistent", [1.0, 0.9])
def test_what_is_a_place_s_own_persists(persistent: float) -> None:
    model = SpectrumModel(Process(unknown=0.1), FingerprintLibrary.example())
    truth = draw_truth(model, 24, (60, 60), seed=4, persistent=persistent)
    log = np.log(truth["thickness"].to_numpy())
    for fields, spread in ((log, 0.05), (truth["composition"].to_numpy(), 0.6)):
        fields = fields - fields.mean((1, 2), keepdims=True)
        sd = fields.std((1, 2))
        same = (fields[1:] * fields[:-1]).mean((1, 2)) / (sd[1:] * sd[:-1])
        np.testing.assert_allclose(same.mean(), persistent, atol=0.03)
        np.testing.assert_allclose(sd.mean(), spread, rtol=0.1)
    assert (truth["area"] == 1).all()
    patches = truth["unknown"].to_numpy()
    assert (patches[1:] == patches[:-1]).all() == (persistent == 1.0)
    # the mean composition still follows the temperature: places pass from class to class
    label = truth["label"].where(truth["label"] >= 0).to_numpy()
    step = label[1:] - label[:-1]
    assert np.nanmean(np.abs(step)) < 0.3 and np.nanmean(step) > 0.05
    if persistent == 1.0:
        assert np.nanmin(step) == 0  # fluorine leaves, and does not come back
    # what is of an image or a pixel is drawn anew
    exponent = truth["exponent"].to_numpy().reshape(24, -1)
    assert abs(np.corrcoef(exponent[0], exponent[1])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("persistent", "error", "message"),
    [
        (1.2, ValueError, r"persistent is 1.2; give a number from 0 to 1"),
        (-0.1, ValueError, "persistent is -0.1"),
        ("all", TypeError, "persistent is 'all'"),
    ],
)
def test_wrong_persistence_is_named(persistent: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        annealing_series(2, (3, 3), persistent=persistent)
