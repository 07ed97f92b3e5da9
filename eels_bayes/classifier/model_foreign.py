"""Structures that a library lacks, as a model file holds them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from eels_bayes.forward_model.foreign import Foreign

ARRAYS = ("share", "middle", "common", "shared", "covariance")


def foreign_tensors(foreign: Foreign) -> dict[str, Any]:
    """Their arrays under their names in the file."""
    return {f"foreign.{name}": getattr(foreign, name) for name in ARRAYS}


def foreign_from(tensors: dict[str, Tensor]) -> Foreign:
    """The structures; ValueError where their shares are none."""
    foreign = Foreign(**{name: tensors[f"foreign.{name}"].numpy() for name in ARRAYS})
    if not foreign.share.sum() < 1.0:
        raise ValueError(f"foreign.share is {foreign.share.tolist()}; together less than 1")
    return foreign
