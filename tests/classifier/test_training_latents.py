"""Latents that heads learn from: drawn once for an encoder."""

import copy
import dataclasses

import pytest
import torch

from eels_bayes.classifier import training_latents
from eels_bayes.classifier.training_latents import simulated
from eels_bayes.forward_model.reinsertion import clean_source, reinsertion
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")


def drawn(fitted, *, source=None, encoder=None, names=None, effort=tiny_models.EFFORT, seed=0):
    source = source or clean_source(fitted.forward, fitted.preprocessor)
    names = names or fitted.class_names
    return simulated(source, fitted.vae, encoder or fitted.encoder, names, effort, seed)


def test_what_was_drawn_is_what_would_be_drawn():
    fitted = tiny_models.fitted().fitted
    kept = drawn(fitted)
    assert drawn(fitted)[0] is kept[0]
    # another encoder of the same numbers, and the source of the fit, which knows the pixels' doses
    source = reinsertion(fitted.forward, tiny_models.spectra())
    anew = drawn(fitted, source=source, encoder=copy.deepcopy(fitted.encoder))
    assert anew[0] is not kept[0]
    assert torch.equal(anew[0], kept[0]) and torch.equal(anew[1], kept[1])


def test_another_seed_effort_or_class_is_another_drawing():
    fitted = tiny_models.fitted().fitted
    kept = drawn(fitted)[0]
    assert not torch.equal(drawn(fitted, seed=1)[0], kept)
    more = dataclasses.replace(tiny_models.EFFORT, gp_latents=70)
    assert len(drawn(fitted, effort=more)[0]) == len(kept) + 10
    # with a class that no fingerprint describes, pure ones alone
    pure = drawn(fitted, names=(*fitted.class_names, "new"))[0]
    assert len(pure) == 4 * tiny_models.EFFORT.pure_latents_alone


def test_what_was_drawn_goes_with_its_encoder():
    fitted = tiny_models.fitted().fitted
    before = len(training_latents._DRAWN)
    encoder = copy.deepcopy(fitted.encoder)
    drawn(fitted, encoder=encoder)
    assert len(training_latents._DRAWN) == before + 1
    del encoder
    assert len(training_latents._DRAWN) == before


def test_a_label_draws_nothing_anew(monkeypatch):
    clf = tiny_models.fitted_copy()
    spectra = tiny_models.spectra()
    clf.update(spectra[[0]], [0])
    monkeypatch.setattr(training_latents, "labelled_latents", None)
    clf.update(spectra[[1]], [1])
    assert len(clf.fitted.labelled.names) == 2
