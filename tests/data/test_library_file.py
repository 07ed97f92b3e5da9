"""Libraries in files: written and read they are the same; nothing else is taken for one."""

import dataclasses
import zipfile

import numpy as np
import pytest

import eels_bayes as eb

ENERGY = np.arange(500.0, 520.0, 0.5)
PEAK = np.exp(-0.5 * ((ENERGY - 510.0) / 2.0) ** 2)


def arrays(**more):
    """What a user would write with numpy."""
    return {"energy": ENERGY, "intensity": [PEAK, 0.5 * PEAK], "label": [0, 1]} | more


def same(one, two):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("values", [None, [3.0, 4.0]])
def test_a_library_comes_back_as_it_was(tmp_path, values):
    library = eb.FingerprintLibrary.from_arrays(
        ENERGY,
        [PEAK, 0.5 * PEAK, PEAK],
        ["Mn³⁺", "none", "Mn³⁺"],
        values=values,
        nuisances=0.1 * PEAK,
        variations=eb.Variations(0.1, 0.3, 0.05),
        value_name="valence",
        value_unit="e",
        value_range=(0.0, np.inf),
        source="a test",
    )
    library.save(tmp_path / "mine.npz")
    same(eb.load_library(tmp_path / "mine.npz"), library)


def test_a_file_of_numpy_is_read(tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays(class_name=["a", "b"], fluorine_fraction=[0.5, 0.0]))
    library = eb.load_library(tmp_path / "mine.npz")
    assert library.class_names == ("a", "b") and library.source == "mine.npz"
    assert (library.value_name, library.value_range) == ("fluorine fraction", (0.0, 1.0))
    np.testing.assert_array_equal(library.values, [0.5, 0.0])
    assert library.variations == eb.Variations()
    np.savez(tmp_path / "named.npz", **arrays(label=["b", "a"]))
    assert eb.load_library(tmp_path / "named.npz").class_names == ("b", "a")


def test_published_fingerprints_are_read(data_dir):
    library = eb.load_library(data_dir / "mxene_f_k_fingerprints.npz")
    assert library.intensity.shape == (12, 240) and library.n_classes == 4
    assert library.class_values.tolist() == sorted(library.class_values.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"intensity": [PEAK]}, "mine.npz holds no library: labels has shape"),
        ({"variations": [0.1, -1.0, 0.0]}, "Variations.broadening"),
        ({"variations": [0.1]}, "mine.npz holds no library: not enough values"),
        ({"value_range": [1.0]}, "value_range must be two numbers"),
        ({"label": [0.5, 1.0]}, "labels has dtype float64"),
    ],
)
def test_arrays_that_are_no_library(tmp_path, more, message):
    np.savez(tmp_path / "mine.npz", **arrays(**more))
    with pytest.raises((TypeError, ValueError), match=message):
        eb.load_library(tmp_path / "mine.npz")


def test_what_is_missing_is_named(tmp_path):
    np.savez(tmp_path / "f.npz", energy=ENERGY, intensity=[PEAK, PEAK])
    with pytest.raises(ValueError, match=r"f\.npz lacks label; it holds energy, intensity"):
        eb.load_library(tmp_path / "f.npz")


def test_objects_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "o.npz", **arrays(class_name=np.array(["a", None], dtype=object)))
    with pytest.raises(ValueError, match=r"o\.npz is no npz file of plain arrays \(Object arrays"):
        eb.load_library(tmp_path / "o.npz")
    (tmp_path / "text.npz").write_text("energy, intensity")
    with pytest.raises(ValueError, match="is no npz file of plain arrays"):
        eb.load_library(tmp_path / "text.npz")
    with pytest.raises(FileNotFoundError):
        eb.load_library(tmp_path / "absent.npz")


def test_a_header_that_is_no_python_is_refused(tmp_path):
    member = b"\x93NUMPY\x01\x00\x10\x00{'descr: '<f8'}  \n"
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.writestr("energy.npy", member)
    with pytest.raises(ValueError, match=r"h\.npz is no npz file of plain arrays"):
        eb.load_library(tmp_path / "h.npz")


def test_a_damaged_file_is_refused_or_read_as_it_was(tmp_path, rng):
    library = eb.FingerprintLibrary.example()
    library.save(tmp_path / "whole.npz")
    data, refused = (tmp_path / "whole.npz").read_bytes(), 0
    for place in rng.integers(len(data), size=40):
        broken = bytearray(data)
        broken[place] ^= 1 << rng.integers(8)
        (tmp_path / "broken.npz").write_bytes(broken)
        try:
            same(eb.load_library(tmp_path / "broken.npz"), library)
        except ValueError:
            refused += 1
    assert refused > 20
    for end in rng.integers(len(data), size=10):
        (tmp_path / "cut.npz").write_bytes(data[:end])
        with pytest.raises(ValueError, match="is no npz file of plain arrays"):
            eb.load_library(tmp_path / "cut.npz")
