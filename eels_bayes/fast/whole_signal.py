"""Whole signals by the fast path, block by block: in memory, lazily, or to a file.

A block's task is the same everywhere: its counts are read where they lie, classified with the
process's own copy of the model, and written by the process that did so.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from eels_bayes import validation
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.navigation_axes import axis_name
from eels_bayes.data.signal_blocks import Cells, SignalBlocks, signal_blocks
from eels_bayes.data.unread_images import Frames, outer_axes
from eels_bayes.fast import opened_models, result_store
from eels_bayes.fast.frame_drift import Drift, given_drift, measured_drift, no_drift, sample
from eels_bayes.fast.reading_columns import SINGLE, Words, dataset_of, frame_of, read_columns
from eels_bayes.prediction.quantities import TEXT, quantity_attributes

if TYPE_CHECKING:
    import xarray

BAR_DELAY = 3  # seconds before a progress bar appears: what is quicker needs none
DIGITS = 16  # hexadecimal, of what tells counts apart
CHECKED_BLOCKS, CHECKED_ROWS = 8, 64  # of counts, and spectra of each, that are looked at to do so


class Compiled(Protocol):
    """What maps: a `FastClassifier`."""

    class_names: tuple[str, ...]
    library: dict[str, Any]
    model: str
    energy: NDArray[np.float64]
    aligned: bool

    def __call__(self, counts: ArrayLike, shift: float | ArrayLike | None = None) -> Any: ...
    def drift(self, counts: ArrayLike) -> float: ...
    def _rows(self, counts: ArrayLike) -> tuple[NDArray[np.float32], bool]: ...


class Task(NamedTuple):
    """What every block is read with, in whatever process.

    Attributes
    ----------
    fast : FastClassifier
        In this process.
    data : bytes
        Of its file: for other processes, and lazy results.
    open_bytes : callable
        Makes a FastClassifier of the bytes.
    digest : str
        The same where the same is said of the same counts.
    frames : "auto", tuple of str or None
        Which navigation axes number images, each with a drift of its own.
    """

    fast: Compiled
    data: Callable[[], bytes]
    open_bytes: Callable[[bytes], Any]
    digest: Callable[[], str]
    frames: Frames


def mapped(
    task: Task,
    signal: Any,
    path: str | os.PathLike[str] | None,
    shift: ArrayLike | None,
    show_progressbar: bool,
) -> xarray.Dataset:
    """Readings of all pixels of a signal; see `FastClassifier.map`."""
    blocks = signal_blocks(signal)
    _check_axis(task.fast, blocks)
    names = [axis_name(axis) for axis in blocks.axes]
    outer = outer_axes(names, task.frames)
    shown = partial(_bar, show=show_progressbar)
    given = None if shift is None else given_drift(shift, blocks.shape, outer)
    if path is not None:
        return _to_file(task, blocks, validation.path("path", path), given, outer, shown)
    drift = given or _measured(task, blocks, outer, shown)
    words = _words(task, {})
    if blocks.lazy:
        return dataset_of(_lazy_columns(task, blocks, drift), blocks, words, drift)
    columns = np.empty((*blocks.shape, 0), dtype=np.float32)
    for cells, part in _each(task, blocks, blocks.cells(), drift, shown):
        if not columns.size:
            columns = np.empty((*blocks.shape, part.shape[-1]), dtype=np.float32)
        columns[cells] = part
    return dataset_of(columns, blocks, words, drift)


def _to_file(
    task: Task,
    blocks: SignalBlocks,
    path: Path,
    given: Drift | None,
    outer: tuple[int, ...],
    shown: Callable[..., Iterable[Any]],
) -> xarray.Dataset:
    """Readings as a folder of zarr; what is there is not done again."""
    result_store.zarr_module()
    known = {
        "reading": task.digest(),
        "counts": _counts_digest(blocks),
        "alignment": "measured" if given is None else given.shift.tolist(),
    }
    if path.exists():
        blocks = replace(blocks, block=result_store.check(path, known))
    else:
        drift = given or _measured(task, blocks, outer, shown)
        words = _words(task, known)
        dims, frame = frame_of(blocks, words, drift)
        about = {name: quantity_attributes(words, name) for name in TEXT}
        result_store.create(path, frame, about, dims, blocks.block)
    result = result_store.opened_result(path)
    shift = np.asarray(result["drift"].values, dtype=np.float64)
    drift = given_drift(shift, blocks.shape, outer)
    left = result_store.pending(path, blocks.cells())
    client = _cluster()
    if client is not None and blocks.lazy:
        _by_workers(client, task, blocks, left, drift, path, shown)
    else:
        for cells, columns in _each(task, blocks, left, drift, shown):
            result_store.write(str(path), cells, columns)
    return result_store.opened_result(path)


def _measured(
    task: Task, blocks: SignalBlocks, outer: tuple[int, ...], shown: Callable[..., Any]
) -> Drift:
    """The drift of every image, where the preprocessor aligns."""
    fast = task.fast
    if not fast.aligned:
        return no_drift(blocks.shape, outer)
    return measured_drift(blocks, outer, lambda rows: fast._rows(rows)[0], fast.drift, shown)


def _each(
    task: Task,
    blocks: SignalBlocks,
    cells: Sequence[Cells],
    drift: Drift,
    shown: Callable[..., Iterable[Any]],
) -> Iterable[tuple[Cells, NDArray[np.float32]]]:
    """Columns of blocks, one after the other; the next is read meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(blocks.read, one) for one in cells[:1]]
        for k, one in enumerate(shown(cells, "classify")):
            counts = coming.pop().result()
            coming = [reader.submit(blocks.read, later) for later in cells[k + 1 : k + 2]]
            yield one, read_columns(counts, drift.of(one), task.fast)


def _lazy_columns(task: Task, blocks: SignalBlocks, drift: Drift) -> Any:
    """Columns of a lazy signal as a dask array; nothing is computed."""
    import dask.array

    chunks = dict(enumerate(blocks.block)) | {len(blocks.block): -1}
    counts = blocks.data.rechunk(chunks)
    shift = dask.array.from_array(
        drift.shift,
        chunks=tuple(
            counts.chunks[axis] if axis in drift.outer else 1 for axis in range(drift.shift.ndim)
        ),
    )
    pixels, energy, column = tuple(range(len(blocks.shape))), -1, -2
    n_columns = len(task.fast.class_names) + len(SINGLE)
    return dask.array.blockwise(
        _block_columns,
        (*pixels, column),
        counts,
        (*pixels, energy),
        shift,
        pixels,
        model=_shared(task),
        open_bytes=task.open_bytes,
        new_axes={column: n_columns},
        concatenate=True,
        align_arrays=False,
        dtype=np.float32,
        meta=np.empty((0,) * (len(pixels) + 1), dtype=np.float32),
    )


def _block_columns(
    counts: NDArray[Any],
    shift: NDArray[np.float64],
    model: bytes,
    open_bytes: Callable[[bytes], Any],
) -> NDArray[np.float32]:
    """Columns of one block, by the process's own copy of the model."""
    return read_columns(counts, shift, opened_models.opened(model, open_bytes))


def _write_block(
    counts: NDArray[Any],
    shift: NDArray[np.float64],
    model: bytes,
    open_bytes: Callable[[bytes], Any],
    path: str,
    cells: Cells,
) -> int:
    """Read a block and write what is said of it, in one process; how many pixels it has."""
    result_store.write(path, cells, _block_columns(counts, shift, model, open_bytes))
    return int(np.prod(counts.shape[:-1]))


def _shared(task: Task) -> Any:
    """The model's bytes as a task that others depend on: they reach a process once."""
    import dask

    data = task.data()
    opened_models.keep(data, task.fast)
    return dask.delayed(data, name=f"eels_bayes-model-{task.digest()}", pure=True)


def _cluster() -> Any:
    """The client of dask's cluster that is in use, or None."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def _by_workers(
    client: Any,
    task: Task,
    blocks: SignalBlocks,
    cells: Sequence[Cells],
    drift: Drift,
    path: Path,
    shown: Callable[..., Any],
) -> None:
    """Have blocks read and written by the workers; what a lost one had is done again by others."""
    import dask
    from distributed import as_completed

    model, write = _shared(task), dask.delayed(_write_block, pure=False)
    where = str(path.absolute())
    tasks = [
        write(blocks.data[one], drift.of(one), model, task.open_bytes, where, one) for one in cells
    ]
    futures = client.compute(tasks)
    try:
        for future in shown(as_completed(futures), "classify", total=len(futures)):
            future.result()
    finally:
        client.cancel(futures)


def _words(task: Task, known: dict[str, Any]) -> Words:
    """What a Dataset says of a model's numbers."""
    library = task.fast.library
    return Words(
        tuple(task.fast.class_names),
        str(library.get("value_name", "value")),
        str(library.get("value_unit", "")),
        {"model": task.fast.model} | known,
    )


def _check_axis(fast: Compiled, blocks: SignalBlocks) -> None:
    """Raise ValueError unless the counts lie on the axis that the model was compiled for."""
    energy = fast.energy
    if blocks.energy is None:
        if blocks.data.shape[-1] == len(energy):
            return
        own = f"{blocks.data.shape[-1]} channels"
    else:
        centers = blocks.energy.offset + blocks.energy.scale * np.arange(blocks.energy.n)
        if validation.same_axis(energy, centers):
            return
        own = _axis_words(blocks.energy)
    wanted = _axis_words(EnergyAxis(float(energy[0]), float(energy[1] - energy[0]), len(energy)))
    raise ValueError(
        f"signal has {own}, and this was compiled for {wanted}: compile it for the signal's, "
        "classifier.compile(classifier.preprocessor, energy=signal.axes_manager[-1].axis)"
    )


def _axis_words(axis: EnergyAxis) -> str:
    """An energy axis in words."""
    return f"{axis.n} channels of {axis.scale:g} eV from {axis.offset:g} eV"


def _counts_digest(blocks: SignalBlocks) -> str:
    """What tells counts from others without reading all: their axes, and a sample of spectra."""
    about = [blocks.shape, str(blocks.data.dtype), blocks.data.shape[-1], blocks.energy]
    found = hashlib.sha256(json.dumps(about).encode())
    for cells in sample(blocks.cells(), CHECKED_BLOCKS):
        rows = blocks.read(cells).reshape(-1, blocks.data.shape[-1])
        rows = rows[:: max(1, len(rows) // CHECKED_ROWS)]
        found.update(np.ascontiguousarray(np.ma.getdata(rows)).tobytes())
    return found.hexdigest()[:DIGITS]


def _bar(
    blocks: Iterable[Any], what: str, *, show: bool, total: int | None = None
) -> Iterable[Any]:
    """Blocks with a progress bar."""
    return tqdm(blocks, desc=what, unit="block", delay=BAR_DELAY, disable=not show, total=total)
