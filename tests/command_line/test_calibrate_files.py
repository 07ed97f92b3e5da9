"""``calibrate``: axes on which an edge stands right, in files of their own."""

import hyperspy.api as hs
import numpy as np
import pytest

import eels_bayes as eb


@pytest.fixture
def off(series, tmp_path):
    """Two files of one series whose axis stands 6.5 eV too low, in a folder."""
    for k, signal in enumerate(series.signals[:2]):
        moved = signal.deepcopy()
        moved.axes_manager[-1].offset -= 6.5
        moved.save(tmp_path / f"image_{k}.hspy")
    return tmp_path


def first_energy(file):
    return hs.load(file).axes_manager[-1].offset


def test_files_are_those_of_calibrate_axis(call, off, series):
    given = (off, "--edge", "Cr_L3", "--out", off / "right")
    said = call("calibrate", *given, "--json")
    assert said.code == 0, said.err
    signals = eb.load(off)
    for k, moved in enumerate(eb.calibrate_axis(signals, edge="Cr_L3")):
        file = off / "right" / f"image_{k}.hspy"
        assert said.values["files"][k] == str(file)
        assert first_energy(file) == pytest.approx(moved.axes_manager[-1].offset)
        np.testing.assert_array_equal(hs.load(file).data, series.signals[k].data)
        assert first_energy(off / f"image_{k}.hspy") == pytest.approx(383.5)  # stays as it is
    record = moved.metadata.eels_bayes.axis_calibration.as_dictionary()
    assert {name: said.values[name] for name in record} == pytest.approx(record)
    assert abs(record["moved"] - 6.5) < 2.0  # chemistry, and drift among the images
    said = call("calibrate", *given)
    assert f"axis moved by {record['moved']:+.2f} eV" in said.out
    assert "and stands at 575 eV" in said.out and "--energy gives that of yours" in said.out


def test_an_edge_may_be_where_it_lies(call, off):
    given = (off / "image_0.hspy", "--edge", 560, 590, "--energy", 577, "--feature", "maximum")
    said = call("calibrate", *given, "--out", off / "right", "--json")
    assert said.code == 0, said.err
    assert said.values["edge"] == [560.0, 590.0] and said.values["feature"] == "maximum"
    again = call("calibrate", off / "right", *given[1:], "--out", off / "twice", "--json")
    assert abs(again.values["moved"]) < 0.05


def test_the_zero_loss_peak(call, data_dir, tmp_path):
    low = data_dir / "LSMO_linescan_low_loss.hspy"
    for edge in (("zero loss",), ("zero", "loss")):
        said = call("calibrate", low, "--edge", *edge, "--out", tmp_path)
        assert said.code == 0 and "the zero-loss peak stood at 3.2" in said.out
        assert "--energy" not in said.out


def test_files_of_one_name_are_numbered(call, off, series):
    (off / "more").mkdir()
    series.signals[2].save(off / "more" / "image_0.hspy")
    files = (off / "image_0.hspy", off / "image_1.hspy", off / "more" / "image_0.hspy")
    said = call("calibrate", *files, "--edge", "Cr_L3", "--out", off / "right", "--json")
    names = ["image_0_0.hspy", "image_1.hspy", "image_0_1.hspy"]
    assert said.values["files"] == [str(off / "right" / name) for name in names]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--edge", "Cr_L3", "--out", "."), "image_0.hspy would be replaced by itself; name an"),
        (("--edge", "Cr_L3", "--out", "image_0.hspy"), "image_0.hspy is a file; name a folder"),
        (("--edge", "Qq_L3", "--out", "o"), "--edge is 'Qq_L3'; two energies, 'zero loss', or a"),
        (("--edge", 500, 520, "--out", "o"), "--energy is needed, where it shall stand"),
        (("--edge", "O_K", "--feature", "maximum", "--out", "o"), "--energy is needed, as tables"),
        (
            ("--edge", "Mn_L3", "--out", "o"),
            "; look at the mean spectrum, and give --edge LOW HIGH",
        ),
        (("--edge", "Cr_L2", "--out", "o"), "or give two energies around the rise of Cr_L2"),
        (("--edge", "Al_K", "--out", "o"), "0 channels of the energy axis"),
        (("--edge", "Cr_L3", "--energy", "nan", "--out", "o"), "energy is nan; a finite energy"),
    ],
)
def test_what_cannot_be_calibrated(call, off, monkeypatch, given, message):
    monkeypatch.chdir(off)
    said = call("calibrate", "image_0.hspy", *given)
    assert said.code == 2 and message in said.err, said.err
    assert said.err.count("\n") == 1 and not (off / "o").exists()
