"""Input errors name the argument, what was given and what would do."""

import numpy as np
import pytest

from eels_bayes import validation


def test_interval_takes_any_pair_of_numbers() -> None:
    assert validation.interval("window", (677, 737)) == (677.0, 737.0)
    assert validation.interval("window", np.array([1.5, 2.5])) == (1.5, 2.5)


@pytest.mark.parametrize("value", [None, 5, "ab", (1, 2, 3), (1,), ("a", "b")])
def test_interval_refuses_what_is_no_pair(value: object) -> None:
    with pytest.raises(TypeError, match=r"window is .*a pair \(low, high\) of energies in eV"):
        validation.interval("window", value)


@pytest.mark.parametrize("value", [(2, 1), (1, 1), (0, np.nan), (-np.inf, 1)])
def test_interval_refuses_what_is_not_ascending_and_finite(value: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"window is \(.*\); two finite energies in eV"):
        validation.interval("window", value)


def test_positive() -> None:
    assert validation.positive("unit", np.float32(0.5)) == 0.5
    for value in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"dispersion is .*above zero in eV is needed"):
            validation.positive("dispersion", value, "eV")
    for wrong in ("1", None, [1.0]):
        with pytest.raises(TypeError, match=r"unit is .*a finite number above zero is needed"):
            validation.positive("unit", wrong)


def test_choice() -> None:
    assert validation.choice("align_by", "row", ("row", "pixel")) == "row"
    with pytest.raises(ValueError, match="align_by is 'line'; one of 'row', 'pixel' is needed"):
        validation.choice("align_by", "line", ("row", "pixel"))


def test_axes_are_one_within_a_tenth_of_a_channel() -> None:
    axis = 677.0 + 0.5 * np.arange(120)
    assert validation.same_axis(axis, axis)
    assert validation.same_axis(axis, axis.astype(np.float32))
    assert validation.same_axis(axis, axis + 0.049) and validation.same_axis(axis, axis - 0.049)
    assert not validation.same_axis(axis, axis + 0.051)
    assert not validation.same_axis(axis, axis[:-1])
    assert not validation.same_axis(axis, 677.0 + 0.502 * np.arange(120))  # apart at its end alone
    assert not validation.same_axis(axis, np.where(axis > 700, np.nan, axis))


def test_axes_of_one_channel_must_be_equal() -> None:
    assert validation.same_axis([680.0], [680.0])
    assert not validation.same_axis([680.0], [680.01])
    assert validation.same_axis([], [])


def test_whole() -> None:
    for value in (2, np.int64(2), np.array(2)):
        found = validation.whole("k", value)
        assert found == 2 and type(found) is int
    assert validation.whole("k", 0, 0) == validation.seed(0) == 0
    for value in (0, -3, 2.0, 2.5, np.nan, np.inf):
        with pytest.raises(ValueError, match="k must be a whole number of at least 1, got"):
            validation.whole("k", value)
    for wrong in ("2", b"2", True, np.True_, None, [2], 2j):
        with pytest.raises(TypeError, match="k must be a whole number of at least 1, got"):
            validation.whole("k", wrong)
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0, got -1"):
        validation.seed(-1)


def test_share() -> None:
    assert validation.share("level", np.float32(0.5)) == 0.5
    for value in (0, 1, -0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="level must lie between 0 and 1, got"):
            validation.share("level", value)
    with pytest.raises(TypeError, match=r"level is '0\.5'; a number between 0 and 1 is needed"):
        validation.share("level", "0.5")


def test_not_negative() -> None:
    assert validation.not_negative("shift", 0) == 0.0
    for value in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"shift is .*; give a finite number >= 0"):
            validation.not_negative("shift", value)
    with pytest.raises(TypeError, match="shift is True; a finite number >= 0 is needed"):
        validation.not_negative("shift", True)


def test_numbers() -> None:
    found = validation.numbers("gain", [1, 2.5, np.nan])
    assert found.dtype == np.float64 and found.shape == (3,)
    for wrong in ("ab", [1j], [None], None, [[1.0], [1.0, 2.0]], [True]):
        with pytest.raises(TypeError, match=r"gain is .*; an array of real numbers is needed"):
            validation.numbers("gain", wrong)
