"""One spectrum from files of codes, databases and instruments, as they write them."""

import gzip
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes.data.fingerprint_reading import FORMATS, READERS, recognised
from helpers import spectrum_files as written

ENERGY, MU = written.curve()
LOSS = ENERGY + written.EDGE
RELATIVE = {"zero": written.EDGE}
PACKED = gzip.compress(b"x", mtime=0)  # the same in every process that names tests

# name of the file, its text, what has to be given, what its intensity is of MU, whether broadened
FILES = {
    "feff": ("xmu.dat", written.feff(ENERGY, MU), {}, 3.8574e-3, True),
    "fdmnes": ("out.txt", written.fdmnes(ENERGY, MU), {}, 1.0, False),
    "fdmnes convolved": ("out_conv.txt", written.fdmnes(ENERGY, MU, None), RELATIVE, 1.0, True),
    "fdmnes absolute": ("out.txt", written.fdmnes(LOSS, MU), {}, 1.0, False),
    "ocean": (
        "absspct_F_.0001_1s_01",
        written.ocean(ENERGY, MU),
        RELATIVE | {"broadened": True},
        1.0,
        True,
    ),
    "xspectra": ("xanes.dat", written.xspectra(ENERGY, MU), RELATIVE, 1.0, True),
    "xspectra spin": ("xanes.dat", written.xspectra(ENERGY, MU, True), RELATIVE, 1.0, True),
    "optados": ("f_core_edge.dat", written.optados(ENERGY, MU), RELATIVE, 0.5, True),
    "optados raw": (
        "f_core_edge.dat",
        written.optados(ENERGY, MU, broadened=False),
        RELATIVE,
        1.0,
        False,
    ),
    "optados spins": ("f_core_edge.dat", written.optados(ENERGY, MU, spins=2), RELATIVE, 0.5, True),
    "telnes": ("case.elnes", written.telnes(ENERGY, MU), RELATIVE, 1.0, False),
    "telnes broadened": ("case.broadspec", written.telnes(ENERGY, MU), RELATIVE, 1.0, True),
    "materials_project": ("mp.json", written.materials_project(ENERGY, MU), {}, 1.0, True),
    "xdi": ("f.xdi", written.xdi(ENERGY, MU), {}, 1.0, True),
    "xdi keV": ("f.xdi", written.xdi(ENERGY, MU, "keV"), {}, 1.0, True),
    "athena": ("f.nor", written.athena(ENERGY, MU), {}, 1.0, True),
    "hyperspy": ("f.msa", written.emsa(ENERGY, MU), {}, 1.0, True),
    "columns": (
        "f.csv",
        "energy (eV),intensity\n"
        + "".join(f"{e:.6f},{m:.9f}\n" for e, m in zip(ENERGY, MU, strict=True)),
        RELATIVE | {"broadened": True},
        1.0,
        True,
    ),
}


def read(tmp_path, name, text, **given):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return eb.read_fingerprint(file, **given)


@pytest.mark.parametrize("case", FILES)
def test_energies_intensities_and_broadening_are_the_files(case, tmp_path):
    name, text, given, factor, broadened = FILES[case]
    found = read(tmp_path, name, text, **given)
    assert found.format == case.split()[0]
    assert found.source == name
    assert found.broadened is broadened
    np.testing.assert_allclose(found.energy, LOSS, atol=5.1e-5)  # FDMNES writes four decimals
    np.testing.assert_allclose(found.intensity, factor * MU, rtol=1e-6)


@pytest.mark.parametrize("case", FILES)
def test_naming_the_format_gives_the_same(case, tmp_path):
    name, text, given, _, _ = FILES[case]
    one = read(tmp_path, name, text, **given)
    other = read(tmp_path, name, text, format=case.split()[0], **given)
    np.testing.assert_array_equal(one.energy, other.energy)
    np.testing.assert_array_equal(one.intensity, other.intensity)


def test_every_format_is_tested():
    assert {case.split()[0] for case in FILES} == set(FORMATS)


PROGRAMS = [case for case in FILES if case.split()[0] not in ("columns", "xdi")]


@pytest.mark.parametrize("case", PROGRAMS)
@settings(max_examples=30)
@given(share=st.floats(0.0, 1.0))
def test_a_file_that_is_cut_off_is_refused(case, share, tmp_path_factory):
    """Anywhere but at the end of a line, where only JSON and EMSA know that more was to come."""
    name, text, given, _, _ = FILES[case]
    whole = text.rstrip().removesuffix("#ENDOFDATA   :") + "#" * text.count("#ENDOFDATA")
    cut = whole[: int(share * (len(whole) - 1))]
    states_its_end = case in ("materials_project", "hyperspy")
    if cut.endswith("\n") and not states_its_end:
        cut = cut[:-1]
    with pytest.raises(ValueError, match=name):
        read(tmp_path_factory.mktemp("cut"), name, cut, **given)


def test_columns_of_people_may_lack_an_end_but_no_digits(tmp_path):
    name, text, given, _, _ = FILES["columns"]
    whole = read(tmp_path, name, text.rstrip(), **given)
    np.testing.assert_allclose(whole.intensity, MU, rtol=1e-6)
    with pytest.raises(ValueError, match=r"the last line, 61, has no end: .* cut off"):
        read(tmp_path, name, text.rstrip()[:-3], **given)
    with pytest.raises(ValueError, match="line 61 holds 1 numbers, the lines above 2; the file is"):
        read(tmp_path, name, text.rstrip().rpartition(",")[0], **given)


@pytest.mark.parametrize(
    ("case", "argument", "message"),
    [
        ("fdmnes convolved", "zero", "where its energies are zero; give zero, the energy loss in"),
        ("ocean", "zero", "give zero"),
        ("ocean", "broadened", "whether the spectrum was broadened; give broadened=True"),
        ("xspectra", "zero", "give zero"),
        ("optados", "zero", "give zero"),
        ("telnes", "zero", "give zero"),
        ("columns", "zero", "give zero"),
        ("columns", "broadened", "give broadened=True"),
    ],
)
def test_what_a_file_does_not_say_is_asked_for(case, argument, message, tmp_path):
    name, text, given, _, _ = FILES[case]
    rest = {key: value for key, value in given.items() if key != argument}
    with pytest.raises(ValueError, match=message):
        read(tmp_path, name, text, **rest)


def test_a_unit_that_no_word_states_is_asked_for(tmp_path):
    text = "".join(f"{e / 13.605693122990:.9f} {m:.9f}\n" for e, m in zip(ENERGY, MU, strict=True))
    with pytest.raises(ValueError, match="no unit of its energies; give unit, one of 'eV', 'keV'"):
        read(tmp_path, "f.dat", text, zero=0.0, broadened=True)
    found = read(tmp_path, "f.dat", text, unit="Ry", zero=written.EDGE, broadened=True)
    np.testing.assert_allclose(found.energy, LOSS, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "given", "message"),
    [
        ("feff", {"unit": "Ry"}, "unit is 'Ry', but the file states eV"),
        ("feff", {"broadened": False}, "broadened is False, but the spectrum was broadened by its"),
        ("fdmnes", {"broadened": True}, "the spectrum was not broadened by its own account"),
        (
            "xdi",
            {"zero": 685.0},
            "zero is 685, but its energies are losses already; leave",
        ),
        ("materials_project", {"zero": 685.0}, "its energies are losses already"),
        ("feff", {"column": "chi"}, "column is 'chi'; one of 'mu', 'mu0' is needed"),
        ("feff", {"unit": "J"}, "unit is 'J'; one of 'eV', 'keV', 'Ry', 'Ha' is needed"),
        ("feff", {"format": "vasp"}, "format is 'vasp'; one of 'feff', 'fdmnes'"),
        ("feff", {"format": "fdmnes"}, "it has several columns; give column"),
        ("fdmnes", {"format": "feff"}, "it has 2 columns, and xmu.dat 6"),
    ],
)
def test_what_contradicts_a_file_is_refused(case, given, message, tmp_path):
    name, text, _, _, _ = FILES[case]
    with pytest.raises(ValueError, match=message):
        read(tmp_path, name, text, **given)


def test_the_threshold_of_feff_and_fdmnes_can_be_put_elsewhere(tmp_path):
    """FEFF's is where k = 0, which is neither the first energy nor that of e = 0."""
    found = read(tmp_path, "xmu.dat", FILES["feff"][1], zero=690.0)
    np.testing.assert_allclose(found.energy, ENERGY + 690.0, atol=1e-3)
    found = read(tmp_path, "out.txt", FILES["fdmnes"][1], zero=690.0)
    np.testing.assert_allclose(found.energy, ENERGY + 690.0, atol=1e-4)


def test_what_files_say_besides_is_kept(tmp_path):
    feff = read(tmp_path, "xmu.dat", FILES["feff"][1])
    assert feff.unit == "angstrom^2"
    assert feff.about["atomic_number"] == "9" and feff.about["edge"] == "K"
    assert feff.about["core_hole_width"] == "0.2089 eV"
    text = FILES["fdmnes"][1].replace(
        "-6.2329036E+00  0.0000000E+00", "-6.2329036E+00 -1.5000000E+00"
    )
    assert read(tmp_path, "out.txt", text).about["fermi_level"] == "683.5000 eV"
    assert read(tmp_path, "out.txt", text, zero=690.0).about["fermi_level"] == "688.5000 eV"
    text = FILES["fdmnes absolute"][1].replace("E+00  0.0000000E+00  1", "E+00 -1.5000000E+00  1")
    assert read(tmp_path, "out.txt", text).about["fermi_level"] == "683.5000 eV"
    qe = read(tmp_path, "xanes.dat", FILES["xspectra"][1], **RELATIVE)
    assert qe.about == {"lorentzian_half_width": "0.8 eV"}
    assert read(tmp_path, "f.xdi", FILES["xdi"][1]).about == {"element": "F", "edge": "K"}
    assert read(tmp_path, "mp.json", FILES["materials_project"][1]).about["edge"] == "K"


def test_several_edges_are_chosen_among(tmp_path):
    text = written.fdmnes(ENERGY, MU, columns=("<xanes_L3>", "<xanes_L2>"))
    with pytest.raises(ValueError, match="several columns; give column, one of 'xanes_L3', 'xanes"):
        read(tmp_path, "out.txt", text)
    found = read(tmp_path, "out.txt", text, column="xanes_L2")
    np.testing.assert_allclose(found.intensity, 2 * MU, rtol=1e-6)
    text = written.optados(ENERGY, MU, edges=("F 1    K1       F:1", "F 2    K1       F:2"))
    with pytest.raises(ValueError, match=r"one of 'F 1 K1 F:1', 'F 1 K1 F:1 unbroadened', 'F 2"):
        read(tmp_path, "core_edge.dat", text, **RELATIVE)
    found = read(tmp_path, "core_edge.dat", text, column="F 2 K1 F:2 unbroadened", **RELATIVE)
    np.testing.assert_allclose(found.intensity, 2 * MU, rtol=1e-6)
    assert found.broadened is False
    text = written.xdi(ENERGY, MU, names=("energy", "i0", "itrans"))
    with pytest.raises(ValueError, match="several columns; give column, one of 'i0', 'itrans'"):
        read(tmp_path, "f.xdi", text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.dat", "", "it is empty"),
        ("f.dat", "# nothing\n", "there are no rows of numbers in it"),
        ("f.dat", b"\x00\x01\x02\xff", "it is no text; formats are feff, fdmnes"),
        (
            "f.prj",
            gzip.compress(b"x", mtime=0),
            "packed, such as an Athena project; export its spectra",
        ),
        ("f.dat", "1 2\n2 nan\n", "intensities hold NaN or infinity"),
        ("f.dat", "1 2\n2 3\n2 4\n", "its energies do not ascend"),
        ("f.dat", "1 2\n", "it holds 1 energies; at least two are needed"),
        ("f.dat", "1 2\nnan nan\n3 4\n", "its energies hold NaN or infinity"),
        ("f.csv", "1,,2\n2,,3\n", "it has several columns; give column, one of '1', '2'"),
        ("f.csv", "1, 2\n2, \n3, 4\n", "line 2 holds 1 numbers, the lines above 2"),
        ("f.csv", "1;\n2;3\n", "line 2 holds 2 numbers, the lines above 1"),
        ("f.csv", ",energy (eV),mu\n0,685,1\n1,686,2\n", "its first column is '', and another"),
        ("f.json", '{"x": [1, 2], "y": [1, 1%s]}' % ("0" * 400), "x and y are no rows of numb"),
        ("f.dat", "1 0\n2 0\n", "its intensities are all zero"),
        ("f.dat", "1 2\n2 ****\n", "line 2 holds a number that did not fit its field: '2 [*]{4}'"),
        ("f.dat", "1 2\n2 3\nSegmentation fault\n", "line 3 is no row of numbers: 'Segmentation"),
        ("f.dat", "1,5 2,5\n2,5 3,5\n", "line 1, '1,5 2,5', can be read in two ways; write points"),
        ("f.dat", "1 2\n2 3\n# next\n1 2\n2 3\n", "it holds 2 tables, one after the other"),
        ("f.dat", "1\n2\n3\n", "it has one column; energies and intensities are needed"),
        ("f.json", "[" * 100_000, "it is no whole JSON"),
        ("f.txt", "here = E_edge, Z\n1 2\n2 3\n", "its first line states no edge and atomic numb"),
        ("f.xdi", "# XDI/1.0\n# Column.1:\n1 2\n2 3\n", "its header does not name column 1 of 2"),
        ("f.nor", "Athena data file\n1 2\n2 3\n", r"its header names the columns \['athena', "),
        ("f.json", '{"spectrum": {"x": [1, 2]}}', "it has no spectrum with x and y"),
        ("f.json", "[{}, {}]", "it holds 2 spectra; one is needed"),
        ("f.json", '{"x": [1, 2], "y": [1]}', r"its x and y have shapes \(2,\) and \(1,\)"),
        ("f.json", '{"x": ["a"], "y": [1]}', "its x and y are no rows of numbers"),
        ("f.xdi", "# XDI/1.0\n# Column.1: energy eV\n1 2\n2 3\n", "does not name column 2 of 2"),
        (
            "f.xdi",
            "# XDI/1.0\n# Column.1: angle degrees\n# Column.2: mu\n1 2\n2 3\n",
            "its first column is 'angle degrees'; energies in eV or keV",
        ),
    ],
)
def test_wrong_files_are_refused_in_words(name, text, message, tmp_path):
    said = {"unit": "eV", "zero": 0.0, "broadened": True}
    with pytest.raises(ValueError, match=message):
        read(tmp_path, name, text, **{} if "json" in name or "xdi" in name else said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("#ENDOFDATA", "#"), "it has no line #ENDOFDATA; the file is cut off"),
        (("#NPOINTS     : 60", "#NPOINTS     : 61"), "it holds 60 points and states 61"),
        (("#DATATYPE    : Y\n", "#DATATYPE    : XY\n"), "it holds 30 points and states 60"),
    ],
)
def test_an_emsa_file_must_hold_what_it_states(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "f.msa", FILES["hyperspy"][1].replace(*change))


def test_fortrans_ways_of_writing_numbers(tmp_path):
    text = "1.0D+00 2.5D-01\n2.0d0 1.234-101\n3. -.5E+0\n"
    found = read(tmp_path, "f.dat", text, unit="eV", zero=0.0, broadened=True)
    np.testing.assert_array_equal(found.energy, [1, 2, 3])
    np.testing.assert_array_equal(found.intensity, [0.25, 1.234e-101, -0.5])


def test_axes_that_fall_are_turned_and_german_columns_read(tmp_path):
    text = "Energie [eV];Intensität\n2,5;1,0\n1,5;0,25\n"
    found = read(tmp_path, "f.csv", text.encode("latin-1"), zero=0, broadened=True)
    np.testing.assert_array_equal(found.energy, [1.5, 2.5])
    np.testing.assert_array_equal(found.intensity, [0.25, 1.0])


def test_an_empty_field_keeps_its_place(tmp_path):
    text = "energy (eV),raw,mu\n1,,5\n2,,6\n"
    found = read(tmp_path, "f.csv", text, zero=0, broadened=True, column="mu")
    np.testing.assert_array_equal(found.intensity, [5, 6])
    with pytest.raises(ValueError, match="intensities hold NaN"):
        read(tmp_path, "f.csv", text, zero=0, broadened=True, column="raw")


@pytest.mark.parametrize(
    "text",
    [
        "energy" + " " * 100_000 + "(" * 100_000 + "\n1 2\n2 3\n",
        "1" * 100_000 + "x\n1 2\n2 3\n",
    ],
)
def test_a_line_without_end_takes_no_time(text, tmp_path):
    found = read(tmp_path, "f.txt", text, unit="eV", zero=0, broadened=True)
    np.testing.assert_array_equal(found.energy, [1, 2])


def test_windows_text_is_read(tmp_path):
    text = "Energie [eV]\tIntensität\r\n1.5\t0.25\r\n2.5\t1.0\r\n"
    for encoding in ("utf-16", "utf-8-sig", "latin-1"):
        found = read(tmp_path, "f.txt", text.encode(encoding), zero=0, broadened=True)
        np.testing.assert_array_equal(found.energy, [1.5, 2.5])


def test_a_word_for_no_is_not_taken_for_yes(tmp_path):
    with pytest.raises(TypeError, match="broadened is 'no'; True, False or None is needed"):
        read(tmp_path, "f.dat", "1 2\n2 3\n", unit="eV", zero=0, broadened="no")


@pytest.mark.parametrize("case", FILES)
def test_one_format_is_recognised_and_no_other(case):
    name, text, _, _, _ = FILES[case]
    form = case.split()[0]
    if form in READERS:
        assert recognised(text, name) == form


def test_the_mean_of_a_map_is_read_from_hyperspys_file(tmp_path):
    import hyperspy.api as hs

    signal = hs.signals.Signal1D(np.random.default_rng(0).random((2, 3, 40)))
    signal.set_signal_type("EELS")
    axis = signal.axes_manager.signal_axes[0]
    axis.offset, axis.scale, axis.units = 0.68, 0.0005, "keV"
    signal.save(tmp_path / "map.hspy")
    found = eb.read_fingerprint(tmp_path / "map.hspy")
    np.testing.assert_allclose(found.energy, 680 + 0.5 * np.arange(40))
    np.testing.assert_allclose(found.intensity, signal.data.mean(axis=(0, 1)))


def test_real_files_are_read(data_dir):
    found = eb.read_fingerprint(data_dir / "LSMO_linescan.hspy")
    assert found.format == "hyperspy" and len(found.energy) == 586
    assert found.energy[0] == pytest.approx(428.5)


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        eb.read_fingerprint(tmp_path / "xmu.dat")
    with pytest.raises(TypeError, match="path is 5; the path of a file is needed"):
        eb.read_fingerprint(5)


@pytest.mark.parametrize("case", FILES)
@settings(max_examples=25)
@given(
    places=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6),
    inserts=st.lists(
        st.sampled_from(["", "\n", "#", " ", ",", "-", "nan", "1e999", "{", "x", "\0", "é", ":"]),
        min_size=6,
        max_size=6,
    ),
    cut=st.integers(0, 12),
)
def test_a_damaged_file_is_read_or_refused_in_words(case, places, inserts, cut, tmp_path_factory):
    """Whatever was put in or left out, wherever: a spectrum of finite numbers, or a ValueError."""
    name, text, given, _, _ = FILES[case]
    header = min(len(text), 1200)  # most of what can be misunderstood is there
    for k, share in enumerate(places):
        at = int(share * (header if k % 2 else len(text)))
        text = text[:at] + inserts[k] + text[at + cut :]
    folder = tmp_path_factory.mktemp("damaged")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of HyperSpy's reader
            found = read(folder, name, text, **given)
    except ValueError as error:
        assert name in str(error)
    else:
        assert np.isfinite(found.energy).all() and np.isfinite(found.intensity).all()
        assert (np.diff(found.energy) > 0).all()
