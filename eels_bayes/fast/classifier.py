"""The fast path: a fitted classifier as one compiled module.

Neither Pyro nor GPyTorch is needed to load or to run it. PyTorch calls TorchScript legacy; it is
used here alone, behind one of the functions at the end that run a graph.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from eels_bayes import tensor_file
from eels_bayes.fast import inductor_backend, onnx_backend
from eels_bayes.fast.dense_head import DenseHeads
from eels_bayes.fast.graph import N_COLUMNS, FastGraph, Plan, Program
from eels_bayes.forward_model.pixel_posterior import PixelEvidence
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction.gp_heads import GPHeads
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.prediction.pixel_reader import Reader
from eels_bayes.preprocessing.alignment import FADED, SEARCH, find_shift
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.uncertainty.psi_statistics import GPConstants

KIND = "fast"
CHUNK = 64  # spectra at a time: enough to pay for the calls, and few enough for the caches
Head = Literal["gp", "dense"]
Backend = Literal["torchscript", "onnx", "inductor"]
Run = Callable[[NDArray[np.float32], float], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]


class FastReading(NamedTuple):
    """What the fast path says of n spectra; of a single one without the leading axis.

    The fields mean what those of `Prediction` mean; flagged spectra are NaN, their label is -1.
    With the dense head ``aleatoric``, ``encoder``, ``classifier``, ``value`` and ``value_sd`` are
    NaN: it cannot know them.
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    total: NDArray[np.float32]
    aleatoric: NDArray[np.float32]
    encoder: NDArray[np.float32]
    classifier: NDArray[np.float32]
    novelty: NDArray[np.float32]
    value: NDArray[np.float32]
    value_sd: NDArray[np.float32]
    flag: NDArray[np.int64]


class FastClassifier:
    """A compiled classifier; made by `EELSClassifier.compile` or `load_fast`.

    Parameters
    ----------
    graph : FastGraph
    preprocessor : Preprocessor
        Whose settings the graph holds.
    class_names : sequence of str
    head : {"gp", "dense"}
    backend : {"torchscript", "onnx", "inductor"}
    library : mapping
        What the classes look like, as plain values: "energy" (eV), "spectra" (a row a class, edge
        units) and "values".

    Attributes
    ----------
    energy : (E,) array
        Channel centres of the detector, eV.
    aligned : bool
        Whether a drift can be estimated and removed.
    """

    def __init__(
        self,
        graph: FastGraph,
        preprocessor: Preprocessor,
        class_names: Sequence[str],
        head: Head,
        backend: Backend,
        library: Mapping[str, Any],
    ):
        if backend not in _BACKENDS:
            raise ValueError(f"backend must be one of {sorted(_BACKENDS)}, got {backend!r}")
        self.graph = graph.eval().requires_grad_(False)
        self.class_names = tuple(class_names)
        self.head, self.backend, self.library = head, backend, dict(library)
        self.energy = graph.offset + graph.scale * np.arange(graph.n_channels)
        self.aligned = preprocessor.align is not None
        self._preprocessor = preprocessor
        self._run = _BACKENDS[backend](self.graph)

    def __repr__(self) -> str:
        return (
            f"<FastClassifier: {', '.join(self.class_names)}; {len(self.energy)} channels from "
            f"{self.energy[0]:g} eV; head {self.head!r}, backend {self.backend!r}>"
        )

    def __call__(self, counts: ArrayLike, shift: float | ArrayLike = 0.0) -> FastReading:
        """Read spectra.

        Parameters
        ----------
        counts : (n, E) or (E,) array_like
            Raw counts on `energy`. Odd ones (NaN, zeros, spikes) are flagged, never raised.
        shift : float or (n,) array_like
            Energy drift to remove, eV: an image's own is ``fast.drift(counts)``, a stream's is
            kept by `LiveClassifier`. Each change of it costs about a millisecond.

        Raises
        ------
        ValueError
            Another number of channels than `energy`, or of shifts than spectra.
        """
        rows, single = self._rows(counts)
        if isinstance(shift, float) and 0 < len(rows) <= CHUNK:
            columns, labels, flag = self._run(rows, shift)
        else:
            columns, labels, flag = self._in_chunks(rows, shift)
        k = len(self.class_names)
        if single:
            columns, labels, flag = columns[0], labels[0], flag[0]
        reading = (columns[..., :k], labels, *columns[..., k:].T, flag)
        return FastReading(*reading)

    def _rows(self, counts: ArrayLike) -> tuple[NDArray[np.float32], bool]:
        """Counts as torch takes them (n, E), and whether they were a single spectrum."""
        if isinstance(counts, np.ndarray) and counts.dtype == np.float32 and counts.flags.carray:
            rows = counts  # as it is: asking costs a twentieth of the reading
        else:
            with np.errstate(over="ignore"):  # what becomes infinite is flagged
                rows = np.require(counts, np.float32, ("C", "W"))
        single = rows.ndim == 1
        rows = rows[None] if single else rows
        if rows.ndim != 2 or rows.shape[1] != len(self.energy):
            raise ValueError(
                f"counts have shape {np.shape(counts)}; (n, {len(self.energy)}) or "
                f"({len(self.energy)},) is needed: channels from {self.energy[0]:g} to "
                f"{self.energy[-1]:g} eV"
            )
        return rows, single

    def _in_chunks(
        self, rows: NDArray[np.float32], shift: float | ArrayLike
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Few rows at a time."""
        n = len(rows)
        shifts = np.asarray(shift, dtype=np.float64)
        if shifts.shape not in ((), (n,)):
            raise ValueError(f"shift has shape {shifts.shape}; a number or ({n},) is needed")
        columns = np.empty((n, len(self.class_names) + N_COLUMNS), dtype=np.float32)
        labels, flag = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        for some, value in _together(shifts, n):
            columns[some], labels[some], flag[some] = self._run(rows[some], value)
        return columns, labels, flag

    def drift(self, counts: ArrayLike) -> float:
        """Energy drift (eV) of the mean of counts (n, E) or (E,) against the calibrated reference.

        0 where the preprocessor does not align, or the counts show nothing like the reference.

        Raises
        ------
        ValueError
            Another number of channels than `energy`.
        """
        rows, pre = torch.from_numpy(self._rows(counts)[0]), self._preprocessor
        if pre.align is None:
            return 0.0
        finite = torch.where(torch.isfinite(rows), rows, torch.nan)
        mean = torch.nan_to_num(finite.nanmean(0, keepdim=True))
        with torch.inference_mode():
            shift, seen = find_shift(
                mean,
                self.graph.offset,
                self.graph.scale,
                torch.zeros(1),
                pre.reference,
                pre.align[0] + 0.5 * pre.step,
                pre.step,
                SEARCH,
            )
        return float(shift[0]) if float(seen[0]) >= FADED else 0.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file of tensors and JSON; `load_fast` scripts it again."""
        graph, reader = self.graph, self.graph.reader
        tensors = {f"reader.{k}": v for k, v in reader.state_dict().items()}
        pre = self._preprocessor
        tensors |= {f"preprocessor.{k}": v for k, v in pre.state_dict().items()}
        encoder = reader.encoder
        config = {
            "class_names": list(self.class_names),
            "head": self.head,
            "backend": self.backend,
            "library": self.library,
            "preprocessor": pre.options(),
            "axis": [graph.offset, graph.scale, graph.n_channels],
            "gain": graph.gain,
            "readout": graph.readout,
            "evidence": list(encoder.evidence.sizes),
            "latent_dim": encoder.latent_dim,
        }
        tensor_file.write(path, KIND, tensors, config)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the graph for other programs: a TorchScript archive or a package for C++, or ONNX.

        The TorchScript archive and the package of machine code (``backend="inductor"``, a file
        ``.pt2``) are *programs*: open such files only from sources you trust. In the archive
        ``forward(counts (n, E) float32)`` gives columns (n, K + 7), labels (n,) and flags (n,), see
        `graph.FastGraph`; ``set_shift(eV)`` changes the drift that is removed. The package and
        the ONNX model take the plan of a drift as further inputs; the model's default to that of 0.
        The archive's extra file ``eels_bayes.json``, and the others' metadata ``eels_bayes``, name
        classes, columns, energy axis and version, and hold the library's spectra.
        """
        about = json.dumps(self._about())
        if self.backend == "torchscript":
            with _quietly():
                torch.jit.save(
                    _frozen(Program(self.graph), ["set_shift"]),
                    path,
                    _extra_files={"eels_bayes.json": about},
                )
        elif self.backend == "inductor":
            with tempfile.TemporaryDirectory() as folder:
                package = Path(folder) / "fast.pt2"
                inductor_backend.compiled(self.graph, package, {"eels_bayes": about})
                shutil.copyfile(package, path)
        else:
            Path(path).write_bytes(onnx_backend.exported(self.graph, {"eels_bayes": about}))

    def _about(self) -> dict[str, Any]:
        columns = [f"probability of {name}" for name in self.class_names]
        columns += ["total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd"]
        return {
            "version": import_module("eels_bayes").__version__,
            "class_names": list(self.class_names),
            "library": self.library,
            "columns": columns,
            "energy": {"offset": self.graph.offset, "scale": self.graph.scale, "unit": "eV"},
            "channels": self.graph.n_channels,
            "head": self.head,
            "preprocessor": self._preprocessor.options(),
        }


def _together(
    shifts: NDArray[np.float64], n: int
) -> Iterator[tuple[slice | NDArray[np.int64], float]]:
    """Rows of one shift (eV) together, of n, few at a time; of one for all without a copy."""
    if shifts.ndim == 0:
        for start in range(0, n, CHUNK):
            yield slice(start, start + CHUNK), float(shifts)
        return
    for value in np.unique(shifts):
        mine = np.flatnonzero((shifts == value) | (np.isnan(value) & np.isnan(shifts)))
        for start in range(0, len(mine), CHUNK):
            yield mine[start : start + CHUNK], float(value)


def load_fast(path: str | os.PathLike[str], *, backend: Backend | None = None) -> FastClassifier:
    """Read what `FastClassifier.save` wrote; the file is data, and nothing from it is run.

    Parameters
    ----------
    path : path-like
    backend : {"torchscript", "onnx", "inductor"}, optional
        The one it was saved with if left out, but TorchScript for "inductor": that compiles anew,
        for a minute, and no file decides that a compiler runs.

    Raises
    ------
    ValueError
        If the file is not such a model, is damaged, or does not fit together.
    """
    tensors, config = tensor_file.read(path, KIND)
    try:
        graph, pre = _rebuilt(tensors, config)
        names, head = [str(name) for name in config["class_names"]], config["head"]
        library = dict(config["library"])
        if not {"energy", "spectra", "values"} <= set(library):
            raise ValueError("the library lacks its energy, spectra or values")
        if config["backend"] not in list(_BACKENDS):
            raise ValueError(f"backend is {config['backend']!r}")
        plan = graph.plan(0.0)
        if int(plan.flag):
            raise ValueError(f"the axis {config['axis']} does not cover what is needed")
        with torch.inference_mode():
            columns, _, _ = graph(torch.ones(2, graph.n_channels), *plan)
        if columns.shape[1] != len(names) + N_COLUMNS:
            raise ValueError(f"{len(names)} class_names do not fit {columns.shape[1]} columns")
    except tensor_file.MISFITS as error:
        raise ValueError(
            f"{os.fspath(path)} holds no complete fast classifier ({error}); save it again"
        ) from error
    if backend is None:
        backend = "torchscript" if config["backend"] == "inductor" else config["backend"]
    return FastClassifier(graph, pre, names, head, backend, library)


def _rebuilt(tensors: dict[str, Tensor], config: dict[str, Any]) -> tuple[FastGraph, Preprocessor]:
    state = {k.removeprefix("reader."): v for k, v in tensors.items() if k.startswith("reader.")}
    if config["head"] not in ("gp", "dense"):
        raise ValueError(f"head is {config['head']!r}")
    sizes = [int(size) for size in config["evidence"]]
    latent_dim = config["latent_dim"]
    gain, readout = float(config["gain"]), float(config["readout"])
    if not (0 < gain < math.inf and 0 <= readout < math.inf):
        raise ValueError(f"gain is {gain} and readout {readout}")
    # before anything is built of these sizes
    shapes = {
        "encoder.axes": (latent_dim, latent_dim),
        "encoder.slope": (sizes[2], sizes[1], latent_dim),
        "encoder.evidence.span": tuple(sizes[:2]),
        "encoder.evidence.log_weight": tuple(sizes[2:3]),
        "encoder.evidence.inside": tuple(sizes[3:4]),
    }
    if config["head"] == "gp":
        shapes["heads.value_noise"] = ()
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {shape}")
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise ValueError("its tensors hold infinite numbers")
    evidence = PixelEvidence((sizes[0], sizes[1], sizes[2], sizes[3]))
    encoder = NoisyEncoder(evidence, latent_dim)

    def constants(prefix: str) -> GPConstants:
        return GPConstants(*(state[f"heads.{prefix}_{name}"] for name in GPConstants._fields))

    heads: nn.Module
    if config["head"] == "gp":
        value = constants("value") if "heads.value_mean" in state else None
        heads = GPHeads(constants("classes"), value, state["heads.value_noise"])
    else:
        heads = DenseHeads(latent_dim, len(config["class_names"]))
    scale = NoveltyScale(*(state[name] for name in NoveltyScale._fields))
    reader = Reader(encoder, heads, scale)
    reader.load_state_dict(state)
    pre = Preprocessor.from_options(config["preprocessor"])
    pre.load_state_dict(
        {k.removeprefix("preprocessor."): v for k, v in tensors.items() if k.startswith("pre")}
    )
    offset, scale, n_channels = config["axis"]
    if not (math.isfinite(offset) and scale > 0 and 0 < n_channels <= 10**6):
        raise ValueError(f"the axis {config['axis']} is none")
    axis = (float(offset), float(scale), int(n_channels))
    graph = FastGraph(pre, reader, *axis, gain, readout)
    return graph.eval().requires_grad_(False), pre


# What runs a graph: made once, then called with float32 counts (n, E) and their drift.


def _torchscript(graph: FastGraph) -> Run:
    several = _frozen(graph)
    single, planned = _static(several), _planned(graph)
    with torch.inference_mode():
        for n in (1, 1, 1, CHUNK, CHUNK):  # it optimises itself in its first calls
            several(torch.ones(n, graph.n_channels), *planned(0.0))

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


def _onnx(graph: FastGraph) -> Run:
    session, planned = onnx_backend.session(graph), _planned(graph)

    def run(
        rows: NDArray[np.float32], shift: float
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return session(rows, planned(shift))

    return run


def _inductor(graph: FastGraph) -> Run:
    session, planned = inductor_backend.session(graph), _planned(graph)

    def run(
        rows: NDArray[np.float32], shift: float
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        with torch.inference_mode():
            columns, labels, flag = session(torch.from_numpy(rows), planned(shift))
        return columns.numpy(), labels.numpy(), flag.numpy()

    return run


def _planned(graph: FastGraph) -> Callable[[float], Plan]:
    """Plans by drift, the last one kept."""
    plans: dict[float, Plan] = {}

    def plan(shift: float) -> Plan:
        if shift not in plans:
            plans.clear()
            plans[shift] = graph.plan(shift)
        return plans[shift]

    return plan


_BACKENDS: dict[str, Callable[[FastGraph], Run]] = {
    "torchscript": _torchscript,
    "onnx": _onnx,
    "inductor": _inductor,
}


def _frozen(module: nn.Module, kept: Sequence[str] = ()) -> Any:
    """Scripted, with what is constant computed; of its methods ``kept`` remain besides forward."""
    with _quietly():
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


class _quietly(warnings.catch_warnings):
    """Without TorchScript's announcement that it is deprecated, which is known."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", r".torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", r".torch\.jit\.", FutureWarning)
