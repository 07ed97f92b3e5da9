"""Pixels that are not as the model has them are said to be, at either end."""

import warnings

import numpy as np
import pytest

from eels_bayes.prediction.uniform_novelty import LEAST_PIXELS, unlike_model


def test_uniform_ranks_say_nothing(rng):
    assert not any(unlike_model(rng.uniform(size=n)) for n in (0, 1, 60, 1000) for _ in range(50))


def test_few_pixels_say_nothing():
    assert unlike_model(np.ones(LEAST_PIXELS - 1)) == ""


def test_either_end_is_said(rng):
    ranks = rng.uniform(size=500)
    assert "are not as the model has them" in unlike_model(ranks**0.1)
    assert "scatter less than their noise" in unlike_model(0.6 * ranks)
    # a tenth of a new structure is for its own novelty to say
    assert unlike_model(np.where(np.arange(500) < 50, 1.0, ranks)) == ""
    assert "are not as the model has them" in unlike_model(np.where(ranks < 0.15, 1.0, ranks))
    # of few pixels chance gives as much
    assert unlike_model(np.where(np.arange(60) < 9, 0.96, 0.016 * np.arange(60))) == ""


def changed(series, change):
    """The signals with other counts."""
    signals = [signal.deepcopy() for signal in series.signals]
    for signal in signals:
        signal.data = change(np.asarray(signal.data, dtype=float))
    return signals


def denoised(counts):
    """By four principal components."""
    rows = counts.reshape(-1, counts.shape[-1])
    mean = rows.mean(0)
    left, size, right = np.linalg.svd(rows - mean, full_matrices=False)
    return ((left[:, :4] * size[:4]) @ right[:4] + mean).reshape(counts.shape)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda counts: counts - 100.0, "are not as the model has them"),
        (lambda counts: 3.0 * counts, "are not as the model has them"),
        (denoised, "scatter less than their noise"),
    ],
    ids=["dark offset", "gain", "denoised"],
)
def test_other_counts_are_said_where_they_are_predicted(quick_classifier, series, change, words):
    clf = quick_classifier
    spectra = clf.preprocessor(changed(series, change), show_progressbar=False)
    with pytest.warns(UserWarning, match=words) as said:
        clf.predict(spectra)
    assert {each.filename for each in said} == {__file__}


def test_pixels_of_the_fit_are_as_the_model_has_them(quick_classifier, spectra):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick_classifier.predict(spectra)
