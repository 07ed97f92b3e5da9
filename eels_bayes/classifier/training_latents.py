"""Latents with classes, drawn from the forward model: what heads and prior are fitted to."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.classifier.labels import Labelled
from eels_bayes.effort import FULL, Effort
from eels_bayes.forward_model.reinsertion import Reinsertion
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.latent.vae_fit import encoded_draws
from eels_bayes.randomness import Stream, stream

# Where labels name a class that no fingerprint describes, latents of the others count for so many
# labels together: fingerprints say what their class looks like, not how much more frequent it is
# than one of which a few labels are known.
FINGERPRINT_LABELS = 8
N_VARIATIONS = 16  # J, components of the explicit prior a class: chosen, not tuned
NONE_WEIGHT = 0.03  # prior weight of "none of these": chosen, not tuned
LEAST_SHARE = 1e-4  # of a class: none is quite impossible

# What was drawn, so that a label need not wait for it. An encoder is of one forward model and one
# VAE's weights; the drawing depends on these, and on what the inner key holds.
_DRAWN: WeakKeyDictionary[NoisyEncoder, dict[tuple[bool, Effort, int], tuple[Tensor, Tensor]]] = (
    WeakKeyDictionary()
)


def labelled_latents(
    source: Reinsertion, vae: SpectrumVAE, axes: Tensor, effort: Effort, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Latents (N, D) along ``axes`` and classes (N,) of the library for the heads to learn from.

    As frequent as in the data, mixtures labelled by what dominates them: r(z | x) carries the same
    weights, and where the border between two classes runs is part of what labels mean. Some pure
    ones of each class besides, so that none is left out.
    """
    pure = np.repeat(np.arange(source.model.library.n_classes), effort.pure_latents)
    known = source.single_edges(pure, rng)
    drawn = source.edges(effort.gp_latents, rng)
    edge = np.concatenate([drawn.spectra, known.spectra])
    labels = np.concatenate([drawn.fractions, known.fractions]).argmax(1)
    return _latents_of(source, vae, axes, edge, rng), torch.as_tensor(labels)


def pure_latents(
    source: Reinsertion, vae: SpectrumVAE, axes: Tensor, effort: Effort, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """As `labelled_latents`, pure ones alone.

    For libraries that lack a class: what they take for mixtures of two classes may be a third.
    """
    labels = np.repeat(np.arange(source.model.library.n_classes), effort.pure_latents_alone)
    edge = source.single_edges(labels, rng).spectra
    return _latents_of(source, vae, axes, edge, rng), torch.as_tensor(labels)


def _latents_of(
    source: Reinsertion,
    vae: SpectrumVAE,
    axes: Tensor,
    edge: NDArray[np.float64],
    rng: np.random.Generator,
) -> Tensor:
    """Latents (N, D) along ``axes`` of edges (N, L), with overlapping shapes drawn for each."""
    overlap = source.overlap(source.coefficients(len(edge), rng))
    return encoded_draws(vae, edge + overlap, rng) @ axes


def training_latents(
    source: Reinsertion,
    vae: SpectrumVAE,
    encoder: NoisyEncoder,
    class_names: tuple[str, ...],
    labelled: Labelled,
    effort: Effort,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """The library's latents and the labelled ones' draws, all alike (N, D), and classes (N,)."""
    latents, labels = simulated(source, vae, encoder, class_names, effort, seed)
    draws, codes = labelled.draws(encoder), labelled.codes(class_names)
    return (
        torch.cat([latents, draws.flatten(0, 1)]),
        torch.cat([labels, codes.repeat_interleave(draws.shape[1])]),
    )


def simulated(
    source: Reinsertion,
    vae: SpectrumVAE,
    encoder: NoisyEncoder,
    class_names: tuple[str, ...],
    effort: Effort,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """The library's latents (N, D) along the encoder's axes, and their classes (N,).

    Drawn once for an encoder and kept as long as it lives.
    """
    complete = len(class_names) == source.model.library.n_classes
    known, key = _DRAWN.setdefault(encoder, {}), (complete, effort, seed)
    if key not in known:
        draw = labelled_latents if complete else pure_latents
        rng = stream(seed, Stream.GP_LATENTS)
        known[key] = draw(source, vae, encoder.axes.cpu(), effort, rng)
    return known[key]


def class_variations(source: Reinsertion, rng: np.random.Generator) -> Tensor:
    """Clean spectra (K, `N_VARIATIONS`, L) of the library's classes with overlapping shapes."""
    n_classes = source.model.library.n_classes
    labels = np.repeat(np.arange(n_classes), N_VARIATIONS)
    edge = source.single_edges(labels, rng).spectra
    clean = edge + source.overlap(source.coefficients(len(labels), rng))
    return torch.from_numpy(clean).float().unflatten(0, (n_classes, N_VARIATIONS))


def prior_weights(class_weights: NDArray[np.float64]) -> Tensor:
    """Of the explicit prior's classes (K,) and, last, of "none of these"; (K + 1,)."""
    weights = np.append(class_weights * (1 - NONE_WEIGHT), NONE_WEIGHT)
    return torch.from_numpy(weights).float()


def prior_spectra(
    source: Reinsertion,
    vae: SpectrumVAE,
    encoder: NoisyEncoder,
    class_names: tuple[str, ...],
    labelled: Labelled,
    *,
    seed: int = 0,
) -> Tensor:
    """What the explicit prior's components stand for: spectra (K, `N_VARIATIONS`, L).

    The library's classes under their variations, half of them instead decoded from labelled latents
    where there are as many; classes of labels alone are decoded from those.
    """
    rng = stream(seed, Stream.VAE)
    known = class_variations(source, rng)
    if not labelled.names:
        return known
    draws, codes = labelled.draws(encoder), labelled.codes(class_names)
    with torch.no_grad():
        latents = (draws @ encoder.axes.cpu().T).to(vae.log_b.device)
        decoded = vae.decode(latents.flatten(0, 1)).cpu().unflatten(0, draws.shape[:2])
    spectra = []
    for k in range(len(class_names)):
        # pixel after pixel first, so that few components still come from many pixels
        of_class = decoded[codes == k].transpose(0, 1).flatten(0, 1)
        if k >= len(known):
            spectra.append(of_class[torch.arange(N_VARIATIONS) % len(of_class)])
            continue
        n_decoded = min(len(of_class) // draws.shape[1], N_VARIATIONS // 2)
        spectra.append(torch.cat([of_class[:n_decoded], known[k][n_decoded:]]))
    return torch.stack(spectra)


def class_shares(
    gp: GPClassifier,
    source: Reinsertion,
    vae: SpectrumVAE,
    axes: Tensor,
    *,
    effort: Effort = FULL,
    seed: int = 0,
) -> NDArray[np.float64]:
    """How frequent each class is (K,) where nothing is known of a pixel.

    The GP's mean probabilities, read at the functions' means, over latents as frequent as in the
    data.
    """
    rng = stream(seed, Stream.CLASS_SHARES)
    edge = source.edges(effort.simulated_pixels, rng).spectra
    latents = _latents_of(source, vae, axes, edge, rng)
    f = gp.moments(latents, torch.zeros_like(latents)).mean
    shares = torch.softmax(f.double(), 1).mean(0).clamp(min=LEAST_SHARE).numpy()
    return np.asarray(shares / shares.sum())
