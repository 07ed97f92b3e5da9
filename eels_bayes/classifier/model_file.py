"""A fitted model as tensors and plain values, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.labels import Labelled
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.continuum import Continuum
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.pixel_posterior import evidence_of
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.value_regression import ValueRegression
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.uncertainty.psi_statistics import GPConstants


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
        variations=_exactly(Variations, variations),
    )


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries under one prefix, without it."""
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


_Settings = TypeVar("_Settings", LibraryFit, Variations)


def _exactly(kind: type[_Settings], values: dict[str, Any]) -> _Settings:
    """A dataclass of numbers, none of them left to its default."""
    names = {field.name for field in dataclasses.fields(kind)}
    if set(values) != names:
        raise ValueError(f"{kind.__name__} has {sorted(values)} where {sorted(names)} belong")
    return kind(**{name: float(value) for name, value in values.items()})


# Sizes of what no constructor checks, one letter a dimension; digits are themselves. What shares a
# letter fits together: K classes of the library, G of the GP, N = G + 1, D latent, A of them that
# the GPs read, L channels.
_SHAPES = {
    "energy": "L",
    "shown.energy": "L",
    "vae.log_b": "",
    "vae.scale": "",
    "vae.fingerprints": "GJL",
    "vae.class_weights": "N",
    "encoder.axes": "DD",
    "encoder.offset": "CD",
    "encoder.slope": "CSD",
    "encoder.spread": "CD",
    "preprocessor._ready": "",
    "preprocessor.profile_bins": "2",
    "gp.inducing": "MA",
    "gp.variational_mean": "GM",
    "continuum.energy": "B",
    "continuum.window": "2",
    "continuum.reference": "2",
    "continuum.free": "QB",
    "forward.mean_profile": "B",
    "forward.middle": "B",
    "forward.spread": "B",
    "forward.mean": "P",
    "forward.covariance": "PP",
    "forward.class_weights": "K",
    "forward.pair_weights": "KK",
    "forward.log_likelihood": "I",
    "novelty.whitening": "UW",
    "novelty.center": "W",
    "novelty.table": "T",
    "value.inducing": "VA",
    "value.lengthscale": "A",
    "value.outputscale": "",
    "value.mean": "1",
    "value.A": "V1",
    "value.B": "1VV",
    "value.noise_var": "",
    "value.reach": "H",
    "learned.class_weights": "G",
    "learned.profile": "YB",
    "learned.level": "Y",
    "learned.latent": "ZD",
}


def _check_shapes(tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Raise where sizes disagree, before anything is built from them."""
    learned = config["learned"]
    n_library, n_classes = len(config["class_names"]), len(learned["class_names"])
    sizes = {"K": n_library, "G": n_classes, "N": n_classes + 1, "D": config["latent_dim"]}
    sizes |= {"Y": len(learned["pixel_names"]), "Z": len(learned["latent_names"]), "1": 1, "2": 2}
    for name, letters in _SHAPES.items():
        if name not in tensors:
            continue
        shape = tuple(tensors[name].shape)
        fits = len(shape) == len(letters)
        if not fits or any(
            sizes.setdefault(letter, size) != size
            for letter, size in zip(letters, shape, strict=True)
        ):
            raise ValueError(f"{name} has shape {shape}, which does not fit the rest")


# ForwardModel's plain arrays, stored under their names.
_FORWARD = (
    *("mean_profile", "middle", "spread", "mean", "covariance"),
    *("class_weights", "pair_weights", "log_likelihood"),
)
_CONTINUUM = ("energy", "window", "reference", "free")


def pack(fitted: Fitted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and plain JSON values that :func:`unpack` rebuilds ``fitted`` from."""
    forward = fitted.forward
    tensors: dict[str, Any] = {
        "energy": fitted.energy,
        **library_tensors("shown", forward.library),
        **{f"forward.{name}": getattr(forward, name) for name in _FORWARD},
        **{
            f"continuum.{name}": np.asarray(getattr(forward.continuum, name)) for name in _CONTINUUM
        },
        **{f"gp.{k}": v for k, v in fitted.gp.state.items()},
        **{f"novelty.{k}": v for k, v in fitted.novelty._asdict().items()},
        "learned.class_weights": fitted.class_weights,
        **{f"learned.{k}": getattr(fitted.labelled, k) for k in ("profile", "level", "latent")},
    }
    for name, module in (
        ("vae", fitted.vae),
        ("encoder", fitted.encoder),
        ("preprocessor", fitted.preprocessor),
    ):
        tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
    # the evidence follows from the forward model
    tensors = {k: v for k, v in tensors.items() if not k.startswith("encoder.evidence.")}
    if fitted.value is not None:
        tensors |= {f"value.{k}": v for k, v in fitted.value.constants._asdict().items()}
        tensors["value.noise_var"] = fitted.value.noise_var
        tensors["value.reach"] = fitted.value.reach
    config = {
        "class_names": list(forward.library.class_names),
        "learned": {
            "class_names": list(fitted.class_names),
            "pixel_names": list(fitted.labelled.pixel_names),
            "latent_names": list(fitted.labelled.latent_names),
        },
        "variations": vars(forward.library.variations),
        "library_fit": {k: float(v) for k, v in vars(forward.library_fit).items()},
        "latent_dim": fitted.vae.latent_dim,
        "likelihood": fitted.vae.likelihood,
        "preprocessor": fitted.preprocessor.options(),
    }
    return tensors, config


def unpack(tensors: dict[str, Tensor], config: dict[str, Any]) -> Fitted:
    """The fitted model of :func:`pack`; raises where parts are missing or do not fit together."""
    _check_shapes(tensors, config)
    learned = {name: tuple(names) for name, names in config["learned"].items()}
    of_library, every = tuple(config["class_names"]), learned["class_names"]
    if every[: len(of_library)] != of_library or not set(every) >= {
        *learned["pixel_names"],
        *learned["latent_names"],
    }:
        raise ValueError("the classes' names do not fit together")
    for one, other in (
        ("vae.fingerprints", "vae.class_weights"),
        ("library.values", "shown.values"),
    ):
        if (one in tensors) != (other in tensors):
            raise ValueError(f"{one} and {other} belong together; one is missing")
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
    continuum = {name: tensors[f"continuum.{name}"].numpy() for name in _CONTINUUM}
    low, high = continuum.pop("window").tolist()
    first, last = pre.profile_bins.tolist()
    if last - first != len(continuum["energy"]) or not np.allclose(
        pre.profile_energy, continuum["energy"]
    ):
        raise ValueError("continuum.energy and preprocessor.profile_bins do not fit together")
    forward = ForwardModel(
        library=library_from("shown", tensors, config["class_names"], config["variations"]),
        library_fit=_exactly(LibraryFit, config["library_fit"]),
        continuum=Continuum(window=(low, high), **continuum),
        **{name: tensors[f"forward.{name}"].numpy() for name in _FORWARD},
    )
    with np.errstate(all="ignore"):  # what comes of odd numbers is refused below
        evidence = evidence_of(forward)
    encoder = NoisyEncoder(evidence, config["latent_dim"])
    if len(tensors["novelty.whitening"]) != len(evidence.inside):
        raise ValueError("novelty.whitening and the window's bins do not fit together")
    known = {f"evidence.{name}": value for name, value in evidence.state_dict().items()}
    if not all(value.isfinite().all() for value in known.values()):
        raise ValueError("the forward model's numbers make no finite evidence")
    encoder.load_state_dict(_prefixed("encoder", tensors) | known)
    value = None
    if state := _prefixed("value", tensors):
        noise_var, reach = state.pop("noise_var"), state.pop("reach")
        value = ValueRegression(GPConstants(**state), noise_var, reach)
    return Fitted(
        preprocessor=pre,
        energy=energy,
        forward=forward,
        vae=vae.eval(),
        encoder=encoder.eval(),
        gp=GPClassifier.from_state(_prefixed("gp", tensors)),
        value=value,
        novelty=NoveltyScale(**_prefixed("novelty", tensors)),
        class_names=every,
        class_weights=tensors["learned.class_weights"].numpy(),
        labelled=Labelled(
            tensors["learned.profile"],
            tensors["learned.level"],
            learned["pixel_names"],
            tensors["learned.latent"],
            learned["latent_names"],
        ),
    )
