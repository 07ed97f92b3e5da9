"""Where latents lose classes the VAE is trained for longer; what is lost all the same is said."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes import training
from eels_bayes.arrays import tensor
from eels_bayes.classifier import fitting, reading_loss
from eels_bayes.classifier.fitted import reader_of
from eels_bayes.classifier.reading_loss import LENGTHS

SEED = 0
# a VAE that has hardly begun
SCHEDULE = eb.Schedule(epochs=2, steps=3, learning_rate=3e-3)
LITTLE = dataclasses.replace(eb.Effort.quick(), vae=SCHEDULE)
LIBRARY = eb.simulate.annealing_series(shape=(2, 2)).library
ROUNDS = dataclasses.replace(LITTLE, vae_rounds=2)
BEARABLE = 1e-6  # nats: the components themselves tell most, whatever the VAE has learned


@pytest.fixture(scope="module", autouse=True)
def hardly_anything_may_be_lost():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "BEARABLE", BEARABLE)
        yield


@pytest.fixture(scope="module")
def spectra():
    series = eb.simulate.annealing_series(shape=(10, 8), seed=3)
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    return pre(series.signals, show_progressbar=False)


def new(effort):
    return eb.EELSClassifier(LIBRARY, seed=SEED, effort=effort)


def fitted(spectra, effort, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fit: the latent space loses")
        return new(effort).fit(spectra, show_progressbar=False, **options)


@pytest.fixture(scope="module")
def once(spectra):
    return fitted(spectra, LITTLE)


@pytest.fixture(scope="module")
def longer(spectra):
    return fitted(spectra, ROUNDS)


def loss(clf, spectra, silent=False):
    """What is lost; where components are silent, by the latents alone."""
    settings = fitting.Settings(clf.effort, SEED, torch.device(clf.device), False)
    reader = reader_of(clf.fitted)
    say = reader.against.clone(), reader.of_class.clone()
    if silent:
        reader.against.zero_()
        reader.of_class.zero_()
    found = reading_loss.reading_loss(clf.fitted, spectra, settings)
    reader.against.copy_(say[0])
    reader.of_class.copy_(say[1])
    return found


def test_it_is_trained_for_longer_where_classes_are_lost(once, longer, spectra):
    assert len(once.history["VAE"]["training"]) == SCHEDULE.epochs
    assert len(longer.history["VAE"]["training"]) == SCHEDULE.epochs * LENGTHS[-1]
    assert loss(once, spectra) > BEARABLE
    # of what components do not say themselves
    assert loss(longer, spectra, silent=True) < 0.7 * loss(once, spectra, silent=True)
    # the first epochs are the very same
    first = longer.history["VAE"]["validation"][: SCHEDULE.epochs]
    assert first == once.history["VAE"]["validation"]


def test_loss_is_of_the_forward_models_posterior(once, spectra):
    """A Kullback-Leibler divergence is the difference of the two expected scores."""
    pixels = spectra[spectra.ok]
    forward = once.fitted.forward
    found = once.fitted.encoder.evidence(*map(tensor, (pixels.profile, pixels.level)))
    told = found.log_probability.double().exp().detach().numpy() @ forward.dominance()
    read = once.predict(pixels, context="pixel", show_progressbar=False).probabilities
    expected = (told * np.log(told / read)).sum(1).mean()
    assert loss(once, spectra) == pytest.approx(expected, rel=0.1)


def test_a_vae_that_loses_nothing_is_trained_once(spectra, monkeypatch):
    monkeypatch.setattr(fitting, "BEARABLE", 1e3)
    clf = fitted(spectra, ROUNDS)
    assert len(clf.history["VAE"]["training"]) == SCHEDULE.epochs


def test_what_is_lost_all_the_same_is_said(spectra, monkeypatch):
    monkeypatch.setattr(reading_loss, "WARNED", 1e-6)
    with pytest.warns(UserWarning, match="latent space loses .* nats a pixel"):
        new(ROUNDS).fit(spectra, show_progressbar=False)


@pytest.mark.parametrize("epoch", [1, 5])
@pytest.mark.parametrize("on_disk", [False, True])
def test_an_interrupted_one_ends_where_it_would_have(
    spectra, longer, tmp_path, monkeypatch, epoch, on_disk
):
    calls, original = [], training._validate

    def interrupted(module, validation_loss, at):
        calls.append(at)
        if len(calls) == epoch + 1:
            raise KeyboardInterrupt
        return original(module, validation_loss, at)

    options = {"checkpoint": tmp_path / "fit.part"} if on_disk else {}
    clf = new(ROUNDS)
    monkeypatch.setattr(training, "_validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(spectra, show_progressbar=False, **options)
    again = new(ROUNDS) if on_disk else clf
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fit: the latent space loses")
        again.fit(spectra, show_progressbar=False, **options)
    assert again.history["VAE"] == longer.history["VAE"]
    np.testing.assert_array_equal(
        again.predict(spectra, show_progressbar=False).probabilities,
        longer.predict(spectra, show_progressbar=False).probabilities,
    )
