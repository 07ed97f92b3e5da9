"""What is learned on a forward model as tensors, and back: VAE, encoder, value, GP, novelty."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.pixel_posterior import PixelEvidence
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.value_regression import ValueRegression
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.vae import Likelihood, SpectrumVAE
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.tensor_checks import below
from eels_bayes.uncertainty.packed_gp import GPConstants


def vae_from(
    state: dict[str, Tensor], n_channels: int, latent_dim: int, likelihood: Likelihood
) -> SpectrumVAE:
    """The VAE of its state, with its prior."""
    scale = float(state["scale"])
    with torch.device("meta"):  # no memory is taken before sizes are compared
        vae = SpectrumVAE(
            n_channels,
            latent_dim,
            state.get("fingerprints"),
            state.get("class_weights"),
            likelihood=likelihood,
            scale=scale,
        )
    vae.load_state_dict(state, assign=True)
    return vae.eval()


def encoder_tensors(encoder: NoisyEncoder) -> dict[str, Tensor]:
    """The encoder with the evidence that it reads along.

    The evidence follows from the forward model, but its axes' signs are the linear algebra
    library's, and the encoder was learned along these.
    """
    return {f"encoder.{k}": v for k, v in encoder.state_dict().items()}


def encoder_from(tensors: dict[str, Tensor], sizes: list[int], latent_dim: int) -> NoisyEncoder:
    """The noisy encoder, with evidence of these sizes."""
    n_bins, n_span, n_components, n_unknown, n_window = sizes
    with torch.device("meta"):
        evidence = PixelEvidence((n_bins, n_span, n_components, n_unknown, n_window))
        encoder = NoisyEncoder(evidence, latent_dim)
    encoder.load_state_dict(below("encoder.", tensors), assign=True)
    return encoder


def gp_tensors(gp: GPClassifier) -> dict[str, Tensor]:
    """The GP classifier without the record of its training."""
    return {f"gp.{k}": v for k, v in gp.state.items()}


def gp_from(state: dict[str, Tensor], loss: list[float]) -> GPClassifier:
    """The GP classifier of its state and of the record of its training."""
    return replace(GPClassifier.from_state(state), loss=tuple(loss))


def value_tensors(value: ValueRegression | None) -> dict[str, Tensor]:
    """The regression of the value; nothing where the library has none."""
    if value is None:
        return {}
    constants = {f"value.{k}": v for k, v in value.constants._asdict().items()}
    tables = ("noise_var", "reach", "reach_of_mixed")
    return constants | {f"value.{name}": getattr(value, name) for name in tables}


def value_from(tensors: dict[str, Tensor]) -> ValueRegression | None:
    """The regression of `value_tensors`."""
    state = below("value.", tensors)
    if not state:
        return None
    noise_var, reach, of_mixed = map(state.pop, ("noise_var", "reach", "reach_of_mixed"))
    return ValueRegression(GPConstants(**state), noise_var, reach, of_mixed)


def novelty_tensors(novelty: NoveltyScale) -> dict[str, Tensor]:
    """The scale of the novelty."""
    return {f"novelty.{k}": v for k, v in novelty._asdict().items()}


def novelty_from(state: dict[str, Tensor], forward: ForwardModel) -> NoveltyScale:
    """The scale of `novelty_tensors`, if it is of the forward model's components."""
    scale = NoveltyScale(**state)
    if len(scale.dominant) != len(forward.components()[0]):
        raise ValueError(f"novelty.dominant has shape {tuple(scale.dominant.shape)}")
    return scale
