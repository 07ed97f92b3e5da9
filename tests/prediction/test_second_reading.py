"""Pixels read again by few Gaussians are read as by all of them."""

import pytest
import torch

from eels_bayes.classifier.fitted import reader_of
from eels_bayes.prediction.second_reading import read_again

SURE = 30.0  # times as likely one class is as others, by what stands around a pixel


@pytest.fixture(scope="module")
def reader(quick_classifier):
    return reader_of(quick_classifier.fitted).requires_grad_(False)


@pytest.fixture(scope="module")
def pixels(spectra):
    """Profiles (320, B), noise levels and spikes (320,)."""
    return tuple(torch.as_tensor(getattr(spectra, n)) for n in ("profile", "level", "spike"))


def prior(n, n_classes, seed=0):
    """One class of each pixel is likelier than the others."""
    favoured = torch.randint(n_classes, (n,), generator=torch.Generator().manual_seed(seed))
    ratio = torch.ones(n, 1, n_classes)
    ratio[torch.arange(n), 0, favoured] = SURE
    return ratio


def test_it_is_the_first_reading_with_that_prior(reader, pixels):
    profile, level, spike = pixels
    ratio = prior(len(profile), 4)
    component = reader.encoder.evidence(profile, level).log_probability.exp()
    found = read_again(reader, profile, level, component, ratio)
    expected = reader(profile, level, spike, ratio)
    for name in ("probabilities", "total", "aleatoric", "encoder", "classifier"):
        away = (getattr(found, name) - getattr(expected, name)).abs()
        mean, most = (1e-3, 0.03) if name == "probabilities" else (5e-3, 0.06)  # or nats
        assert away.mean() < mean and away.max() < most, name
    parts = found.aleatoric + found.encoder + found.classifier
    torch.testing.assert_close(parts, found.total, rtol=0, atol=1e-5)
    assert (found.value - expected.value).abs().max() < 0.01
    assert (found.latent_mean - expected.latent_mean).abs().max() < 0.05
    # the prior did something
    assert (found.probabilities - reader(*pixels).probabilities).abs().max() > 0.3


def test_components_are_heard_whatever_the_profile_says(reader, pixels):
    """A pixel that is of one component, by others' word, has its Gaussian alone."""
    profile, level, _ = pixels
    component = torch.zeros(len(profile), reader.encoder.n_components)
    component[:, 2] = 1.0
    found = read_again(reader, profile, level, component, torch.ones(1, 1, 4))
    assert ((found.component_weight > 0).sum(1) == 1).all()
    everything = reader.encoder(profile, level)
    torch.testing.assert_close(
        found.component_mean[:, 2], everything.mean[:, 2], rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(found.component_sd[:, 2], everything.sd[:, 2], rtol=1e-4, atol=1e-4)
