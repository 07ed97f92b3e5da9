"""The fast path by TorchScript; PyTorch calls it legacy, and it is used here alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from eels_bayes.fast.graph import CHUNK, FastGraph, Run, cached_plan


def torchscript_runner(graph: FastGraph) -> Run:
    several = frozen(graph)
    single, planned = _static(several), cached_plan(graph)
    with torch.inference_mode():
        for n in (1, 1, 1, CHUNK, CHUNK):  # it optimises itself in its first calls
            several(torch.ones(n, graph.axis.n), *planned(0.0))

    def run(
        rows: NDArray[np.float32], shift: float
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        program = single if len(rows) == 1 else several
        with torch.inference_mode():
            columns, labels, flag = program(torch.from_numpy(rows), *planned(shift))
        return columns.numpy(), labels.numpy(), flag.numpy()

    return run


def _static(program: Any) -> Any:
    """A frozen program by TorchScript's static runtime, which plans its memory: for one spectrum.

    A quarter faster there. With batches of several sizes it is slower, and it does not let other
    threads run meanwhile. PyTorch gives it no public name: where it is missing, the program itself.
    """
    static = getattr(torch._C, "_jit_to_static_module", None)
    return program if static is None else static(program._c)


def frozen(module: nn.Module, kept: Sequence[str] = ()) -> Any:
    """Scripted, with what is constant computed; of its methods ``kept`` remain besides forward."""
    with quietly():
        program = torch.jit.freeze(torch.jit.script(module.eval()), preserved_attrs=list(kept))
    # PyTorch would make a tensor of each number at each call
    for node in list(program.graph.nodes()):
        if node.kind() in ("aten::add", "aten::sub", "aten::mul", "aten::div"):
            tensor, number = list(node.inputs())[:2]
            if str(tensor.type()).startswith("Tensor") and str(number.type()) == "float":
                constant = program.graph.insertConstant(torch.tensor(number.toIValue()))
                constant.node().moveBefore(node)
                node.replaceInput(1, constant)
    return program


class quietly(warnings.catch_warnings):
    """Without TorchScript's announcement that it is deprecated, which is known."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", r".torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", r".torch\.jit\.", FutureWarning)
