"""The benchmark of white lines: its spectra, its least squares, and its chi-square of a fit."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.special import softmax

import eels_bayes as eb
from eels_bayes.classifier.reporting import measured_fit
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.rivals import AS_WELL, rivals

pytest.importorskip("exspy")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from manganese import bed, methods, scans, scoring
from peers import shifted_fit

needs_references = pytest.mark.skipif(
    not bed.REFERENCES.is_file(), reason=f"{bed.REFERENCES} is absent"
)
SMALL = bed.Bed(pixels=100)


def test_channels_hold_the_mean_of_what_they_cover() -> None:
    fine = np.arange(600.0, 610.0, 0.05)
    rows = np.array([fine, np.full(len(fine), 2.0)])
    means = bed.channel_means(np.array([603.0, 604.0, 605.0]), fine, rows)
    np.testing.assert_allclose(means, [[603.0, 604.0, 605.0], [2.0, 2.0, 2.0]])
    # nothing comes before the fine axis; behind it a row goes on with its end
    for at, expected in ((590.0, 0.0), (620.0, 2.0)):
        found = bed.channel_means(np.array([at, at + 1.0]), fine, rows[1:])
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_an_interval_of_points_and_pieces() -> None:
    points = np.array([2.0, 3.0, 4.0])
    low, high = methods.quantiles(np.array([[0.04, 0.92, 0.04], [0.2, 0.2, 0.6]]), points, points)
    np.testing.assert_allclose(low, [3.0, 2.0])
    np.testing.assert_allclose(high, [3.0, 4.0])
    low, high = methods.quantiles(np.ones((1, 2)) / 2, np.array([2.0, 3.0]), np.array([3.0, 4.0]))
    np.testing.assert_allclose([low[0], high[0]], [2.1, 3.9])


@needs_references
def test_a_pixel_is_what_the_truth_says() -> None:
    still = replace(SMALL, shift=0.0, broadening=0.0, intensity=0.0)
    sample = bed.series(bed.SETS["Data2"], still, 1e4, 1)
    assert set(sample.valence[~sample.mixed]) <= set(bed.VALENCES)
    np.testing.assert_array_equal(np.round(sample.valence).astype(int) - 2, sample.label)
    counts = np.concatenate([s.data.reshape(-1, s.data.shape[-1]) for s in sample.signals])
    energy = sample.signals[0].axes_manager[-1].axis
    before = (energy > 600) & (energy < 634)
    for k in range(3):
        rows = counts[~sample.mixed & (sample.label == k)]
        law = np.polyfit(np.log(energy[before]), np.log(rows[:, before]).T, 1)
        left = rows / np.exp(np.outer(law[0], np.log(energy)) + law[1][:, None]) - 1.0
        shape = bed.reference(bed.SETS["Data2"][k], energy)
        window = (energy > 634) & (energy < 660)
        expected = still.contrast * shape * (energy / bed.L3) ** bed.EXPONENT
        np.testing.assert_allclose(left.mean(0)[window], expected[window], atol=0.02)


@needs_references
def test_unknown_structures_are_pure_and_have_no_valence() -> None:
    names = (*bed.SETS["Data2"], bed.MIXED_VALENCE)
    sample = bed.series(names, SMALL, 1.0, 1, shares=(0.2, 0.2, 0.2, 0.4))
    unknown = sample.label == 3
    assert 0.2 < unknown.mean() < 0.6
    assert not sample.mixed[unknown].any() and np.isnan(sample.valence[unknown]).all()
    assert np.isfinite(sample.valence[~unknown]).all()


def test_subsets_reach_the_nonnegative_least_squares(rng: np.random.Generator) -> None:
    for _ in range(20):
        design, row = rng.standard_normal((30, 3)), rng.standard_normal(30)
        _, found = shifted_fit._best_subset((design.T @ design)[None], (row @ design)[None], 3)
        np.testing.assert_allclose(found[0], nnls(design, row)[0], atol=1e-6)


@needs_references
def test_least_squares_finds_what_is_there() -> None:
    wide = replace(SMALL, broadening=0.0)
    sample = bed.series(bed.SETS["Data3"], wide, 30.0, 2)
    spectra, known = bed.preprocess(sample.signals), bed.library(bed.SETS["Data3"], wide)
    assert shifted_fit.matched_broadening(spectra, known) == 0.0
    found = scoring.scores(methods.mlls(spectra, known), sample, spectra.ok)
    assert found["accuracy"] > 0.95 and found["rmse"] < 0.1
    pure = ~sample.mixed
    p = shifted_fit.by_chi_square(spectra, known, show_progressbar=False)
    assert (p.argmax(1) == sample.label)[pure].all()
    doubtful = shifted_fit.by_chi_square(spectra, known, show_progressbar=False, rescaled=True)
    np.testing.assert_array_equal(doubtful.argmax(1), p.argmax(1))
    assert (doubtful.max(1) <= p.max(1) + 1e-9).all()


@needs_references
def test_a_right_model_leaves_a_chi_square_of_one() -> None:
    sample = bed.series(bed.SETS["Data2"], SMALL, 1.0, 3)
    spectra, known = bed.preprocess(sample.signals), bed.library(bed.SETS["Data2"], SMALL)
    model = fit_forward_model(spectra, known, effort=eb.Effort.quick(), show_progressbar=False)
    chi2 = methods.residual_chi_square(model, spectra)
    sd = np.sqrt(2.0 / len(spectra.energy) / len(chi2))
    assert abs(chi2.mean() - 1.0) < 4.0 * sd
    reading = methods.of_forward_model(model, spectra)
    assert (reading.low <= reading.high).all()
    found = scoring.scores(reading, sample, spectra.ok)
    assert found["accuracy"] > 0.9 and found["coverage"] > 0.85


def test_scores_are_those_of_the_dominant_class() -> None:
    p = softmax(np.array([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]]), axis=1)
    value = np.array([2.0, 3.3, 4.0])
    reading = methods.Reading(p, value, value - 0.1, value + 0.1)
    truth = np.array([0, 1, 1])
    sample = bed.Sample([], truth, np.array([2.0, 3.3, 3.4]), np.array([False, True, True]))
    found = scoring.scores(reading, sample, np.ones(3, dtype=bool))
    assert found["accuracy"] == pytest.approx(2 / 3) and found["accuracy_pure"] == 1.0
    assert found["coverage"] == pytest.approx(2 / 3) and found["width"] == pytest.approx(0.2)
    assert found["rmse"] == pytest.approx(0.6 / np.sqrt(3))


def real_scan(which: int) -> eb.Spectra:
    """Edge spectra of a real line scan, with the windows of the benchmark."""
    import hyperspy.api as hs

    scan = scans.SCANS[which]
    file = scans.DATA / scan.name
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    windows = {
        name: (low + scan.offset, high + scan.offset) for name, (low, high) in scans.WINDOWS.items()
    }
    with pytest.warns(UserWarning, match="the counts are believed"):
        spectra: eb.Spectra = eb.Preprocessor(**windows)(hs.load(file), show_progressbar=False)
    return spectra


@needs_references
def test_a_real_series_of_one_valence_is_read_by_the_class_that_explains_it_best() -> None:
    """An NMC cathode's Mn, near 4, is first read as 3: its axis is free, and 4 is another fit."""
    spectra, library = real_scan(0), scans.both_origins()
    model = fit_forward_model(spectra, library, show_progressbar=False)
    fit = measured_fit(model, spectra)
    assert fit.class_pixels[2] > 0.75 * fit.class_pixels.sum()
    assert not model.begun_again  # which is said of classes by their size


@needs_references
def test_lines_that_the_window_cuts_explain_nothing_behind_it() -> None:
    """By a line at the window's end, an LSMO film's Mn was moved by 11 eV: chi-square was 87."""
    spectra, library = real_scan(2), scans.both_origins()
    model = fit_forward_model(spectra, library, show_progressbar=False)
    assert abs(model.library_fit.shift) < 3.0
    fit = measured_fit(model, spectra)
    assert fit.chi_square < 1.5
    # pixels of the substrate are of no class: what stands for the film's is still found
    only = fit.only_class(library.n_classes)
    assert only is not None and fit.class_pixels[only] < 0.8 * fit.class_pixels.sum()
    found = rivals(model, library, fit.edge[only])
    others = [rival.off for k, rival in enumerate(found) if k != only]
    assert min(others) < AS_WELL * found[only].off
