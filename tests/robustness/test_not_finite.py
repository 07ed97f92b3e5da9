"""What is not finite is flagged and has no class, and no update leaves a model like that."""

import dataclasses

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.classifier import finite_model
from eels_bayes.fast.classifier import FastClassifier
from helpers import tiny_models
from helpers.tiny_models import same_numbers

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")
NO_ANSWER = int(eb.Flag.NO_ANSWER)
NUMBERS = ("probabilities", "total", "novelty", "value", "value_sd", "latent_mean", "latent_sd")


def broken(pixel):
    """Spectra of which one has no flag, but a profile of NaN, to which no model has an answer."""
    spectra = tiny_models.spectra()
    profile = spectra.profile.copy()
    profile[pixel] = np.nan
    return dataclasses.replace(spectra, profile=profile)


@pytest.mark.parametrize("context", ["pixel", "image"])
def test_a_pixel_without_an_answer_is_flagged_and_the_others_stay(context):
    clf, spectra = tiny_models.fitted(), tiny_models.spectra()
    usable = np.flatnonzero(spectra.ok)
    pixel, others = usable[3], usable != usable[3]
    found = clf.predict(broken(pixel), context=context, show_progressbar=False)
    assert (found.flag[pixel], found.labels[pixel]) == (NO_ANSWER, -1)
    assert found.reasons()[pixel] == "the model has no finite answer to it"
    for name in NUMBERS:
        assert np.isnan(getattr(found, name)[pixel]).all(), name
    if context == "pixel":
        whole = clf.predict(spectra, show_progressbar=False)
        for name in NUMBERS:
            np.testing.assert_array_equal(
                getattr(found, name)[usable[others]], getattr(whole, name)[usable[others]]
            )
    else:
        assert np.isfinite(found.probabilities[usable[others]]).all()


def test_what_has_no_answer_is_measured_again():
    clf, spectra = tiny_models.fitted(), tiny_models.spectra()
    pixel = np.flatnonzero(spectra.ok)[0]
    decisions = eb.decide(clf.predict(broken(pixel), show_progressbar=False))
    assert decisions.action[pixel] == "measure again"
    assert "not readable" in decisions.reason[pixel]


@pytest.fixture(params=["torchscript", "onnx"])
def speechless(request):
    """A fast classifier whose classes are NaN for every spectrum."""
    if request.param == "onnx":
        pytest.importorskip("onnxruntime")
    clf = tiny_models.fitted_copy()
    with torch.no_grad():
        clf.fitted.encoder.offset += 1e30
    return clf.compile(
        clf.preprocessor,
        energy=tiny_models.energy(),
        backend=request.param,
        show_progressbar=False,
    )


def test_fast_readings_without_an_answer_are_flagged(speechless):
    assert isinstance(speechless, FastClassifier)
    counts = tiny_models.counts()
    dead = np.zeros_like(counts[:1])
    for n in (1, len(counts)):
        read = speechless(counts[:n], 0.0)
        ok = tiny_models.compiled()(counts[:n], 0.0).flag == 0
        assert ok.any()
        assert (read.flag[ok] == NO_ANSWER).all()
        assert (read.labels == -1).all() and np.isnan(read.probabilities).all()
    # what is flagged already says why, not that the model did not answer
    assert speechless(dead, 0.0).flag[0] == tiny_models.compiled()(dead, 0.0).flag[0]
    assert eb.decide(read).count()["measure again"] == len(counts)


def reading(**changes):
    """Three spectra, sure and usual, with changes."""
    fields = {
        "probabilities": np.tile([0.99, 0.01], (3, 1)),
        "labels": np.zeros(3, dtype=int),
        "novelty": np.full(3, 0.2),
        "flag": np.zeros(3, dtype=int),
    }
    for name in ("total", "aleatoric", "encoder", "classifier", "value", "value_sd"):
        fields[name] = np.full(3, 0.01)
    return eb.FastReading(**(fields | changes))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["total", "novelty", "probabilities"])
def test_numbers_that_are_not_finite_are_never_accepted(name, value):
    numbers = np.array(getattr(reading(), name))
    numbers[1] = value
    decisions = eb.decide(reading(**{name: numbers}))
    assert decisions.action.tolist() == ["accept", "measure again", "accept"]
    assert np.isnan(decisions.expected_cost[1]).all() and np.isnan(decisions.saving[1])


def test_a_gain_that_is_nan_is_refused_unless_flagged():
    with pytest.raises(ValueError, match="gain is NaN for 1 pixels that are not flagged"):
        eb.decide(reading(), gain=[0.1, np.nan, 0.1])
    flagged = reading(flag=np.array([0, 1, 0]))
    assert eb.decide(flagged, gain=[0.1, np.nan, 0.1]).action[1] == "measure again"


def test_a_prediction_has_no_class_without_probabilities():
    pred = tiny_models.fitted().predict(tiny_models.spectra(), show_progressbar=False)
    probabilities = pred.probabilities.copy()
    probabilities[np.flatnonzero(pred.ok)[:2]] = np.nan
    with pytest.raises(ValueError, match="probabilities of 2 pixels are not finite, but their fl"):
        dataclasses.replace(pred, probabilities=probabilities)


@pytest.mark.parametrize("far", [1e3, 1e6, 1e20, 3e38])
@pytest.mark.parametrize("label", [0, "another"])
def test_latents_far_outside_are_refused(far, label):
    clf = tiny_models.fitted_copy()
    before = tiny_models.model_numbers(clf)
    with pytest.raises(ValueError, match=r"1 of 2 latents lie up to .* give latents of this model"):
        clf.update([[0.0, 0.0], [far, 0.0]], [label, label], show_progressbar=False)
    same_numbers(before, tiny_models.model_numbers(clf))


def test_latents_of_the_model_are_taken():
    clf, spectra = tiny_models.fitted_copy(), tiny_models.spectra()
    pred = clf.predict(spectra, show_progressbar=False)
    latents = pred.latent_mean[pred.ok]
    clf.update(latents, np.zeros(len(latents), dtype=int), show_progressbar=False)
    assert clf.predict(spectra, show_progressbar=False).ok.sum() == pred.ok.sum()


@pytest.mark.parametrize("label", [0, "another"])
def test_an_update_that_ends_in_nan_is_undone(monkeypatch, label):
    monkeypatch.setattr(finite_model, "FARTHEST", np.inf)
    clf, spectra = tiny_models.fitted_copy(), tiny_models.spectra()
    before, history = clf.fitted, clf.history
    prediction = clf.predict(spectra, show_progressbar=False)
    with pytest.raises(FloatingPointError, match=r"not finite .* is as it was before"):
        clf.update([[2e38, 2e38]], [label], show_progressbar=False)
    assert clf.fitted is before and clf.history is history
    after = clf.predict(spectra, show_progressbar=False)
    np.testing.assert_array_equal(after.probabilities, prediction.probabilities)
    clf.update(spectra[[1]], ["another"], show_progressbar=False)  # and learns on
    assert clf.class_names[-1] == "another"
