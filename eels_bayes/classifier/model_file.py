"""A fitted classifier as tensors and plain values, and back."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from eels_bayes import tensor_file
from eels_bayes.classifier.fit_record import FitRecord
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.labels import Labelled
from eels_bayes.classifier.model_library import (
    exactly,
    library_from,
    library_tensors,
    library_words,
)
from eels_bayes.classifier.model_misfit import misfit_from, misfit_tensors, misfit_words
from eels_bayes.classifier.model_tensors import checked
from eels_bayes.classifier.settings import Plan
from eels_bayes.effort import Effort
from eels_bayes.forward_model.continuum import Continuum
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.pixel_posterior import PixelEvidence, evidence_of
from eels_bayes.forward_model.window_fit import WindowFit
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.value_regression import ValueRegression
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.prediction import known_readings
from eels_bayes.prediction.novelty import novelty_scale
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.tensor_checks import below
from eels_bayes.uncertainty.packed_gp import GPConstants
from eels_bayes.validation import same_axis

KIND = "classifier"  # of file, as `tensor_file` has it


# ForwardModel's plain arrays, stored under their names.
_FORWARD = (
    *("mean_profile", "middle", "spread", "mean", "covariance"),
    *("class_weights", "pair_weights", "log_likelihood"),
)
_CONTINUUM = ("energy", "window", "reference", "free")


class Contents(NamedTuple):
    """What a model file holds of an `EELSClassifier`.

    Attributes
    ----------
    fitted : Fitted
    plan : Plan
        Its library is as the user gave it; ``fitted.forward.library`` as the experiment shows it.
    effort : Effort
    seed : int
    history : dict
        Of the fit, by stage.
    """

    fitted: Fitted
    plan: Plan
    effort: Effort
    seed: int
    history: dict[str, dict[str, list[float]]]


def write(path: str | os.PathLike[str], contents: Contents) -> None:
    """Write one file; see `EELSClassifier.save`."""
    tensor_file.write(path, KIND, *pack(contents))


def pack(contents: Contents) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and plain JSON values that :func:`unpack` rebuilds the contents from."""
    tensors, config = pack_fitted(contents.fitted)
    plan, record = contents.plan, contents.fitted.record
    tensors |= library_tensors("library", plan.library)
    # It follows from the forward model, but its axes' signs are the linear algebra library's, and
    # the encoder was learned along these.
    evidence = contents.fitted.encoder.evidence
    tensors |= {f"encoder.evidence.{k}": v for k, v in evidence.state_dict().items()}
    config["evidence"] = list(evidence.sizes)
    tensors |= _known(contents.fitted)
    if plan.class_weights is not None:
        tensors["class_weights"] = plan.class_weights
    config["classifier"] = {
        "prior": plan.prior,
        "latent_dim": plan.latent_dim,
        "likelihood": plan.likelihood,
        "seed": contents.seed,
        "effort": contents.effort.options(),
        "history": contents.history,
        "variations": dict(vars(plan.library.variations)),
    }
    if record is not None:
        config["classifier"]["fit"] = record.options()
    if (found := contents.fitted.window_fit) is not None:
        tensors |= {f"report.{name}": np.asarray(value) for name, value in vars(found).items()}
    return tensors, config


def _known(fitted: Fitted) -> dict[str, Tensor]:
    """A few spectra and what is said of them."""
    reader, own = copy.deepcopy(reader_of(fitted)).cpu(), fitted.preprocessor
    axis, noise = known_readings.typical_axis(own), known_readings.plain_noise(own)
    counts = known_readings.drawn_counts(own, reader.encoder.evidence, axis, noise)
    return known_readings.as_stored(counts, known_readings.columns_of(own, reader, counts))


def unpack(tensors: dict[str, Tensor], config: dict[str, Any]) -> Contents:
    """The contents of :func:`pack`; raises where parts are missing or do not fit together."""
    tensors = checked(tensors, config)
    options = dict(config["classifier"])
    history, seed = options.pop("history"), options.pop("seed")
    # Files of before `Effort` hold the VAE's schedule alone.
    effort = options.pop("effort", None) or {"vae": options.pop("vae_schedule")}
    record = FitRecord.restored(options.pop("fit")) if "fit" in options else None
    weights = tensors.get("class_weights")
    # of before these were kept: as the fit found them
    given = {"variations": options.pop("variations", config["variations"])}
    plan = Plan(
        library=library_from("library", tensors, config | given),
        class_weights=None if weights is None else weights.numpy(),
        **options,
    )
    fitted = replace(
        _unpack_fitted(tensors, config), record=record, window_fit=_window_fit(tensors)
    )
    if known := below("known.", tensors):  # older files hold none
        own = fitted.preprocessor
        columns = known_readings.columns_of(own, reader_of(fitted), known["counts"])
        known_readings.check_columns(known["columns"], columns)
    return Contents(fitted, plan, Effort.from_options(effort), seed, history)


def pack_fitted(fitted: Fitted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and plain JSON values of what was fitted, but for its record."""
    forward = fitted.forward
    tensors: dict[str, Any] = {
        "energy": fitted.energy,
        **library_tensors("shown", forward.library),
        **{f"forward.{name}": getattr(forward, name) for name in _FORWARD},
        **{
            f"continuum.{name}": np.asarray(getattr(forward.continuum, name)) for name in _CONTINUUM
        },
        **misfit_tensors(forward),
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
    # of what follows from the forward model, a model is no other
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
        "library": library_words(forward.library),
        "variations": {k: float(v) for k, v in vars(forward.library.variations).items()},
        "library_fit": {k: float(v) for k, v in vars(forward.library_fit).items()},
        "misfit": misfit_words(forward),
        "converged": forward.converged,
        "latent_dim": fitted.vae.latent_dim,
        "likelihood": fitted.vae.likelihood,
        "preprocessor": fitted.preprocessor.options(),
    }
    return tensors, config


def _unpack_fitted(tensors: dict[str, Tensor], config: dict[str, Any]) -> Fitted:
    """What was fitted, out of `pack_fitted`."""
    learned = _checked_names(tensors, config)
    own = below("preprocessor.", tensors)
    preprocessor = Preprocessor.restored(config["preprocessor"], own)
    vae = _vae(tensors, config)
    forward = _forward_model(tensors, config, preprocessor)
    encoder = _encoder(tensors, config, forward)
    value = None
    if state := below("value.", tensors):
        noise_var, reach = state.pop("noise_var"), state.pop("reach")
        value = ValueRegression(GPConstants(**state), noise_var, reach)
    return Fitted(
        preprocessor=preprocessor,
        energy=tensors["energy"].numpy(),
        forward=forward,
        vae=vae.eval(),
        encoder=encoder.eval(),
        gp=GPClassifier.from_state(below("gp.", tensors)),
        value=value,
        novelty=novelty_scale(below("novelty.", tensors), len(forward.components()[0])),
        class_names=learned["class_names"],
        class_weights=tensors["learned.class_weights"].numpy(),
        labelled=Labelled(
            tensors["learned.profile"],
            tensors["learned.level"],
            learned["pixel_names"],
            tensors["learned.latent"],
            learned["latent_names"],
        ),
    )


def _checked_names(
    tensors: dict[str, Tensor], config: dict[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Names of the classes, and of what is labelled; raises where parts lack their fellows."""
    learned = {name: tuple(names) for name, names in config["learned"].items()}
    of_library, class_names = tuple(config["class_names"]), learned["class_names"]
    if class_names[: len(of_library)] != of_library or not set(class_names) >= {
        *learned["pixel_names"],
        *learned["latent_names"],
    }:
        raise ValueError("the classes' names do not fit together")
    for name, fellow in (
        ("vae.fingerprints", "vae.class_weights"),
        ("library.values", "shown.values"),
    ):
        if (name in tensors) != (fellow in tensors):
            raise ValueError(f"{name} and {fellow} belong together; one is missing")
    return learned


def _window_fit(tensors: dict[str, Tensor]) -> WindowFit | None:
    """How the forward model describes the spectra of the fit; files of before do not say."""
    found = below("report.", tensors)
    if not found:
        return None
    arrays: dict[str, Any] = {
        name: value.numpy() if value.ndim else value.item() for name, value in found.items()
    }
    return WindowFit(**arrays)


def _vae(tensors: dict[str, Tensor], config: dict[str, Any]) -> SpectrumVAE:
    """The VAE with its prior."""
    state = below("vae.", tensors)
    scale = float(state["scale"])
    with torch.device("meta"):  # no memory is taken before sizes are compared
        vae = SpectrumVAE(
            len(tensors["energy"]),
            config["latent_dim"],
            state.get("fingerprints"),
            state.get("class_weights"),
            likelihood=config["likelihood"],
            scale=scale,
        )
    vae.load_state_dict(state, assign=True)
    return vae


def _forward_model(
    tensors: dict[str, Tensor], config: dict[str, Any], preprocessor: Preprocessor
) -> ForwardModel:
    """The forward model, if its bins are the preprocessor's."""
    continuum = {name: tensors[f"continuum.{name}"].numpy() for name in _CONTINUUM}
    low, high = continuum.pop("window").tolist()
    first, last, _ = preprocessor.profile_bins.tolist()
    # as many, before so many are made
    if last - first != len(continuum["energy"]) or not same_axis(
        preprocessor.profile_energy, continuum["energy"]
    ):
        raise ValueError("continuum.energy and preprocessor.profile_bins do not fit together")
    return ForwardModel(
        library=library_from("shown", tensors, config),
        # files of before know of no move, and not whether the fit was at its end
        library_fit=exactly(LibraryFit, {"moved": 0.0} | config["library_fit"]),
        converged=_flag(config.get("converged", True)),
        continuum=Continuum(window=(low, high), **continuum),
        **misfit_from(tensors, config),
        **_arrays(tensors),
    )


def _flag(value: Any) -> bool:
    """A setting that is true or false, or TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"converged is {value!r}")
    return value


def _arrays(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The forward model's plain arrays by name."""
    return {name: tensors[f"forward.{name}"].numpy() for name in _FORWARD}


def _encoder(
    tensors: dict[str, Tensor], config: dict[str, Any], forward: ForwardModel
) -> NoisyEncoder:
    """The noisy encoder on the forward model's evidence, which older files leave to be found."""
    state = below("encoder.", tensors)
    if below("evidence.", state):
        with torch.device("meta"):
            encoder = NoisyEncoder(PixelEvidence(tuple(config["evidence"])), config["latent_dim"])
        encoder.load_state_dict(state, assign=True)
        return encoder
    with np.errstate(all="ignore"):  # what comes of odd numbers is refused below
        evidence = evidence_of(forward)
    encoder = NoisyEncoder(evidence, config["latent_dim"])
    if len(tensors["novelty.whitening"]) != len(evidence.inside):
        raise ValueError("novelty.whitening and the window's bins do not fit together")
    known = {f"evidence.{name}": value for name, value in evidence.state_dict().items()}
    if not all(value.isfinite().all() for value in known.values()):
        raise ValueError("the forward model's numbers make no finite evidence")
    encoder.load_state_dict(state | known)
    return encoder
