"""Saturated channels, masked ones and integers that wrapped are not taken for counts."""

import math
from typing import Any

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import eels_bayes as eb
from eels_bayes.data.detector_limits import below_ceiling, countable, measured_counts
from eels_bayes.data.hyperspy_io import read_counts

OPTIONS: dict[str, Any] = {"background": (600, 675), "normalize": (570, 592.5)}


def decaying(rng: np.random.Generator, brightest: float, n: int = 30) -> NDArray[Any]:
    """Poisson counts (n, 400) of a power law."""
    return rng.poisson(brightest * (1 + np.arange(400) / 200.0) ** -3, (n, 400))


@given(st.floats(0.01, 1e6), st.sampled_from([1, 2, 30]), st.integers(0, 2**32 - 1))
def test_counts_that_nothing_cuts_off_stay_what_they_are(
    brightest: float, n: int, seed: int
) -> None:
    counts = decaying(np.random.default_rng(seed), brightest, n)
    for gain in (1.0, 7.78):
        found, limits = measured_counts(gain * counts)
        np.testing.assert_array_equal(found, (gain * counts).astype(np.float32))
        assert math.isinf(limits.ceiling) and limits.words(n) == ""


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int32])
def test_a_ceiling_is_found_and_what_reaches_it_is_lost(
    rng: np.random.Generator, dtype: type
) -> None:
    counts = decaying(rng, 5000.0).astype(dtype)
    clipped = np.minimum(counts, 4000)
    found, limits = measured_counts(clipped)
    over = counts >= 4000
    np.testing.assert_array_equal(np.isnan(found), over)
    np.testing.assert_array_equal(found[~over], counts[~over])
    assert limits == (4000.0, 30, 0) and over.any(1).all()
    assert "30 of 30 spectra have channels at 4000 counts" in limits.words(30)


def test_the_largest_integer_is_a_limit_even_once(rng: np.random.Generator) -> None:
    counts = decaying(rng, 3e4).astype(np.uint16)
    counts[3, 200] = 65535
    found, limits = measured_counts(counts)
    assert np.argwhere(np.isnan(found)).tolist() == [[3, 200]] and limits.saturated == 1
    # a number like any other where the type holds larger ones
    found, limits = measured_counts(counts.astype(np.uint32))
    assert np.isfinite(found).all() and limits.saturated == 0


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_integers_that_wrapped_are_lost(rng: np.random.Generator, dtype: type) -> None:
    most = float(np.iinfo(dtype).max)
    counts = decaying(rng, 1.2 * most)
    counts[:10] = decaying(rng, 0.9 * most, 10)
    counts[10, 100] += int(0.9 * most)  # a spike is one channel
    wrapped = counts > most
    found, limits = measured_counts(counts.astype(dtype))
    whole = wrapped.any(1)
    assert whole.sum() == 20 and np.isnan(found[whole]).all()
    assert limits.wrapped == 20 and "20 of 30 spectra jump" in limits.words(30)
    assert not np.isnan(found[:10]).any()
    # as floats they are counts
    assert measured_counts(counts.astype(float))[1].wrapped == 0


def test_borders_of_zeros_are_no_wrapped_integers(rng: np.random.Generator) -> None:
    counts = decaying(rng, 6e4).astype(np.uint16)
    counts[:, :30] = 0
    assert np.isfinite(measured_counts(counts)[0]).all()


def test_what_is_masked_is_not_measured(rng: np.random.Generator) -> None:
    counts = np.ma.masked_greater(decaying(rng, 5000.0), 4500)
    mask = np.ma.getmaskarray(counts)
    assert mask.any()
    for found in (measured_counts(counts)[0], countable(counts)):
        np.testing.assert_array_equal(np.isnan(found), mask)
        np.testing.assert_array_equal(found[~mask], counts.data[~mask])
    # what is masked says nothing of a ceiling
    clipped = np.ma.array(np.minimum(counts.data, 4500), mask=mask)
    assert measured_counts(clipped)[1].saturated == 0
    assert countable([1, 2, 3]).dtype.kind == "i"


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_channels_and_odd_values_are_read(n: int) -> None:
    for value in (0.0, -5.0, np.nan, np.inf, 65535):
        found, limits = measured_counts(np.full((2, n), value))
        np.testing.assert_array_equal(found, np.full((2, n), value, np.float32))
        assert limits.saturated == 0
    assert measured_counts(np.full((2, n), 65535, np.uint16))[0].shape == (2, n)


def test_a_signal_says_what_was_lost(series: eb.simulate.Series) -> None:
    signals = [signal.deepcopy() for signal in series.signals]
    brightest = signals[0].data.max()
    signals[0].data = np.minimum(signals[0].data, 0.8 * brightest)
    lost = np.isnan(read_counts(signals[0]).counts)
    assert lost.any() and not lost.all(1).any()
    pre = eb.Preprocessor((677, 737), 0.5, noise=(1.0, 0.0), **OPTIONS)
    with pytest.warns(UserWarning, match=r"counts: \d+ of \d+ spectra have channels at .* flagged"):
        spectra = pre(signals)
    assert float(pre.ceiling) == np.float32(0.8 * brightest)
    needed = lost[:, signals[0].axes_manager[-1].value2index(570.5) :].any(1)
    assert not spectra.ok[: len(lost)][needed].any()
    assert needed.any() and "! 80 of 80 spectra have channels at" in pre.summary(signals[0])


def test_a_masked_signal_is_read_without_what_is_masked() -> None:
    masked = hs.signals.Signal1D(np.ones((2, 2)))
    masked.axes_manager[-1].units = "eV"
    masked.data = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[True, False], [False, False]])
    found = read_counts(masked).counts
    assert np.isnan(found[0, 0]) and found[1].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(("step", "width"), [(0.5, 1.0), (0.25, 0.6), (0.1, 0.25), (0.05, 0.5)])
def test_a_zero_loss_peak_is_no_wrapped_integer(
    rng: np.random.Generator, step: float, width: float
) -> None:
    energy = step * np.arange(-300, 300)
    centre = rng.uniform(-step, step, (40, 1))
    peak = 6e4 * np.exp(-4 * np.log(2) * ((energy - centre) / width) ** 2) + 40.0
    counts = np.minimum(rng.poisson(peak), 65000).astype(np.uint16)
    found, limits = measured_counts(counts)
    assert limits.wrapped == 0 and np.isfinite(found[counts < 65000]).all()


@given(st.floats(0.02, 8.0), st.integers(0, 2**32 - 1))
def test_faint_flat_spectra_have_no_ceiling(mean: float, seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(mean, (3, 1000)).astype(np.float32)
    assert math.isinf(measured_counts(counts)[1].ceiling)
    assert math.isinf(measured_counts(7.78 * counts)[1].ceiling)


def test_wrapped_integers_are_seen_in_rows_too(rng: np.random.Generator) -> None:
    counts = decaying(rng, 8e4, 6)
    counts[3:] //= 2
    found = countable(counts.astype(np.uint16))
    assert np.isnan(found[:3]).all() and np.isfinite(found[3:]).all()
    assert np.isnan(countable(counts[0].astype(np.uint16))).all()
    np.testing.assert_array_equal(countable(counts[4].astype(np.uint16)), counts[4])


def test_a_ceiling_is_that_of_its_exposure() -> None:
    counts = np.array([[5.0, 9.0, 9.0], [9.0, 3.0, 1.0]], np.float32)
    np.testing.assert_array_equal(np.isnan(below_ceiling(counts, 9.0)), counts == 9.0)
    for ceiling in (math.inf, 8.0, 10.0):  # none, a shorter exposure's, a longer one's
        assert below_ceiling(counts, ceiling) is counts


def test_a_ceiling_of_the_series_holds_in_images_that_touch_it(
    series: eb.simulate.Series,
) -> None:
    signals = [signal.deepcopy() for signal in series.signals[:2]]
    pre = eb.Preprocessor((677, 737), 0.5, background=(600, 675), noise=(1.0, 0.0))
    ceiling = float(signals[0].data[..., 840:].max())
    signals[0].data = np.minimum(signals[0].data, ceiling)
    inside = signals[1].data[1, 2, 900:902]
    signals[1].data = np.minimum(signals[1].data, ceiling - 1)
    signals[1].data[1, 2, 900:902] = ceiling + 0 * inside
    with pytest.warns(UserWarning, match="channels at"):
        pre.calibrate(signals)
    flagged = np.flatnonzero(pre(signals[1]).flag)
    assert flagged.tolist() == [1 * signals[1].data.shape[1] + 2]
