"""Spikes: a channel's excess in its sd, whatever the pixel's brightness, slope and drift."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing.spikes import BLOCK, NEAR, largest_spike

N_CHANNELS = 400
FIRST, STEP = 500.0, 0.5
AXIS = EnergyAxis(FIRST, STEP, N_CHANNELS)
CHANNELS = torch.arange(N_CHANNELS, dtype=torch.float32)
WINDOW = BLOCK * (2 * NEAR + 1)


def spectrum(level=2000.0, exponent=3.0, shift=0.0, channels=CHANNELS):
    """A power law with a line, its energies moved by `shift`; shape of the channels."""
    energy = FIRST + STEP * channels - shift
    line = torch.exp(-0.5 * ((energy - 580.0) / 2.0) ** 2)
    return level * (energy / 600.0) ** -exponent * (1.0 + 0.8 * line)


TYPICAL = spectrum(1.0)


def largest(counts, shift=0.0, typical=TYPICAL, first=FIRST, gain=1.0, readout=0.0, find=None):
    counts = counts.reshape(-1, counts.shape[-1])
    shifts = torch.full((len(counts),), shift)
    find = find or largest_spike
    typical_axis = EnergyAxis(first, STEP, len(typical))
    return find(counts, AXIS, shifts, typical, typical_axis, gain, readout)


def with_spike(rate, channel, size):
    out = rate.clone()
    out[..., channel] += size
    return out


@pytest.mark.parametrize(("gain", "readout"), [(1.0, 0.0), (3.0, 0.0), (0.4, 70.0)])
@pytest.mark.parametrize("height", [100.0, 3000.0])
def test_a_spike_on_a_flat_spectrum_is_its_closed_form(gain, readout, height):
    rate = 500.0
    flat = torch.full((N_CHANNELS,), rate)
    found = largest(
        with_spike(flat, 150, height), typical=flat / 7, gain=gain, readout=readout
    ).item()
    # the channel itself is one of those that say how bright the pixel is
    expected = rate + height / WINDOW
    wanted = (rate + height - expected) / math.sqrt(gain * expected + readout)
    assert found == pytest.approx(wanted, rel=1e-4)
    # which is its height in units of the noise without it, but for some per cent
    assert found == pytest.approx(height / math.sqrt(gain * rate + readout), rel=0.12)


@pytest.mark.parametrize("channel", [0, 1, 60, 160, 250, N_CHANNELS - 1])
def test_a_spike_is_found_in_any_channel(channel):
    rate = spectrum()
    sd = rate[channel].sqrt()
    found = largest(with_spike(rate, channel, 15.0 * sd))
    # at the ends fewer channels say how bright the pixel is
    assert found.item() == pytest.approx(15.0, rel=0.13 if 1 < channel < 399 else 0.2)


@given(
    st.floats(0.2, 30.0),
    st.floats(2.3, 3.7),
    st.floats(-4.0, 4.0),
    st.integers(WINDOW // 2, N_CHANNELS - WINDOW // 2 - 1),
)
def test_brightness_slope_and_drift_do_not_matter(brightness, exponent, shift, channel):
    rate = spectrum(300.0 * brightness, exponent, shift)
    # no noise, no spike: what the slope leaves within a block is part of the counts
    assert largest(rate, shift).item() < 0.011 * rate.max().sqrt()
    found = largest(with_spike(rate, channel, 12.0 * rate[channel].sqrt()), shift)
    assert found.item() == pytest.approx(12.0, rel=0.13)


def test_a_drift_that_is_not_removed_would_be_a_spike():
    moved = spectrum(20000.0, shift=3.0)
    assert largest(moved).item() > 10.0
    assert largest(moved, 3.0).item() < 1.0


def test_a_hole_is_no_spike():
    rate = spectrum()
    assert largest(with_spike(rate, 150, -0.9 * rate[150])).item() < 1.5


@pytest.mark.parametrize(("gain", "readout"), [(1.0, 0.0), (2.5, 0.0), (1.0, 3e5)])
def test_noise_alone_is_the_largest_of_so_many_normals(gain, readout):
    n = 2000
    generator = torch.Generator().manual_seed(0)
    rate = spectrum(1e6).expand(n, -1)  # Gaussian enough
    counts = gain * torch.poisson(rate / gain, generator=generator)
    counts += math.sqrt(readout) * torch.randn(n, N_CHANNELS, generator=generator)
    found = largest(counts, gain=gain, readout=readout).double().numpy()
    # a channel less the mean it is part of has this share of its variance
    share = math.sqrt(1.0 - 1.0 / WINDOW)
    distance = kstest(found, lambda x: norm.cdf(x / share) ** N_CHANNELS).statistic
    assert distance < 1.63 / np.sqrt(n)  # its 1 % point
    half = kstest(found, lambda x: norm.cdf(x / share) ** (N_CHANNELS // 2)).statistic
    assert half > 0.15


def test_few_counts_have_a_longer_tail_but_no_wild_one():
    generator = torch.Generator().manual_seed(1)
    for level in (1.0, 10.0, 100.0):
        found = largest(torch.poisson(spectrum(level).expand(1000, -1), generator=generator))
        assert torch.isfinite(found).all()
        assert 2.5 < found.median() < 5.0 and found.max() < 12.0


def test_nothing_counts_where_nothing_is_typical():
    rate = spectrum()
    typical = TYPICAL.clone()
    typical[100:200] = 0.0
    assert largest(with_spike(rate, 150, 1e5)).item() > 100.0
    without = largest(rate, typical=typical)
    # and the channels beside it are judged by the others
    torch.testing.assert_close(largest(with_spike(rate, 150, 1e5), typical=typical), without)
    assert without.item() < 1.0
    assert largest(with_spike(rate, 210, 1e5), typical=typical).item() > 100.0
    assert largest(with_spike(rate, 150, 1e5), typical=torch.zeros(N_CHANNELS)).item() == 0.0


def test_nothing_counts_off_the_typical_axis():
    rate = spectrum()
    typical, first = TYPICAL[100:300], FIRST + 100 * STEP
    for channel, seen in ((50, False), (99, False), (101, True), (298, True), (350, False)):
        found = largest(with_spike(rate, channel, 1e5), typical=typical, first=first).item()
        assert found > 100.0 if seen else found < 1.0
    moved = spectrum(shift=20.0)  # by 40 channels
    for channel, seen in ((130, False), (150, True), (330, True), (345, False)):
        found = largest(with_spike(moved, channel, 1e5), 20.0, typical, first).item()
        assert found > 100.0 if seen else found < 1.0


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_odd_counts_say_nothing_and_leave_the_rest_alone(odd):
    # where they matter they are flagged; beside what is needed they are allowed
    rate = with_spike(spectrum(), 150, 1000.0).repeat(2, 1)
    rate[0, [3, 350]] = odd
    found = largest(rate)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[0], found[1])
    near = rate[1].clone()
    near[155] = odd
    torch.testing.assert_close(largest(near)[0], found[1], rtol=0.02, atol=0.0)


def test_channels_finer_than_the_typical_ones():
    # half as wide, at the same energies
    channels = 0.5 * torch.arange(2 * N_CHANNELS - 2)
    rate = spectrum(channels=channels)
    counts = with_spike(rate, 301, 12.0 * rate[301].sqrt()).unsqueeze(0)
    axis = EnergyAxis(FIRST, 0.5 * STEP, len(rate))
    found = largest_spike(counts, axis, torch.zeros(1), TYPICAL, AXIS, 1.0, 0.0)
    assert found.item() == pytest.approx(12.0, rel=0.13)


def test_scripted_is_eager_alone_and_among_many():
    generator = torch.Generator().manual_seed(2)
    counts = torch.poisson(spectrum(500.0).expand(40, -1), generator=generator)
    counts[7, 70], counts[11, 3] = 1e4, torch.nan
    shift = torch.linspace(-3, 3, 40)
    given = (TYPICAL, AXIS, 0.8, 2.0)
    whole = largest_spike(counts, AXIS, shift, *given)
    assert whole.shape == (40,) and whole.argmax() == 7
    scripted = torch.jit.script(largest_spike)
    torch.testing.assert_close(scripted(counts, AXIS, shift, *given), whole)
    for k in (0, 7, 11, 39):
        one = slice(k, k + 1)
        alone = largest_spike(counts[one], AXIS, shift[one], *given)
        torch.testing.assert_close(alone, whole[one])
    double = largest_spike(counts.double(), AXIS, shift, *given)
    torch.testing.assert_close(double.float(), whole, rtol=1e-3, atol=1e-3)
