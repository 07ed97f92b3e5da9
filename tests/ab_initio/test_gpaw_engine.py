"""GPAW as an engine: its input, what it reads back, and GPAW itself where it is installed."""

import json
import sys
from types import SimpleNamespace

import ase
import ase.build
import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import ab_initio, structures
from eels_bayes.ab_initio.gpaw_engine import _with_gpaw
from eels_bayes.ab_initio.gpaw_program import states as states_of

SLAB = structures.cr2tic2("F")
LITHIUM_FLUORIDE = ase.build.bulk("LiF", "rocksalt", a=4.03)
STATES = {
    "format": 1,
    "gpaw": "22.8.0",
    "onset": 690.0,
    "complete": 43.0,
    "energy": [0.0, 3.03, 41.0],
    "strength": [2e-4, 1e-4, 5.0],
}


def states(folder, **changed):
    """A folder with what the script writes."""
    (folder / "states.json").write_text(json.dumps(STATES | changed))
    return folder


def test_the_input_is_a_periodic_cell_with_its_k_points(tmp_path):
    engine = ab_initio.Gpaw(hole=0.5, k_density=2.5, onset=690.0)
    engine.write(tmp_path, SLAB, 6, "K")
    given = json.loads((tmp_path / "site.json").read_text())
    assert (given["symbol"], given["index"], given["hole"]) == ("F", 6, 0.5)
    np.testing.assert_allclose(given["positions"], SLAB.positions)
    np.testing.assert_allclose(given["cell"], SLAB.cell.array)
    # 2 pi / 2.6 angstrom, and 2 pi / 21 angstrom
    assert given["k_points"] == [int(np.ceil(2.5 * 2 * np.pi / (np.sqrt(0.75) * 3.0066)))] * 2 + [1]
    assert given["onset"] == 690.0 and given["xc"] == "PBE" and not any(given["magmoms"])
    compile((tmp_path / "site_by_gpaw.py").read_text(), "site_by_gpaw.py", "exec")


def test_a_molecule_gets_room_and_one_k_point(tmp_path):
    ab_initio.Gpaw().write(tmp_path, ase.Atoms("HF", [[0, 0, 0], [0, 0, 0.917]]), 1, "K")
    given = json.loads((tmp_path / "site.json").read_text())
    np.testing.assert_allclose(np.diag(given["cell"]), [10.0, 10.0, 10.917])
    assert given["k_points"] == [1, 1, 1]
    np.testing.assert_allclose(np.diff(given["positions"], axis=0), [[0, 0, 0.917]])


def test_what_has_no_core_hole_in_1s_is_refused(tmp_path):
    with pytest.raises(ValueError, match="edge is L3; GPAW's core holes are in 1s"):
        ab_initio.Gpaw().write(tmp_path, SLAB, 3, "L3")
    with pytest.raises(ValueError, match="H has no core; its 1s states are valence"):
        ab_initio.Gpaw().write(tmp_path, ase.Atoms("HF", [[0, 0, 0], [0, 0, 1]]), 0, "K")
    with pytest.raises(ValueError, match=r"hole is 0\.7; give 1 or 0\.5"):
        ab_initio.Gpaw(hole=0.7)
    with pytest.raises(ValueError, match="above is 0; a finite number above zero in eV"):
        ab_initio.Gpaw(above=0.0)


def test_a_states_area_is_its_oscillator_strength(tmp_path):
    """Of hydrogen's 1s to 2p: 0.4162 of 109.76 Mbarn eV, at 10.2 eV."""
    length, line = 0.529177, 10.204
    folder = states(tmp_path, onset=line + 1.0, energy=[0.0], strength=[0.5549 * length**2])
    found = ab_initio.Gpaw().read(folder)
    area = np.trapezoid(found.intensity, found.energy) * line / (line + 1.0)
    assert area * 100 == pytest.approx(0.4162 * 109.76, rel=1e-3)  # square angstrom to Mbarn


def test_states_keep_their_places_and_strengths(tmp_path):
    found = ab_initio.Gpaw(above=40.0).read(states(tmp_path))
    assert not found.broadened and found.unit == "angstrom^2" and found.about["gpaw"] == "22.8.0"
    assert found.energy[0] == pytest.approx(680.0) and found.begins_before_the_edge
    assert found.energy[-1] == pytest.approx(729.98)  # the state at 41 eV is not asked for
    strength = found.intensity / found.energy
    inner = found.energy > 691.0
    assert strength[inner].sum() / strength[~inner].sum() == pytest.approx(0.5)
    assert np.average(found.energy[inner], weights=strength[inner]) == pytest.approx(693.03)
    wide = eb.broaden(found, core_hole=0.2, electron=0.0)
    # nothing of the lowest state is taken for an occupied one; a Lorentzian's tails leave the axis
    area = [np.trapezoid(one.intensity, one.energy) for one in (found, wide)]
    assert 0.98 < area[1] / area[0] < 1.0
    assert ab_initio.Gpaw(above=50.0).read(tmp_path).energy[-1] == pytest.approx(732.98)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(STATES)[:-20], "cut off, or no JSON"),
        ("", "cut off, or no JSON"),
        ("[1, 2]", "must hold complete, energy, format"),
        (json.dumps({"format": 1}), "must hold complete, energy, format"),
        (json.dumps(STATES | {"format": 2}), "has the format 2, not 1"),
        (json.dumps(STATES | {"energy": [0.0, 1.0]}), "2 energies and 3 strengths"),
        (json.dumps(STATES | {"energy": [], "strength": []}), "0 energies and 0 strengths"),
        (json.dumps(STATES | {"energy": [0.0, 1.0, None]}), "no finite numbers as energy"),
        (json.dumps(STATES | {"strength": "high"}), "no finite numbers as strength"),
        (json.dumps(STATES | {"strength": [1.0, -1.0, 1.0]}), "a negative energy or strength"),
        (json.dumps(STATES | {"onset": float("nan")}), "no finite numbers as onset"),
        (json.dumps(STATES | {"complete": -1.0}), r"-1\.0 for complete"),
    ],
)
def test_a_result_that_is_not_whole_is_refused(text, words, tmp_path):
    (tmp_path / "states.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        ab_initio.Gpaw().read(tmp_path)


def test_an_interpreter_without_gpaw_is_told_before_any_work(tmp_path, monkeypatch):
    engine = ab_initio.Gpaw(python=str(tmp_path / "absent"))
    with pytest.raises(ImportError, match=r"no GPAW in .*absent: the engine Gpaw needs an interp"):
        ab_initio.fingerprints({"F": SLAB}, "F K", engine=engine, core_hole=0.2)
    with pytest.raises(ab_initio.EngineFailed, match="no GPAW in"):
        engine.run(tmp_path)
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho 5\n")
    other.chmod(0o755)
    with pytest.raises(ImportError, match="no GPAW in"):
        ab_initio.Gpaw(python=str(other)).settings()
    with pytest.raises(ValueError, match="core_hole is missing"):
        ab_initio.fingerprints({"F": SLAB}, "F K", engine=engine)


def test_older_and_newer_amplitudes_are_one_strength():
    """Two k-points of three bands, from states of p type whose matrix elements are known."""
    rng = np.random.default_rng(8301)
    radial = rng.normal(size=(3, 2, 3)) + 1j * rng.normal(size=(3, 2, 3))
    energy = np.arange(6.0).reshape(2, 3)
    older = SimpleNamespace(eps_n=energy.ravel(), sigma_cn=radial.reshape(3, 6), n=3)
    newer = SimpleNamespace(eps_kn=energy, sigma_cmkn=np.sqrt(1 / 3) * radial[:, None])
    for one, other in zip(states_of(older), states_of(newer), strict=True):
        np.testing.assert_allclose(one, other)
    # the angle's part: an integral of z over the sphere between 1 and sqrt(3) z
    z = np.linspace(-1.0, 1.0, 2001)
    angle = np.trapezoid(z * np.sqrt(3.0) * z, z) / 2.0
    np.testing.assert_allclose(angle**2, 1.0 / 3.0, rtol=1e-5)
    np.testing.assert_allclose(states_of(older)[1], angle**2 * (np.abs(radial) ** 2).sum(0), 1e-5)


STAND_IN = """#!{python}
import json, pathlib, sys
if sys.argv[1] == "-c":
    print(json.dumps(["22.8.0", [["F.PBE.gz", {size}]]]))
else:
    {does}
"""


def stand_in(folder, does, size=1):
    """An interpreter that answers as one with GPAW, and does something else."""
    file = folder / f"python{size}"
    file.write_text(STAND_IN.format(python=sys.executable, does=does, size=size))
    file.chmod(0o755)
    return str(file)


def test_the_script_is_run_read_and_kept(tmp_path):
    does = "assert sys.argv[1] == 'site_by_gpaw.py'; "
    does += "assert json.loads(pathlib.Path('site.json').read_text())['symbol'] == 'F'; "
    does += f"pathlib.Path('states.json').write_text({json.dumps(STATES)!r})"
    engine = ab_initio.Gpaw(python=stand_in(tmp_path, does))
    options = {"core_hole": 0.2, "cache": tmp_path / "sites"}
    made = ab_initio.fingerprints({"F": SLAB}, "F K", engine=engine, **options)
    alone = eb.broaden(engine.read(states(tmp_path)), core_hole=0.2)
    np.testing.assert_allclose(made.intensity[0], alone.at(made.energy), rtol=1e-6, atol=1e-12)
    fails = ab_initio.Gpaw(python=stand_in(tmp_path, "raise SystemExit(3)"))  # the same file
    again = ab_initio.fingerprints({"F": SLAB}, "F K", engine=fails, **options)
    np.testing.assert_array_equal(again.intensity, made.intensity)
    other = ab_initio.Gpaw(python=stand_in(tmp_path, "raise SystemExit('no SCF')", size=2))
    with pytest.raises(ab_initio.SitesFailed, match="ended with 1; its last words: no SCF"):
        ab_initio.fingerprints({"F": SLAB}, "F K", engine=other, **options)
    silent = ab_initio.Gpaw(python=stand_in(tmp_path, "print('no memory')", size=3))
    with pytest.raises(ab_initio.SitesFailed, match=r"no states\.json; its last words: no memory"):
        ab_initio.fingerprints({"F": SLAB}, "F K", engine=silent, **options)


def test_settings_tell_what_results_depend_on(tmp_path):
    one, other = (ab_initio.Gpaw(python=stand_in(tmp_path, "pass", size=n)) for n in (1, 2))
    assert one.settings()["gpaw"] == "22.8.0" and "python" not in one.settings()
    assert one.settings()["setups"] != other.settings()["setups"]
    assert one.settings() == ab_initio.Gpaw(python=one.python, seconds=5.0).settings()


def test_gpaw_runs_end_to_end(tmp_path):
    """Lithium fluoride in small: its edge where it is known to be, and as strong."""
    try:
        _with_gpaw(None)
    except ImportError:
        pytest.skip("needs GPAW, in this or another interpreter")
    engine = ab_initio.Gpaw(k_density=1.0, above=18.0)
    made = ab_initio.fingerprints(
        {"LiF": LITHIUM_FLUORIDE}, "F K", engine=engine, core_hole=0.2, cache=tmp_path
    )
    (site,) = made.sites
    assert not site.spectrum.broadened or site.spectrum.about["core_hole_width"] == "0.2 eV"
    onset = float(site.spectrum.about["fermi_level"].split()[0])
    assert 686.0 < onset < 694.0  # measured: 690 to 692 eV
    above = (made.energy > onset + 8.0) & (made.energy < onset + 15.0)
    # tabulated for fluorine above its K edge: 0.4 Mbarn
    assert 2e-3 < made.intensity[0][above].mean() < 8e-3
    assert made.intensity[0][made.energy < onset - 3.0].max() < 2e-4
