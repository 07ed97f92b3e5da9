"""The backends that run a graph, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from eels_bayes.fast.graph import FastGraph, Run
from eels_bayes.fast.inductor_backend import inductor_runner
from eels_bayes.fast.onnx_backend import onnx_runner
from eels_bayes.fast.torchscript_backend import torchscript_runner

Backend = Literal["torchscript", "onnx", "inductor"]
BACKENDS: dict[str, Callable[[FastGraph], Run]] = {
    "torchscript": torchscript_runner,
    "onnx": onnx_runner,
    "inductor": inductor_runner,
}
