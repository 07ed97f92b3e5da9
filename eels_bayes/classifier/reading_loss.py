"""What latents and heads lose of what the forward model tells of the classes."""

from __future__ import annotations

import warnings

import numpy as np

from eels_bayes.classifier.fitted import Fitted, component_probabilities
from eels_bayes.classifier.pixel_columns import columns_of
from eels_bayes.classifier.reporting import WARNED_CALL
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import Spectra
from eels_bayes.prediction.pixel_states import pixel_states
from eels_bayes.randomness import Stream, stream

N_PIXELS = 400  # at most: the mean of some 1e-4 nats is known to its half then
LENGTHS = (1, 5)  # of the VAE's training, in lengths of its schedule: by turns, where it loses
# Nats a pixel: more is worth a longer training. Of white lines and of F K 0.002 were lost at most.
BEARABLE = 0.005
WARNED = 0.1  # nats a pixel: more is said
LEAST = 1e-12  # probability


def reading_loss(fitted: Fitted, spectra: Spectra, settings: Settings) -> float:
    """Kullback-Leibler divergence of the prediction from the forward model's posterior.

    Both are of single pixels. What is lost is lost in the latent space or behind it: the forward
    model's posterior is what these are learned from.

    Returns
    -------
    float
        Mean over some pixels of the fit, nats.
    """
    rng = stream(settings.seed, Stream.READING_LOSS)
    pixels = spectra[np.sort(rng.permutation(np.flatnonzero(spectra.ok))[:N_PIXELS])]
    device, forward = settings.device, fitted.forward
    known = component_probabilities(fitted.encoder, pixels, device)
    told = known.numpy() @ forward.dominance()
    states = pixel_states(forward, fitted.class_weights)
    quiet = settings._replace(show_progressbar=False)
    read = columns_of(fitted, pixels, quiet, states, None)["probabilities"]
    told, read = np.maximum(told, LEAST), np.maximum(read, LEAST)
    lost = (told * (np.log(told) - np.log(read))).sum(1)
    answered = np.isfinite(lost)
    return float(lost[answered].mean()) if answered.any() else 0.0


def warn_of_loss(lost: float) -> None:
    """Say where the classes are not what the forward model could tell; for calls by `fit_run`."""
    if lost > WARNED:
        warnings.warn(
            f"fit: the latent space loses {lost:.2f} nats a pixel of what the spectra tell of the "
            "classes: predictions are less sure than they could be, and rare classes seldom "
            "called; a longer training of the VAE would help",
            stacklevel=WARNED_CALL,
        )
