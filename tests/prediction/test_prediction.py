"""Predictions keep every number at its pixel, whatever library they are handed to."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eels_bayes.arviz_bridge import inference_data
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.flags import Flag
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.prediction.prediction import Prediction
from helpers import specimens

NAMES = ("F 50 %", "F 25 %", "no F")
VALUES = np.array([0.5, 0.25, 0.0])
LATENT = 5
SHAPES = ((4, 3), (7,), (), (2, 5))


def info(shape: tuple[int, ...], title: str, units: str | None = "nm") -> ImageInfo:
    names = ("y", "x")[-len(shape) :] if shape else ()
    axes = tuple(
        {
            "name": name,
            "units": units,
            "scale": 0.5 + 0.25 * i,
            "offset": 3.0 * i - 1,
            "size": size,
            "navigate": True,
            "is_binned": False,
        }
        for i, (name, size) in enumerate(zip(names, shape, strict=True))
    )
    metadata = {
        "General": {"title": title, "authors": "A. Microscopist"},
        "Acquisition_instrument": {"TEM": {"beam_energy": 200.0}},
        "Signal": {
            "signal_type": "EELS",
            "quantity": "Counts",
            "Noise_properties": {"Variance_linear_model": {"gain_factor": 2.0}},
        },
    }
    return ImageInfo(shape, axes, metadata, title, EnergyAxis(390.0, 0.25, 1600))


def prediction(
    shapes: tuple[tuple[int, ...], ...] = SHAPES,
    *,
    flagged: tuple[int, ...] = (),
    values: bool = True,
    units: str | None = "nm",
    titles: list[str] | None = None,
) -> Prediction:
    """Random numbers in every field, all different; pixels in an order that is not the maps'."""
    rng = np.random.default_rng(1)
    titles = titles or [f"image {i}" for i in range(len(shapes))]
    images = tuple(info(s, t, units) for s, t in zip(shapes, titles, strict=True))
    sizes = [int(np.prod(shape)) for shape in shapes]
    image = np.repeat(np.arange(len(shapes)), sizes)
    position = np.concatenate([np.arange(size) for size in sizes])
    order = rng.permutation(len(image))
    image, position = image[order], position[order]
    n = len(image)
    flag = np.zeros(n, dtype=np.int64)
    flag[list(flagged)] = int(Flag.DEAD)
    fields: dict[str, Any] = {
        "probabilities": rng.dirichlet(np.ones(3), n),
        "latent_mean": rng.normal(size=(n, LATENT)),
        "latent_sd": rng.random((n, LATENT)),
    }
    for name in ("aleatoric", "encoder", "classifier", "novelty"):
        fields[name] = rng.random(n)
    fields["total"] = fields["aleatoric"] + fields["encoder"] + fields["classifier"]
    mean = fields["probabilities"] @ VALUES
    fields["value"] = mean if values else np.full(n, np.nan)
    spread = np.sqrt(fields["probabilities"] @ VALUES**2 - mean**2)
    fields["value_sd"] = spread if values else np.full(n, np.nan)
    for array in fields.values():
        array[flag != 0] = np.nan
    labels = np.where(flag != 0, -1, np.nan_to_num(fields["probabilities"]).argmax(axis=1))
    return Prediction(
        labels=labels,
        class_names=NAMES,
        flag=flag,
        image=image,
        position=position,
        images=images,
        **fields,
    )


def arviz() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return pytest.importorskip("arviz")


# -- the container ---------------------------------------------------------------------------


def test_repr_counts_pixels_and_classes() -> None:
    pred = prediction(flagged=(0, 4))
    counts = [int((pred.labels == k).sum()) for k in range(3)]
    assert repr(pred) == (
        "<Prediction: 30 pixels (28 classified) of 4 images; "
        f"F 50 % {counts[0]}, F 25 % {counts[1]}, no F {counts[2]}>"
    )


def test_flagged_pixels_say_why() -> None:
    pred = prediction(flagged=(3,))
    reasons = pred.reasons()
    assert reasons[3] == "the same counts in every channel"
    assert all(reason == "" for i, reason in enumerate(reasons) if i != 3)
    assert np.array_equal(np.flatnonzero(~pred.ok), [3])


def test_intervals_of_the_value_are_a_gaussians_unless_calibrated() -> None:
    pred = prediction(flagged=(3,))
    for level, reach in ((0.5, 0.6745), (0.9, 1.6449)):
        low, high = pred.value_interval(level)
        np.testing.assert_allclose(high, pred.value + reach * pred.value_sd, rtol=1e-3)
        np.testing.assert_allclose(low, pred.value - reach * pred.value_sd, atol=1e-3)
        assert np.isnan([low[3], high[3]]).all()
    twice = replace(pred, value_reach=2.0 * pred.value_reach)
    np.testing.assert_allclose(
        np.subtract(*twice.value_interval()), 2.0 * np.subtract(*pred.value_interval())
    )
    assert np.array_equal(twice[2:7].value_reach, twice.value_reach)
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"level must lie between 0 and 1, got {level}"):
            pred.value_interval(level)


@given(
    mean=st.floats(-0.5, 1.5),
    sd=st.floats(1e-3, 2.0),
    truth=st.floats(0.0, 1.0),
    level=st.floats(0.01, 0.99),
)
def test_what_is_not_possible_is_cut_off_and_no_truth_is_lost(
    mean: float, sd: float, truth: float, level: float
) -> None:
    """Within the range every interval holds what it held, and it still holds the mean."""
    free = replace(prediction(((),)), value=np.array([mean]), value_sd=np.array([sd]))
    bounded = replace(free, value=free.value.clip(0.0, 1.0), value_range=(0.0, 1.0))
    (low,), (high,) = bounded.value_interval(level)
    assert 0.0 <= low <= bounded.value[0] <= high <= 1.0
    (free_low,), (free_high,) = free.value_interval(level)
    if free_low <= truth <= free_high:
        assert low <= truth + 1e-12 and high >= truth - 1e-12
    if free_low >= 0.0 and free_high <= 1.0:  # nothing is cut off
        assert (low, high) == (free_low, free_high)


@pytest.mark.parametrize(
    "index", [slice(2, 9, 2), np.array([5, 0, 7]), [1, 2], np.arange(30) % 3 == 0]
)
def test_some_of_the_pixels(index: Any) -> None:
    pred = prediction(flagged=(5,))
    part = pred[index]
    wanted = np.arange(len(pred))[index]
    assert len(part) == len(wanted)
    assert part.images is pred.images
    np.testing.assert_array_equal(part.probabilities, pred.probabilities[wanted])
    np.testing.assert_array_equal(part.position, pred.position[wanted])
    np.testing.assert_array_equal(part.flag, pred.flag[wanted])


@pytest.mark.parametrize("index", [3, "total", np.array([0.5]), np.zeros((2, 2), dtype=int)])
def test_an_index_that_selects_no_pixels_is_refused(index: Any) -> None:
    with pytest.raises(TypeError, match="a slice, a 1-D array of integers or a 1-D mask is needed"):
        prediction()[index]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"total": np.zeros(29)}, r"total has shape \(29,\); \(30,\) is needed"),
        ({"probabilities": np.zeros((30, 2))}, r"probabilities has shape \(30, 2\); \(30, 3\)"),
        ({"latent_sd": np.zeros((30, 4))}, r"latent_sd has shape \(30, 4\); \(30, 5\)"),
        ({"labels": np.full(30, 3)}, r"labels must be 0\.\.2, and -1 exactly where flag"),
        ({"labels": np.full(30, -1)}, r"labels must be 0\.\.2, and -1 exactly where flag"),
        ({"flag": np.full(30, 2)}, r"labels must be 0\.\.2, and -1 exactly where flag"),
        ({"image": np.full(30, 4)}, "image runs from 4 to 4; images has 4 entries"),
        ({"position": np.full(30, 12)}, "position leaves the navigation shape of its image"),
    ],
)
def test_fields_that_contradict_one_another(change: dict[str, Any], text: str) -> None:
    pred = prediction()
    fields = {name: getattr(pred, name) for name in Prediction.__dataclass_fields__}
    with pytest.raises(ValueError, match=text):
        Prediction(**(fields | change))


# -- maps and signals --------------------------------------------------------------------------


def test_maps_hold_each_value_at_its_pixel() -> None:
    pred = prediction(flagged=(2, 11))
    for row in range(len(pred)):
        k = int(pred.image[row])
        where = np.unravel_index(pred.position[row], SHAPES[k]) if SHAPES[k] else ()
        for name in ("total", "probabilities", "labels", "latent_sd", "flag"):
            got = pred.map(name, k)[where]
            np.testing.assert_array_equal(got, getattr(pred, name)[row])


def test_pixels_that_are_not_there_are_marked() -> None:
    pred = prediction(((4, 3),))
    part = pred[pred.position != 5]
    assert part.map("labels")[1, 2] == -1
    assert np.isnan(part.map("probabilities")[1, 2]).all()
    assert np.isnan(part.map("total")).sum() == 1


def test_maps_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="quantity 'entropy' is unknown; one of probabilities, "):
        prediction().map("entropy")
    with pytest.raises(IndexError, match="image 4 does not exist; there are 4"):
        prediction().map("total", 4)


def test_signals_of_images_of_different_shapes() -> None:
    pred = prediction(flagged=(2, 11))
    signals = pred.to_signals()
    assert set(signals) == {
        "probabilities", "labels", "value", "value_sd", "novelty", "total", "aleatoric",
        "encoder", "classifier", "neighbours", "latent_mean", "latent_sd", "flag",
    }  # fmt: skip
    for name, per_image in signals.items():
        assert len(per_image) == len(SHAPES)
        for k, signal in enumerate(per_image):
            expected = pred.map(name, k)
            np.testing.assert_array_equal(signal.data.reshape(expected.shape), expected)
            if SHAPES[k]:
                assert signal.axes_manager._navigation_shape_in_array == SHAPES[k]
            else:
                assert signal.axes_manager.navigation_dimension == 0
            vector = name in ("probabilities", "latent_mean", "latent_sd")
            assert signal.axes_manager.signal_dimension == (1 if vector else 0)
    rows, cols = 3, 1  # HyperSpy indexes x first
    picked = signals["probabilities"][0].inav[cols, rows]
    np.testing.assert_array_equal(picked.data, pred.map("probabilities", 0)[rows, cols])


def test_signals_keep_axes_and_metadata() -> None:
    pred = prediction(flagged=(0,))
    k = int(pred.image[0])
    for name, per_image in pred.to_signals().items():
        for image, signal in enumerate(per_image):
            original = pred.images[image]
            axes = [a for a in signal.axes_manager._axes if a.navigate]
            kept = [(a.name, a.units, a.scale, a.offset, a.size) for a in axes]
            keys = ("name", "units", "scale", "offset", "size")
            assert kept == [tuple(axis[key] for key in keys) for axis in original.axes]
            metadata = signal.metadata
            assert metadata.General.title == original.title
            assert metadata.General.authors == "A. Microscopist"
            assert metadata.Acquisition_instrument.TEM.beam_energy == 200.0
            assert metadata.eels_bayes.quantity == name
            assert list(metadata.eels_bayes.class_names) == list(NAMES)
            # What described the counts does not describe a map.
            assert metadata.get_item("Signal.signal_type", "") == ""
            assert not metadata.has_item("Signal.Noise_properties")
            assert metadata.Signal.quantity != "Counts"
            reasons = list(metadata.eels_bayes.flagged)
            expected = ["1 pixels: the same counts in every channel"] if image == k else []
            assert reasons == expected
    # Nothing of the user's was changed in place.
    assert pred.images[0].metadata["Signal"]["signal_type"] == "EELS"
    assert "eels_bayes" not in pred.images[0].metadata
    units = pred.to_signals()["total"][0].metadata
    assert units.eels_bayes.unit == "nats"
    assert units.Signal.quantity == "Total uncertainty (nats)"


def test_values_go_by_the_librarys_name_and_unit() -> None:
    words = {"value_name": "valence", "value_unit": "e", "model": "0123456789abcdef"}
    pred = replace(prediction(((4, 3),)), value_range=(0.0, 8.0), **words)
    assert pred[:3].value_name == "valence" and pred[:3].model == pred.model
    signals = pred.to_signals()
    assert signals["value"][0].metadata.Signal.quantity == "Valence (e)"
    assert signals["value_sd"][0].metadata.Signal.quantity == "Valence: standard deviation (e)"
    assert signals["value"][0].metadata.eels_bayes.unit == "e"
    assert signals["total"][0].metadata.Signal.quantity == "Total uncertainty (nats)"
    assert {s[0].metadata.eels_bayes.model for s in signals.values()} == {pred.model}
    data = pred.to_xarray()
    assert data["value"].attrs == {"long_name": "Valence", "units": "e"}
    assert data["value_sd"].attrs == {"long_name": "Valence: standard deviation", "units": "e"}
    assert data.attrs == {"model": pred.model}
    drawn = pred.to_inference_data(draws=3)
    assert drawn["posterior"]["value"].attrs == data["value"].attrs
    for group in ("posterior", "sample_stats", "constant_data"):
        assert drawn[group].attrs["model"] == pred.model
    for symbol in ("pH", "x", "x in Cr2TiC2OxFy"):  # no word: its case means something
        assert replace(pred, value_name=symbol).to_xarray()["value"].attrs["long_name"] == symbol


@pytest.mark.usefixtures("close_figures")
def test_maps_are_titled_by_the_values_name() -> None:
    pred = replace(prediction(((4, 3),)), value_name="fluorine fraction", value_unit="%")
    figure = pred.plot_maps(["value", "value_sd"])
    texts = [text.get_text() for text in figure.texts]
    assert texts[1:] == ["Fluorine fraction", "Fluorine fraction: standard deviation"]
    bars = [ax for ax in figure.axes if ax not in panels(figure)]
    assert sum("%" in ax.get_ylabel() + ax.get_xlabel() + ax.get_title() for ax in bars) == 2


def test_no_value_signals_without_values() -> None:
    signals = prediction(values=False).to_signals()
    assert "value" not in signals
    assert "value_sd" not in signals
    assert "total" in signals


def test_signals_survive_a_file(tmp_path: Path) -> None:
    import hyperspy.api as hs

    pred = prediction(((4, 3),), flagged=(1,))
    signal = pred.to_signals()["probabilities"][0]
    signal.save(tmp_path / "p.hspy")
    back = hs.load(tmp_path / "p.hspy")
    np.testing.assert_array_equal(back.data, pred.map("probabilities"))
    assert list(back.metadata.eels_bayes.class_names) == list(NAMES)
    assert back.axes_manager[0].scale == 0.75


def test_real_axes_come_back(data_dir: Path) -> None:
    for name in ("CuZn_EELS_mapping_tutorial.hspy", "LSMO_linescan.hspy"):
        assert_axes_come_back(data_dir / name)


def test_written_axes_come_back(tmp_path: Path, rng: np.random.Generator) -> None:
    specimens.copper_zinc(tmp_path / "map.dm4", rng)
    specimens.oxide_interface(tmp_path / "line.dm3", rng)
    for name in ("map.dm4", "line.dm3"):
        assert_axes_come_back(tmp_path / name)


def assert_axes_come_back(path: Path) -> None:
    import hyperspy.api as hs

    source = hs.load(path)
    navigation = [axis for axis in source.axes_manager._axes if axis.navigate]
    shape = tuple(axis.size for axis in navigation)
    pred = prediction((shape,))
    dictionaries = tuple(axis.get_axis_dictionary() for axis in navigation)
    axis = EnergyAxis(300.0, 1.0, 10)
    images = (ImageInfo(shape, dictionaries, source.metadata.as_dictionary(), "real", axis),)
    fields = {field: getattr(pred, field) for field in Prediction.__dataclass_fields__}
    maps = Prediction(**(fields | {"images": images})).to_signals()
    got = maps["total"][0]
    for mine, theirs in zip(got.axes_manager._axes, navigation, strict=True):
        assert mine.get_axis_dictionary() == theirs.get_axis_dictionary()
    beam = source.metadata.Acquisition_instrument.TEM.beam_energy
    assert got.metadata.Acquisition_instrument.TEM.beam_energy == beam
    # The same pixel by the same index, in pixels or in nm, as in the user's own signal.
    assert got.axes_manager.navigation_shape == source.axes_manager.navigation_shape
    at = [axis.index2value(1) for axis in navigation[::-1]]
    assert got.inav[tuple(at)].data == pred.map("total")[(1,) * len(shape)]


# -- xarray and ArviZ ----------------------------------------------------------------------------


def test_xarray_knows_where_each_pixel_is() -> None:
    pred = prediction(flagged=(6,))
    data = pred.to_xarray()
    assert data.sizes == {"pixel": 30, "class": 3, "latent": LATENT}
    assert list(data["class"].values) == list(NAMES)
    assert data["total"].attrs == {"long_name": "Total uncertainty", "units": "nats"}
    assert str(data["reason"][6].item()) == "the same counts in every channel"
    for row in range(len(pred)):
        k, shape = int(pred.image[row]), SHAPES[pred.image[row]]
        where = tuple(np.unravel_index(pred.position[row], shape)) if shape else ()
        at_row, at_col = (0, 0, *where)[-2:]
        pixel = data.isel(pixel=row)
        assert (pixel.row, pixel.col, pixel.image) == (at_row, at_col, k)
        assert pixel.title == f"image {k}"
        axes = pred.images[k].axes
        if axes:
            assert pixel.x == axes[-1]["offset"] + axes[-1]["scale"] * at_col
        if len(axes) == 2:
            assert pixel.y == axes[0]["offset"] + axes[0]["scale"] * at_row
        np.testing.assert_array_equal(pixel.total, pred.total[row])
    assert data.x.attrs == {"units": "nm"}


def test_xarray_selects_and_survives_a_file(tmp_path: Path) -> None:
    import xarray

    pytest.importorskip("h5netcdf")  # comes with ArviZ below 1
    pred = prediction(((4, 3), (2, 5)), flagged=(6,))
    data = pred.to_xarray()
    no_fluorine = data.probabilities.sel({"class": "no F"}).where(data.image == 1, drop=True)
    np.testing.assert_array_equal(no_fluorine, pred.probabilities[pred.image == 1, 2])
    data.to_netcdf(tmp_path / "p.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "p.nc", engine="h5netcdf") as back:
        xarray.testing.assert_identical(back.load(), data)


def test_units_that_differ_are_not_claimed() -> None:
    pred = prediction(((4,), (3,)))
    images = (pred.images[0], info((3,), "other", units="s"))
    fields = {field: getattr(pred, field) for field in Prediction.__dataclass_fields__}
    assert Prediction(**(fields | {"images": images})).to_xarray().x.attrs == {}
    assert prediction(((4,),), units=None).to_xarray().x.attrs == {}


def test_inference_data_draws_follow_the_prediction() -> None:
    pred = prediction(((4, 3),), flagged=(3, 8))
    data = pred.to_inference_data(draws=2500, chains=4, seed=3)
    posterior = data["posterior"]
    kept = np.flatnonzero(pred.ok)
    assert dict(posterior["class"].sizes) == {"chain": 4, "draw": 2500, "pixel": 10}
    np.testing.assert_array_equal(posterior["pixel"], kept)
    draws = posterior["class"].values.reshape(-1, 10)
    shares = np.stack([(draws == k).mean(axis=0) for k in range(3)], axis=1)
    # Four binomial standard errors of 10,000 draws.
    np.testing.assert_allclose(shares, pred.probabilities[kept], atol=0.02)
    values = posterior["value"].values.reshape(-1, 10)
    np.testing.assert_allclose(values.mean(axis=0), pred.value[kept], atol=0.012)
    np.testing.assert_allclose(values.std(axis=0), pred.value_sd[kept], rtol=0.04)
    lp = data["sample_stats"]["lp"].values.reshape(-1, 10)
    picked = pred.probabilities[kept][np.arange(10), draws]
    np.testing.assert_allclose(np.exp(lp), picked)
    np.testing.assert_array_equal(data["constant_data"]["total"], pred.total[kept])
    np.testing.assert_array_equal(data["constant_data"]["pixel"], kept)


def test_drawn_values_are_possible_ones() -> None:
    free = prediction(((4, 3),), flagged=(3,))
    bounded = replace(free, value_range=(0.1, 0.4))
    one, other = (p.to_inference_data(draws=200)["posterior"]["value"] for p in (free, bounded))
    assert float(one.min()) < 0.1 and float(one.max()) > 0.4
    np.testing.assert_array_equal(other, one.clip(np.float32(0.1), np.float32(0.4)))
    assert other.dtype == one.dtype == np.float32


def test_arviz_summarises_the_draws() -> None:
    az = arviz()
    pred = prediction(((4, 3),), flagged=(3,))
    data = pred.to_inference_data(draws=500)
    summary = az.summary(data, var_names=["class", "value"])
    assert len(summary) == 2 * 11
    means = summary.loc["value[0]", "mean"]
    assert abs(float(means) - pred.value[0]) < 0.03
    # Independent draws: nothing for the convergence checks to find.
    assert (summary["r_hat"].astype(float) < 1.05).all()


def test_the_same_seed_gives_the_same_draws() -> None:
    pred = prediction(((4, 3),))
    one, two, other = (
        pred.to_inference_data(draws=20, seed=seed)["posterior"]["class"].values
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_inference_data_without_values_or_pixels() -> None:
    data = prediction(((4, 3),), values=False).to_inference_data(draws=3)
    assert "value" not in data["posterior"]
    with pytest.raises(ValueError, match="every pixel is flagged; there is nothing to draw from"):
        prediction(((2,),), flagged=(0, 1)).to_inference_data()
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1, got 0"):
        prediction().to_inference_data(draws=0)


def test_converter_speaks_both_arviz(monkeypatch: pytest.MonkeyPatch) -> None:
    import xarray

    az = arviz()
    groups = {"posterior": xarray.Dataset({"a": (("chain", "draw"), np.arange(6.0).reshape(2, 3))})}
    monkeypatch.setattr(az, "__version__", "1.0.0")
    tree = inference_data(groups)
    assert isinstance(tree, xarray.DataTree)
    np.testing.assert_array_equal(tree["posterior"]["a"], groups["posterior"]["a"])


# -- figures -------------------------------------------------------------------------------------


@pytest.fixture
def close_figures() -> Any:
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def panels(figure: Any) -> list[Any]:
    return [ax for ax in figure.axes if ax.get_label().startswith("map ")]


@pytest.mark.usefixtures("close_figures")
def test_one_image_shows_every_quantity() -> None:
    pred = prediction(((4, 3),), flagged=(2,))
    figure = pred.plot_maps()
    assert len(panels(figure)) == 8
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "image 0"
    assert texts[1:] == [
        "Class", "Value", "Value: standard deviation", "Novelty", "Total uncertainty",
        "Aleatoric uncertainty", "Encoder uncertainty", "Classifier uncertainty",
    ]  # fmt: skip
    nats = [ax.images[0].norm for ax in panels(figure)[4:]]
    assert {(norm.vmin, norm.vmax) for norm in nats} == {(0.0, np.nanmax(pred.total))}
    np.testing.assert_array_equal(
        np.ma.filled(panels(figure)[4].images[0].get_array(), np.nan), pred.map("total")
    )


@pytest.mark.usefixtures("close_figures")
def test_several_images_show_class_value_and_doubt() -> None:
    pred = prediction(((4, 3), (2, 5)))
    assert len(panels(pred.plot_maps())) == 6
    assert len(panels(prediction(((4, 3), (2, 5)), values=False).plot_maps())) == 4
    one = pred.plot_maps("encoder", images=1)
    assert len(panels(one)) == 1
    np.testing.assert_array_equal(panels(one)[0].images[0].get_array(), pred.map("encoder", 1))
    # x is the last axis: 0.75 nm a pixel against 0.5 nm along y.
    assert panels(one)[0].get_aspect() == pytest.approx(0.5 / 0.75)


@pytest.mark.usefixtures("close_figures")
def test_line_scans_and_single_spectra_are_drawn() -> None:
    pred = prediction(((7,), ()))
    line = panels(pred.plot_maps("total", images=0))[0]
    np.testing.assert_array_equal(line.lines[0].get_ydata(), pred.map("total", 0))
    assert line.get_xlabel() == "distance (nm)"
    point = panels(pred.plot_maps("total", images=1))[0]
    assert point.images[0].get_array().shape == (1, 1)


def test_maps_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="quantity 'entropy' cannot be drawn: it is unknown; cho"):
        prediction().plot_maps("entropy")
    with pytest.raises(ValueError, match="'value' cannot be drawn: the library has no values"):
        prediction(values=False).plot_maps(["labels", "value"])
    with pytest.raises(IndexError, match="image 9 does not exist; there are 4"):
        prediction().plot_maps(images=9)
    stack = ImageInfo((2, 2, 3), ({}, {}, {}), {}, "stack", EnergyAxis(390.0, 0.25, 1600))
    pred = prediction(((12,),))
    fields = {field: getattr(pred, field) for field in Prediction.__dataclass_fields__}
    with pytest.raises(ValueError, match=r"images\[0\] has 3 navigation axes; maps need at most"):
        Prediction(**(fields | {"images": (stack,)})).plot_maps("total")
