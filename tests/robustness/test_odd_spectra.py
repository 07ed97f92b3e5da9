"""Counts at the ends of what single precision holds: read or flagged alike, and without a word."""

import warnings

import numpy as np
import pytest
from exspy.signals import EELSSpectrum

import eels_bayes as eb
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:(fit|predict):UserWarning")


@pytest.fixture(scope="module")
def flags():
    """Of the slow path and of the fast one, without drift.

    One huge spectrum would draw that of its whole image off the axis.
    """
    pre = eb.Preprocessor((677, 737), 1.0, background=(600, 675), normalize=(570, 592.5))
    spectra = pre(tiny_models.signals(), show_progressbar=False)
    clf = tiny_models.unfitted().fit(spectra, show_progressbar=False)
    fast = clf.compile(pre, energy=tiny_models.energy(), show_progressbar=False)

    def found(rows):
        signal = EELSSpectrum(rows)
        like = tiny_models.signals()[0]
        signal.metadata.add_dictionary(like.metadata.as_dictionary())
        axis, of = signal.axes_manager.signal_axes[0], like.axes_manager.signal_axes[0]
        axis.units, axis.offset, axis.scale = of.units, of.offset, of.scale
        return clf.preprocessor(signal, show_progressbar=False).flag, fast(rows, 0.0).flag

    return found


def odd(change):
    """Spectra of which the first four are changed."""
    rows = tiny_models.counts().astype(float)
    with np.errstate(all="ignore"):
        rows[:4] = change(rows[:4])
    return rows


@pytest.mark.parametrize("power", [-44, -36, -30, -26, -23, -20, -19])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts_too_small_for_their_squares_are_no_reference(flags, power, dtype):
    slow, fast = flags(odd(lambda rows: rows * 10.0**power).astype(dtype))
    np.testing.assert_array_equal(slow > 0, fast > 0)
    assert (slow[:4] > 0).all() and not slow[4:].any()


@pytest.mark.parametrize("energies", [(400.0, 760.0), (400.0, 700.0)])
def test_counts_too_large_for_their_sum_are_not_finite(flags, energies):
    channels = np.searchsorted(tiny_models.energy(), energies)

    def change(rows):
        rows[:, channels] = 2e38
        return rows

    slow, fast = flags(odd(change))
    np.testing.assert_array_equal(slow > 0, fast > 0)
    assert (slow[:4] > 0).all() and not slow[4:].any()


@pytest.mark.parametrize("power", [33, 37, 39, 290])
def test_counts_that_overflow_are_flagged_and_nothing_is_said_of_it(flags, power):
    rows = odd(lambda rows: rows * 10.0**power)
    rows[:4, 0] = 0.0  # an end that may be filled up: sums are looked at
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slow, fast = flags(rows)
    np.testing.assert_array_equal(slow > 0, fast > 0)
    assert (fast[:4] > 0).all() and not fast[4:].any()
