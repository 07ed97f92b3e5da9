"""The fast path by TorchScript; PyTorch calls it legacy, and it is used here alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eels_bayes.fast.graph import CHUNK, FastGraph, Program, Run
from eels_bayes.fast.plan import Plan

# What is computed with a number as second operand.
TAKES_A_NUMBER = {
    f"aten::{name}" for name in ("add", "sub", "mul", "div", "lt", "le", "gt", "ge", "eq", "ne")
}
WARM_UP = (1, 1, 1, CHUNK, CHUNK)  # spectra: TorchScript optimises itself in its first calls


def torchscript_runner(graph: FastGraph) -> Run:
    """What runs the graph as frozen TorchScript, warmed up, for one spectrum and for several."""
    several = frozen(graph)
    single = _static(several)
    with torch.inference_mode():
        plan = graph.plan(0.0)
        for n in WARM_UP:
            several(torch.ones(n, graph.axis.n, dtype=torch.float32), *plan)

    def run(
        rows: NDArray[np.float32], plan: Plan
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        program = single if len(rows) == 1 else several
        with torch.inference_mode():
            columns, labels, flag = program(torch.from_numpy(rows), *plan)
        return columns.numpy(), labels.numpy(), flag.numpy()

    return run


def changing_runner(graph: FastGraph, changing: Sequence[str]) -> Run:
    """What runs the graph when the buffers of these names may change, in place, between calls.

    All else is frozen. The program reads the graph's own buffers, which nothing is computed from
    beforehand.
    """
    several = frozen(graph, changing)
    single, buffers = _static_with(several, graph)

    def run(
        rows: NDArray[np.float32], plan: Plan
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        program, more = (single, buffers) if len(rows) == 1 else (several, [])
        with torch.inference_mode():
            columns, labels, flag = program(torch.from_numpy(rows), *plan, *more)
        return columns.numpy(), labels.numpy(), flag.numpy()

    for n in WARM_UP:
        run(np.ones((n, graph.axis.n), dtype=np.float32), graph.plan(0.0))
    return run


def archive(graph: FastGraph, extra_files: Mapping[str, str]) -> bytes:
    """The graph with its drift as a TorchScript archive, which is a program.

    In memory: PyTorch's own writer of files ends the interpreter where the disk is full.
    """
    target = io.BytesIO()
    with quietly():
        program = frozen(Program(graph), ["set_shift"])
        torch.jit.save(program, target, _extra_files=dict(extra_files))
    return target.getvalue()


def _static(program: Any) -> Any:
    """A frozen program by TorchScript's static runtime, which plans its memory: for one spectrum.

    A quarter faster there. With batches of several sizes it is slower, and it does not let other
    threads run meanwhile. PyTorch gives it no public name: where it is missing, the program itself.
    """
    static = getattr(torch._C, "_jit_to_static_module", None)
    return program if static is None else static(program._c)


def _static_with(program: Any, module: nn.Module) -> tuple[Any, list[Tensor]]:
    """A program that keeps buffers, as `_static` with these as further arguments, and the buffers.

    The static runtime would take what a module keeps for constant.
    """
    static = getattr(torch._C, "_jit_to_static_module", None)
    if static is None:
        return program, []
    graph = program.graph.copy()
    buffers: list[Tensor] = []
    asked = [node for node in graph.nodes() if node.kind() == "prim::GetAttr"]
    for node in asked:
        if str(node.output().type()) != "Tensor":
            continue
        at = node
        names: list[str] = []
        while at.kind() == "prim::GetAttr":
            names.insert(0, at.s("name"))
            at = at.input().node()
        node.output().replaceAllUsesWith(graph.addInput())
        buffers.append(module.get_submodule(".".join(names[:-1])).get_buffer(names[-1]))
    for node in reversed(asked):
        node.destroy()
    graph.eraseInput(0)  # the module itself
    return static(graph), buffers


def frozen(module: nn.Module, kept: Sequence[str] = ()) -> Any:
    """A module scripted, with what is constant computed; besides forward, methods ``kept`` stay."""
    with quietly():
        program = torch.jit.freeze(torch.jit.script(module.eval()), preserved_attrs=list(kept))
    # PyTorch would make a tensor of each number at each call
    for node in list(program.graph.nodes()):
        if node.kind() in TAKES_A_NUMBER:
            tensor, number = list(node.inputs())[:2]
            value = number.toIValue()  # None where it is no constant
            if str(tensor.type()).startswith("Tensor") and isinstance(value, float):
                constant = program.graph.insertConstant(torch.tensor(value, dtype=torch.float32))
                constant.node().moveBefore(node)
                node.replaceInput(1, constant)
    return program


def scripted(what: Any) -> Any:
    """A module, with all that it exports, or a function by TorchScript: others run meanwhile."""
    with quietly():
        return torch.jit.script(what)


class quietly(warnings.catch_warnings):
    """Without TorchScript's announcement that it is deprecated, which is known."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", r".torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", r".torch\.jit\.", FutureWarning)
