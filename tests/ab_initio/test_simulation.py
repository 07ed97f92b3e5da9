"""Fingerprints of ensembles: weights, sums, and what happens where something ends badly."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import permutations
from multiprocessing import get_context
from pathlib import Path

import ase
import ase.constraints
import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

import eels_bayes as eb
from eels_bayes import ab_initio, structures
from eels_bayes.ab_initio.cluster import around
from eels_bayes.ab_initio.ensembles import BOLTZMANN, weights
from eels_bayes.ab_initio.relaxation import relaxation_key
from helpers.toy_engine import ENERGY, Toy, peak

SLAB = structures.cr2tic2()


def ways(fluorine, supercell=(2, 1)):
    sites = 2 * supercell[0] * supercell[1]
    kinds = {"O": sites - fluorine, "F": fluorine}
    return structures.terminations(SLAB, "O", kinds, supercell=supercell)


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "log").mkdir()
    return Toy(str(tmp_path / "log"))


def runs(toy):
    return len(list(Path(toy.log).iterdir()))


def test_a_class_is_the_mean_over_every_configuration_and_site(toy, tmp_path):
    """Against all configurations and all atoms, without any symmetry."""
    made = ab_initio.fingerprints({"half": ways(2), "quarter": ways(1)}, "F K", engine=toy)
    for name, fluorine in (("half", 2), ("quarter", 1)):
        large = SLAB.repeat((2, 1, 1))
        sites = [0, 6, 7, 13]
        total, n = 0.0, 0
        for row in set(permutations([9] * fluorine + [8] * (4 - fluorine))):
            one = large.copy()
            one.numbers[sites] = row
            for atom in np.flatnonzero(one.numbers == 9):
                total = total + peak(Counter(around(one, atom, 3.5).numbers[1:].tolist()))
            n += 1
        np.testing.assert_allclose(made.fingerprint(name).at(ENERGY), total / n / 4, rtol=1e-9)
    assert made.per == "Cr" and made.unit == "Mbarn"


def test_an_edge_grows_with_its_atoms_whatever_the_supercell(toy):
    groups = {
        "all": ways(2, (1, 1)),
        "half": ways(2),
        "none": structures.terminations(SLAB, "O", {"O": 2}),
    }
    made = ab_initio.fingerprints(groups, "F K", engine=toy)
    areas = made.intensity.sum(axis=1)
    assert areas[0] == pytest.approx(2 * areas[1], rel=1e-3)
    assert areas[2] == 0.0
    library = made.library(values={"all": 1.0, "half": 0.5, "none": 0.0}, value_name="fluorine")
    assert library.class_names == ("all", "half", "none") and library.source == "toy"
    assert library.values.tolist() == [1.0, 0.5, 0.0]
    scaled = made.library(highest=2.0)
    assert scaled.intensity.max() == pytest.approx(2.0)
    np.testing.assert_allclose(scaled.intensity * made.intensity.max(), 2.0 * made.intensity)
    by_titanium = ab_initio.fingerprints(groups, "F K", engine=toy, per="Ti")
    np.testing.assert_allclose(by_titanium.intensity, 2 * made.intensity)


def test_boltzmann_factors_weigh_structures(toy):
    found = ways(2)
    for k, one in enumerate(found):
        one.info["energy"] = 0.05 * k
    made = ab_initio.fingerprints({"a": found, "b": ways(1)}, "F K", engine=toy, temperature=600.0)
    counts = np.array(structures.multiplicities(found))
    share = counts * np.exp(-0.05 * np.arange(len(found)) / (BOLTZMANN * 600.0))
    share /= share.sum()
    table = made.table().query("class_name == 'a'")
    for k, one in enumerate(share):
        assert table[table.structure == k].weight.to_numpy() == pytest.approx(one)
        assert table[table.structure == k].energy_above.to_numpy() == pytest.approx(0.05 * k)
    assert table.groupby("structure")["count"].sum().tolist() == [2] * len(found)
    hot = weights("a", found, [0.05 * k for k in range(len(found))], np.inf)
    np.testing.assert_allclose(hot, counts / counts.sum())
    cold = weights("a", found, [0.05 * k for k in range(len(found))], 1.0)
    np.testing.assert_allclose(cold, np.eye(len(found))[0], atol=1e-12)


def test_what_is_missing_or_in_vain_is_refused(toy):
    found = ways(2)
    make = ab_initio.fingerprints
    words = "ensemble of 'half' is incomplete: its structures stand for 4 of 6 configurations"
    assert structures.multiplicities(found) == [2, 2, 2]
    with pytest.raises(ValueError, match=words):
        make({"half": found[:2]}, "F K", engine=toy)
    with pytest.raises(ValueError, match=r"have the compositions .*; give a class for each"):
        make({"half": [ways(1)[0], found[0]]}, "F K", engine=toy)
    with pytest.raises(ValueError, match="structures of 'half' are none"):
        make({"half": []}, "F K", engine=toy)
    with pytest.raises(ValueError, match="temperature is given, but the structures of 'half' have"):
        make({"half": found}, "F K", engine=toy, temperature=300.0)
    with_energy = [one.copy() for one in found]
    for one in with_energy:
        one.info["energy"] = 0.0
    with pytest.raises(ValueError, match="temperature is missing: the energies of structures"):
        make({"half": with_energy}, "F K", engine=toy)
    with pytest.raises(ValueError, match="edge is 'F'; give element and shell"):
        make({"half": found}, "F", engine=toy)
    with pytest.raises(ValueError, match="no structure holds N, whose edge is asked for"):
        make({"half": found}, "N K", engine=toy)
    with pytest.raises(ValueError, match="per is 'Mo', which a structure of 'half' does not hold"):
        make({"half": found}, "F K", engine=toy, per="Mo")
    with pytest.raises(ValueError, match="structures is no table"):
        make(found, "F K", engine=toy)
    twice = [*ways(4, (2, 2))[:2], *ways(4, (2, 2))[1:2], *ways(4, (2, 2))[3:]]
    assert sum(structures.multiplicities(twice)) == 70  # as many as there are, but not those
    with pytest.raises(ValueError, match="structures 1 and 2 of 'half' are the same"):
        make({"half": twice}, "F K", engine=toy)
    with_energy[1].info["energy"] = float("nan")
    with pytest.raises(ValueError, match=r"energies of 'half' are .*nan.*; give finite ones"):
        make({"half": with_energy}, "F K", engine=toy, temperature=300.0)
    del with_energy[1].info["energy"]
    with pytest.raises(ValueError, match="2 of 3 structures of 'half' have energies"):
        make({"half": with_energy}, "F K", engine=toy)
    with pytest.raises(ValueError, match="temperature is -5"):  # though one structure needs none
        make({"half": ways(1)}, "F K", engine=toy, temperature=-5.0)
    with pytest.raises(ValueError, match="energy does not ascend"):
        make({"half": found}, "F K", engine=toy, energy=[690.0, 689.0])
    with pytest.raises(ValueError, match="the axis asked for runs from 1 to 3 eV"):
        make({"half": found}, "F K", engine=Toy(toy.log), energy=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="core_hole is given, but the engine's spectra are"):
        make({"half": found}, "F K", engine=ab_initio.Feff10(), core_hole=0.2)
    with pytest.raises(ValueError, match="core_hole is missing: the engine's spectra are not"):
        make({"half": found}, "F K", engine=ab_initio.Fdmnes(sys.executable))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"structures": {"a": "slab.xyz"}}, "a structure of 'a' is a str; give ase.Atoms"),
        ({"structures": {"a": None}}, "a structure of 'a' is a NoneType; give ase.Atoms"),
        ({"structures": {1: SLAB}}, "structures has the class 1; give names"),
        ({"engine": "feff10"}, "engine is 'feff10'; give one"),
        ({"engine": ab_initio.Feff10}, "engine is <class .*; give one"),
        ({"relax": "chgnet"}, "relax is 'chgnet'; give a Relaxation"),
        ({"executor": 2}, "executor is 2; give one of concurrent.futures"),
    ],
)
def test_what_is_something_else_is_refused(given, words, toy):
    with pytest.raises(TypeError, match=words):
        ab_initio.fingerprints(
            **{"structures": {"half": ways(2)}, "edge": "F K", "engine": toy} | given
        )
    assert runs(toy) == 0


class NoMore:
    """An executor of a computer that starts no more processes."""

    def submit(self, *_):
        raise OSError("no more processes")


class Odd(Toy):
    def settings(self):
        return {"shells": {1, 2}}


def test_executors_and_settings_that_fail_are_said(toy):
    with pytest.raises(ab_initio.SitesFailed, match="not started: no more processes"):
        ab_initio.fingerprints({"half": ways(2)}, "F K", engine=toy, executor=NoMore())
    with pytest.raises(TypeError, match=r"settings hold what JSON does not take: .* set"):
        ab_initio.fingerprints({"half": ways(2)}, "F K", engine=Odd(toy.log))


def test_weights_near_zero_kelvin_are_those_of_the_lowest(toy):
    found = ways(4, (2, 2))
    counts = np.array(structures.multiplicities(found))
    energies = [-500.0, -500.0, -499.9, -499.0, -498.0, -400.0]
    lowest = np.where(np.array(energies) == -500.0, counts, 0) / counts[:2].sum()
    for kelvin in (1e-320, 1e-10, 1.0):
        np.testing.assert_allclose(weights("a", found, energies, kelvin), lowest, atol=1e-12)
    np.testing.assert_allclose(weights("a", found, energies, 1e300), counts / counts.sum())


def test_energies_come_back_from_ases_files(toy, tmp_path):
    found = ways(2)
    for k, one in enumerate(found):
        one.info["energy"] = 0.05 * k
    ase.io.write(tmp_path / "half.xyz", found, format="extxyz")
    again = ase.io.read(tmp_path / "half.xyz", ":")
    with pytest.raises(ValueError, match="temperature is missing"):
        ab_initio.fingerprints({"half": again}, "F K", engine=toy)
    one, other = (
        ab_initio.fingerprints({"half": group}, "F K", engine=toy, temperature=600.0)
        for group in (found, again)
    )
    assert one.table().weight.tolist() == pytest.approx(other.table().weight.tolist())


def test_spectra_of_two_units_are_not_added(tmp_path):
    folder = tmp_path / "elsewhere"
    engine = ab_initio.Files(str(folder), "xmu.dat", reading={"format": "feff"})
    groups = {"half": ways(2), "quarter": ways(1)}
    with pytest.raises(ab_initio.SitesFailed):
        ab_initio.fingerprints(groups, "F K", engine=engine)
    row = "{} {} {} 0.5 0.4 0.0\n"
    table = "".join(row.format(690.0 + k, k, 0.5 * k) for k in range(20))
    for k, place in enumerate(sorted(folder.iterdir())):
        head = "# used to normalize mu 1.0E-03\n" if k else ""
        (place / "xmu.dat").write_text(head + table)
    with pytest.raises(
        ValueError, match=r"spectra have intensities in '.*', '.*'; give them in one"
    ):
        ab_initio.fingerprints(groups, "F K", engine=engine)


def test_what_a_relaxation_holds_makes_its_result_another():
    slab = ase.Atoms("Cu2", [[0, 0, 0], [2.0, 0, 0]])
    held = slab.copy()
    held.set_constraint(ase.constraints.FixAtoms([0]))
    magnetic = slab.copy()
    magnetic.set_initial_magnetic_moments([1.0, -1.0])
    relax = ab_initio.Relaxation(EMT)
    assert len({relaxation_key(relax, one) for one in (slab, held, magnetic)}) == 3


def test_spectra_that_are_not_broadened_need_the_core_holes_width(tmp_path):
    (tmp_path / "log").mkdir()
    sharp = Toy(str(tmp_path / "log"), broadened=False)
    with pytest.raises(ValueError, match="core_hole is missing"):
        ab_initio.fingerprints({"a": ways(1)}, "F K", engine=sharp, cache=tmp_path)
    made = ab_initio.fingerprints(
        {"a": ways(1)}, "F K", engine=sharp, core_hole=0.2, cache=tmp_path
    )
    assert runs(sharp) == 1 and made.fingerprint("a").broadened
    broad = Toy(str(tmp_path / "log"))
    with pytest.raises(ValueError, match="core_hole is given, but the fingerprint was broadened"):
        ab_initio.fingerprints({"a": ways(1)}, "F K", engine=broad, core_hole=0.2)


def test_what_is_there_and_whole_is_not_simulated_again(toy, tmp_path):
    groups = {"half": ways(2), "quarter": ways(1)}
    cache = tmp_path / "cache"
    once = ab_initio.fingerprints(groups, "F K", engine=toy, cache=cache)
    done = runs(toy)
    files = sorted((cache / "sites").iterdir())
    assert done == len(files) == len({one.key for one in once.sites})
    again = ab_initio.fingerprints(groups, "F K", engine=toy, cache=cache)
    assert runs(toy) == done
    np.testing.assert_array_equal(once.intensity, again.intensity)
    half = files[0].read_bytes()
    files[0].write_bytes(half[: len(half) // 2])  # cut off
    files[1].write_bytes(files[1].read_bytes().replace(b"0.", b"1.", 1))  # another number
    ab_initio.fingerprints(groups, "F K", engine=toy, cache=cache)
    assert runs(toy) == done + 2
    assert files[0].read_bytes() == half
    files[0].write_text("[" * 100_000)
    files[1].unlink()
    files[1].mkdir()  # this one cannot be mended, and is said; the others are done
    with pytest.raises(ab_initio.SitesFailed, match=r"1 of .* sites failed.*\n.*IsADirectory"):
        ab_initio.fingerprints(groups, "F K", engine=toy, cache=cache)
    assert runs(toy) == done + 3 and files[0].read_bytes() == half
    files[1].rmdir()
    other = Toy(toy.log, radius=2.5)
    ab_initio.fingerprints(groups, "F K", engine=other, cache=cache)
    assert len(list((cache / "sites").iterdir())) > len(files)


def test_failing_sites_are_named_and_nothing_is_averaged_without_them(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "broken").touch()
    toy = Toy(str(tmp_path / "log"), radius=2.2, unlucky=3, fails=str(tmp_path / "broken"))
    lone = SLAB.copy()
    lone.symbols[0] = "F"
    near = ase.Atoms("FCr", [[0, 0, 0], [0, 0, 2.0]])
    groups = {"slab": lone, "pair": near}
    with pytest.raises(ab_initio.SitesFailed) as failed:
        ab_initio.fingerprints(groups, "F K", engine=toy, cache=tmp_path / "cache")
    words = "EngineFailed: ended with 1; its last words: SCF did not converge"
    assert failed.value.failures == {"slab, structure 0, atom 0": words}
    assert str(failed.value).startswith("1 of 2 sites failed; call again to try them anew:\n")
    assert runs(toy) == 1
    (tmp_path / "broken").unlink()
    made = ab_initio.fingerprints(groups, "F K", engine=toy, cache=tmp_path / "cache")
    assert runs(toy) == 2 and len(made.sites) == 2


KILLED = """
import sys
from helpers.toy_engine import Toy
from eels_bayes import ab_initio, structures

slab = structures.cr2tic2()
ways = structures.terminations(slab, "O", {"O": 4, "F": 4}, supercell=(2, 2))
folder = sys.argv[1]
ab_initio.fingerprints(
    {"half": ways},
    "F K",
    engine=Toy(f"{folder}/log", radius=3.2, unlucky=int(sys.argv[2]), dies=f"{folder}/dies"),
    cache=f"{folder}/cache",
)
"""


def test_a_killed_ensemble_goes_on_where_it_stopped(tmp_path, project_root):
    (tmp_path / "log").mkdir()
    (tmp_path / "dies").touch()
    found = structures.terminations(SLAB, "O", {"O": 4, "F": 4}, supercell=(2, 2))
    toy = Toy(str(tmp_path / "log"), radius=3.2)
    reference = ab_initio.fingerprints({"half": found}, "F K", engine=toy)
    total = runs(toy)
    for file in (tmp_path / "log").iterdir():
        file.unlink()
    # the neighbours of the last sort of site that is simulated
    last = len(around(found[-1], reference.sites[-1].atom, 3.2).numbers) - 1
    paths = {"PYTHONPATH": f"{project_root}:{project_root / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(last)]
    assert subprocess.run(command, env=paths, check=False).returncode == -9
    before = runs(toy)
    assert before < total
    made = ab_initio.fingerprints({"half": found}, "F K", engine=toy, cache=tmp_path / "cache")
    assert runs(toy) == total
    np.testing.assert_array_equal(made.intensity, reference.intensity)


def test_other_processes_give_the_same_and_a_killed_one_is_survived(tmp_path):
    (tmp_path / "log").mkdir()
    groups = {"half": ways(2), "quarter": ways(1)}
    fine = Toy(str(tmp_path / "log"))
    here = ab_initio.fingerprints(groups, "F K", engine=fine)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        there = ab_initio.fingerprints(groups, "F K", engine=fine, executor=pool)
    np.testing.assert_array_equal(here.intensity, there.intensity)
    (tmp_path / "dies").touch()
    deadly = Toy(str(tmp_path / "log"), unlucky=0, dies=str(tmp_path / "dies"))
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(ab_initio.SitesFailed, match="BrokenProcessPool"),
    ):
        ab_initio.fingerprints(
            groups, "F K", engine=deadly, executor=pool, cache=tmp_path / "cache"
        )
    (tmp_path / "dies").unlink()
    made = ab_initio.fingerprints(groups, "F K", engine=deadly, cache=tmp_path / "cache")
    np.testing.assert_array_equal(made.intensity, here.intensity)


LIMITED = """
import resource, sys
from helpers.toy_engine import Toy
from eels_bayes import ab_initio, structures

resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # bytes: less than a result takes
slab = structures.cr2tic2("F")
engine = Toy(f"{sys.argv[1]}/log")
try:
    ab_initio.fingerprints({"all": slab}, "F K", engine=engine, cache=f"{sys.argv[1]}/cache")
except ab_initio.SitesFailed as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_said_and_leaves_nothing(tmp_path, project_root):
    pytest.importorskip("resource", reason="limits of a process are Unix's")
    (tmp_path / "log").mkdir()
    paths = {"PYTHONPATH": f"{project_root}:{project_root / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, env=paths, check=True, capture_output=True, text=True)
    assert "1 of 1 sites failed" in done.stdout and "not written" in done.stdout
    assert list((tmp_path / "cache" / "sites").iterdir()) == []
    toy = Toy(str(tmp_path / "log"))
    slab = structures.cr2tic2("F")
    ab_initio.fingerprints({"all": slab}, "F K", engine=toy, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "sites").iterdir())) == 1


def test_variations_are_the_ensembles_own_spread():
    from eels_bayes.ab_initio.ensemble_spread import differences, spread

    rows = np.stack([peak({1: n}) for n in (0, 10, 20)]) * np.array([[0.9], [1.0], [1.1]])
    share = np.array([0.25, 0.5, 0.25])
    strength, shift, _ = differences(ENERGY, rows, share @ rows)
    np.testing.assert_allclose(shift - shift[1], [-0.1, 0.0, 0.1], atol=0.01)
    np.testing.assert_allclose(strength / strength[1], [0.9, 1.0, 1.1], atol=0.01)
    found = spread(ENERGY, [(rows, share)])
    assert found.shift == pytest.approx(0.1 * np.sqrt(0.5), abs=0.01)
    assert found.intensity == pytest.approx(0.1 * np.sqrt(0.5), abs=0.01)
    assert spread(ENERGY, [(rows[:1], np.ones(1))]) is None


def test_structures_are_relaxed_once_and_their_energies_weigh(toy, tmp_path):
    slab = ase.Atoms("Cu4O", [[0, 0, 0], [2.6, 0, 0], [0, 2.6, 0], [2.6, 2.6, 0], [1.3, 1.3, 1.1]])
    other = slab.copy()
    other.positions[4] = [1.3, 0.0, 1.6]
    relax = ab_initio.Relaxation(EMT, force=0.02)
    options = {"engine": toy, "relax": relax, "cache": tmp_path / "cache"}
    made = ab_initio.fingerprints({"a": [slab, other]}, "O K", temperature=2000.0, **options)
    energies = []
    for one in (slab, other):
        moved, energy = relax.relaxed(one)
        assert np.abs(moved.positions - one.positions).max() > 0.01
        moved.calc = EMT()
        assert np.linalg.norm(moved.get_forces(), axis=1).max() <= 0.02
        assert moved.get_potential_energy() == pytest.approx(energy)
        energies.append(energy)
    above = np.array(energies) - min(energies)
    factors = np.exp(-above / (BOLTZMANN * 2000.0))
    by_structure = {one.structure: one.weight for one in made.sites}
    np.testing.assert_allclose(
        [by_structure[0], by_structure[1]], factors / factors.sum(), rtol=1e-6
    )
    assert made.source == "toy, relaxed by ase.calculators.emt.EMT"
    assert len(list((tmp_path / "cache" / "relaxed").iterdir())) == 2


def test_a_relaxation_that_does_not_end_is_named(toy):
    stuck = ab_initio.Relaxation(LennardJones, force=1e-9, steps=1)
    far = ase.Atoms("FCr", [[0, 0, 0], [0, 0, 1.3]])
    near = ase.Atoms("FCr", [[0, 0, 0], [0, 0, 1.2]])
    with pytest.raises(ab_initio.SitesFailed, match=r"far, structure 0: EngineFailed: not relaxed"):
        ab_initio.fingerprints({"far": far}, "F K", engine=toy, relax=stuck)
    with pytest.raises(ValueError, match="calculator is 'vasp'; one of 'chgnet' is needed"):
        ab_initio.Relaxation("vasp")
    with pytest.raises(TypeError, match="calculator is a int; give 'chgnet' or a function"):
        ab_initio.Relaxation(3)
    with pytest.raises(ValueError, match="label is missing: the calculator's function has no name"):
        ab_initio.Relaxation(lambda: EMT())
    named = ab_initio.Relaxation(lambda: EMT(), label="EMT of ASE")
    assert named.settings()["calculator"] == "EMT of ASE"
    with pytest.raises(ValueError, match="temperature is missing"):  # before any work
        ab_initio.fingerprints({"a": [far, near]}, "F K", engine=toy, relax=stuck)


def test_a_library_needs_two_classes_and_a_value_for_each(toy):
    made = ab_initio.fingerprints({"half": ways(2)}, "F K", engine=toy)
    with pytest.raises(ValueError, match="class"):
        made.library()
    with pytest.raises(ValueError, match=r"values are of \['other'\]; give one for each class"):
        made.library(values={"other": 1.0})
    with pytest.raises(ValueError, match="class_name is 'other'; one of 'half' is needed"):
        made.fingerprint("other")
    assert isinstance(made.fingerprint("half"), eb.Fingerprint)
