"""A fitted forward model as tensors and plain values, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from eels_bayes.classifier.model_foreign import foreign_from, foreign_tensors
from eels_bayes.classifier.model_library import (
    exactly,
    library_from,
    library_tensors,
    library_words,
)
from eels_bayes.classifier.model_misfit import misfit_from, misfit_tensors, misfit_words
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.components import absent
from eels_bayes.forward_model.continuum import Continuum
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.validation import same_axis

# ForwardModel's plain arrays, stored under their names.
_FORWARD = (
    *("mean_profile", "middle", "spread", "mean", "covariance", "within"),
    *("class_weights", "pair_weights", "level_weights", "log_likelihood"),
)
_CONTINUUM = ("energy", "window", "reference", "free")


def forward_tensors(forward: ForwardModel) -> dict[str, Any]:
    """Its arrays under their names in the file, the library's included."""
    continuum = forward.continuum
    return {
        **library_tensors("shown", forward.library),
        **{f"forward.{name}": getattr(forward, name) for name in _FORWARD},
        "forward.pairs": np.array(forward.pairs, dtype=np.int64).reshape(-1, 2),
        **{f"continuum.{name}": np.asarray(getattr(continuum, name)) for name in _CONTINUUM},
        **misfit_tensors(forward),
        **foreign_tensors(forward.foreign),
    }


def forward_words(forward: ForwardModel) -> dict[str, Any]:
    """What else it holds, as plain values."""
    return {
        "class_names": list(forward.library.class_names),
        "library": library_words(forward.library),
        "variations": {k: float(v) for k, v in vars(forward.library.variations).items()},
        "library_fit": {k: float(v) for k, v in vars(forward.library_fit).items()},
        "misfit": misfit_words(forward),
        "converged": forward.converged,
        "begun_again": forward.begun_again,
    }


def forward_from(
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
    library = library_from("shown", tensors, config)
    pairs = _pairs(tensors["forward.pairs"], library)
    return ForwardModel(
        library=library,
        library_fit=exactly(LibraryFit, config["library_fit"]),
        converged=_flag("converged", config),
        begun_again=_flag("begun_again", config),
        continuum=Continuum(window=(low, high), **continuum),
        **misfit_from(tensors, config),
        foreign=foreign_from(tensors),
        pairs=pairs,
        **_arrays(tensors),
    )


def _pairs(stored: Tensor, library: FingerprintLibrary) -> list[tuple[int, int]]:
    """The pairs of classes that may mix, or ValueError."""
    pairs, n_classes = [(first, second) for first, second in stored.tolist()], library.n_classes
    if len(set(pairs)) < len(pairs) or not all(a < b < n_classes for a, b in pairs):
        raise ValueError(f"forward.pairs is no list of pairs of {n_classes} classes")
    if absent(library) in {k for pair in pairs for k in pair}:
        raise ValueError("forward.pairs holds a class without an edge")
    return pairs


def _flag(name: str, config: dict[str, Any]) -> bool:
    """A setting that is true or false, or TypeError."""
    value = config[name]
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}")
    return value


def _arrays(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The forward model's plain arrays by name."""
    arrays = {name: tensors[f"forward.{name}"].numpy() for name in _FORWARD}
    if not np.allclose(arrays["level_weights"].sum(1), 1.0):
        raise ValueError("forward.level_weights do not sum to one")
    return arrays
