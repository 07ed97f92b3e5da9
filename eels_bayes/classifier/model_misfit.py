"""How far fingerprints miss the edge, as a model file holds it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from eels_bayes.forward_model.misfit import Directions, Misfit
from eels_bayes.forward_model.model import ForwardModel

ARRAYS = ("shape", "amplitude", "shared", "covariance")


def misfit_tensors(forward: ForwardModel) -> dict[str, Any]:
    """The misfit's arrays under their names in the file."""
    return {
        "misfit.shape": forward.along.shape,
        "misfit.amplitude": forward.along.amplitude,
        "misfit.shared": forward.misfit.shared,
        "misfit.covariance": forward.misfit.covariance,
    }


def misfit_words(forward: ForwardModel) -> dict[str, float]:
    """Its numbers, as plain values."""
    return {
        "norm": float(forward.along.norm),
        "pixel": float(forward.misfit.pixel),
        "shared_sd": float(forward.misfit.shared_sd),
        "noise": float(forward.noise),
    }


def misfit_from(tensors: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Any]:
    """What `ForwardModel` takes of it."""
    words = {name: float(value) for name, value in config["misfit"].items()}
    if negative := [name for name, value in words.items() if value < 0]:
        raise ValueError(f"misfit.{negative[0]} is {words[negative[0]]:g}; it is 0 at least")
    array = {name: tensors[f"misfit.{name}"].numpy() for name in ARRAYS}
    return {
        "along": Directions(array["shape"], array["amplitude"], words.pop("norm")),
        "noise": words.pop("noise"),
        "misfit": Misfit(shared=array["shared"], covariance=array["covariance"], **words),
    }
