"""A compiled classifier for other programs: a TorchScript archive, a package for C++, or ONNX."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any

from eels_bayes.fast import onnx_backend, torchscript_backend
from eels_bayes.fast.graph import Run
from eels_bayes.fast.inductor_backend import MachineCode
from eels_bayes.fast.parts import FastParts
from eels_bayes.whole_file import write_whole

ABOUT = "eels_bayes"  # name of what the file says of itself, as JSON
# What follows the K probabilities among the graph's columns.
COLUMNS = ("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")


def write_program(path: str | os.PathLike[str], parts: FastParts, run: Run) -> None:
    """Write the graph as ``run`` of its backend runs it; see `FastClassifier.export`."""
    write_whole(path, _program(parts, run))


def description(parts: FastParts) -> dict[str, str]:
    """What a program says of itself, as JSON by its name in the file."""
    return {ABOUT: json.dumps(_about(parts))}


def _program(parts: FastParts, run: Run) -> bytes:
    """The file's bytes."""
    if isinstance(run, MachineCode):
        return run.package
    about = description(parts)
    if parts.backend == "onnx":
        return onnx_backend.exported(parts.graph, about)
    return torchscript_backend.archive(parts.graph, {f"{ABOUT}.json": about[ABOUT]})


def _about(parts: FastParts) -> dict[str, Any]:
    """What a reader of the program must know, as plain JSON values."""
    graph = parts.graph
    return {
        "version": import_module("eels_bayes").__version__,
        "model": parts.model,
        "class_names": list(parts.class_names),
        "library": parts.library,
        "columns": [*(f"probability of {name}" for name in parts.class_names), *COLUMNS],
        "energy": {"offset": graph.axis.offset, "scale": graph.axis.scale, "unit": "eV"},
        "channels": graph.axis.n,
        "head": parts.head,
        "preprocessor": parts.preprocessor.options(),
    }
