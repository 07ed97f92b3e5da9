"""From a fitted model to the fast path: raw counts to decisions on one energy axis."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.classifier.compatibility import check_preprocessor
from eels_bayes.classifier.digest import digest
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.model_library import library_words
from eels_bayes.classifier.settings import Settings
from eels_bayes.classifier.training_latents import training_latents
from eels_bayes.data.detector_noise import given_noise
from eels_bayes.data.energy_axis import EnergyAxis, limits
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.fast.backends import Backend
from eels_bayes.fast.classifier import FastClassifier, Head
from eels_bayes.fast.dense_head import DenseHeads, fit_dense
from eels_bayes.fast.graph import FastGraph
from eels_bayes.fast.population import Population
from eels_bayes.forward_model.components import dominant
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.reinsertion import clean_source
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.windows import FINEST
from eels_bayes.training import learning

DECIMALS = 6  # of the library's spectra in the file, edge units: below any detector's noise


@learning()
def compiled(
    fitted: Fitted,
    library: FingerprintLibrary,
    preprocessor: Preprocessor,
    settings: Settings,
    *,
    energy: ArrayLike,
    head: Head,
    backend: Backend,
    noise: Sequence[float] | None,
) -> FastClassifier:
    """The fast classifier of a fitted model; see `EELSClassifier.compile`."""
    axis = EnergyAxis(*validation.axis("energy", energy))
    own_noise = fitted.preprocessor.detector_noise if noise is None else given_noise(noise)
    if head not in ("gp", "dense"):
        raise ValueError(f"head must be 'gp' or 'dense', got {head!r}")
    check_preprocessor(fitted, preprocessor)
    if preprocessor.step < FINEST * axis.scale:
        raise ValueError(
            f"energy has channels of {axis.scale:g} eV; the preprocessor needs "
            f"{preprocessor.step:g} eV or finer ones"
        )
    reader = copy.deepcopy(reader_of(fitted)).cpu()
    if head == "dense":
        reader.heads = _dense_head(fitted, settings)
    own = copy.deepcopy(preprocessor)
    graph = FastGraph(own, reader, axis, own_noise)
    if int(graph.plan(0.0).flag):
        (low, high), needed = limits(axis, 0.0), graph.plan.needed()
        raise ValueError(
            f"energy covers {low:g} to {high:g} eV; {needed[0]:g} to {needed[1]:g} eV are needed"
        )
    shown = _plain_library(library.resample(fitted.energy))
    shown |= library_words(fitted.forward.library)
    shown["class_weights"] = fitted.class_weights.tolist()
    model = digest(fitted)
    population = _population(fitted.forward)
    return FastClassifier(graph, own, fitted.class_names, head, backend, shown, model, population)


def _population(model: ForwardModel) -> Population:
    """What of the forward model a stream may move."""
    columns = model.continuum.columns(model.continuum.energy, model.library)
    return Population(
        torch.as_tensor(columns, dtype=torch.float64),
        torch.as_tensor(model.mean, dtype=torch.float64),
        torch.as_tensor(model.covariance, dtype=torch.float64),
        torch.tensor(dominant(model.library, ()), dtype=torch.int64),
    )


def _dense_head(fitted: Fitted, settings: Settings) -> DenseHeads:
    """The dense head, trained on what the Gaussian process was trained on."""
    source = clean_source(fitted.forward, fitted.preprocessor)
    latents, labels = training_latents(
        source,
        fitted.vae,
        fitted.encoder,
        fitted.class_names,
        fitted.labelled,
        settings.effort,
        settings.seed,
    )
    return fit_dense(
        latents,
        labels,
        len(fitted.class_names),
        effort=settings.effort,
        seed=settings.seed,
        show_progressbar=settings.show_progressbar,
    )


def _plain_library(library: FingerprintLibrary) -> dict[str, Any]:
    """What the classes look like as plain values, which a file keeps: see `FastClassifier`."""
    values = library.class_values
    return {
        "energy": library.energy.tolist(),
        "spectra": np.round(library.class_spectra, DECIMALS).tolist(),
        "values": None if values is None else values.tolist(),
    }
