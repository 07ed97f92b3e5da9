"""Lifetimes and resolution: areas, closed forms, and nothing twice."""

import numpy as np
import pytest
from scipy.special import voigt_profile

import eels_bayes as eb
from eels_bayes.data.broadening import FWHM, electron_width, with_lifetimes


def step(onset=685.0, broadened=False, n=2001):
    energy = np.linspace(665.0, 765.0, n)
    return eb.Fingerprint(energy, (energy >= onset).astype(float), broadened)


def line(broadened=False):
    """A line of unit area in one channel of 0.02 eV at 700 eV."""
    energy = 660.0 + 0.02 * np.arange(4001)
    return eb.Fingerprint(energy, np.where(np.arange(4001) == 2000, 50.0, 0.0), broadened)


def test_a_line_becomes_a_voigt_profile():
    found = eb.broaden(line(), core_hole=0.5, electron=0.0, instrument=1.2, onset=600.0)
    expected = voigt_profile(found.energy - 700.0, 1.2 / FWHM, 0.25)
    np.testing.assert_allclose(found.intensity, expected, atol=2e-3 * expected.max())
    assert found.broadened


def test_a_step_becomes_an_arctangent():
    found = eb.broaden(step(), core_hole=0.8, electron=0.0, onset=685.0)
    expected = 0.5 + np.arctan((found.energy - 685.0) / 0.4) / np.pi
    # it goes on for ever above the axis; the step lies on the border of a channel
    np.testing.assert_allclose(found.intensity, expected, atol=0.07)
    far = np.abs(found.energy - 685.0) > 1.0
    np.testing.assert_allclose(found.intensity[far], expected[far], atol=0.01)


def test_the_electrons_width_is_fdmnes_arctangent():
    """Half of the largest width is added at the root of e = 1/e^2, the arctangent's centre."""
    assert electron_width(np.array([30.0]), 15.0)[0] == pytest.approx(7.5)
    assert electron_width(np.array([-1.0, 0.0]), 15.0).tolist() == [0.0, 0.0]
    rising = electron_width(np.linspace(0.1, 500.0, 400), 15.0)
    assert (np.diff(rising) >= 0).all() and rising[0] < 0.01 and 14.0 < rising[-1] < 15.0


def test_each_channel_is_spread_by_its_own_width():
    energy = np.arange(0.0, 60.0, 0.1)
    rng = np.random.default_rng(0)
    smooth = np.convolve(rng.random(len(energy)), np.ones(50) / 50, "same") * (energy > 5)
    found = with_lifetimes(energy, smooth, 0.3, 5.0, 15.0)

    # the same integral by a plain sum, 200 times finer
    fine = np.arange(5.0, energy[-1], 5e-4)
    halves = 0.5 * (0.3 + electron_width(fine - 5.0, 15.0))
    heights = np.interp(fine, energy, smooth)
    for at in (12.0, 20.0, 31.0):
        inside = np.sum(heights * halves / ((at - fine) ** 2 + halves**2)) * 5e-4 / np.pi
        half = 0.5 * (0.3 + electron_width(energy[-1:] - 5.0, 15.0)[0])
        beyond = smooth[-1] * (0.5 - np.arctan((energy[-1] - at) / half) / np.pi)
        here = found[np.argmin(np.abs(energy - at))]
        assert here == pytest.approx(inside + beyond, rel=0.01)


def test_a_constant_stays_one_far_from_the_onset():
    """What is spread away comes from elsewhere, also from beyond the axis."""
    found = eb.broaden(step(), core_hole=0.3, onset=685.0)
    late = found.energy > 735.0
    np.testing.assert_allclose(found.intensity[late], 1.0, atol=0.06)


def test_what_lies_below_the_onset_is_occupied():
    energy = np.linspace(680.0, 720.0, 801)
    filled = eb.Fingerprint(energy, np.ones(801), False)
    found = eb.broaden(filled, core_hole=0.2, onset=700.0)
    assert found.intensity[energy.searchsorted(690.0)] < 0.04
    assert found.about["onset"] == "700 eV"


@pytest.mark.parametrize("onset", [0.5, 800.0])
def test_an_onset_elsewhere_is_refused(onset):
    with pytest.raises(ValueError, match=r"the onset, .* eV, lies outside the spectrum from"):
        eb.broaden(step(), core_hole=0.2, onset=onset)


def test_a_stated_fermi_level_is_the_onset():
    energy = np.linspace(680.0, 720.0, 801)
    filled = eb.Fingerprint(energy, np.ones(801), False, about={"fermi_level": "700.0000 eV"})
    found = eb.broaden(filled, core_hole=0.2)
    np.testing.assert_allclose(
        found.intensity,
        eb.broaden(
            eb.Fingerprint(energy, np.ones(801), False), core_hole=0.2, onset=700.0
        ).intensity,
    )


def test_nothing_is_broadened_twice():
    once = eb.broaden(step(), core_hole=0.2, instrument=1.0)
    with pytest.raises(ValueError, match="core_hole is given, but the fingerprint was broadened"):
        eb.broaden(once, core_hole=0.2)
    with pytest.raises(ValueError, match="instrument is given, but 1 eV are in the fingerprint"):
        eb.broaden(once, instrument=0.5)
    with pytest.raises(ValueError, match="core_hole is missing; give the full width"):
        eb.broaden(step(), instrument=0.5)
    widened = eb.broaden(step(broadened=True), instrument=2.0)
    with pytest.raises(ValueError, match="instrument is given"):
        eb.broaden(widened, instrument=2.0)


def test_what_is_broad_already_takes_an_instruments_gaussian():
    found = eb.broaden(line(broadened=True), instrument=1.2)
    expected = np.exp(-0.5 * ((found.energy - 700.0) * FWHM / 1.2) ** 2)
    expected *= FWHM / 1.2 / np.sqrt(2 * np.pi)
    inside = np.abs(found.energy - 700.0) < 5.0
    np.testing.assert_allclose(found.intensity[inside], expected[inside], atol=0.01)


def test_widths_that_are_none_are_refused():
    with pytest.raises(TypeError, match="fingerprint is a str; give a Fingerprint"):
        eb.broaden("xmu.dat", core_hole=0.2)
    with pytest.raises(ValueError, match="core_hole is 0; a finite number above zero in eV"):
        eb.broaden(step(), core_hole=0.0)
    with pytest.raises(ValueError, match="instrument"):
        eb.broaden(step(broadened=True), instrument=-1.0)
    with pytest.raises(ValueError, match=r"a width of 1e\+07 eV is more than the spectrum's"):
        eb.broaden(step(broadened=True), instrument=1e7)
