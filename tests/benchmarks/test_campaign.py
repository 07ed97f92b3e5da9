"""The campaign of bad input finds what it looks for, and tries what it says."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import eels_bayes as eb

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from campaign import kinds, programs, spectra, threads

import robustness

ROWS = np.random.default_rng(0).poisson(500.0, (6, 300)).astype(float)


@pytest.mark.parametrize("name", kinds.KINDS)
def test_kinds_change_a_copy_and_keep_the_channels(name):
    before = ROWS[0].copy()
    with np.errstate(all="ignore"):
        made = kinds.KINDS[name](before, np.random.default_rng(1))
    assert np.shape(made) == before.shape
    rows, names = kinds.draw(ROWS, np.random.default_rng(0))
    assert rows.shape == ROWS.shape and len(names) == len(ROWS) and ROWS.min() > 0


@pytest.mark.parametrize("name", kinds.TYPES)
def test_types_stop_at_their_ends(name):
    odd = np.array([[np.nan, np.inf, -np.inf, 1e300, 7.0]])
    found = kinds.of_type(odd, name)
    assert found.dtype == np.dtype(name) and found[0, 4] == 7
    if found.dtype.kind == "f":
        assert np.isnan(found[0, 0]) and np.isposinf(found[0, 1])
    else:
        assert found[0, 2] == np.iinfo(name).min and found[0, 1] == found[0, 3] >= 127


@pytest.mark.parametrize("name", kinds.LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_layouts_hold_the_same_counts(name, dtype):
    rows = ROWS.astype(dtype)
    for given in (rows, rows[0]):
        first = name == "broadcast" and given.ndim > 1
        expected = np.broadcast_to(given[:1], given.shape) if first else given
        np.testing.assert_array_equal(np.asarray(kinds.LAYOUTS[name](given)), expected)


def reading(**changes):
    """Three spectra, the last of them flagged."""
    fields = {
        "probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, np.nan]]),
        "labels": np.array([0, 1, -1]),
        "flag": np.array([0, 0, 4]),
    }
    for name in eb.FastReading._fields:
        fields.setdefault(name, np.array([0.1, 0.1, np.nan]))
    return eb.FastReading(**fields | changes)


def found(one):
    return {what: np.flatnonzero(bad).tolist() for what, bad in spectra.faults(one) if bad.any()}


def test_each_fault_is_found():
    p = reading().probabilities
    assert not found(reading())
    assert found(reading(total=np.array([np.inf, 0.1, np.nan]))) == {"NOT FINITE": [0]}
    assert found(reading(total=np.full(3, 0.1))) == {"NUMBERS WHERE FLAGGED": [2]}
    assert found(reading(labels=np.array([0, 1, 0]))) == {"A LABEL WHERE FLAGGED": [2]}
    assert found(reading(labels=np.array([0, 0, -1]))) == {"NOT THE LIKELIEST LABEL": [1]}
    assert found(reading(probabilities=p * 1.01)) == {"PROBABILITIES OFF ONE": [0, 1]}
    negative = np.array([[1.1, -0.1], *p[1:]])
    assert found(reading(probabilities=negative)) == {"NEGATIVE PROBABILITIES": [0]}


def test_disagreement_is_of_flags_and_of_clear_labels():
    one, flag = reading().probabilities, reading().flag
    other = np.array([[0.1, 0.9], [0.5, 0.5001], [np.nan, np.nan]])
    what = dict(spectra.disagreement(flag, one, np.array([0, 0, 8]), other))
    assert what.pop("READ BY ONE ALONE").tolist() == [False] * 3
    assert what.pop("ANOTHER LABEL").tolist() == [True, False, False]
    assert what.pop(spectra.OTHER_REASONS).tolist() == [False, False, True]
    alone = dict(spectra.disagreement(flag, one, np.array([2, 0, 4]), other))
    assert alone["READ BY ONE ALONE"].tolist() == [True, False, False]


def test_a_difference_of_one_bit_is_another_result():
    one, pred = reading(), reading()
    assert threads.verdicts(one, [pred]) == Counter({threads.SAME: 1})
    moved = reading(novelty=np.nextafter(one.novelty, 1))
    assert threads.verdicts(one, [moved]) == Counter({threads.OTHER: 1})


def test_verdicts_in_capitals_are_defects():
    found = {"a": Counter({"refused": 3, "READ OTHERWISE": 2, "RAISED ValueError: x": 0})}
    assert robustness.defects(found) == 2 and robustness.defects({}) == 0


def test_parts_have_the_same_sizes_when_small():
    for part in robustness.PARTS.values():
        assert part.SIZES.keys() == part.SMOKE.keys() and callable(part.run)
    assert programs.PROGRAMS.keys() == robustness.kills.PROGRAMS.keys()
