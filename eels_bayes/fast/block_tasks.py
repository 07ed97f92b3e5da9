"""A block's task, for dask: the same in every process.

Its counts are read where they lie, classified with the process's own copy of the model, and written
by the process that did so. The model comes as the bytes of its file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.data.signal_blocks import Cells, SignalBlocks
from eels_bayes.fast import fast_file, frame_drift, opened_models, result_store
from eels_bayes.fast.frame_drift import Drift, Sums
from eels_bayes.fast.parts import FastParts
from eels_bayes.fast.reading_columns import SINGLE, read_columns
from eels_bayes.preprocessing.preprocessor import Preprocessor

Counts = Any  # of a block: an array (..., E), lazy or not, or what reads it


class Compiled(Protocol):
    """What maps: a `FastClassifier`."""

    class_names: tuple[str, ...]
    library: dict[str, Any]
    model: str
    energy: NDArray[Any]
    aligned: bool
    _preprocessor: Preprocessor

    @property
    def _parts(self) -> FastParts: ...
    def __call__(self, counts: ArrayLike, shift: float | ArrayLike | None = None) -> Any: ...
    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]: ...
    def drift(self, counts: ArrayLike) -> float: ...
    def _rows(self, counts: ArrayLike) -> tuple[NDArray[np.float32], bool]: ...


def lazy_columns(fast: Compiled, blocks: SignalBlocks, drift: Drift) -> Any:
    """Columns of a lazy signal as a dask array; nothing is computed."""
    import dask.array

    model, open_bytes = _shared(fast)
    chunks = dict(enumerate(blocks.block)) | {len(blocks.block): -1}
    counts = blocks.data.rechunk(chunks)
    shift = dask.array.from_array(
        drift.shift,
        chunks=tuple(
            counts.chunks[axis] if axis in drift.outer else 1 for axis in range(drift.shift.ndim)
        ),
    )
    pixels, energy, column = tuple(range(len(blocks.shape))), -1, -2
    n_columns = len(fast.class_names) + len(SINGLE)
    return dask.array.blockwise(
        _block_columns,
        (*pixels, column),
        counts,
        (*pixels, energy),
        shift,
        pixels,
        model=model,
        open_bytes=open_bytes,
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
    counts: Counts,
    shift: NDArray[np.float64],
    model: bytes,
    open_bytes: Callable[[bytes], Any],
    path: str,
    cells: Cells,
) -> int:
    """Read a block and write what is said of it, in one process; how many pixels it has."""
    columns = _block_columns(_there(counts), shift, model, open_bytes)
    result_store.write(path, cells, columns)
    return int(np.prod(columns.shape[:-1]))


def _shared(fast: Compiled) -> tuple[Any, Callable[[bytes], Any]]:
    """The model's bytes as a task that others depend on, so that they reach a process once.

    And what opens them.
    """
    import dask

    open_bytes, (data,) = fast.__reduce__()
    opened_models.keep(data, fast)
    name = f"eels_bayes-model-{fast_file.digest(fast._parts)}"
    return dask.delayed(data, name=name, pure=True), open_bytes


def cluster() -> Any:
    """The client of dask's cluster that is in use, or None."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def by_workers(
    client: Any,
    fast: Compiled,
    blocks: SignalBlocks,
    cells: Sequence[Cells],
    drift: Drift,
    path: Path,
    shown: Callable[..., Iterable[Any]],
) -> None:
    """Have blocks read and written by the workers; what a lost one had is done again by others."""
    import dask

    model, open_bytes = _shared(fast)
    write, where = dask.delayed(_write_block, pure=False), str(path.absolute())
    counts = _tasks_counts(blocks)
    tasks = [write(counts(one), drift.of(one), model, open_bytes, where, one) for one in cells]
    for _ in _as_done(client, tasks, "classify", shown):
        pass


def drift_by_workers(
    client: Any,
    fast: Compiled,
    blocks: SignalBlocks,
    outer: tuple[int, ...],
    shown: Callable[..., Iterable[Any]],
) -> Drift:
    """As `frame_drift.measured_drift`, by the workers, and the same to the last bit.

    A block's sums stay with the worker that read it until those of the same images are there.
    """
    import dask

    model, open_bytes = _shared(fast)
    sums, shift_of = (dask.delayed(what, pure=False) for what in (_block_sums, _shift_of_images))
    groups = frame_drift.sampled(blocks, outer)
    counts = _tasks_counts(blocks)
    tasks = [
        shift_of([sums(counts(one), outer, model, open_bytes) for one in group], model, open_bytes)
        for group in groups
    ]
    shift = np.zeros([blocks.shape[axis] for axis in outer])
    for k, found in _as_done(client, tasks, "drift", shown):
        shift[frame_drift.images_of(groups[k], outer)] = found
    return frame_drift.measured(shift, blocks.shape, outer)


def _block_sums(
    counts: Counts,
    outer: tuple[int, ...],
    model: bytes,
    open_bytes: Callable[[bytes], Any],
) -> Sums:
    """What a block shows of its images' drift."""
    return frame_drift.image_sums(_there(counts), outer, opened_models.opened(model, open_bytes))


def _shift_of_images(
    sums: Sequence[Sums], model: bytes, open_bytes: Callable[[bytes], Any]
) -> NDArray[np.float64]:
    """The drift (eV) of images, of all that blocks show of it."""
    return frame_drift.shift_of_images(sums, opened_models.opened(model, open_bytes))


def _tasks_counts(blocks: SignalBlocks) -> Callable[[Cells], Counts]:
    """What gives a block's counts to the task that needs them, to be read by it.

    As tasks of their own its chunks would be read by whichever worker is free, and sent to another.
    That is dask's to do where they lie with workers, or are of a file that is mapped into the
    memory of this process: all of the file would be sent with each task.
    """
    import dask
    from distributed import futures_of

    graph = blocks.data.__dask_graph__()
    mapped = any(isinstance(getattr(it, "value", it), np.memmap) for it in dict(graph).values())
    if mapped or futures_of(blocks.data):
        return blocks.data.__getitem__

    def alone(cells: Cells) -> Counts:
        (counts,) = dask.optimize(blocks.data[cells])  # without the other blocks' chunks
        return partial(_read, counts)

    return alone


def _there(counts: Counts) -> NDArray[Any]:
    """Counts that are brought, or read now."""
    return counts() if callable(counts) else counts


def _read(lazy: Any) -> NDArray[Any]:
    """Counts of a lazy array, by this thread."""
    counts: NDArray[Any] = lazy.compute(scheduler="synchronous")
    return counts


def _as_done(
    client: Any, tasks: Sequence[Any], what: str, shown: Callable[..., Iterable[Any]]
) -> Iterator[tuple[int, Any]]:
    """Results of tasks with their place among these, as they come."""
    from distributed import as_completed

    futures = client.compute(tasks)
    place = {future.key: k for k, future in enumerate(futures)}
    try:
        for future in shown(as_completed(futures), what, total=len(futures)):
            yield place[future.key], future.result()
    finally:
        client.cancel(futures)
