"""A fit under way as a file, so that one whose program is killed goes on where it was.

The file is replaced whole after each epoch of the VAE and each finished stage. It holds what is
done, and which fit it is of: its spectra, library and options, and the version of the package.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from eels_bayes import tensor_file
from eels_bayes.classifier.model_forward import forward_from, forward_tensors, forward_words
from eels_bayes.classifier.model_learned import (
    encoder_from,
    encoder_tensors,
    gp_from,
    gp_tensors,
    novelty_from,
    novelty_tensors,
    vae_from,
    value_from,
    value_tensors,
)
from eels_bayes.classifier.model_library import library_tensors, library_words
from eels_bayes.classifier.model_tensors import checked_checkpoint
from eels_bayes.classifier.reading_loss import LENGTHS
from eels_bayes.classifier.run import Learned, Run
from eels_bayes.classifier.settings import Plan, Settings
from eels_bayes.classifier.training_tensors import state_from, state_tensors, state_words
from eels_bayes.data.spectra import Spectra
from eels_bayes.tensor_checks import below
from eels_bayes.validation import whole

KIND = "fit under way"  # of file, as `tensor_file` has it


def identity_of(spectra: Spectra, plan: Plan, settings: Settings) -> dict[str, str]:
    """What makes a fit this one, by what a user would have changed."""
    arrays = {name: x for name, x in vars(spectra).items() if isinstance(x, np.ndarray)}
    own = spectra.preprocessor
    arrays |= {f"preprocessor.{name}": x for name, x in own.state_dict().items()}
    library = plan.library
    words = {"names": library.class_names, "variations": vars(library.variations)}
    options = {
        "plan": [plan.prior, plan.latent_dim, plan.likelihood],
        "effort": settings.effort.options(),
        "seed": settings.seed,
        "device": str(settings.device),
    }
    weights = {} if plan.class_weights is None else {"class_weights": plan.class_weights}
    return {
        "spectra": tensor_file.digest(arrays, own.options()),
        "library": tensor_file.digest(
            library_tensors("library", library), library_words(library) | words
        ),
        "options": tensor_file.digest(weights, options),
        "eels_bayes": import_module("eels_bayes").__version__,
    }


def opened(
    path: str | os.PathLike[str] | None, run: Run, plan: Plan, settings: Settings
) -> tuple[Run, Callable[[], None]]:
    """The fit that a file holds, else the given one; and what writes there how far it is.

    Raises
    ------
    ValueError
        If the file is of another fit, or is damaged.
    OSError
        If it cannot be read or written.
    """
    if path is None:
        return run, lambda: None
    identity = identity_of(run.spectra, plan, settings)
    try:
        tensors, config = tensor_file.read(path, KIND)
    except FileNotFoundError:
        tensor_file.write(path, KIND, *_packed(run, identity))  # said before hours are spent
        return run, partial(_keep, path, run, identity)
    if other := [name for name in identity if config["identity"].get(name) != identity[name]]:
        raise ValueError(
            f"{os.fspath(path)} is the checkpoint of a fit with other {' and '.join(other)}; name "
            "another file, or remove this one to begin anew"
        )
    try:
        run = _unpacked(tensors, config, run.spectra, plan, settings)
    except tensor_file.MISFITS as error:
        raise ValueError(
            f"{os.fspath(path)} holds no fit that can go on ({error}); remove it to begin anew"
        ) from error
    return run, partial(_keep, path, run, identity)


def _keep(path: str | os.PathLike[str], run: Run, identity: dict[str, str]) -> None:
    """Write what is done; a disk that refuses it does not end the fit."""
    try:
        tensor_file.write(path, KIND, *_packed(run, identity))
    except OSError as error:
        warnings.warn(
            f"checkpoint not written ({error}); the fit goes on, and what it does until the next "
            "one that is written would be lost with the program",
            stacklevel=2,
        )


def _packed(run: Run, identity: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and plain values of what is done."""
    tensors = state_tensors(run.vae_state)
    config: dict[str, Any] = {"identity": identity, "vae": state_words(run.vae_state)}
    config["rounds"] = run.rounds
    learned = run.learned
    if run.forward is not None:
        tensors |= forward_tensors(run.forward)
        config |= forward_words(run.forward)
    if learned.encoder is not None:
        tensors |= encoder_tensors(learned.encoder)
        config["evidence"] = list(learned.encoder.evidence.sizes)
    if learned.gp is not None:
        tensors |= gp_tensors(learned.gp)
        config["gp_loss"] = list(learned.gp.loss)
    if learned.novelty is not None:
        tensors |= novelty_tensors(learned.novelty)
    return tensors | value_tensors(learned.value), config


def _unpacked(
    tensors: dict[str, Any],
    config: dict[str, Any],
    spectra: Spectra,
    plan: Plan,
    settings: Settings,
) -> Run:
    """The fit of `_packed`, on its device."""
    n_classes = plan.library.n_classes
    tensors = checked_checkpoint(tensors, config, n_classes, plan.latent_dim)
    run, device = Run(spectra), settings.device
    run.vae_state = state_from(tensors, config["vae"])
    run.rounds = whole("rounds", config["rounds"], least=0)
    if run.rounds >= len(LENGTHS):
        raise ValueError(f"rounds is {run.rounds}")
    if "class_names" not in config:
        return run
    run.forward = forward_from(tensors, config, spectra.preprocessor)
    if run.vae_state.done and run.vae_state.best is not None:
        size = len(spectra.energy), plan.latent_dim
        run.vae = vae_from(run.vae_state.best, *size, plan.likelihood).to(device)
    learned = Learned(value=value_from(tensors))
    if "evidence" in config:
        encoder = encoder_from(tensors, config["evidence"], plan.latent_dim)
        learned.encoder = encoder.eval().to(device)
    if state := below("gp.", tensors):
        learned.gp = gp_from(state, config["gp_loss"])
    if state := below("novelty.", tensors):
        learned.novelty = novelty_from(state, run.forward)
    run.learned = learned
    return run
