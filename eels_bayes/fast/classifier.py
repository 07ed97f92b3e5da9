"""The fast path: a fitted classifier as one compiled module.

Neither Pyro nor GPyTorch is needed to load or to run it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.data.detector_limits import below_ceiling, countable
from eels_bayes.fast import fast_file, program_export
from eels_bayes.fast.backends import BACKENDS, Backend
from eels_bayes.fast.graph import CHUNK, N_COLUMNS, FastGraph, Run
from eels_bayes.fast.parts import FastParts, Head
from eels_bayes.fast.plan import kept_plans
from eels_bayes.fast.population import Population
from eels_bayes.fast.torchscript_backend import frozen, scripted
from eels_bayes.fast.whole_signal import map_signal
from eels_bayes.preprocessing.alignment import FADED, SEARCH, align_axis, find_shift
from eels_bayes.preprocessing.borders import without_borders
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.randomness import alone

DRIFT_WARM_UP = 2  # estimates and plans: TorchScript optimises itself in its first calls


class FastReading(NamedTuple):
    """What the fast path says of n spectra; of a single one without the leading axis.

    The fields mean what those of `Prediction` mean; flagged spectra are NaN, their label is -1.

    Attributes
    ----------
    probabilities : ndarray (n, K)
        Class probabilities; rows sum to 1.
    labels : ndarray (n,) of int
        Index of the most probable class.
    total : ndarray (n,)
        Entropy of the class, nats.
    aleatoric, encoder, classifier : ndarray (n,)
        Its three parts, nats; NaN with the dense head, which cannot know them.
    novelty : ndarray (n,)
        In [0, 1]; 1 is nothing like the training data.
    value, value_sd : ndarray (n,)
        Posterior mean and standard deviation of the library's value (its unit); NaN where the
        library has none, and with the dense head.
    flag : ndarray (n,) of int
        `Flag` values; 0 is OK.
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
        What reads the latents: the Gaussian processes, or the low-latency network.
    backend : {"torchscript", "onnx", "inductor"}
        What runs the graph.
    library : mapping
        What the classes look like, as plain values: "energy" (eV), "spectra" (a row a class, edge
        units), their "values" and "class_weights"; with "value_name", "value_unit", "value_range"
        and "source".
    model : str
        Digest of the model that was compiled, as `Prediction.model`; '' where it is not known.
    population : Population, optional
        Of the continuum, which a stream may move; see `LiveClassifier`.

    Attributes
    ----------
    energy : (E,) array
        Channel centres of the detector, eV.
    aligned : bool
        Whether a drift can be estimated and removed.

    Raises
    ------
    ValueError
        If there is no such backend.
    """

    def __init__(
        self,
        graph: FastGraph,
        preprocessor: Preprocessor,
        class_names: Sequence[str],
        head: Head,
        backend: Backend,
        library: Mapping[str, Any],
        model: str = "",
        population: Population | None = None,
    ):
        validation.choice("backend", backend, sorted(BACKENDS))
        self.graph = graph.eval().requires_grad_(False)
        self.class_names = tuple(class_names)
        self.head, self.backend, self.library = head, backend, dict(library)
        self.energy = graph.axis.offset + graph.axis.scale * np.arange(graph.axis.n)
        self.model, self.population = model, population
        self.aligned = preprocessor.align is not None
        self._preprocessor = preprocessor
        self._ceiling = float(preprocessor.ceiling)
        with alone():  # compilers and their warnings are the process's
            self._find_shift = scripted(find_shift)
            self._plan = kept_plans(frozen(self.graph.plan))
            self._run = BACKENDS[backend](self.graph, program_export.description(self._parts))
        for k in range(DRIFT_WARM_UP):
            self._drift(np.ones((1, len(self.energy)), dtype=np.float32))
            self._plan(float(k))

    def __repr__(self) -> str:
        return (
            f"<FastClassifier: {', '.join(self.class_names)}; {len(self.energy)} channels from "
            f"{self.energy[0]:g} eV; head {self.head!r}, backend {self.backend!r}>"
        )

    def __reduce__(self) -> tuple[Callable[[bytes], FastClassifier], tuple[bytes]]:
        """As its file, for processes and clusters; where it is unpickled, it is compiled again."""
        return _unpickled, (fast_file.to_bytes(self._parts),)

    def __call__(self, counts: ArrayLike, shift: float | ArrayLike | None = None) -> FastReading:
        """Read spectra.

        Parameters
        ----------
        counts : (n, E) or (E,) array_like
            Raw counts on `energy`. Odd ones (NaN, masked, zeros, spikes, saturated) are flagged,
            never raised.
        shift : float or (n,) array_like, optional
            Energy drift to remove, eV. If left out, these counts' own as of one image,
            ``fast.drift(counts)``: of a single spectrum that is noisy, and a stream's is kept by
            `LiveClassifier`. Each change of it costs about a millisecond.

        Returns
        -------
        FastReading
            Fields (n, K) or (n,); of a single spectrum (K,) or scalar.

        Raises
        ------
        ValueError
            Another number of channels than `energy`, or of shifts than spectra.
        """
        return self._read_by(self._run, counts, shift)

    def _read_by(self, run: Run, counts: ArrayLike, shift: float | ArrayLike | None) -> FastReading:
        """A reading by what runs the graph, or another one of the same shape."""
        rows, single = self._rows(counts)
        if shift is None:
            shift = self._drift(rows)
        if isinstance(shift, float) and 0 < len(rows) <= CHUNK:
            columns, labels, flag = run(rows, self._plan(shift))
        else:
            columns, labels, flag = self._in_chunks(run, rows, shift)
        k = len(self.class_names)
        if single:
            columns, labels, flag = columns[0], labels[0], flag[0]
        reading = (columns[..., :k], labels, *columns[..., k:].T, flag)
        return FastReading(*reading)

    @property
    def _parts(self) -> FastParts:
        """What is written to files."""
        return FastParts(
            self.graph,
            self._preprocessor,
            self.class_names,
            self.head,
            self.backend,
            self.library,
            self.model,
            self.population,
        )

    def _rows(self, counts: ArrayLike) -> tuple[NDArray[np.float32], bool]:
        """Counts as torch takes them (n, E), and whether they were a single spectrum."""
        if type(counts) is np.ndarray and counts.dtype == np.float32 and counts.flags.carray:
            rows = counts  # as it is: asking costs a twentieth of the reading
        else:
            with np.errstate(over="ignore"):  # what becomes infinite is flagged
                rows = np.require(countable(_real(counts)), np.float32, ("C", "W"))
        single = rows.ndim == 1
        rows = rows[None] if single else rows
        if rows.ndim != 2 or rows.shape[1] != len(self.energy):
            raise ValueError(
                f"counts have shape {np.shape(counts)}; (n, {len(self.energy)}) or "
                f"({len(self.energy)},) is needed: channels from {self.energy[0]:g} to "
                f"{self.energy[-1]:g} eV"
            )
        rows = below_ceiling(rows, self._ceiling)
        if not (rows[:, 0].all() and rows[:, -1].all()):  # zeros at an end may fill it up
            rows = without_borders(rows, self.graph.gain)
        return rows, single

    def _in_chunks(
        self, run: Run, rows: NDArray[np.float32], shift: float | ArrayLike
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Columns, labels and flags of counts (n, E), few rows at a time."""
        n = len(rows)
        shifts = validation.numbers("shift", shift)
        if shifts.shape not in ((), (n,)):
            raise ValueError(f"shift has shape {shifts.shape}; a number or ({n},) is needed")
        columns = np.empty((n, len(self.class_names) + N_COLUMNS), dtype=np.float32)
        labels, flag = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        for index, value in _together(shifts, n):
            columns[index], labels[index], flag[index] = run(rows[index], self._plan(value))
        return columns, labels, flag

    map = map_signal

    def drift(self, counts: ArrayLike) -> float:
        """Energy drift (eV) of the mean of counts (n, E) or (E,) against the calibrated reference.

        Parameters
        ----------
        counts : (n, E) or (E,) array_like
            Raw counts on `energy`; what is not finite is left out.

        Returns
        -------
        float
            0 where the preprocessor does not align, or the counts show nothing like the reference.

        Raises
        ------
        ValueError
            Another number of channels than `energy`.
        """
        return self._drift(self._rows(counts)[0])

    def _drift(self, rows: NDArray[np.float32]) -> float:
        """Energy drift (eV) of the mean of counts (n, E)."""
        pre = self._preprocessor
        if pre.align is None or not len(rows):
            return 0.0
        counts = torch.from_numpy(rows)
        finite = torch.where(torch.isfinite(counts), counts, torch.nan)
        mean = torch.nan_to_num(finite.nanmean(0, keepdim=True))
        with torch.inference_mode():
            shift, seen = self._find_shift(
                mean,
                self.graph.axis,
                torch.zeros(1, dtype=torch.float32),
                pre.reference,
                align_axis(pre.align, pre.step),
                SEARCH,
            )
        return float(shift[0]) if float(seen[0]) >= FADED else 0.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file of tensors and JSON: data, not a program; `load_fast` scripts it again.

        Parameters
        ----------
        path : path-like
            File to write; its folder must exist. An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written; an older one stays.
        """
        fast_file.write(path, self._parts)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the graph for other programs: a TorchScript archive or a package for C++, or ONNX.

        The TorchScript archive and the package of machine code (``backend="inductor"``, a file
        ``.pt2``) are *programs*: open such files only from sources you trust. In the archive
        ``forward(counts (n, E) float32)`` gives columns (n, K + 7), labels (n,) and flags (n,), see
        `FastGraph`; ``set_shift(eV)`` changes the drift that is removed. The package and
        the ONNX model take the plan of a drift as further inputs; the model's default to that of 0.
        What is masked, saturated or filled up must be NaN there; programs cannot know.
        The archive's extra file ``eels_bayes.json``, and the others' metadata ``eels_bayes``, name
        classes, columns, energy axis and version, and hold the library's spectra.

        Parameters
        ----------
        path : path-like
            File to write; its folder must exist. An existing file is replaced.

        Raises
        ------
        ImportError
            If the backend is "onnx" and its packages are not installed.
        OSError
            If the file cannot be written; an older one stays.
        """
        program_export.write_program(path, self._parts, self._run)


def _together(
    shifts: NDArray[np.float64], n: int
) -> Iterator[tuple[slice | NDArray[np.int64], float]]:
    """Rows of one shift (eV) together, of n, few at a time; of one for all without a copy."""
    if shifts.ndim == 0:
        for start in range(0, n, CHUNK):
            yield slice(start, start + CHUNK), float(shifts)
        return
    for value in np.unique(shifts):
        index = np.flatnonzero((shifts == value) | (np.isnan(value) & np.isnan(shifts)))
        for start in range(0, len(index), CHUNK):
            yield index[start : start + CHUNK], float(value)


def _real(counts: Any) -> Any:
    """Counts themselves, if they are real numbers; an imaginary part would be lost."""
    dtype = getattr(counts, "dtype", None)  # of a lazy array without computing it
    if not isinstance(dtype, np.dtype):
        dtype = np.asarray(counts).dtype
    if dtype.kind not in "iuf":
        raise TypeError(f"counts are {counts!r:.80}; an array of real numbers is needed")
    return counts


def _unpickled(data: bytes) -> FastClassifier:
    """Of the bytes of a file, with the backend that it had."""
    return FastClassifier(*fast_file.from_bytes(data))


def load_fast(path: str | os.PathLike[str], *, backend: Backend | None = None) -> FastClassifier:
    """Read what `FastClassifier.save` wrote; the file is data, and nothing from it is run.

    PyTorch keeps what it compiles as TorchScript until the process ends, some MiB a model: load a
    model once.

    Parameters
    ----------
    path : path-like
        The file.
    backend : {"torchscript", "onnx", "inductor"}, optional
        The one it was saved with if left out, but TorchScript for "inductor": that compiles anew,
        for a minute, and no file decides that a compiler runs.

    Returns
    -------
    FastClassifier
        Ready to read spectra; scripting takes a second or so.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is not such a model, is damaged, does not fit together, or would be read
        otherwise than where it was written; or if there is no such backend.
    ImportError
        If the backend is "onnx" and its packages are not installed.
    RuntimeError
        If the backend is "inductor" and there is no C++ compiler.
    """
    parts = fast_file.read(path)
    if backend is None:
        backend = "torchscript" if parts.backend == "inductor" else parts.backend
    return FastClassifier(*parts._replace(backend=backend))
