"""Libraries from files: an axis that all cover, classes in order, and what cannot be compared."""

import numpy as np
import pytest

import eels_bayes as eb
from helpers import spectrum_files as written

ENERGY, MU = written.curve()


@pytest.fixture
def files(tmp_path):
    for name, factor in (("half", 0.5), ("full", 1.0), ("full2", 1.1)):
        (tmp_path / f"{name}.dat").write_text(written.feff(ENERGY, factor * MU))
    return tmp_path


def test_classes_values_and_source_are_those_of_the_files(files):
    library = eb.FingerprintLibrary.from_files(
        {"full": [files / "full.dat", files / "full2.dat"], "half": str(files / "half.dat")},
        values={"half": 0.25, "full": 0.5},
        value_name="fluorine fraction",
        variations=eb.Variations(shift=1.0),
    )
    assert library.class_names == ("full", "half")
    assert library.labels.tolist() == [0, 0, 1]
    assert library.values.tolist() == [0.5, 0.5, 0.25]
    assert library.source == "full.dat, full2.dat, half.dat"
    assert library.variations.shift == 1.0 and library.value_name == "fluorine fraction"
    np.testing.assert_allclose(np.diff(library.energy), np.diff(ENERGY).min(), rtol=1e-9)
    assert library.energy[0] == pytest.approx(ENERGY[0] + written.EDGE)
    np.testing.assert_allclose(library.intensity[2], 0.5 * library.intensity[0], rtol=1e-6)
    np.testing.assert_allclose(library.intensity[0], 3.8574e-3 * MU, rtol=1e-4)


def test_the_axis_is_what_all_files_cover(files):
    part = eb.Fingerprint(np.linspace(684.0, 700.0, 200), np.ones(200), True, "angstrom^2")
    library = eb.FingerprintLibrary.from_files({"full": files / "full.dat", "flat": part})
    assert library.energy[0] == pytest.approx(684.0)
    assert 699.9 < library.energy[-1] <= 700.0
    assert np.diff(library.energy).mean() == pytest.approx(16.0 / 199)
    chosen = eb.FingerprintLibrary.from_files(
        {"full": files / "full.dat", "flat": part}, energy=np.arange(685.0, 699.0, 0.5)
    )
    assert len(chosen.energy) == 28


def test_arguments_of_reading_hold_for_all_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}_conv.txt").write_text(written.fdmnes(ENERGY, MU, None))
    named = {"a": tmp_path / "a_conv.txt", "b": tmp_path / "b_conv.txt"}
    library = eb.FingerprintLibrary.from_files(named, reading={"zero": 685.0})
    assert library.energy[0] == pytest.approx(677.0)
    with pytest.raises(ValueError, match=r"a_conv\.txt: it does not say where its energies are"):
        eb.FingerprintLibrary.from_files(named)


def test_what_cannot_be_compared_is_refused(files, tmp_path):
    (tmp_path / "raw.txt").write_text(written.fdmnes(ENERGY, MU))
    (tmp_path / "conv.txt").write_text(written.fdmnes(ENERGY + written.EDGE, MU, None))
    full = files / "full.dat"
    make = eb.FingerprintLibrary.from_files
    with pytest.raises(ValueError, match=r"raw\.txt was not broadened, .* eels_bayes\.broaden"):
        make({"a": full, "b": tmp_path / "raw.txt"})
    broad = eb.broaden(eb.read_fingerprint(tmp_path / "raw.txt"), core_hole=0.2)
    with pytest.raises(
        ValueError, match=r"spectra have intensities in 'angstrom.2', 'Mbarn'; give"
    ):
        make({"a": full, "b": broad})
    far = eb.Fingerprint(np.linspace(1.0, 20.0, 50), np.ones(50), True, "angstrom^2")
    with pytest.raises(ValueError, match="no energies in common: the highest begins at 677 eV"):
        make({"a": full, "b": far})
    with pytest.raises(ValueError, match="files is no table; give files by class"):
        make([full])
    with pytest.raises(ValueError, match=r"files\['b'\] is empty; name at least one file"):
        make({"a": full, "b": []})
    with pytest.raises(ValueError, match=r"values are of \['a'\]; give one for each of"):
        make({"a": full, "b": full}, values={"a": 1.0})
    with pytest.raises(TypeError, match=r"files\['a'\] is None; give a file, or several"):
        make({"a": None, "b": full})
    with pytest.raises(TypeError, match="reading is 'zero'; give a table"):
        make({"a": full, "b": full}, reading="zero")
    with pytest.raises(ValueError, match=r"energy has shape \(0,\)"):
        make({"a": full, "b": full}, energy=[])
