"""Threads at once give what they give one after the other, and a waiting one can be interrupted."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes import randomness
from eels_bayes.randomness import alone, own_randomness
from eels_bayes.training import learning
from helpers import tiny_models
from helpers.tiny_models import same_numbers

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")
FIELDS = ("probabilities", "total", "encoder", "novelty", "value", "latent_mean")


def at_once(tasks):
    """Results of functions that begin together, each in a thread of its own."""
    gate = threading.Barrier(len(tasks))

    def begun(task):
        gate.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(begun, tasks))


def test_fits_at_once_are_those_one_after_the_other():
    def fit(seed):
        clf = tiny_models.unfitted(seed=seed)
        return clf.fit(tiny_models.spectra(), show_progressbar=False)

    expected = [tiny_models.fitted(), tiny_models.fitted(seed=1)]
    found = at_once([lambda: fit(0), lambda: fit(1)])
    for one, other in zip(expected, found, strict=True):
        same_numbers(tiny_models.model_numbers(one), tiny_models.model_numbers(other))


def test_updates_at_once_are_both_learned():
    clf = tiny_models.fitted_copy()
    spectra = tiny_models.spectra()
    at_once(
        [
            lambda: clf.update(spectra[[0]], [0], show_progressbar=False),
            lambda: clf.update(spectra[[1]], ["another"], show_progressbar=False),
        ]
    )
    assert sorted(clf.fitted.labelled.names) == sorted([clf.class_names[0], "another"])


@pytest.mark.parametrize("context", ["pixel", "image"])
def test_predictions_at_once_are_that_of_one(context):
    clf, spectra = tiny_models.fitted(), tiny_models.spectra()

    def predict():
        return clf.predict(spectra, context=context, show_progressbar=False)

    expected = predict()
    for found in at_once([predict] * 8):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_fast_readings_at_once_are_that_of_one():
    fast, counts = tiny_models.compiled(), tiny_models.counts()
    expected = fast(counts)
    for found in at_once([lambda: fast(counts)] * 8):
        for name, values in found._asdict().items():
            np.testing.assert_array_equal(values, getattr(expected, name))


def test_one_thread_at_a_time_has_the_processes_stream():
    def enter():
        entered = randomness._turn.acquire(blocking=False)
        if entered:
            randomness._turn.release()
        return entered

    for context in (alone, own_randomness, learning):
        with context():
            assert at_once([enter]) == [False]
        assert at_once([enter]) == [True]


def test_a_thread_may_be_alone_within_being_alone():
    with alone(), alone(), own_randomness(0):
        assert torch.rand(1).shape == (1,)


class Held:
    """A lock that another thread has, until the user loses patience."""

    def __init__(self):
        self.asked, self.released = 0, 0

    def acquire(self, timeout):
        self.asked += 1
        if self.asked == 3:
            raise KeyboardInterrupt
        return False

    def release(self):
        self.released += 1


def test_waiting_can_be_interrupted(monkeypatch):
    held = Held()
    monkeypatch.setattr(randomness, "_turn", held)
    with pytest.raises(KeyboardInterrupt), alone():
        pytest.fail("it did not wait")
    assert (held.asked, held.released) == (3, 0)  # what it never had it does not give back


def test_a_fit_that_fails_lets_the_next_one_in():
    spectra = tiny_models.spectra()
    with pytest.raises(ValueError, match="pixels are usable"):
        tiny_models.unfitted().fit(spectra[[0]], show_progressbar=False)

    def enter():
        with alone():
            return True

    assert at_once([enter]) == [True]
    assert isinstance(tiny_models.fitted(), eb.EELSClassifier)
