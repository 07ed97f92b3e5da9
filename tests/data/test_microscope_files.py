"""What microscopes write is read whole: counts, axes and order, from files written for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import hyperspy.api as hs
import numpy as np
import pytest
from exspy.signals import EELSSpectrum
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import eels_bayes as eb
from eels_bayes.data.hyperspy_io import read_counts
from helpers.microscope_files import IMAGE_TYPE, write_dm, write_msa

SHAPES = {"spectrum": (9,), "line": (4, 9), "map": (2, 3, 9)}
SINGLE = 1e-6  # relative error of what files hold in single precision
OPTIONS: dict[str, Any] = {"window": (532, 572), "background": (480, 525)}

Version = Literal[3, 4]


def in_order(shape: tuple[int, ...], kind: str = "int16") -> NDArray[Any]:
    """No count twice, so that none can change places unseen."""
    first = 0 if kind.startswith("u") else -3
    return (first + np.arange(np.prod(shape))).reshape(shape).astype(kind)


def core_loss(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int32]:
    """Poisson counts of an edge at 532 eV over a power law, 400 channels from 440 eV."""
    energy = 440.0 + 0.5 * np.arange(400)
    mean = 2000 * ((energy / 440) ** -3 + 0.1 * (energy > 532))
    return rng.poisson(np.broadcast_to(mean, (*shape, 400))).astype(np.int32)


def in_memory(counts: NDArray[Any], offset: float, scale: float) -> EELSSpectrum:
    signal = EELSSpectrum(counts)
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = offset, scale, "eV"
    return signal


def paths(tree: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from paths(value, f"{above}{name}.")
        else:
            yield above + name


# DigitalMicrograph


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("kind", ["int16", "int32", "uint16", "float32"])
@pytest.mark.parametrize("what", SHAPES)
def test_hyperspy_reads_counts_axes_and_order(
    tmp_path: Path, version: Version, kind: str, what: str
) -> None:
    counts, path = in_order(SHAPES[what], kind), tmp_path / f"{what}.dm{version}"
    axes: dict[str, Any] = {"energy_offset": -20.0, "energy_scale": 0.25, "scan_step": 1.5}
    write_dm(path, counts, version=version, **axes)
    signal = hs.load(path)
    assert isinstance(signal, EELSSpectrum)
    np.testing.assert_array_equal(signal.data, counts)
    assert signal.data.dtype == kind
    energy = signal.axes_manager.signal_axes[0]
    assert (energy.offset, energy.scale, energy.units) == (-20.0, 0.25, "eV")
    assert energy.name == "Energy loss" and energy.size == counts.shape[-1]
    navigation = signal.axes_manager.navigation_axes
    assert tuple(axis.size for axis in reversed(navigation)) == counts.shape[:-1]
    assert [axis.name for axis in navigation] == ["x", "y"][: len(navigation)]
    assert all((axis.offset, axis.scale, axis.units) == (0, 1.5, "nm") for axis in navigation)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("what", SHAPES)
@pytest.mark.parametrize("lazy", [False, True])
def test_pixels_come_line_by_line(tmp_path: Path, version: Version, what: str, lazy: bool) -> None:
    counts, path = in_order(SHAPES[what]), tmp_path / f"{what}.dm{version}"
    write_dm(path, counts, version=version, energy_offset=440.0, energy_scale=0.3)
    (signal,) = eb.load(path, lazy=lazy)
    raw = read_counts(signal)
    np.testing.assert_array_equal(raw.counts, counts.reshape(-1, counts.shape[-1]))
    assert raw.counts.min() < 0  # dark correction leaves such counts, and they stay
    assert raw.info.shape == counts.shape[:-1]
    assert raw.info.title == what
    assert (raw.axis.offset, raw.axis.scale) == pytest.approx((440.0, 0.3), rel=SINGLE)


@given(
    counts=st.sampled_from(sorted(IMAGE_TYPE)).flatmap(
        lambda kind: hnp.arrays(
            kind,
            hnp.array_shapes(max_dims=3, min_side=2, max_side=6),
            elements={"allow_nan": False} if kind.startswith("float") else None,
        )
    ),
    version=st.sampled_from([3, 4]),
    offset=st.floats(-500, 3000),
    scale=st.floats(0.01, 8),
)
@settings(max_examples=25)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    counts: NDArray[Any],
    version: Version,
    offset: float,
    scale: float,
) -> None:
    path = tmp_path_factory.mktemp("any") / f"any.dm{version}"
    write_dm(path, counts, version=version, energy_offset=offset, energy_scale=scale)
    signal = hs.load(path)
    np.testing.assert_array_equal(signal.data, counts)
    assert signal.data.dtype == counts.dtype
    axis = signal.axes_manager.signal_axes[0]
    assert (axis.offset, axis.scale) == pytest.approx((offset, scale), rel=SINGLE)


# EMSA/MAS


@pytest.mark.parametrize("with_energies", [False, True])
def test_a_text_file_holds_one_spectrum(tmp_path: Path, with_energies: bool) -> None:
    counts, path = in_order((13,), "float32") / 3, tmp_path / "text.msa"
    axis: dict[str, Any] = {"energy_offset": 440.0, "energy_scale": 0.3}
    write_msa(path, counts, **axis, with_energies=with_energies)
    signal = hs.load(path)
    assert isinstance(signal, EELSSpectrum)
    np.testing.assert_array_equal(signal.data, counts)
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 200.0
    raw = read_counts(eb.load(path)[0])
    np.testing.assert_array_equal(raw.counts, counts[None])
    assert (raw.axis.offset, raw.axis.scale, raw.noise) == (440.0, 0.3, eb.Noise())
    assert raw.info.shape == () and raw.info.title == "text"


# What the library makes of it


@pytest.mark.parametrize("write", [write_dm, write_msa])
def test_energies_in_kev_are_those_in_ev(tmp_path: Path, write: Callable[..., None]) -> None:
    counts = in_order((9,), "int32")
    suffix = "dm4" if write is write_dm else "msa"
    write(tmp_path / f"e.{suffix}", counts, energy_offset=440.0, energy_scale=0.3)
    write(
        tmp_path / f"k.{suffix}",
        counts,
        energy_offset=0.44,
        energy_scale=0.0003,
        energy_unit="keV",
    )
    in_ev, in_kev = (read_counts(one) for one in eb.load(str(tmp_path / f"*.{suffix}")))
    np.testing.assert_array_equal(in_kev.counts, in_ev.counts)
    expected = pytest.approx((in_ev.axis.offset, in_ev.axis.scale), rel=SINGLE)
    assert (in_kev.axis.offset, in_kev.axis.scale) == expected
    assert in_kev.info.energy == in_kev.axis


@pytest.mark.parametrize("version", [3, 4])
def test_preprocessed_spectra_are_those_of_the_same_counts_in_memory(
    tmp_path: Path, rng: np.random.Generator, version: Version
) -> None:
    counts, path = core_loss((3, 4), rng), tmp_path / f"map.dm{version}"
    write_dm(path, counts, version=version, energy_offset=440.0, energy_scale=0.5)
    pre = eb.Preprocessor(**OPTIONS)
    found, expected = pre(eb.load(path)), pre(in_memory(counts, 440.0, 0.5))
    assert found.ok.all()
    np.testing.assert_array_equal(found.energy, np.arange(532.0, 572.0, 0.5))
    for name in ("energy", "intensity", "sd", "background", "counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.images[0].shape == (3, 4)
    assert found.images[0].energy[:2] == (440.0, 0.5)
    assert [axis["name"] for axis in found.images[0].axes] == ["y", "x"]


def test_one_series_may_come_in_several_formats(tmp_path: Path, rng: np.random.Generator) -> None:
    counts = core_loss((6,), rng)
    axis: dict[str, Any] = {"energy_offset": 440.0, "energy_scale": 0.5}
    write_dm(tmp_path / "1.dm3", counts[:3], version=3, **axis)
    write_dm(tmp_path / "2.dm4", counts[3:5], version=4, **axis)
    write_msa(tmp_path / "3.msa", counts[5], **axis)
    pre = eb.Preprocessor(**OPTIONS)
    series = pre(eb.load(str(tmp_path / "*")))
    together = pre(in_memory(counts, 440.0, 0.5))
    np.testing.assert_allclose(series.counts, together.counts)
    np.testing.assert_array_equal(series.energy, together.energy)
    assert [image.shape for image in series.images] == [(3,), (2,), ()]
    assert [image.title for image in series.images] == ["1", "2", "3"]


def test_an_image_of_another_offset_has_the_same_energies(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    counts = core_loss((4,), rng)
    write_dm(tmp_path / "1.dm4", counts, energy_offset=440.0, energy_scale=0.5)
    write_dm(tmp_path / "2.dm4", counts[:, 20:], energy_offset=450.0, energy_scale=0.5)
    spectra = eb.Preprocessor(**OPTIONS)(eb.load(str(tmp_path / "*.dm4")))
    first, second = spectra.counts[:4], spectra.counts[4:]
    np.testing.assert_array_equal(first, second)
    assert [image.energy[:2] for image in spectra.images] == [(440.0, 0.5), (450.0, 0.5)]


@pytest.mark.parametrize("unit", ["Counts", "e-", ""])
def test_where_a_count_is_an_electron_its_variance_is_itself(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "counting.dm4"
    counts = in_order((2, 3, 9))
    write_dm(path, counts, energy_offset=440.0, energy_scale=0.5, brightness_unit=unit)
    raw = read_counts(eb.load(path)[0])
    assert raw.noise == eb.Noise()


def test_what_a_count_is_worth_stays_known(tmp_path: Path) -> None:
    path, counts = tmp_path / "camera.dm4", in_order((9,))
    write_dm(
        path,
        counts,
        energy_offset=440.0,
        energy_scale=0.5,
        brightness_scale=0.25,
        brightness_unit="e-",
    )
    (signal,) = eb.load(path)
    tags = signal.original_metadata.ImageList.TagGroup0.ImageData.Calibrations.Brightness
    assert (tags.Scale, tags.Units, tags.Origin) == (0.25, "e-", 0.0)
    assert signal.metadata.Signal.quantity == "Electrons (Counts)"
    np.testing.assert_array_equal(read_counts(signal).counts, counts[None])  # not in electrons


# The files themselves


def test_written_files_tell_what_real_ones_tell(data_dir: Path, tmp_path: Path) -> None:
    for name in ("eels_si.dm4", "eels_spectrum.dm3", "nmc_linescan.dm3"):
        real = hs.load(data_dir / name)
        energy = real.axes_manager.signal_axes[0]
        brightness = real.original_metadata.ImageList.TagGroup0.ImageData.Calibrations.Brightness
        options: dict[str, Any] = {}
        for axis in real.axes_manager.navigation_axes:
            options = {"scan_step": axis.scale, "scan_unit": axis.units}
        write_dm(
            tmp_path / name,
            real.data,
            version=3 if name.endswith("dm3") else 4,
            energy_offset=energy.offset,
            energy_scale=energy.scale,
            brightness_scale=brightness.Scale,
            brightness_unit=brightness.Units,
            **options,
        )
        written = hs.load(tmp_path / name)
        np.testing.assert_array_equal(written.data, real.data)
        assert written.data.dtype == real.data.dtype
        for mine, theirs in zip(written.axes_manager._axes, real.axes_manager._axes, strict=True):
            assert mine.get_axis_dictionary() == pytest.approx(theirs.get_axis_dictionary())
        assert written.metadata.Signal.as_dictionary() == real.metadata.Signal.as_dictionary()
        told, expected = (set(paths(one.metadata.as_dictionary())) for one in (written, real))
        assert expected <= told
        assert told - expected <= {"Acquisition_instrument.TEM.Stage.tilt_beta"}


def test_what_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    axis: dict[str, Any] = {"energy_offset": 0.0, "energy_scale": 1.0}
    with pytest.raises(ValueError, match="counts are complex128; one of int16, float32"):
        write_dm(tmp_path / "no.dm4", np.ones(9, complex), **axis)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 1, 9\); 1 to 3 axes are needed"):
        write_dm(tmp_path / "no.dm4", np.ones((1, 1, 1, 9)), **axis)
    with pytest.raises(ValueError, match=r"shape \(2, 9\); one spectrum is needed"):
        write_msa(tmp_path / "no.msa", np.ones((2, 9)), **axis)
