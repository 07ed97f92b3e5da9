"""Pixels with next to no counts are left out of fits."""

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.data.dim_pixels import dim, without_dim


def test_few_counts_are_few_beside_those_of_their_image():
    rng = np.random.default_rng(0)
    image = np.repeat([3, 0, 7], [40, 30, 1])
    counts = np.where(image == 3, 1000.0, 10.0) * rng.uniform(0.9, 1.1, 71)
    few = rng.permutation(70)[:20]
    counts[few] *= 0.05
    expected = np.zeros(71, dtype=bool)
    expected[few] = True
    np.testing.assert_array_equal(dim(counts, image), expected)
    # the unit, and the order, are no matter
    order = rng.permutation(71)
    np.testing.assert_array_equal(dim(7e3 * counts[order], image[order]), expected[order])


def test_an_image_without_a_specimen_is_bright_by_itself():
    counts = np.full(50, 3.0)
    assert not dim(counts, np.zeros(50, dtype=int)).any()
    assert not dim(np.array([]), np.array([], dtype=int)).any()


@pytest.fixture(scope="module")
def beside():
    """A series; half of each image is vacuum."""
    series = eb.simulate.annealing_series(n_images=3, shape=(10, 10), dose=3.0, seed=8331)
    rng = np.random.default_rng(0)
    for signal in series.signals:
        counts = signal.data.astype(float)
        counts[:5] = rng.poisson(0.001 * counts.mean((0, 1)), counts[:5].shape)
        signal.data = counts.astype(np.float32)
    return series


def test_vacuum_is_flagged_for_a_fit_alone(beside):
    pre = eb.Preprocessor((677, 737), background=(600, 675), normalize=(570, 592.5))
    spectra = pre(beside.signals, show_progressbar=False)
    found = without_dim(spectra)
    vacuum = np.isin(spectra.position, np.arange(50))
    assert (found.flag[vacuum & spectra.ok] == eb.Flag.DIM).all()
    assert (found.flag[~vacuum] == spectra.flag[~vacuum]).all()
    assert found.reasons()[0] == "next to no counts beside those of bright pixels of its image"
    assert without_dim(spectra[~vacuum]).ok.all()


def test_vacuum_takes_no_part_in_a_fit_and_is_read_after_it(beside):
    pre = eb.Preprocessor((677, 737), background=(600, 675), normalize=(570, 592.5))
    spectra = pre(beside.signals, show_progressbar=False)
    vacuum = np.isin(spectra.position, np.arange(50))
    clf = eb.EELSClassifier(beside.library, latent_dim=4, effort=eb.Effort.quick(), seed=0)
    clf.fit(spectra, show_progressbar=False)
    report = clf.report()
    assert (report.n_fitted, report.n_pixels, report.dim) == (150, 150, 0.5)
    assert any(
        note.startswith("50 % of the pixels have less than a tenth") for note in report.notes
    )
    pred = clf.predict(spectra, show_progressbar=False)
    assert pred.ok.all()
    # what no counts tell is left open
    assert pred.total[vacuum].mean() > 2.0 * pred.total[~vacuum].mean()
