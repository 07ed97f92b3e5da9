"""Counts at the ends of what single precision holds: read or flagged alike, and without a word."""

import warnings

import numpy as np
import pytest
from exspy.signals import EELSSpectrum

from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:(fit|predict):UserWarning")


def flags(rows):
    """Of the slow path and of the fast one, by the same drift."""
    signal = EELSSpectrum(rows)
    like = tiny_models.signals()[0]
    signal.metadata.add_dictionary(like.metadata.as_dictionary())
    axis, of = signal.axes_manager.signal_axes[0], like.axes_manager.signal_axes[0]
    axis.units, axis.offset, axis.scale = of.units, of.offset, of.scale
    spectra = tiny_models.fitted().preprocessor(signal, show_progressbar=False)
    assert (spectra.shift == 0.0).all()  # nothing of it is the drift's
    return spectra.flag, tiny_models.compiled()(rows, 0.0).flag


@pytest.fixture(autouse=True)
def no_drift(monkeypatch):
    """One huge spectrum draws the drift of its whole image off the axis."""
    monkeypatch.setattr(tiny_models.fitted().preprocessor, "align", None)


def odd(change):
    """Spectra of which the first four are changed."""
    rows = tiny_models.counts().astype(float)
    with np.errstate(all="ignore"):
        rows[:4] = change(rows[:4])
    return rows


@pytest.mark.parametrize("power", [-44, -36, -30, -26, -23, -20, -19])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts_too_small_for_their_squares_are_no_reference(power, dtype):
    slow, fast = flags(odd(lambda rows: rows * 10.0**power).astype(dtype))
    np.testing.assert_array_equal(slow > 0, fast > 0)
    assert (slow[:4] > 0).all() and not slow[4:].any()


@pytest.mark.parametrize("energies", [(400.0, 760.0), (400.0, 700.0)])
def test_counts_too_large_for_their_sum_are_not_finite(energies):
    channels = np.searchsorted(tiny_models.energy(), energies)

    def change(rows):
        rows[:, channels] = 2e38
        return rows

    slow, fast = flags(odd(change))
    np.testing.assert_array_equal(slow > 0, fast > 0)
    assert (slow[:4] > 0).all() and not slow[4:].any()


@pytest.mark.parametrize("power", [33, 37, 39, 290])
def test_counts_that_overflow_are_flagged_and_nothing_is_said_of_it(power):
    rows = odd(lambda rows: rows * 10.0**power)
    rows[:4, 0] = 0.0  # an end that may be filled up: sums are looked at
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slow, fast = flags(rows)
    np.testing.assert_array_equal(slow > 0, fast > 0)
    assert (fast[:4] > 0).all() and not fast[4:].any()
