"""A fingerprint library, and dataclasses of numbers, as a model file holds them."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from torch import Tensor

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.value_range import plain_range, range_of_plain
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.edge_shapes import LibraryFit

_Settings = TypeVar("_Settings", LibraryFit, Variations)


def exactly(kind: type[_Settings], values: dict[str, Any]) -> _Settings:
    """A dataclass of numbers, none of them left to its default."""
    names = {field.name for field in dataclasses.fields(kind)}
    if set(values) != names:
        raise ValueError(f"{kind.__name__} has {sorted(values)} where {sorted(names)} belong")
    return kind(**{name: float(value) for name, value in values.items()})


def library_tensors(prefix: str, library: FingerprintLibrary) -> dict[str, Any]:
    """A library's arrays under their names in the file."""
    tensors = {
        f"{prefix}.energy": library.energy,
        f"{prefix}.intensity": library.intensity,
        f"{prefix}.labels": library.labels,
        f"{prefix}.nuisances": library.nuisances,
    }
    if library.values is not None:
        tensors[f"{prefix}.values"] = library.values
    return tensors


def library_words(library: FingerprintLibrary) -> dict[str, Any]:
    """What a library says of its values and of its source, as plain values."""
    return {
        "value_name": library.value_name,
        "value_unit": library.value_unit,
        "value_range": plain_range(library.value_range),
        "source": library.source,
    }


def library_from(
    prefix: str, tensors: dict[str, Tensor], config: dict[str, Any]
) -> FingerprintLibrary:
    """The library of `library_tensors`, with names, variations and words of a file's settings."""
    words: dict[str, Any] = {**config["library"]}
    words["value_range"] = range_of_plain(words["value_range"])
    arrays: dict[str, Any] = {
        name: tensors[f"{prefix}.{name}"].numpy()
        for name in ("energy", "intensity", "labels", "nuisances")
    }
    values = tensors.get(f"{prefix}.values")
    return FingerprintLibrary(
        **arrays,
        class_names=tuple(config["class_names"]),
        values=None if values is None else values.numpy(),
        variations=exactly(Variations, config["variations"]),
        **words,
    )
