"""The fast path as an ONNX model, run by ONNX Runtime: what edge and FPGA flows start from.

Needs the extra ``onnx``.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes.fast.graph import FastGraph, Run
from eels_bayes.fast.plan import Plan
from eels_bayes.randomness import alone

OPSET = 18  # of ONNX: from 16 on ScatterND adds up; chosen among those, not tuned
COUNTS = "counts"  # name of the input that is no plan
OUTPUTS = ("columns", "labels", "flags")  # names of what the graph gives
ERRORS_ONLY = 3  # severity from which ONNX Runtime speaks


def _expm1(g: Any, x: Any) -> Any:
    """exp(x) - 1 = tanh(x / 2) (exp(x) + 1), which keeps its digits near zero."""
    half = g.op("Mul", x, g.op("Constant", value_t=torch.tensor(0.5, dtype=torch.float32)))
    one = g.op("Constant", value_t=torch.tensor(1.0, dtype=torch.float32))
    return g.op("Mul", g.op("Tanh", half), g.op("Add", g.op("Exp", x), one))


def _index_add(g: Any, x: Any, dim: int, index: Any, rows: Any, _: int) -> Any:
    """Rows added up where the index says, along the first axis."""
    second = g.op("Constant", value_t=torch.tensor([1]))
    return g.op("ScatterND", x, g.op("Unsqueeze", index, second), rows, reduction_s="add")


def exported(graph: FastGraph, about: Mapping[str, str]) -> bytes:
    """The graph as a serialised ONNX model with a free number of spectra.

    Its inputs are the counts (n, E) and the tensors of a `Plan`, which default to that of no
    drift; its metadata hold ``about``.

    Raises
    ------
    ImportError
        Without the package onnx.
    """
    onnx = _needed("onnx")
    plan = graph.plan(0.0)
    names = [f"plan_{name}" for name in Plan._fields]
    target = io.BytesIO()
    with alone(), warnings.catch_warnings(), _symbolics(), _single_precision():
        # TorchScript's exporter, which it announces as legacy: it keeps one operator for one
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (torch.ones(2, graph.axis.n, dtype=torch.float32), *plan),
            target,  # type: ignore[arg-type]
            input_names=[COUNTS, *names],
            output_names=list(OUTPUTS),
            dynamic_axes={COUNTS: {0: "n"}, **{name: {0: "n"} for name in OUTPUTS}}
            | {"plan_picked": {0: "picked"}, "plan_band": {0: "band"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(target.getvalue())
    for name, tensor in zip(names, plan, strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(tensor.numpy(), name))
    onnx.helper.set_model_props(model, dict(about))
    data: bytes = model.SerializeToString()
    return data


def onnx_runner(graph: FastGraph) -> Run:
    """What runs the graph by ONNX Runtime, on one thread as the stream wants it.

    Raises
    ------
    ImportError
        Without the packages onnx and onnxruntime.
    """
    ort = _needed("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY  # it warns of initialisers that a caller may replace
    model = ort.InferenceSession(
        exported(graph, {}), sess_options=options, providers=["CPUExecutionProvider"]
    )
    inputs = {node.name for node in (*model.get_inputs(), *model.get_overridable_initializers())}

    current: Plan | None = None
    fed: dict[str, NDArray[Any]] = {}

    def run(
        rows: NDArray[np.float32], plan: Plan
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        nonlocal current, fed
        if plan is not current:
            arrays = {f"plan_{name}": tensor.numpy() for name, tensor in plan._asdict().items()}
            fed = {name: array for name, array in arrays.items() if name in inputs}
            current = plan
        columns, labels, flags = model.run(OUTPUTS, {COUNTS: rows, **fed})
        return columns, labels, flags

    return run


@contextlib.contextmanager
def _symbolics() -> Iterator[None]:
    """What the exporter does not know, known for the time of one export."""
    from torch.onnx import symbolic_helper  # as long to import as all of this package

    symbolics: dict[str, Callable[..., Any]] = {
        "aten::expm1": _expm1,
        "aten::index_add": symbolic_helper.parse_args("v", "i", "v", "v", "i")(_index_add),
    }
    for name, symbolic in symbolics.items():
        torch.onnx.register_custom_op_symbolic(name, symbolic, OPSET)
    try:
        yield
    finally:
        for name in symbolics:
            torch.onnx.unregister_custom_op_symbolic(name, OPSET)


@contextlib.contextmanager
def _single_precision() -> Iterator[None]:
    """The exporter makes numbers of the process's default dtype; put back after one export."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _needed(name: str) -> Any:
    """A package of the extra; ImportError that says how to get it where it is missing."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"backend='onnx' needs {name}: pip install 'eels-bayes[onnx]'") from error
