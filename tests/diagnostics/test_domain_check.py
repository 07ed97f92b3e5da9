"""Held-out pixels are in the domain, whatever their classes; other structures are not."""

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.classifier.domain_comparison import alike


def test_held_out_pixels_are_in_the_domain(quick_classifier, spectra, rng):
    order = rng.permutation(len(spectra))
    held, rest = spectra[order[:100]], spectra[order[100:]]
    found = eb.diagnostics.in_domain(quick_classifier, held, rest)
    assert found.passed and 20 <= found.n <= 100
    assert found.chi_square == pytest.approx(found.reference_chi_square, rel=0.1)
    # Another mix of known classes is no other domain.
    labels = quick_classifier.predict(held, show_progressbar=False).labels
    alone = held[labels == np.bincount(labels).argmax()]
    assert eb.diagnostics.in_domain(quick_classifier, alone, rest).passed


def test_unknown_structures_are_not(quick_classifier, spectra):
    process = eb.simulate.Process(unknown=1.0)
    other = eb.simulate.annealing_series(4, (10, 8), seed=5, process=process, dose=3.0)
    new = quick_classifier.preprocessor(other.signals, show_progressbar=False)
    with pytest.warns(UserWarning, match="have a novelty above 0.95"):
        found = eb.diagnostics.in_domain(quick_classifier, new, spectra)
    assert not found.passed
    assert any("of another distribution" in problem for problem in found.problems)


def test_the_model_draws_a_reference(quick_classifier, spectra):
    found = eb.diagnostics.in_domain(quick_classifier, spectra, n=60)
    assert 20 <= found.n <= 60 and found.chi_square > 0
    assert 0 <= found.rare <= 1 and 0 <= found.novel <= 1


def test_samples_have_the_same_classes(rng):
    new, known = np.array([0] * 50 + [1] * 30 + [-1] * 9), np.array([0] * 20 + [1] * 200 + [2] * 9)
    rows = alike(new, known, 60, rng)
    assert np.bincount(new[rows[0]]).tolist() == np.bincount(known[rows[1]]).tolist()
    assert len(rows[0]) <= 60 and new[rows[0]].min() == 0


def test_too_few_are_refused(quick_classifier, spectra):
    with pytest.raises(ValueError, match="at least 20 are needed"):
        eb.diagnostics.in_domain(quick_classifier, spectra[:5], spectra)
