"""What is fitted behind the encoders: the GP classifier, the value, and novelty's scale.

The latents are the library's, put back into the experiment as often as the data show them, and
those of measured pixels that have a label.
"""

from __future__ import annotations

import numpy as np
import torch

from eels_bayes.classifier.drawn_spikes import drawn_spikes
from eels_bayes.classifier.fitted import component_probabilities, evidence_of, posterior
from eels_bayes.classifier.labels import Labelled
from eels_bayes.classifier.training_latents import FINGERPRINT_LABELS, simulated
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import FULL, Effort
from eels_bayes.forward_model.clean_edges import Clean, mixture_edges
from eels_bayes.forward_model.reinsertion import Reinsertion
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.fit import fit_gp
from eels_bayes.gp.relearning import relearn
from eels_bayes.gp.value_regression import (
    Known,
    ValueRegression,
    fit_value,
    value_moments,
    with_conformal_reach,
)
from eels_bayes.latent.noisy_encoder import NoisyEncoder, active_axes
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.latent.vae_fit import encoded_draws
from eels_bayes.prediction import novelty
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.randomness import Stream, stream

# Inducing points of the classifier's GP: at the least, and a class. Few latent directions tell
# classes apart: more points add nothing but time.
N_INDUCING, INDUCING_PER_CLASS = 8, 3
# Inducing points of the value's GP: at the least, and a class. Chosen, not tuned.
VALUE_INDUCING, VALUE_INDUCING_PER_CLASS = 8, 2
MOST_CLASSES = 16  # of more, each has as many pixels for novelty's scale as one of so many


def fit_classes(
    source: Reinsertion,
    vae: SpectrumVAE,
    encoder: NoisyEncoder,
    class_names: tuple[str, ...],
    labelled: Labelled,
    *,
    start: GPClassifier | None = None,
    effort: Effort = FULL,
    seed: int = 0,
    show_progressbar: bool = True,
) -> GPClassifier:
    """The GP classifier of the library's latents and of what is labelled.

    It reads the axes that tell structures apart: along the others every latent is noise alone,
    which would only widen its doubt.

    Parameters
    ----------
    class_names : tuple of str
        The library's classes, then those that labels alone tell of.
    labelled : Labelled
    start : GPClassifier, optional
        What is known already; the kernel is taken from it.
    effort : Effort
    seed : int
    show_progressbar : bool

    Returns
    -------
    GPClassifier
    """
    latents, labels = simulated(source, vae, encoder, class_names, effort, seed)
    n_axes, n_classes = active_axes(encoder), len(class_names)
    latents = latents[:, :n_axes]
    n_inducing = max(N_INDUCING, INDUCING_PER_CLASS * n_classes)
    if start is None:
        return fit_gp(
            latents,
            labels,
            n_classes,
            n_inducing=n_inducing,
            steps=effort.gp_steps,
            batch_size=effort.gp_batch,
            learning_rate=effort.gp_learning_rate,
            seed=seed,
            show_progressbar=show_progressbar,
        )
    by_labels_alone = n_classes > source.model.library.n_classes
    return relearn(
        start,
        latents,
        labels,
        n_classes,
        measured=(labelled.draws(encoder)[..., :n_axes], labelled.codes(class_names)),
        weight=FINGERPRINT_LABELS / effort.pure_latents_alone if by_labels_alone else 1.0,
        n_inducing=n_inducing,
        learn_kernel=by_labels_alone,
        seed=seed,
    )


def fit_values(
    source: Reinsertion,
    vae: SpectrumVAE,
    encoder: NoisyEncoder,
    device: torch.device,
    *,
    effort: Effort = FULL,
    seed: int = 0,
) -> ValueRegression | None:
    """The regression of the library's value, calibrated on drawn pixels, whose value is known."""
    rng = stream(seed, Stream.VALUE_LATENTS)
    n_classes = source.model.library.n_classes
    clean = source.draw_clean(effort.value_latents, rng)
    if clean.values is None:
        return None
    latents = encoded_draws(vae, clean.spectra, rng) @ encoder.axes.cpu()
    n_axes = active_axes(encoder)
    n_inducing = max(VALUE_INDUCING, VALUE_INDUCING_PER_CLASS * n_classes)
    value = fit_value(
        latents[:, :n_axes],
        torch.as_tensor(clean.values),
        n_inducing=n_inducing,
        steps=effort.value_steps,
        seed=seed,
    )
    rng, n = stream(seed, Stream.VALUE_CALIBRATION), effort.simulated_pixels

    def known(clean: Clean) -> Known:
        """What is said of the value of these edges in as many pixels."""
        pairs = source.draw(n, rng, edge=clean.spectra)
        log_weight, mean, sd, _ = (x.cpu().double() for x in posterior(encoder, pairs, device))
        moments = value_moments(log_weight.exp(), mean, sd**2, value)
        return Known(*moments, torch.as_tensor(clean.values))

    pixels, mixtures = known(source.edges(n, rng)), mixture_edges(source.model, n, rng)
    return with_conformal_reach(value, pixels, None if mixtures is None else known(mixtures))


def fit_novelty(
    source: Reinsertion,
    encoder: NoisyEncoder,
    spectra: Spectra,
    device: torch.device,
    *,
    effort: Effort = FULL,
    seed: int = 0,
) -> NoveltyScale:
    """Novelty's scale from drawn pixels of each class, whose spikes are as large as measured ones.

    Parameters
    ----------
    source : Reinsertion
    encoder : NoisyEncoder
    spectra : Spectra
        The measured pixels.
    device : torch.device
    effort : Effort
    seed : int

    Returns
    -------
    NoveltyScale
    """
    rng = stream(seed, Stream.NOVELTY)
    dominant = source.model.dominance()
    n = max(effort.novelty_pixels // min(dominant.shape[1], MOST_CLASSES), novelty.MIN_PIXELS)
    residual, unknown, component, electrons = [], [], [], []
    for k in range(dominant.shape[1]):
        # aligned as measured ones are, which takes noise from channel to channel
        drawn = source.draw_counts(n, rng, edge=source.class_edges(k, n, rng).spectra)
        evidence = evidence_of(encoder, drawn.pairs, device)
        residual.append(evidence.residual.cpu())
        unknown.append(evidence.unknown.cpu())
        component.append(evidence.log_probability.exp().cpu())
        electrons.append(drawn.counts / drawn.gain[:, None])
    usable = spectra[np.flatnonzero(spectra.ok)]
    probability = component_probabilities(encoder, usable, device).numpy() @ dominant
    spikes = drawn_spikes(source, electrons, usable.spike, probability, rng)
    return novelty.fit_novelty_scale(
        torch.cat(residual),
        torch.cat(unknown),
        torch.from_numpy(spikes.ravel()),
        torch.cat(component),
        torch.arange(dominant.shape[1]).repeat_interleave(n),
        torch.from_numpy(dominant).float(),
    )
