"""The backends that run a graph, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor

from eels_bayes.fast.graph import FastGraph, Run
from eels_bayes.fast.inductor_backend import MachineCode
from eels_bayes.fast.onnx_backend import onnx_runner
from eels_bayes.fast.torchscript_backend import changing_runner, torchscript_runner

Backend = Literal["torchscript", "onnx", "inductor"]
# What runs a graph, which a file of the program describes by these words.
BACKENDS: dict[str, Callable[[FastGraph, Mapping[str, str]], Run]] = {
    "torchscript": lambda graph, about: torchscript_runner(graph),
    "onnx": lambda graph, about: onnx_runner(graph),
    "inductor": MachineCode.of,
}


def following(run: Run, graph: FastGraph, buffers: Mapping[str, Tensor]) -> Run:
    """What runs a copy of what ``run`` runs, whose buffers may change, in place, between calls.

    As machine code where ``run`` is that, else as TorchScript.
    """
    if isinstance(run, MachineCode):
        return MachineCode(run.single, run.package, buffers)
    return changing_runner(graph, list(buffers))
