"""Files and signals are read whole, or refused with a reason; signals are never changed."""

import re
from pathlib import Path

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
from exspy.signals import EDSTEMSpectrum, EELSSpectrum

import eels_bayes as eb
from eels_bayes.data.hyperspy_io import load, read_counts
from helpers import specimens


def make(shape: tuple[int, ...] = (2, 3), n: int = 20, units: str = "eV") -> EELSSpectrum:
    data = np.arange(np.prod((*shape, n)), dtype=np.float64).reshape(*shape, n)
    signal = EELSSpectrum(data)
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = 100.0, 0.5, units
    signal.metadata.General.title = "made"
    return signal


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 3, 2)])
def test_counts_come_in_navigation_order(shape: tuple[int, ...]) -> None:
    raw = read_counts(make(shape))
    assert raw.counts.dtype == np.float32
    np.testing.assert_array_equal(raw.counts.ravel(), np.arange(raw.counts.size))
    assert raw.info.shape == shape
    assert (raw.axis[:2], raw.noise, raw.stated) == ((100.0, 0.5), eb.Noise(), "")
    assert raw.info.title == "made"
    assert raw.axis.n == raw.counts.shape[1]
    assert raw.info.energy == raw.axis
    assert [axis["size"] for axis in raw.info.axes] == list(shape)


def test_axes_are_numpy_order() -> None:
    signal = make((2, 3))
    signal.axes_manager[0].name, signal.axes_manager[1].name = "x", "y"
    assert [axis["name"] for axis in read_counts(signal).info.axes] == ["y", "x"]


@pytest.mark.parametrize(("units", "factor"), [("eV", 1), ("keV", 1e3), ("meV", 1e-3), ("ev", 1)])
def test_units_are_converted(units: str, factor: float) -> None:
    raw = read_counts(make(units=units))
    assert raw.axis.offset == pytest.approx(100 * factor)
    assert raw.axis.scale == pytest.approx(0.5 * factor)


def test_units_may_only_be_missing_on_eels_signals() -> None:
    assert read_counts(make(units="")).axis.scale == 0.5
    plain = hs.signals.Signal1D(np.ones((2, 5)))
    with pytest.raises(ValueError, match="the signal axis has no units; an energy axis in eV"):
        read_counts(plain)
    plain.axes_manager[-1].units = "nm"
    with pytest.raises(ValueError, match="the signal axis is in 'nm'; an energy axis in eV"):
        read_counts(plain)
    plain.axes_manager[-1].units = "MeV"
    with pytest.raises(ValueError, match="the signal axis is in 'MeV'"):
        read_counts(plain)
    plain.axes_manager[-1].units = "eV"
    assert read_counts(plain).counts.shape == (2, 5)


@pytest.mark.parametrize("kind", ["int16", "uint8", "uint64", "float32", "float64", ">f4"])
def test_any_real_type_is_read(kind: str) -> None:
    signal = EELSSpectrum(np.arange(12).reshape(2, 6).astype(kind))
    np.testing.assert_array_equal(read_counts(signal).counts, np.arange(12).reshape(2, 6))


def test_lazy_signals_chunked_along_energy_are_the_same() -> None:
    signal = make((4, 5), 30)
    lazy = signal.as_lazy()
    lazy.data = da.from_array(signal.data, chunks=(3, 2, 7))
    chunks = lazy.data.chunks
    raw = read_counts(lazy)
    np.testing.assert_array_equal(raw.counts, read_counts(signal).counts)
    assert lazy._lazy
    assert lazy.data.chunks == chunks


def test_the_signal_stays_as_it_is() -> None:
    signal = make()
    data, metadata = signal.data.copy(), signal.metadata.as_dictionary()
    raw = read_counts(signal)
    raw.info.metadata["General"]["title"] = "changed"
    np.testing.assert_array_equal(signal.data, data)
    assert signal.metadata.as_dictionary() == metadata
    frozen = EELSSpectrum(np.ones((2, 5), np.float32))
    frozen.data.flags.writeable = False
    assert read_counts(frozen).counts.flags.writeable


def test_gain_and_readout_are_the_linear_variance_model() -> None:
    signal = make()
    signal.metadata.set_item(
        "Signal.Noise_properties.Variance_linear_model",
        {"gain_factor": 0.5, "gain_offset": 4.0, "correlation_factor": 0.25},
    )
    raw = read_counts(signal)
    assert raw.noise == eb.Noise(0.5, 4.0, 0.0, 0.25) and raw.stated == "Variance_linear_model"
    signal.metadata.Signal.Noise_properties.Variance_linear_model.correlation_factor = 1.5
    assert read_counts(signal).noise == eb.Noise(0.75, 6.0)
    signal.metadata.Signal.Noise_properties.Variance_linear_model.gain_factor = 0.0
    with pytest.raises(ValueError, match=r"a gain of 0, an offset of 4 .* a gain above zero"):
        read_counts(signal)


def test_axes_that_cannot_be_are_refused() -> None:
    descending = make()
    descending.axes_manager[-1].scale = -0.5
    with pytest.raises(ValueError, match=r"a step of -0.5 eV; an ascending axis is needed"):
        read_counts(descending)
    uneven = make()
    uneven.axes_manager[-1].convert_to_non_uniform_axis()
    with pytest.raises(ValueError, match="the energy axis is not uniform; interpolate"):
        read_counts(uneven)


def test_what_is_no_spectrum_is_refused() -> None:
    with pytest.raises(TypeError, match="signal is a ndarray; an EELSSpectrum"):
        read_counts(np.ones((3, 4)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the signal has 2 signal axes"):
        read_counts(hs.signals.Signal2D(np.ones((3, 4))))
    with pytest.raises(TypeError, match="the signal's data are complex128; real counts"):
        read_counts(EELSSpectrum(np.ones((3, 4)) * 1j))


def test_load_sorts_as_people_count_and_always_gives_a_list(tmp_path: Path) -> None:
    for k in (10, 9, 1):
        signal = make()
        signal.metadata.General.title = str(k)
        signal.save(tmp_path / f"area_{k}.hspy")
    found = load(str(tmp_path / "*.hspy"))
    assert [one.metadata.General.title for one in found] == ["1", "9", "10"]
    one = load(tmp_path / "area_9.hspy")
    assert [type(signal).__name__ for signal in one] == ["EELSSpectrum"]
    some = load([tmp_path / "area_10.hspy", str(tmp_path / "area_1.hspy")])
    assert [signal.metadata.General.title for signal in some] == ["10", "1"]
    lazy = load(tmp_path / "area_1.hspy", lazy=True)[0]
    assert lazy._lazy
    np.testing.assert_array_equal(read_counts(lazy).counts, read_counts(one[0]).counts)
    lazy.close_file()


def test_load_makes_plain_energy_spectra_eels(tmp_path: Path) -> None:
    plain = hs.signals.Signal1D(np.ones((2, 5)))
    plain.axes_manager[-1].units = "eV"
    plain.save(tmp_path / "plain.hspy")
    assert load(tmp_path / "plain.hspy")[0].metadata.Signal.signal_type == "EELS"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file matches '.*nothing\*\.dm4'"):
        load(str(tmp_path / "nothing*.dm4"))
    with pytest.raises(ValueError, match="path is empty"):
        load([])
    with pytest.raises(TypeError, match="path is 5; a file name, a pattern"):
        load(5)  # type: ignore[arg-type]
    make().save(tmp_path / "whole.hspy")
    whole = (tmp_path / "whole.hspy").read_bytes()
    broken = tmp_path / "broken.hspy"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=re.escape(str(broken)) + " cannot be read .*truncated"):
        load(broken)
    hs.signals.Signal2D(np.ones((3, 4))).save(tmp_path / "picture.hspy")
    with pytest.raises(ValueError, match=r"picture\.hspy holds .*spectra over an energy axis"):
        load(tmp_path / "picture.hspy")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_maps_are_named(four_pixels: Path, tmp_path: Path, share: float) -> None:
    assert_named_where_truncated(four_pixels, tmp_path, share)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_spectra_are_named(dark_noise: Path, tmp_path: Path, share: float) -> None:
    assert_named_where_truncated(dark_noise, tmp_path, share)


def assert_named_where_truncated(file: Path, tmp_path: Path, share: float) -> None:
    whole = file.read_bytes()
    broken = tmp_path / file.name
    broken.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=re.escape(str(broken)) + " cannot be read"):
        load(broken)


def test_a_real_dm4_brings_its_gain(data_dir: Path) -> None:
    raw = read_counts(load(data_dir / "eels_si.dm4")[0])
    assert raw.counts.shape == (4, 2048)
    assert (raw.axis.offset, raw.axis.scale) == (300.0, 1.0)
    # the file's Brightness.Scale is 0.1285 electrons a count
    assert raw.noise.gain == pytest.approx(1 / 0.1285347, rel=1e-6)
    assert raw.stated == "Brightness.Scale"
    assert raw.counts.min() < 0
    assert raw.info.shape == (2, 2)


def test_a_noise_model_that_the_user_states_outweighs_the_file(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    specimens.four_pixels(tmp_path / "four.dm4", rng)
    (signal,) = load(tmp_path / "four.dm4")
    raw = read_counts(signal)
    assert raw.counts.shape == (4, 2048)
    assert (raw.axis.offset, raw.axis.scale, raw.noise) == (300.0, 1.0, eb.Noise())
    assert raw.counts.min() < 0
    assert raw.info.shape == (2, 2)
    signal.metadata.Signal.Noise_properties.Variance_linear_model.gain_factor = 0.5
    signal.metadata.Signal.Noise_properties.Variance_linear_model.gain_offset = 100.0
    again = read_counts(signal)
    assert again.noise == eb.Noise(0.5, 100.0)
    np.testing.assert_array_equal(again.counts, raw.counts)


# What users bring


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    make().save(tmp_path / "name [1].hspy")
    assert load(tmp_path / "name [1].hspy")[0].data.shape == (2, 3, 20)


def test_an_ending_that_formats_share_is_hyperspys_first(tmp_path: Path) -> None:
    make().save(tmp_path / "map.hspy")
    (tmp_path / "map.hspy").rename(tmp_path / "map.hdf5")
    assert load(tmp_path / "map.hdf5")[0].data.shape == (2, 3, 20)
    with pytest.raises(ValueError, match=r"map\.hdf5 (cannot be read|needs a package)"):
        load(tmp_path / "map.hdf5", file_format="USID")


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    for n in (10, 2):
        make(n=10 + n).save(tmp_path / f"{n}.hspy")
    (tmp_path / "notes.txt2").write_text("nothing to read")
    assert [signal.data.shape[-1] for signal in load(tmp_path)] == [12, 20]
    hs.signals.Signal2D(np.ones((4, 5))).save(tmp_path / "dark field.hspy")
    with pytest.warns(UserWarning, match=r"dark field\.hspy holds .* besides, which are left out"):
        assert len(load(tmp_path)) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no file that HyperSpy reads"):
        load(tmp_path / "empty")


def test_a_file_that_is_a_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "map.zspy").mkdir()
    with pytest.raises(ValueError, match=r"map\.zspy (cannot be read|needs a package)"):
        load(tmp_path / "map.zspy")


def test_x_ray_spectra_are_no_eels_spectra(tmp_path: Path) -> None:
    rays = EDSTEMSpectrum(np.ones((2, 3, 20)))
    rays.axes_manager[-1].units = "keV"
    rays.save(tmp_path / "rays.hspy")
    with pytest.raises(ValueError, match=r"holds <EDSTEMSpectrum.*; EELS spectra over an energy"):
        load(tmp_path / "rays.hspy")


@pytest.mark.parametrize(("units", "factor"), [("Energy Loss (eV)", 1), ("energy (keV)", 1e3)])
def test_units_may_stand_behind_the_quantity(units: str, factor: float) -> None:
    assert read_counts(make(units=units)).axis.offset == pytest.approx(100 * factor)


def test_what_is_masked_is_not_measured() -> None:
    signal = make()
    hidden = np.zeros(signal.data.shape, bool)
    hidden[0, 1, 3] = True
    signal.data = np.ma.array(signal.data, mask=hidden)
    counts = read_counts(signal).counts.reshape(2, 3, 20)
    np.testing.assert_array_equal(np.isnan(counts), hidden)
    np.testing.assert_array_equal(counts[~hidden], signal.data[~hidden])
