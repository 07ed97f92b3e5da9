"""Classifiers go to other processes, as joblib, dask and spawn send them, and read alike there."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import eels_bayes as eb
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")


def same_reading(found, expected):
    for name, values in expected._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)


def compiled(backend="torchscript", head="gp"):
    clf = tiny_models.fitted()
    return clf.compile(
        clf.preprocessor,
        energy=tiny_models.energy(),
        backend=backend,
        head=head,
        show_progressbar=False,
    )


@pytest.mark.parametrize("head", ["gp", "dense"])
@pytest.mark.parametrize("backend", ["torchscript", "onnx"])
def test_a_fast_classifier_reads_the_same_after_pickling(backend, head):
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
    fast, counts = compiled(backend, head), tiny_models.counts()
    for other in (pickle.loads(pickle.dumps(fast)), copy.deepcopy(fast)):
        assert repr(other) == repr(fast) and other.model == fast.model
        same_reading(other(counts), fast(counts))


def test_pickles_hold_the_bytes_of_the_file(tmp_path):
    fast = tiny_models.compiled()
    fast.save(tmp_path / "model.fast")
    assert (tmp_path / "model.fast").read_bytes() in pickle.dumps(fast)


def test_a_live_classifier_runs_after_pickling():
    counts = tiny_models.counts()[:6]
    live = eb.LiveClassifier(tiny_models.compiled(), queue_size=3, batch_size=2, drift=2, threads=1)
    expected = list(live.run(iter(counts)))
    other = pickle.loads(pickle.dumps(live))
    assert (other.drift, other.threads, other.counters.received) == (2, 1, 0)
    for found, one in zip(other.run(iter(counts)), expected, strict=True):
        assert found.shift == one.shift
        same_reading(found.reading, one.reading)
    assert live.counters.received == len(counts)  # a copy's runs are its own


def test_a_classifier_predicts_the_same_after_pickling():
    clf, spectra = tiny_models.fitted(), tiny_models.spectra()
    other, of_other = pickle.loads(pickle.dumps((clf, spectra)))
    found = other.predict(of_other, show_progressbar=False)
    expected = clf.predict(spectra, show_progressbar=False)
    for name in ("probabilities", "total", "novelty", "value", "labels", "flag"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.model == expected.model
    assert repr(other.provenance) == repr(clf.provenance)
    whole = pickle.loads(pickle.dumps(expected))
    np.testing.assert_array_equal(whole.joint.draw(2), expected.joint.draw(2))


def test_spawned_processes_read_the_same():
    fast, counts = tiny_models.compiled(), tiny_models.counts()
    clf, spectra = tiny_models.fitted(), tiny_models.spectra()
    # Not multiprocessing's Pool, which waits for ever for a process that has died.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        reading = pool.submit(fast, counts).result()
        pred = pool.submit(clf.predict, spectra, show_progressbar=False).result()
    same_reading(reading, fast(counts))
    expected = clf.predict(spectra, show_progressbar=False)
    np.testing.assert_array_equal(pred.probabilities, expected.probabilities)
