"""The fast path: a fitted classifier as one compiled module.

Neither Pyro nor GPyTorch is needed to load or to run it. PyTorch calls TorchScript legacy; it is
used here alone, behind one of the functions at the end that run a graph.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from eels_bayes import tensor_file
from eels_bayes.fast import inductor_backend, onnx_backend
from eels_bayes.fast.backends import BACKENDS, Backend
from eels_bayes.fast.graph import CHUNK, N_COLUMNS, FastGraph, Program
from eels_bayes.fast.torchscript_backend import frozen, quietly
from eels_bayes.preprocessing.alignment import FADED, SEARCH, align_axis, find_shift
from eels_bayes.preprocessing.preprocessor import Preprocessor

KIND = "fast"
Head = Literal["gp", "dense"]


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
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {sorted(BACKENDS)}, got {backend!r}")
        self.graph = graph.eval().requires_grad_(False)
        self.class_names = tuple(class_names)
        self.head, self.backend, self.library = head, backend, dict(library)
        self.energy = graph.axis.offset + graph.axis.scale * np.arange(graph.axis.n)
        self.aligned = preprocessor.align is not None
        self._preprocessor = preprocessor
        self._run = BACKENDS[backend](self.graph)

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
                self.graph.axis,
                torch.zeros(1),
                pre.reference,
                align_axis(pre.align, pre.step),
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
            "axis": list(graph.axis),
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
            with quietly():
                torch.jit.save(
                    frozen(Program(self.graph), ["set_shift"]),
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
            "energy": {
                "offset": self.graph.axis.offset,
                "scale": self.graph.axis.scale,
                "unit": "eV",
            },
            "channels": self.graph.axis.n,
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


# What runs a graph: made once, then called with float32 counts (n, E) and their drift.
