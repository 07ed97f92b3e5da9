"""What a compiled classifier is made of."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from eels_bayes.fast.backends import Backend
from eels_bayes.fast.graph import FastGraph
from eels_bayes.fast.population import Population
from eels_bayes.preprocessing.preprocessor import Preprocessor

Head = Literal["gp", "dense"]


class FastParts(NamedTuple):
    """Everything that a compiled classifier's file holds.

    Attributes
    ----------
    graph : FastGraph
    preprocessor : Preprocessor
        Whose settings the graph holds.
    class_names : tuple of str
        K names.
    head : {"gp", "dense"}
    backend : {"torchscript", "onnx", "inductor"}
    library : dict
        What the classes look like, as plain values: "energy" (eV), "spectra" (a row a class, edge
        units), their "values" and "class_weights"; with "value_name", "value_unit", "value_range"
        and "source", see `FingerprintLibrary`.
    model : str
        Digest of the model that was compiled; '' where it is not known.
    population : Population or None
        Of the continuum, which a stream may move; None where it is not known.
    """

    graph: FastGraph
    preprocessor: Preprocessor
    class_names: tuple[str, ...]
    head: Head
    backend: Backend
    library: dict[str, Any]
    model: str
    population: Population | None = None
