"""What the benchmark of wrong input brings is what it says, and its verdict is as it says."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("exspy")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import wrong_input as benchmark
from brought import counts, libraries
from brought.sample import sample


@pytest.fixture(scope="module")
def right():
    return sample(3, n_images=1, side=4)


@pytest.mark.parametrize("name", sorted(benchmark.CASES))
def test_each_case_changes_what_it_names_alone(right, name):
    before = [signal.data.copy() for signal in right.signals]
    brought = benchmark.CASES[name](right)
    assert all(np.isfinite(signal.data).all() for signal in brought.signals)
    assert np.isfinite(brought.library.intensity).all()
    for old, signal in zip(before, right.signals, strict=True):
        np.testing.assert_array_equal(signal.data, old)
    energy = [signal.axes_manager[-1].offset for signal in (*right.signals, *brought.signals)]
    same = [
        all(np.array_equal(a, b.data) for a, b in zip(before, brought.signals, strict=True)),
        brought.library is right.library,
        not brought.settings,
        len(set(energy)) == 1,
    ]
    # noise that is given too small is of counts that are multiplied; what is even needs no unit
    several = ("noise given four times too small", "not normalised, evenly bright")
    changed = 2 if name in several else int(name != "right")
    assert same.count(False) == changed


def test_scattering_keeps_what_was_counted(right):
    """But for what is moved beyond the last channel."""
    thick = counts.thick(0.5)(right).signals[0].data.sum(-1)
    assert np.abs(thick / right.signals[0].data.sum(-1) - 1.0).max() < 0.1


def test_half_of_an_image_without_material_has_no_name(right):
    brought = counts.half_without(0.2)(right)
    assert (brought.names[:8] == "").all() and (brought.names[8:] == right.names[8:]).all()
    bright = brought.signals[0].data.sum(-1)
    assert bright[:2].max() < 0.5 * bright[2:].min()


def test_libraries_lack_or_change_what_they_say(right):
    lacking = libraries.without("25 % F")(right).library
    assert set(right.library.class_names) - set(lacking.class_names) == {"25 % F"}
    areas = libraries.of_one_area(right).library.class_spectra.sum(1)
    np.testing.assert_allclose(areas[:3], areas[0], rtol=1e-6)
    assert areas[3] == 0.0  # no edge has no area


def test_silent_is_wrong_and_sure_and_without_a_word():
    row = {"pixels": 9, "accuracy": 0.8, "surely_wrong": 0.1, "said": []}
    assert benchmark.silent(row, 0.95)
    assert not benchmark.silent(row | {"said": ["look"]}, 0.95)
    assert not benchmark.silent(row | {"accuracy": 0.9}, 0.95)
    assert not benchmark.silent(row | {"surely_wrong": 0.01}, 0.95)
    assert not benchmark.silent({"said": [], "pixels": 0}, 0.95)
