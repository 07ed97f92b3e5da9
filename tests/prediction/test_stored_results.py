"""Results come back from files as they were: through zarr, netCDF and HyperSpy's own."""

import hyperspy.api as hs
import numpy as np
import pytest
import xarray as xr

from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:(fit|predict):UserWarning")


@pytest.fixture(scope="module")
def pred():
    clf = tiny_models.fitted()
    return clf.predict(tiny_models.spectra(), show_progressbar=False)


def same_signal(found, expected):
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.data.dtype == expected.data.dtype
    for ours, its in zip(found.axes_manager._axes, expected.axes_manager._axes, strict=True):
        assert (ours.name, ours.size, ours.scale) == (its.name, its.size, its.scale)
    about = found.metadata.eels_bayes.as_dictionary(), expected.metadata.eels_bayes.as_dictionary()
    assert about[0] == about[1]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["total", "labels", "probabilities", "flag"])
def test_hspy(pred, tmp_path, name, lazy):
    signal = pred.to_signals()[name][0]
    signal.save(tmp_path / "map.hspy")
    found = hs.load(tmp_path / "map.hspy", lazy=lazy)
    if lazy:
        found.compute(show_progressbar=False)
    same_signal(found, signal)


def test_zspy_where_zarr_is_older_than_3(pred, tmp_path):
    zarr = pytest.importorskip("zarr")
    signal = pred.to_signals()["total"][0]
    if int(zarr.__version__.split(".")[0]) >= 3:
        with pytest.raises(AttributeError, match="NestedDirectoryStore"):  # as the docs say
            signal.save(tmp_path / "map.zspy")
        pytest.skip("HyperSpy cannot write .zspy with zarr 3")
    signal.save(tmp_path / "map.zspy")
    same_signal(hs.load(tmp_path / "map.zspy"), signal)


@pytest.mark.parametrize("image", [None, 1])
def test_zarr(pred, tmp_path, image):
    pytest.importorskip("zarr")
    expected = pred.to_xarray(image)
    expected.to_zarr(tmp_path / "map.zarr", zarr_format=2)
    found = xr.open_zarr(tmp_path / "map.zarr").load()
    xr.testing.assert_equal(found, expected)
    assert found.total.attrs == expected.total.attrs and found.attrs == expected.attrs


@pytest.mark.parametrize("image", [None, 1])
def test_netcdf(pred, tmp_path, image):
    pytest.importorskip("h5netcdf")
    expected = pred.to_xarray(image)
    expected.to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    xr.testing.assert_equal(xr.load_dataset(tmp_path / "map.nc", engine="h5netcdf"), expected)
