"""Core losses and low losses of the same pixels are told apart, paired, or refused."""

from pathlib import Path

import numpy as np
import pytest
from exspy.signals import EDSTEMSpectrum, EELSSpectrum

import eels_bayes as eb


def make(offset: float, title: str = "", shape: tuple[int, ...] = (2, 3)) -> EELSSpectrum:
    signal = EELSSpectrum(np.ones((*shape, 40)))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = offset, 1.0, "eV"
    signal.metadata.General.title = title
    return signal


def titles(signals: list[EELSSpectrum]) -> list[str]:
    return [signal.metadata.General.title for signal in signals]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pairs, as a microscope names them."""
    for k in (2, 10):
        make(500.0, f"core {k}").save(tmp_path / f"{k} core.hspy")
        make(-10.0, f"low {k}").save(tmp_path / f"{k} low.hspy")
    return tmp_path


def test_load_keeps_the_core_loss_and_says_how_to_get_the_rest(folder: Path) -> None:
    with pytest.warns(UserWarning, match=r"2 of 4 EELS signals hold the zero-loss .*eb.load_dual"):
        assert titles(eb.load(folder)) == ["core 2", "core 10"]


def test_low_losses_alone_are_loaded_as_ever(folder: Path) -> None:
    assert titles(eb.load(folder / "2 low.hspy")) == ["low 2"]
    assert titles(eb.load(str(folder / "*core.hspy"))) == ["core 2", "core 10"]


def test_an_axis_that_begins_at_zero_is_no_low_loss(folder: Path) -> None:
    make(0.0, "not calibrated").save(folder / "11.hspy")
    found = eb.load([folder / "2 core.hspy", folder / "11.hspy"])
    assert titles(found) == ["core 2", "not calibrated"]


@pytest.mark.parametrize("offset", [-0.02, -20.0])
def test_units_do_not_matter(folder: Path, offset: float) -> None:
    low = make(offset)
    low.axes_manager[-1].units = "keV"
    low.save(folder / "low.hspy")
    dual = eb.load_dual([folder / "2 core.hspy", folder / "low.hspy"])
    assert len(dual.low_loss) == 1


def test_load_dual_pairs_in_the_order_of_the_files(folder: Path) -> None:
    dual = eb.load_dual(folder)
    assert isinstance(dual, eb.DualEELS)
    assert titles(dual.core_loss) == ["core 2", "core 10"]
    assert titles(dual.low_loss) == ["low 2", "low 10"]
    core_loss, low_loss = eb.load_dual(str(folder / "10*"), lazy=True)
    assert core_loss[0]._lazy and low_loss[0]._lazy
    for signal in (*core_loss, *low_loss):
        signal.close_file()


def test_what_does_not_pair_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"holds 2 core-loss and 0 low-loss signals"):
        eb.load_dual(str(folder / "*core.hspy"))
    make(-10.0, "other", shape=(3, 3)).save(folder / "other.hspy")
    with pytest.raises(
        ValueError, match=r"core loss 0 \('core 2'\) has pixels \(3, 2\), but low loss 0 \('other'"
    ):
        eb.load_dual([folder / "2 core.hspy", folder / "other.hspy"])
    with pytest.raises(ValueError, match=r"no file matches"):
        eb.load_dual(folder / "nothing.dm4")


def test_x_ray_spectra_are_still_left_out(folder: Path) -> None:
    rays = EDSTEMSpectrum(np.ones((2, 3, 20)))
    rays.axes_manager[-1].units = "keV"
    rays.axes_manager[-1].offset = -0.1
    rays.save(folder / "20 rays.hspy")
    with pytest.warns(UserWarning, match=r"20 rays\.hspy holds .* besides, which are left out"):
        assert titles(eb.load_dual(folder).core_loss) == ["core 2", "core 10"]


def test_a_real_pair(data_dir: Path) -> None:
    files = [data_dir / "LSMO_linescan.hspy", data_dir / "LSMO_linescan_low_loss.hspy"]
    core_loss, low_loss = eb.load_dual(files)
    assert core_loss[0].data.shape == (40, 586) and low_loss[0].data.shape == (40, 1024)
    with pytest.warns(UserWarning, match="1 of 2 EELS signals hold the zero-loss peak"):
        assert len(eb.load(files)) == 1
