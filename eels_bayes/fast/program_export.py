"""A compiled classifier for other programs: a TorchScript archive, a package for C++, or ONNX."""

from __future__ import annotations

import json
import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from eels_bayes.fast import inductor_backend, onnx_backend, torchscript_backend
from eels_bayes.fast.parts import FastParts
from eels_bayes.whole_file import write_whole

ABOUT = "eels_bayes"  # name of what the file says of itself, as JSON
# What follows the K probabilities among the graph's columns.
COLUMNS = ("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")


def write_program(path: str | os.PathLike[str], parts: FastParts) -> None:
    """Write the graph as its backend runs it; see `FastClassifier.export`."""
    write_whole(path, _program(parts))


def _program(parts: FastParts) -> bytes:
    """The file's bytes."""
    about = json.dumps(_about(parts))
    if parts.backend == "torchscript":
        return torchscript_backend.archive(parts.graph, {f"{ABOUT}.json": about})
    if parts.backend == "onnx":
        return onnx_backend.exported(parts.graph, {ABOUT: about})
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "fast.pt2"
        inductor_backend.compiled(parts.graph, package, {ABOUT: about})
        return package.read_bytes()


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
