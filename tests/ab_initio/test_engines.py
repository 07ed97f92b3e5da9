"""Engines: their inputs, programs that end badly, and FEFF10 run for real on a few atoms."""

import fcntl
import re
import shutil
import sys
import warnings
from pathlib import Path

import ase
import ase.build
import numpy as np
import pytest
from ase.neighborlist import neighbor_list

import eels_bayes as eb
from eels_bayes import ab_initio, structures
from eels_bayes.ab_initio.cluster import around
from eels_bayes.ab_initio.engine import run_logged
from helpers import spectrum_files as written

SLAB = structures.cr2tic2("F")


@pytest.mark.parametrize(
    ("atoms", "index", "radius"),
    [
        (SLAB, 6, 5.0),
        (ase.build.bulk("Cu"), 0, 7.3),
        (ase.build.bulk("MgO", "rocksalt", a=4.21).repeat((2, 1, 1)), 3, 4.5),
        (ase.build.molecule("CH3CH2OH"), 2, 2.5),
    ],
)
def test_a_cluster_is_what_ase_finds_around_the_atom(atoms, index, radius):
    shifted = atoms.copy()
    shifted.positions += 3.3 * np.asarray(atoms.cell.complete())[0]  # atoms outside their cell
    found = around(shifted, index, radius)
    center, other, distance = neighbor_list("ijd", atoms, radius)
    mine = center == index
    assert found.numbers[0] == atoms.numbers[index]
    np.testing.assert_array_equal(found.positions[0], 0.0)
    np.testing.assert_allclose(np.sort(distance[mine]), found.distances[1:], atol=1e-9)
    np.testing.assert_array_equal(np.sort(atoms.numbers[other[mine]]), np.sort(found.numbers[1:]))
    np.testing.assert_allclose(np.linalg.norm(found.positions, axis=1), found.distances)


def test_an_absorber_has_neighbours():
    with pytest.raises(ValueError, match="no atom lies within 1 angstrom of atom 0; give more"):
        around(SLAB, 0, 1.0)
    twice = ase.Atoms("FF", [[0, 0, 0], [0, 0, 0.1]])
    with pytest.raises(ValueError, match=r"an atom lies 0.10 angstrom from atom 0"):
        around(twice, 0, 2.0)


def test_fdmnes_gets_the_cluster_as_a_molecule(tmp_path):
    engine = ab_initio.Fdmnes(sys.executable, radius=2.4, green=True, keywords=("Quadrupole",))
    engine.write(tmp_path, SLAB, 6, "K")
    assert (tmp_path / "fdmfile.txt").read_text() == "1\n\nsite.txt\n"
    text = (tmp_path / "site.txt").read_text()
    assert re.search(r"^Edge\n K$", text, re.M) and re.search(r"^Absorber\n 1$", text, re.M)
    assert "Green\n" in text and "Quadrupole\n" in text and text.endswith("End\n")
    atoms = text.partition("90. 90. 90.\n")[2].partition("\n\n")[0].splitlines()
    rows = np.array([line.split() for line in atoms], dtype=float)
    cluster = around(SLAB, 6, 2.4)
    np.testing.assert_array_equal(rows[:, 0], cluster.numbers)
    np.testing.assert_allclose(rows[:, 1:], cluster.positions, atol=1e-6)


def program(folder: Path, code: str) -> str:
    """A program of the user's, which ends as the code says."""
    file = folder / "fdmnes_linux64"
    file.write_text(f"#!{sys.executable}\n{code}")
    file.chmod(0o755)
    return str(file)


WRITES = """
from pathlib import Path
name = Path("fdmfile.txt").read_text().split()[1]
assert "Molecule" in Path(name).read_text()
Path("out.txt").write_text({text!r})
"""


def test_fdmnes_is_run_read_and_broadened(tmp_path):
    energy, mu = written.curve()
    text = written.fdmnes(energy, mu)
    engine = ab_initio.Fdmnes(program(tmp_path, WRITES.format(text=text)))
    expected = tmp_path / "expected.txt"
    expected.write_text(text)
    alone = eb.broaden(eb.read_fingerprint(expected), core_hole=0.2)
    options = {"core_hole": 0.2, "energy": alone.energy}
    made = ab_initio.fingerprints({"F": SLAB}, "F K", engine=engine, **options)
    # two fluorine atoms to two of chromium
    np.testing.assert_allclose(made.intensity[0], alone.intensity)
    assert made.unit == "Mbarn" and made.sites[0].count == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "print('no convergence'); raise SystemExit(3)",
            "with 3; its last words: no convergence",
        ),
        ("print('Error in Range')", "it wrote no out.txt; its last words: Error in Range"),
        ("open('out.txt', 'w').write('685 9 1 = E_edge, Z\\n Energy <xanes>\\n 1 2\\n 2 ')", "cut"),
    ],
)
def test_the_last_words_of_a_program_are_told(code, words, tmp_path):
    engine = ab_initio.Fdmnes(program(tmp_path, code))
    with pytest.raises(ab_initio.SitesFailed, match=words):
        ab_initio.fingerprints({"F": SLAB}, "F K", engine=engine, core_hole=0.2)


def test_a_program_that_is_none_or_takes_too_long(tmp_path):
    with pytest.raises(ab_initio.EngineFailed, match="does not start"):
        run_logged([str(tmp_path / "absent")], tmp_path, "log", 5.0)
    forever = [sys.executable, "-c", "while True: pass"]
    with pytest.raises(
        ab_initio.EngineFailed, match=r"not done after 0\.001 s; its last words: none"
    ):
        run_logged(forever, tmp_path, "log", 0.001)
    with pytest.raises(ValueError, match="program is 'fdmnes'; the file of FDMNES is needed"):
        ab_initio.Fdmnes("fdmnes")
    with pytest.raises(ValueError, match=r"energies is .*; give begin, step, end"):
        ab_initio.Fdmnes(sys.executable, energies=(0.0, 1.0))


def test_what_a_program_started_ends_with_it(tmp_path):
    """A script's own simulation holds a lock, and would leave a file if it were let to end."""
    lock = tmp_path / "lock"
    lock.touch()
    code = "import fcntl, pathlib, time; held = open('lock'); fcntl.flock(held, fcntl.LOCK_EX); "
    code += "time.sleep(20); pathlib.Path('survived').touch()"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with pytest.raises(ab_initio.EngineFailed, match="not done after 1 s"):
        run_logged([sys.executable, "-c", script], tmp_path, "log", 1.0)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
    assert not (tmp_path / "survived").exists()


def test_files_are_asked_for_and_then_read(tmp_path):
    energy, mu = written.curve()
    engine = ab_initio.Files(
        str(tmp_path / "sites"),
        "xanes.dat",
        inputs=ab_initio.Fdmnes(sys.executable, radius=3.0),
        reading={"zero": 685.0},
    )
    groups = {"F": structures.terminations(SLAB, "F", {"O": 1, "F": 1}), "F2": SLAB}
    options = {"engine": engine, "cache": tmp_path / "cache"}
    with pytest.raises(ab_initio.SitesFailed, match=r"xanes\.dat is not there yet") as told:
        ab_initio.fingerprints(groups, "F K", **options)
    assert len(told.value.failures) == 2
    folders = sorted((tmp_path / "sites").iterdir())
    assert len(folders) == 2
    for number, folder in enumerate(folders, start=1):
        assert ase.io.read(folder / "site.xyz").symbols[0] == "F"
        assert (folder / "site.txt").exists()
        (folder / "xanes.dat").write_text(written.xspectra(energy, number * mu))
    made = ab_initio.fingerprints(groups, "F K", **options)
    peaks = {round(one.spectrum.intensity.max() / mu.max(), 3) for one in made.sites}
    assert peaks == {1.0, 2.0}
    for folder in folders:  # a better result takes the place of one that was read
        (folder / "xanes.dat").write_text(written.xspectra(energy, 3.0 * mu))
    again = ab_initio.fingerprints(groups, "F K", **options)
    for one in again.sites:
        assert one.spectrum.intensity.max() == pytest.approx(3.0 * mu.max(), rel=1e-6)


def test_feffs_input_holds_each_element_around_the_absorber(tmp_path):
    ab_initio.Feff10(radius=4.0, scf=3.2).write(tmp_path, SLAB, 6, "K")
    text = (tmp_path / "feff.inp").read_text()
    assert "EDGE K" in text and "FMS 4\n" in text and "SCF 3.2" in text
    potentials = text.partition("POTENTIALS\n")[2].partition("ATOMS\n")[0].splitlines()
    assert potentials[0] == "0 9 F"
    assert {line.split()[2] for line in potentials} == {"F", "C", "Cr", "Ti"}
    atoms = text.partition("ATOMS\n")[2].splitlines()[:-1]
    assert atoms[0].split()[3:] == ["0", "F"]
    assert len(atoms) == len(around(SLAB, 6, 4.0).numbers)
    kinds = {line.split()[0]: line.split()[2] for line in potentials}
    assert all(kinds[line.split()[3]] == line.split()[4] for line in atoms)
    with pytest.raises(ValueError, match="radius is 0; a finite number above zero in angstrom"):
        ab_initio.Feff10(radius=0.0)


def test_feff10_runs_end_to_end(tmp_path):
    """A few atoms around fluorine: an edge where fluorine has one, and what fails is said."""
    feff10 = pytest.importorskip("feff10", reason="needs the extra feff")

    class Watched(ab_initio.Feff10):
        def read(self, folder):
            shutil.copy(folder / "xmu.dat", tmp_path)
            return super().read(folder)

    engine = Watched(radius=2.6)
    made = ab_initio.fingerprints({"F": SLAB}, "F K", engine=engine, cache=tmp_path)
    found = made.fingerprint("F")
    (site,) = made.sites
    assert site.count == 2 and made.per == "Cr"
    table = feff10.FeffTable.from_file_strict(str(tmp_path / "xmu.dat"))
    np.testing.assert_allclose(site.spectrum.energy, table.column(0), rtol=1e-9)
    scale = site.spectrum.intensity / np.array(table.column(3))
    np.testing.assert_allclose(scale, scale[0], rtol=1e-9)
    assert site.spectrum.about["atomic_number"] == "9" and site.spectrum.about["edge"] == "K"
    # the tabulated F K edge lies at 685 eV; FEFF's own energies are some eV off
    onset = found.energy[np.argmax(found.intensity > 0.5 * found.intensity.max())]
    assert 670.0 < onset < 700.0
    assert found.intensity[0] < 0.1 * found.intensity.max()
    assert 1e-4 < found.intensity.max() < 1e-1  # square angstrom: some hundred thousand barn
    failing = ab_initio.Feff10(radius=2.6, seconds=0.001)
    lone = {"Cl": structures.cr2tic2("Cl")}
    with pytest.raises(ab_initio.SitesFailed, match=r"Cl, structure 0, .* not done after 0\.001 s"):
        ab_initio.fingerprints(lone, "Cl K", engine=failing, cache=tmp_path)


def test_the_built_in_slab_is_at_rest_in_chgnet(tmp_path):
    """Its numbers are CHGNet's, so a relaxation by CHGNet leaves it where it is."""
    pytest.importorskip("chgnet", reason="needs the extra relax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pymatgen and of ASE's older ways
        for termination in ("O", "F"):
            slab = structures.cr2tic2(termination)
            moved, energy = ab_initio.Relaxation("chgnet", force=0.03).relaxed(slab)
            assert np.abs(moved.positions - slab.positions).max() < 0.01
            assert -70.0 < energy < -50.0
