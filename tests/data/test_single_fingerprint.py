"""One spectrum: checked when it is made, and read at other energies."""

import numpy as np
import pytest

import eels_bayes as eb

ENERGY = np.arange(680.0, 700.0, 0.5)
EDGE = 0.01 + (ENERGY > 685.0)


def test_below_its_edge_it_goes_on_with_nothing():
    one = eb.Fingerprint(ENERGY, EDGE, True)
    axis = np.arange(660.0, 699.0, 0.25)
    found = one.at(axis)
    np.testing.assert_allclose(found[axis < 685.0], 0.01)
    np.testing.assert_allclose(found[axis > 685.6], 1.01)
    inside = axis >= 680.0
    np.testing.assert_array_equal(found[inside], np.interp(axis[inside], ENERGY, EDGE))


def test_two_energies_that_nearly_agree_cost_nothing():
    close = np.sort(np.append(ENERGY, 690.0 + 1e-11))
    one = eb.Fingerprint(close, np.interp(close, ENERGY, EDGE), True)
    axis = np.arange(600.0, 699.0, 0.5)
    np.testing.assert_allclose(one.at(axis), eb.Fingerprint(ENERGY, EDGE, True).at(axis))


def test_what_it_does_not_cover_is_refused():
    one = eb.Fingerprint(ENERGY, EDGE, True)
    with pytest.raises(ValueError, match=r"the fingerprints cover 680 to 699\.5 eV"):
        one.at(np.arange(680.0, 710.0, 0.25))
    for axis in ([1.0, 2.0, 3.0], [800.0, 900.0]):  # fewer channels than an end may lack
        with pytest.raises(ValueError, match="give an axis in common"):
            one.at(np.array(axis))
    begun = eb.Fingerprint(ENERGY[20:], EDGE[20:], True)
    assert one.begins_before_the_edge and not begun.begins_before_the_edge
    with pytest.raises(ValueError, match=r"the fingerprints cover 690 to 699\.5 eV"):
        begun.at(np.arange(680.0, 699.0, 0.25))


@pytest.mark.parametrize(
    ("energy", "intensity", "message"),
    [
        ([1.0, 1.0], [0.0, 1.0], "energy does not ascend strictly"),
        ([1.0, 2.0], [0.0, np.nan], "intensity holds NaN or infinity"),
        ([1.0, 2.0], [0.0, 1.0, 2.0], r"intensity has shape \(1, 3\)"),
    ],
)
def test_what_is_no_spectrum_is_refused(energy, intensity, message):
    with pytest.raises(ValueError, match=message):
        eb.Fingerprint(energy, intensity, True)
