"""Windows become channels as HyperSpy reads them, half-way energies included."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from exspy.signals import EELSSpectrum
from hyperspy.axes import UniformDataAxis
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing.windows import background_channels, canonical_axis, nearest_channel

# widths of channels in eV, as written; finer ones HyperSpy rounds by chance, see below
WIDTHS = ("8", "1", "0.7", "0.5", "0.3", "0.25", "0.2", "0.15")
FINE = ("0.1", "0.05", "0.03", "0.02", "0.01")
QUARTERS = st.sampled_from((Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)))


@given(
    width=st.sampled_from(WIDTHS),
    offset=st.integers(100, 900),
    channel=st.integers(0, 1500),
    part=QUARTERS,
)
@settings(max_examples=200)
def test_the_nearest_channel_is_hyperspys(
    width: str, offset: int, channel: int, part: Fraction
) -> None:
    energy = float(offset + Fraction(width) * (channel + part))
    theirs = UniformDataAxis(offset=offset, scale=float(width), size=2000).value2index(energy)
    assert nearest_channel(energy, EnergyAxis(offset, float(width), 2000)) == theirs


@given(
    width=st.sampled_from((*WIDTHS, *FINE)),
    offset=st.integers(100, 900),
    channel=st.integers(0, 4000),
    part=QUARTERS,
)
@settings(max_examples=200)
def test_half_way_is_the_lower_channel_whatever_rounding_leaves_of_it(
    width: str, offset: int, channel: int, part: Fraction
) -> None:
    # HyperSpy's rule by exact fractions: its own floats miss it where channels are fine
    energy = float(offset + Fraction(width) * (channel + part))
    expected = channel + (part > Fraction(1, 2))
    assert nearest_channel(energy, EnergyAxis(offset, float(width), 9000)) == expected


@given(
    width=st.sampled_from(WIDTHS),
    start=st.integers(600, 900),
    low=st.integers(10, 60),
    high=st.integers(1, 5),
    parts=st.tuples(QUARTERS, QUARTERS),
)
@settings(max_examples=150)
def test_the_fit_window_holds_the_channels_that_hyperspys_fit_reads(
    width: str, start: int, low: int, high: int, parts: tuple[Fraction, Fraction]
) -> None:
    step = Fraction(width)
    background = (float(start - step * (low - parts[0])), float(start - step * (high - parts[1])))
    window = (float(start), float(start + 20 * step))
    canonical = canonical_axis(window, background, float(step))
    first, last = background_channels(background, window, canonical)
    # a detector's axis on whose channels the window lies
    data = UniformDataAxis(offset=float(start - 70 * step), scale=float(step), size=200)
    theirs = data.value_range_to_indices(*background)
    before = round((start - canonical.offset) / canonical.scale)
    assert (first - before, last - 1 - before) == (theirs[0] - 70, theirs[1] - 70)


def test_windows_that_end_half_way_give_hyperspys_background(rng: np.random.Generator) -> None:
    energy = 560.0 + np.arange(240)
    counts = rng.poisson(4000 * (energy / 600) ** -3.0, (2, 240)).astype(np.float64)
    signal = EELSSpectrum(counts)
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = 560.0, 1.0, "eV"
    background = (600.5, 680.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HyperSpy misses an optional accelerator
        theirs = signal.remove_background(
            background, "Power law", fast=False, show_progressbar=False
        ).isig[690.0:740.0]
    found = {
        ends: eb.Preprocessor((690, 740), background=ends, background_model="power_law")(signal)
        for ends in (background, (600, 680), (601, 681))
    }
    off = {ends: np.abs(one.intensity - theirs.data).max() for ends, one in found.items()}
    assert off[background] == off[600, 680] < 0.05
    assert off[601, 681] > 4 * off[background]


def test_windows_on_channels_are_read_as_before() -> None:
    axis = EnergyAxis(600.0, 0.25, 1000)
    for ends in ((600.0, 650.0), (610.25, 680.75), (610.3, 680.7), (610.2, 680.8)):
        first, last = (math.floor((end - axis.offset) / axis.scale + 0.5) for end in ends)
        assert background_channels(ends, (700.0, 720.0), axis) == (first, last + 1)


def test_too_short_a_fit_window_is_refused() -> None:
    axis = EnergyAxis(600.0, 1.0, 100)
    with pytest.raises(ValueError, match=r"holds 3 channels of 1 eV; at least 4 are needed"):
        background_channels((610.5, 612.5), (650.0, 680.0), axis)
    assert background_channels((610.0, 613.0), (650.0, 680.0), axis) == (10, 14)
