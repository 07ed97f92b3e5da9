"""``eels-bayes fingerprints files``: libraries of what codes wrote, and what has to be said."""

import numpy as np
import pytest

import eels_bayes as eb
from helpers import spectrum_files as written

ENERGY, MU = written.curve()


@pytest.fixture
def folder(tmp_path):
    for name, factor in (("a", 1.0), ("b", 0.5), ("c", 0.7)):
        (tmp_path / f"{name}.dat").write_text(written.feff(ENERGY, factor * MU))
        (tmp_path / f"{name}_conv.txt").write_text(written.fdmnes(ENERGY, factor * MU, None))
        (tmp_path / f"{name}_raw.txt").write_text(written.fdmnes(ENERGY, factor * MU))
    return tmp_path


def test_a_library_is_made_of_files(call, folder):
    out = folder / "library.npz"
    classes = [f"full={folder / 'a.dat'}", f"half={folder / 'b.dat'}", f"full={folder / 'c.dat'}"]
    words = ("--values", 1.0, 0.5, "--value-name", "fluorine")
    said = call("fingerprints", "files", *classes, "--window", 670, 700, *words, "--out", out)
    assert said.code == 0, said.err
    assert "3 fingerprints, 670 to 700 eV: full (2), half (1)" in said.out
    library = eb.load_library(out)
    assert library.class_values.tolist() == [1.0, 0.5] and library.value_name == "fluorine"
    np.testing.assert_allclose(np.diff(library.energy), 0.25)
    np.testing.assert_allclose(library.intensity[2], 0.5 * library.intensity[0], rtol=1e-6)


def test_what_files_do_not_say_is_given_by_options(call, folder):
    out = folder / "library.npz"
    relative = [f"{name}={folder / f'{name}_conv.txt'}" for name in "ab"]
    said = call("fingerprints", "files", *relative, "--out", out)
    assert said.code == 2 and "give --zero, the energy loss in eV that they count from" in said.err
    said = call("fingerprints", "files", *relative, "--zero", 685, "--out", out)
    assert said.code == 0, said.err
    assert eb.load_library(out).energy[0] == pytest.approx(677.0)
    sharp = [f"{name}={folder / f'{name}_raw.txt'}" for name in "ab"]
    said = call("fingerprints", "files", *sharp, "--out", out)
    assert said.code == 2 and "no measured edge is so sharp; give --core-hole" in said.err
    said = call(
        "fingerprints", "files", *sharp, "--core-hole", 0.2, "--instrument", 1, "--out", out
    )
    assert said.code == 0, said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{0}",), "names no class; give name=file"),
        (("a={0}", "b={0}", "--values", 1.0), "--values holds 1 numbers; give one for each of"),
        (("a={0}", "b={0}", "--window", 690, 700, "--step", 0), "--step is 0; a finite number"),
        (("a={0}", "b={0}", "--zero", -5), "zero"),
        (("a={0}", "b={0}", "--format", "vasp"), "one of 'feff'"),
        (("a={0}", "b={0}", "--core-hole", 0.2), "--core-hole is given, but all files were broad"),
        (("a={0}", "b={0}", "--broadened", "no"), "the spectrum was broadened by its own account"),
        (("a={1}", "b={1}"), "it states no unit of its energies; give --unit, one of"),
        (("a={1}", "b={1}", "--unit", "eV", "--zero", 0), "give --broadened yes where lifetimes"),
    ],
)
def test_what_cannot_be_is_said_in_options(call, folder, arguments, message):
    (folder / "plain.dat").write_text("690 0\n700 1\n710 1\n")
    files = (folder / "a.dat", folder / "plain.dat")
    given = [str(argument).format(*files) for argument in arguments]
    said = call("fingerprints", "files", *given, "--out", folder / "o.npz")
    assert said.code == 2 and message in said.err and not (folder / "o.npz").exists()
