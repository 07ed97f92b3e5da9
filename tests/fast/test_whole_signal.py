"""Whole signals by the fast path: lazy or not the same, and gone on with where they were left."""

import json
import os
import pickle
import shutil

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import eels_bayes as eb
from eels_bayes.data import signal_blocks
from eels_bayes.fast import result_store
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

ROWS = 3  # of the image, in a block


def image():
    """Whole numbers of counts (9, 4, E)."""
    rng = np.random.default_rng(0)
    return (
        rng.poisson(np.tile(tiny_models.counts(), (2, 1))[:36]).astype("uint16").reshape(9, 4, -1)
    )


@pytest.fixture
def blocks_of_rows(monkeypatch):
    """Blocks of a few rows of the image."""
    monkeypatch.setattr(signal_blocks, "BLOCK_BYTES", ROWS * image()[0].nbytes)


class Rows:
    """Counts as a file gives them; it says which rows were asked for, and may break down."""

    def __init__(self, counts, most=10**6):
        self.counts, self.asked, self.most = counts, [], most
        self.shape, self.dtype, self.ndim = counts.shape, counts.dtype, counts.ndim

    def __getitem__(self, index):
        found = self.counts[index]
        if found.size:
            if len(self.asked) >= self.most:
                raise RuntimeError("the disk is gone")
            self.asked.append(index[0].start)
        return found

    def lazy(self):
        return da.from_array(self, chunks=(1, 4, 400), name=False)


def test_a_map_is_the_reading_of_its_pixels():
    fast, signal = tiny_models.compiled(), tiny_models.signals()[0]
    found, expected = fast.map(signal), fast(tiny_models.counts())
    assert tuple(found.data_vars) == eb.FastReading._fields
    assert found.total.dims == ("y", "x") and found.probabilities.dims == ("y", "x", "class")
    assert found["class"].values.tolist() == list(fast.class_names)
    assert found.total.units == "nats" and found.x.units and found.drift.units == "eV"
    assert found.attrs == {"model": fast.model, "title": signal.metadata.General.title}
    assert float(found.drift) == pytest.approx(fast.drift(tiny_models.counts()), abs=1e-4)
    for name, values in expected._asdict().items():
        flat = found[name].values.reshape(values.shape)
        assert flat.dtype == values.dtype
        np.testing.assert_allclose(flat, values, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.usefixtures("blocks_of_rows")
def test_lazy_and_not_are_the_same_to_the_last_bit():
    fast = tiny_models.compiled()
    expected = fast.map(image())
    source = Rows(image())
    found = fast.map(source.lazy(), shift=float(expected.drift))
    assert source.asked == []  # nothing is read before it is asked for
    assert found.total.chunks == ((ROWS,) * 3, (4,))
    xr.testing.assert_equal(found.compute(), expected)


def test_a_lazy_signal_of_any_chunks_and_order_of_axes_is_read_alike():
    signal = tiny_models.signals()[0]
    lazy = signal.as_lazy()
    lazy.data = lazy.data.rechunk((2, 3, 7))
    turned = signal.transpose(signal_axes=1).as_lazy()
    turned.data = turned.data.rechunk((5, 1, 100))
    fast = tiny_models.compiled()
    expected = fast.map(signal, shift=0.1)
    for one in (lazy, turned):
        xr.testing.assert_allclose(fast.map(one, shift=0.1).compute(), expected, atol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
def test_frames_of_a_stack_have_a_drift_each(lazy):
    fast = tiny_models.compiled()
    images = [signal.data for signal in tiny_models.signals()] * 2
    stack = np.stack(images)
    found = fast.map(da.from_array(stack, chunks=(3, 2, 4, 100)) if lazy else stack)
    expected = [fast.drift(one.reshape(-1, stack.shape[-1])) for one in images]
    assert found.drift.dims == found.total.dims[:1] == ("frame_2",)
    np.testing.assert_allclose(found.drift, expected, atol=1e-4)
    one = fast.map(images[1], shift=found.drift.values[1])
    np.testing.assert_allclose(found.probabilities[1], one.probabilities, atol=1e-6)


def test_odd_pixels_are_flagged_alone():
    counts = image().astype("float32")
    counts[2, 1] = np.nan
    found = tiny_models.compiled().map(np.ma.masked_where(np.isnan(counts), counts))
    assert np.flatnonzero(found.flag.values).tolist() == [9] and found.labels.values[2, 1] == -1
    assert np.isfinite(found.total.values).sum() == 35


@pytest.mark.usefixtures("blocks_of_rows")
def test_an_interrupted_file_is_gone_on_with(tmp_path):
    pytest.importorskip("zarr")
    fast, path = tiny_models.compiled(), tmp_path / "map.zarr"
    whole = fast.map(Rows(image()).lazy(), tmp_path / "whole.zarr")
    source = Rows(image())
    fast.map(source.lazy(), tmp_path / "asked.zarr")
    n_before = len(source.asked) - 4 * 9  # all but the last reading: 4 chunks of energies a row
    breaking = Rows(image(), most=n_before + 4 * 2 * ROWS - 1)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        fast.map(breaking.lazy(), path)
    half = xr.open_zarr(path, consolidated=False).load()
    done = (half.flag.values != -1).all(1)
    assert done.tolist() == [True] * ROWS + [False] * (9 - ROWS)
    assert np.isnan(half.total.values[~done]).all()
    for name in ("flag", "total"):
        values = path / name / "c" / "0" / "0"
        values.write_bytes(values.read_bytes()[:-3])  # as a power cut may leave it
        found = fast.map(Rows(image()).lazy(), path)
        xr.testing.assert_identical(found.load(), whole.load())
    again = Rows(image())
    fast.map(again.lazy(), path)
    assert len(again.asked) == n_before - 4 * 9  # some spectra, by which the counts are known
    fast.map(image(), path)  # and in memory they are the same counts


def test_a_file_of_something_else_is_refused(tmp_path):
    pytest.importorskip("zarr")
    fast, path = tiny_models.compiled(), tmp_path / "map.zarr"
    fast.map(image(), path)
    with pytest.raises(ValueError, match=r"holds the result of other counts; give another name"):
        fast.map(image() + 1, path)
    with pytest.raises(ValueError, match=r"of counts whose drift was found otherwise"):
        fast.map(image(), path, shift=0.5)
    clf = tiny_models.fitted()
    how = {"energy": tiny_models.energy(), "show_progressbar": False}
    other = clf.compile(clf.preprocessor, noise=(2.0, 0.0), **how)
    with pytest.raises(ValueError, match=r"of another model, or of one that was compiled otherw"):
        other.map(image(), path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match=r"mine is there and is no result of FastClassifier.map"):
        fast.map(image(), tmp_path / "mine")


def test_counts_of_other_masks_or_axes_are_others(tmp_path):
    pytest.importorskip("zarr")
    fast, counts = tiny_models.compiled(), np.ma.masked_array(image())
    fast.map(counts, tmp_path / "masked.zarr")
    counts[:, 1] = np.ma.masked
    with pytest.raises(ValueError, match="holds the result of other counts"):
        fast.map(counts, tmp_path / "masked.zarr")
    signal = tiny_models.signals()[0].deepcopy()
    fast.map(signal, tmp_path / "signal.zarr")
    signal.axes_manager[0].scale *= 2
    with pytest.raises(ValueError, match=r"holds the result of other axes, .* its 'x' is another"):
        fast.map(signal, tmp_path / "signal.zarr")


def no_blocks(array):
    array["chunk_grid"]["configuration"]["chunk_shape"] = [0, 0]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("drift", None, "its 'drift' is another"),
        ("total", None, "its 'total' is another"),
        ("total", lambda array: array.update(shape=[90, 40]), "its 'total' is another"),
        ("total", lambda array: array["attributes"].update(units="bits"), "its 'total' is ano"),
        ("drift", lambda array: array["attributes"].update(scale_factor=9.0), "its 'drift' is an"),
        ("y", lambda array: array.update(codecs=[{"name": "none"}]), "holds a damaged result"),
        ("flag", lambda array: array.update(dimension_names=["a", "b"]), "its 'flag' is another"),
        ("flag", no_blocks, "its blocks hold no pixels"),
        (".", lambda group: group["attributes"].pop("coordinates"), "its 'coordinates' is another"),
    ],
)
def test_a_result_that_was_changed_is_refused(tmp_path, name, change, message):
    pytest.importorskip("zarr")
    path = tmp_path / "map.zarr"
    tiny_models.compiled().map(image(), path)
    if change is None:
        shutil.rmtree(path / name)
    else:
        about = json.loads((path / name / "zarr.json").read_text())
        change(about)
        (path / name / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=message):
        tiny_models.compiled().map(image(), path)


class Runs:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.filterwarnings("ignore:.*Zarr format 2|.*object arrays")
def test_a_result_runs_nothing(tmp_path, monkeypatch):
    """Format 2 of zarr may have codecs that unpickle."""
    pytest.importorskip("zarr")
    pickles = pytest.importorskip("numcodecs.pickles")
    # newer versions ask for this; older ones do it unasked
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    fast, path, ran = tiny_models.compiled(), tmp_path / "map.zarr", tmp_path / "ran"
    result = fast.map(image(), tmp_path / "good.zarr").load().drop_encoding()
    result.drop_vars("class").to_zarr(path, zarr_format=2, consolidated=False)
    shutil.copytree(path / "drift", path / "class")
    about = {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "dtype": "|O", "fill_value": None}
    about |= {"shape": [4], "chunks": [4], "compressor": None, "order": "C", "zarr_format": 2}
    (path / "class" / ".zarray").write_text(json.dumps(about))
    (path / "class" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["class"]}))
    (path / "class" / "0").write_bytes(pickle.dumps(Runs(ran)))
    with pytest.raises(ValueError, match=r"is no result of FastClassifier.map"):
        fast.map(image(), path)
    assert not ran.exists()


def test_of_two_processes_the_first_makes_the_result(tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    fast, path = tiny_models.compiled(), tmp_path / "map.zarr"
    create = result_store.create

    def late(*given):
        monkeypatch.setattr(result_store, "create", create)
        fast.map(image(), path)  # another comes first
        create(*given)

    monkeypatch.setattr(result_store, "create", late)
    found = fast.map(image(), path).load()
    assert result_store.create is create and (found.flag.values != -1).all()
    assert [file.name for file in tmp_path.iterdir()] == ["map.zarr"]


def test_paths_are_those_of_the_system(tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    fast = tiny_models.compiled()
    (tmp_path / "link.zarr").symlink_to("target.zarr")
    for path in ("missing/../map.zarr", "link.zarr", os.fspath(tmp_path / "whole.zarr") + "/"):
        fast.map(image(), path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "map.zarr",
        "link.zarr",
        "target.zarr",
        "whole.zarr",
    }
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        fast.map(image(), "file/map.zarr")


def test_axes_of_any_name_and_spacing_are_kept(tmp_path):
    pytest.importorskip("zarr")
    signal = tiny_models.signals()[0].deepcopy()
    signal.axes_manager[0].name, signal.axes_manager[1].name = "x/nm", ".."
    signal.axes_manager[0].convert_to_non_uniform_axis()
    signal.axes_manager[0].axis = places = np.array([0.0, 1.0, 4.0, 9.0])
    found = tiny_models.compiled().map(signal, tmp_path / "map.zarr")
    assert found.total.dims == ("y", "x_nm")
    np.testing.assert_array_equal(found["x_nm"], places)
    signal.axes_manager[1].convert_to_functional_data_axis(expression="x**2", units="nm")
    found = tiny_models.compiled().map(signal)
    np.testing.assert_array_equal(found["y"], (4.0 * np.arange(5)) ** 2)
    assert found["y"].units == "nm"


def test_a_model_from_its_file_goes_on_with_a_result(tmp_path):
    pytest.importorskip("zarr")
    fast, path = tiny_models.compiled(), tmp_path / "map.zarr"
    expected = fast.map(image(), path).load()
    fast.save(tmp_path / "model.fast")
    other = eb.load_fast(tmp_path / "model.fast")
    xr.testing.assert_identical(other.map(image(), path).load(), expected)


@pytest.mark.parametrize("kind", ["image", "stack", "line", "single"])
def test_results_come_back_from_zarr_as_they_were(tmp_path, kind):
    pytest.importorskip("zarr")
    counts = {"image": image(), "stack": image()[None], "line": image()[0], "single": image()[0, 0]}
    fast = tiny_models.compiled()
    expected = fast.map(counts[kind])
    xr.testing.assert_equal(fast.map(counts[kind], tmp_path / "by_map.zarr").load(), expected)
    expected.to_zarr(tmp_path / "by_xarray.zarr", consolidated=False)
    found = xr.open_zarr(tmp_path / "by_xarray.zarr", consolidated=False).load()
    xr.testing.assert_equal(found, expected)


@pytest.mark.parametrize(
    ("signal", "shift", "message"),
    [
        (3, None, "signal is a int; an EELSSpectrum, lazy or not, or a numpy or dask array"),
        (np.zeros((2, 1600), complex), None, "signal is an array of complex128; real counts"),
        (da.ones((9, 1600))[da.ones(9) > 0], None, "which dask does not know; call signal.comput"),
        (np.zeros((0, 1600)), None, r"signal has shape \(0, 1600\)"),
        (np.ones((2, 50)), None, "signal has 50 channels, and this was compiled for 1600 chann"),
        (np.ones((2, 1600)), [1.0, 2.0], r"shift has shape \(2,\); a finite number, in eV"),
        (np.ones((2, 1600)), np.nan, r"shift has shape \(\); a finite number, in eV"),
    ],
)
def test_what_cannot_be_mapped_is_refused(signal, shift, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tiny_models.compiled().map(signal, shift=shift)


def test_a_signal_on_another_axis_is_refused():
    signal = tiny_models.signals()[0].deepcopy()
    signal.axes_manager[-1].offset += 1.0
    with pytest.raises(ValueError, match=r"of 0.25 eV from 391 eV, and this was compiled for 1600"):
        tiny_models.compiled().map(signal)


def test_without_zarr_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(ImportError, match=r"need the package zarr; pip install 'eels-bayes\[zarr"):
        tiny_models.compiled().map(image(), tmp_path / "map.zarr")
