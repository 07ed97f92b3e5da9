"""A fitted model as tensors and plain values, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from eels_bayes.continuum import ForwardModel, LibraryFit
from eels_bayes.fingerprints import FingerprintLibrary, Variations
from eels_bayes.gp import GPClassifier
from eels_bayes.inference import Fitted
from eels_bayes.noisy_encoder import N_FIXED, NoisyEncoder
from eels_bayes.novelty import NoveltyScale
from eels_bayes.preprocess import Preprocessor
from eels_bayes.psi import GPConstants
from eels_bayes.vae import SpectrumVAE
from eels_bayes.value import ValueRegression


def library_tensors(prefix: str, library: FingerprintLibrary) -> dict[str, Any]:
    tensors = {
        f"{prefix}.energy": library.energy,
        f"{prefix}.intensity": library.intensity,
        f"{prefix}.labels": library.labels,
        f"{prefix}.nuisances": library.nuisances,
    }
    if library.values is not None:
        tensors[f"{prefix}.values"] = library.values
    return tensors


def library_from(
    prefix: str, tensors: dict[str, Tensor], class_names: Sequence[str], variations: dict[str, Any]
) -> FingerprintLibrary:
    arrays = {
        name: tensors[f"{prefix}.{name}"].numpy()
        for name in ("energy", "intensity", "labels", "nuisances")
    }
    values = tensors.get(f"{prefix}.values")
    return FingerprintLibrary(
        **arrays,
        class_names=tuple(class_names),
        values=None if values is None else values.numpy(),
        variations=Variations(**variations),
    )


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries under one prefix, without it."""
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


# ForwardModel's plain arrays, stored under their names.
_FORWARD = ("reference", "mean", "covariance", "class_weights", "pair_weights", "log_likelihood")


def pack(fitted: Fitted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and plain JSON values that :func:`unpack` rebuilds ``fitted`` from."""
    forward = fitted.forward
    tensors: dict[str, Any] = {
        "energy": fitted.energy,
        **library_tensors("shown", forward.library),
        **{f"forward.{name}": np.asarray(getattr(forward, name)) for name in _FORWARD},
        **{f"gp.{k}": v for k, v in fitted.gp.state.items()},
        **{f"novelty.{k}": v for k, v in fitted.novelty._asdict().items()},
    }
    for name, module in (
        ("vae", fitted.vae),
        ("encoder", fitted.encoder),
        ("preprocessor", fitted.preprocessor),
    ):
        tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
    if fitted.value is not None:
        tensors |= {f"value.{k}": v for k, v in fitted.value.constants._asdict().items()}
        tensors["value.noise_var"] = fitted.value.noise_var
    config = {
        "class_names": list(forward.library.class_names),
        "variations": vars(forward.library.variations),
        "library_fit": {k: float(v) for k, v in vars(forward.library_fit).items()},
        "latent_dim": fitted.vae.latent_dim,
        "likelihood": fitted.vae.likelihood,
        "preprocessor": fitted.preprocessor.options(),
    }
    return tensors, config


def unpack(tensors: dict[str, Tensor], config: dict[str, Any]) -> Fitted:
    """The fitted model of :func:`pack`; raises where parts are missing or do not fit together."""
    pre = Preprocessor.from_options(config["preprocessor"])
    pre.load_state_dict(_prefixed("preprocessor", tensors))
    state = _prefixed("vae", tensors)
    energy = tensors["energy"].numpy()
    vae = SpectrumVAE(
        len(energy),
        config["latent_dim"],
        state.get("fingerprints"),
        state.get("class_weights"),
        likelihood=config["likelihood"],
        scale=float(state["scale"]),
    )
    vae.load_state_dict(state)
    state = _prefixed("encoder", tensors)
    encoder = NoisyEncoder(len(energy), len(state["center"]) - N_FIXED, config["latent_dim"])
    encoder.load_state_dict(state)
    arrays: dict[str, Any] = {name: tensors[f"forward.{name}"].numpy() for name in _FORWARD}
    forward = ForwardModel(
        library=library_from("shown", tensors, config["class_names"], config["variations"]),
        library_fit=LibraryFit(**config["library_fit"]),
        **{**arrays, "log_likelihood": tuple(arrays["log_likelihood"].tolist())},
    )
    value = None
    if "value.noise_var" in tensors:
        state = _prefixed("value", tensors)
        value = ValueRegression(noise_var=state.pop("noise_var"), constants=GPConstants(**state))
    return Fitted(
        preprocessor=pre,
        energy=energy,
        forward=forward,
        vae=vae.eval(),
        encoder=encoder.eval(),
        gp=GPClassifier.from_state(_prefixed("gp", tensors)),
        value=value,
        novelty=NoveltyScale(**_prefixed("novelty", tensors)),
    )
