"""A fitted classifier as tensors and plain values, and back."""

from __future__ import annotations

import copy
import os
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from eels_bayes import tensor_file
from eels_bayes.classifier.fit_record import FitRecord
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.held_out import HeldOut
from eels_bayes.classifier.labels import Labelled
from eels_bayes.classifier.model_forward import forward_from, forward_tensors, forward_words
from eels_bayes.classifier.model_learned import (
    encoder_from,
    encoder_tensors,
    gp_tensors,
    novelty_from,
    novelty_tensors,
    vae_from,
    value_from,
    value_tensors,
)
from eels_bayes.classifier.model_library import library_from, library_tensors
from eels_bayes.classifier.model_tensors import checked
from eels_bayes.classifier.settings import Plan
from eels_bayes.effort import Effort
from eels_bayes.forward_model.window_fit import WindowFit
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.prediction import known_readings
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.tensor_checks import below

KIND = "classifier"  # of file, as `tensor_file` has it


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
    plan, fitted = contents.plan, contents.fitted
    tensors, config = pack_fitted(fitted)
    tensors |= library_tensors("library", plan.library)
    tensors |= encoder_tensors(fitted.encoder)  # with its evidence
    config["evidence"] = list(fitted.encoder.evidence.sizes)
    tensors |= _known(fitted)
    tensors["held_out"] = fitted.held_out.rows
    tensors |= {f"report.{name}": np.asarray(x) for name, x in vars(fitted.window_fit).items()}
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
        "fit": fitted.record.options(),
        "held_out": fitted.held_out.options(),
    }
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
    effort = Effort.from_options(given := options.pop("effort"))
    if effort.options() != given:  # nothing is left to its default
        raise ValueError(f"effort is {given!r}")
    record = FitRecord.restored(options.pop("fit"))
    held_out = HeldOut.restored(tensors["held_out"].numpy(), options.pop("held_out"))
    fitted = _unpack_fitted(tensors, config, record, held_out)
    weights = tensors.get("class_weights")
    own = config | {"variations": options.pop("variations")}  # not those that the fit found
    plan = Plan(
        library=library_from("library", tensors, own),
        class_weights=None if weights is None else weights.numpy(),
        **options,
    )
    known = fitted.preprocessor, reader_of(fitted), tensors["known.counts"]
    columns = known_readings.columns_of(*known)
    known_readings.check_columns(tensors["known.columns"], columns)
    return Contents(fitted, plan, effort, seed, history)


def pack_fitted(fitted: Fitted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and plain JSON values of what was fitted, but for its record."""
    tensors: dict[str, Any] = {
        "energy": fitted.energy,
        **forward_tensors(fitted.forward),
        **gp_tensors(fitted.gp),
        **novelty_tensors(fitted.novelty),
        **value_tensors(fitted.value),
        "learned.class_weights": fitted.class_weights,
        **{f"learned.{k}": getattr(fitted.labelled, k) for k in ("profile", "level", "latent")},
        **encoder_tensors(fitted.encoder),
    }
    for name, module in (("vae", fitted.vae), ("preprocessor", fitted.preprocessor)):
        tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
    # of what follows from the forward model, a model is no other
    tensors = {k: v for k, v in tensors.items() if not k.startswith("encoder.evidence.")}
    config = {
        **forward_words(fitted.forward),
        "learned": {
            "class_names": list(fitted.class_names),
            "pixel_names": list(fitted.labelled.pixel_names),
            "latent_names": list(fitted.labelled.latent_names),
        },
        "latent_dim": fitted.vae.latent_dim,
        "likelihood": fitted.vae.likelihood,
        "preprocessor": fitted.preprocessor.options(),
    }
    return tensors, config


def _unpack_fitted(
    tensors: dict[str, Tensor], config: dict[str, Any], record: FitRecord, held_out: HeldOut
) -> Fitted:
    """What was fitted, out of `pack_fitted`, with what else is kept of the fit."""
    learned = _checked_names(tensors, config)
    own = below("preprocessor.", tensors)
    preprocessor = Preprocessor.restored(config["preprocessor"], own)
    kind = config["latent_dim"], config["likelihood"]
    vae = vae_from(below("vae.", tensors), len(tensors["energy"]), *kind)
    forward = forward_from(tensors, config, preprocessor)
    encoder = encoder_from(tensors, config["evidence"], config["latent_dim"])
    return Fitted(
        preprocessor=preprocessor,
        energy=tensors["energy"].numpy(),
        forward=forward,
        vae=vae,
        encoder=encoder.eval(),
        gp=GPClassifier.from_state(below("gp.", tensors)),
        value=value_from(tensors),
        novelty=novelty_from(below("novelty.", tensors), forward),
        class_names=learned["class_names"],
        class_weights=tensors["learned.class_weights"].numpy(),
        labelled=Labelled(
            tensors["learned.profile"],
            tensors["learned.level"],
            learned["pixel_names"],
            tensors["learned.latent"],
            learned["latent_names"],
        ),
        record=record,
        window_fit=_window_fit(tensors),
        held_out=held_out,
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


def _window_fit(tensors: dict[str, Tensor]) -> WindowFit:
    """How the forward model describes the spectra of the fit."""
    arrays: dict[str, Any] = {
        name: value.numpy() if value.ndim else value.item()
        for name, value in below("report.", tensors).items()
    }
    if missing := [one.name for one in fields(WindowFit) if one.name not in arrays]:
        raise ValueError(f"report.{missing[0]} is missing")
    return WindowFit(**arrays)
