"""Simulations together: one offset and one factor are taken out, the rest is doubt."""

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import ab_initio

ENERGY = np.arange(670.0, 740.0, 0.1)


def simulated(source, places, heights, energy=ENERGY, names=("a", "b"), per="Cr", own=None):
    """Two classes, each a step with a peak."""
    rows = [
        h * (0.5 + np.arctan(energy - p) / np.pi + np.exp(-0.5 * ((energy - p - 5) / 2) ** 2))
        for p, h in zip(places, heights, strict=True)
    ]
    own = own or eb.Variations(0.0, 0.0, 0.0)
    return ab_initio.SimulatedFingerprints(energy, np.stack(rows), names, (), own, per, "", source)


def test_one_offset_and_one_factor_leave_no_doubt():
    one = simulated("one", (690.0, 690.5), (1.0, 0.5))
    other = simulated("other", (694.3, 694.8), (20.0, 10.0), energy=ENERGY + 2.0)
    library = ab_initio.together([one, other], values={"a": 1.0, "b": 0.5})
    assert library.class_names == ("a", "b") and library.labels.tolist() == [0, 1, 0, 1]
    assert library.values.tolist() == [1.0, 0.5, 1.0, 0.5]
    assert library.source == "one; other moved by -4.30 eV, times 0.05"
    np.testing.assert_allclose(library.intensity[:2], library.intensity[2:], atol=1e-3)
    assert library.variations.shift < 1e-3 and library.variations.intensity < 1e-3
    assert library.energy[0] >= 670.0 and library.energy[-1] <= 740.0


def test_what_is_left_is_between_engines():
    """Of classes that lie 0.4 eV closer in one than in the other, 0.1 eV is each one's sd."""
    one = simulated("one", (690.0, 691.0), (1.0, 1.0))
    other = simulated("other", (690.2, 690.8), (1.0, 1.0))
    library = ab_initio.together([one, other])
    assert library.variations.shift == pytest.approx(0.1, abs=0.01)
    assert library.variations.intensity < 0.01
    weaker = simulated("weaker", (690.0, 691.0), (1.1, 0.9))
    library = ab_initio.together([one, weaker])
    assert library.variations.intensity == pytest.approx(0.05, abs=0.01)
    assert library.variations.shift < 0.01
    own = eb.Variations(0.3, 0.2, 0.04)
    wide = [simulated("one", (690.0, 691.0), (1.0, 1.0), own=own)] * 2
    found = ab_initio.together(wide).variations
    assert (found.shift, found.broadening) == (pytest.approx(0.3), pytest.approx(0.2))
    assert found.intensity == pytest.approx(0.04)


def test_classes_are_matched_by_name():
    one = simulated("one", (690.0, 694.0), (1.0, 0.5))
    other = simulated("other", (694.0, 690.0), (0.5, 1.0), names=("b", "a"))
    library = ab_initio.together([one, other])
    np.testing.assert_allclose(library.intensity[:2], library.intensity[2:], atol=1e-9)


def test_what_does_not_go_together_is_refused():
    one = simulated("one", (690.0, 691.0), (1.0, 1.0))
    with pytest.raises(ValueError, match="simulations holds fewer than two"):
        ab_initio.together([one])
    named = simulated("other", (690.0, 691.0), (1.0, 1.0), names=("a", "c"))
    with pytest.raises(ValueError, match=r"other has the classes \['a', 'c'\] per Cr, and one"):
        ab_initio.together([one, named])
    with pytest.raises(ValueError, match="per Ti, and one"):
        ab_initio.together([one, simulated("other", (690.0, 691.0), (1.0, 1.0), per="Ti")])
    far = simulated("far", (720.0, 721.0), (1.0, 1.0))
    with pytest.raises(
        ValueError, match="far agrees best with one when moved by -15 eV, the limit"
    ):
        ab_initio.together([one, far])
    with pytest.raises(ValueError, match=r"values are of \['a'\]; give one for each class"):
        ab_initio.together([one, one], values={"a": 1.0})
