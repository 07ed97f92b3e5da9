"""Comparing shapes: against itself, against steps, and over shifts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb

ENERGY = np.arange(670.0, 750.0, 0.25)


def edge(onset=690.0, peak=1.0, energy=ENERGY):
    rows = 0.5 + np.arctan((energy - onset) / 0.8) / np.pi
    rows = rows + peak * np.exp(-0.5 * ((energy - onset - 6.0) / 1.5) ** 2)
    return eb.Fingerprint(energy, rows, True)


@settings(max_examples=20)
@given(moved=st.integers(-200, 200), factor=st.floats(0.01, 100.0))
def test_a_moved_edge_is_found_where_it_is(moved, factor):
    other = edge(energy=np.arange(682.0, 720.0, 0.25))
    wide = np.arange(640.0, 780.0, 0.05)
    one = edge(690.0 + 0.05 * moved, energy=wide)
    one = eb.Fingerprint(wide, factor * one.intensity, True)
    found = eb.compare_shapes(one, other)
    assert found.shift == pytest.approx(-0.05 * moved)
    assert found.pearson == pytest.approx(1.0, abs=1e-6) and found.beats_a_step
    assert found.cosine == pytest.approx(1.0, abs=1e-6)
    assert not found.at_limit


def test_a_step_is_as_good_as_the_best_step():
    plain = edge(peak=0.0)
    found = eb.compare_shapes(plain, edge(), reach=5.0, window=(680.0, 730.0))
    assert found.step_pearson >= found.pearson - 1e-3
    assert found.step_cosine > 0.9  # alike by cosine, though the peak is missing
    assert eb.compare_shapes(edge(), plain, reach=5.0, window=(680.0, 730.0)).step_pearson > 0.999


def test_both_numbers_are_printed():
    flat = edge(peak=0.0)
    text = str(eb.compare_shapes(flat, edge(), reach=2.0, window=(680.0, 730.0)))
    assert text.startswith("Pearson 0.") and text.count("(best step 0.") == 2
    assert "a step without structure does as well" in text
    assert "moved by " in text and "eV" in text
    far = edge(696.0, energy=np.arange(600.0, 800.0, 0.25))
    assert "the end of what was tried" in str(eb.compare_shapes(far, edge(), reach=2.0))


def test_real_fingerprints_are_no_better_than_a_step_by_cosine_alone(data_dir):
    """Of the published F K edges a featureless step reaches 0.98 by cosine."""
    library = eb.load_library(data_dir / "mxene_f_k_fingerprints.npz")
    rows = library.intensity[library.labels == 0]
    other = eb.Fingerprint(library.energy, rows[1], True)
    found = eb.compare_shapes(other, other, reach=0.0)
    assert found.cosine == pytest.approx(1.0)
    assert found.step_cosine > 0.97
    assert found.step_pearson < 0.95


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="window holds 1 channels of other; give a wider one"):
        eb.compare_shapes(edge(), edge(), window=(690.0, 690.2))
    short = edge(energy=np.arange(692.0, 700.0, 0.25))
    with pytest.raises(
        ValueError, match=r"one covers 692 to 699\.75 eV, which no shift of up to 15"
    ):
        eb.compare_shapes(short, edge())
    flat = eb.Fingerprint(ENERGY, np.ones(len(ENERGY)), True)
    with pytest.raises(ValueError, match="other is flat in the window; there is no shape"):
        eb.compare_shapes(edge(), flat, reach=0.0)
    with pytest.raises(ValueError, match="one is flat in the window"):
        eb.compare_shapes(flat, edge(), reach=0.0)
    with pytest.raises(TypeError, match="one is a str; give a Fingerprint, as read_fingerprint"):
        eb.compare_shapes("xmu.dat", edge())
    with pytest.raises(TypeError, match=r"window is 690; a pair \(low, high\)"):
        eb.compare_shapes(edge(), edge(), window=690)


def test_a_reach_without_end_ends_where_nothing_is_in_common():
    assert eb.compare_shapes(edge(), edge(), reach=1e12).pearson == pytest.approx(1.0)
