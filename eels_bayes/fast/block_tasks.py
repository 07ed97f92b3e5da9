"""A block's task, for dask: the same in every process.

Its counts are read where they lie, classified with the process's own copy of the model, and written
by the process that did so. The model comes as the bytes of its file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.data.signal_blocks import Cells, SignalBlocks
from eels_bayes.fast import fast_file, opened_models, result_store
from eels_bayes.fast.frame_drift import Drift
from eels_bayes.fast.parts import FastParts
from eels_bayes.fast.reading_columns import SINGLE, read_columns
from eels_bayes.preprocessing.preprocessor import Preprocessor


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
    from distributed import as_completed

    model, open_bytes = _shared(fast)
    write, where = dask.delayed(_write_block, pure=False), str(path.absolute())
    tasks = [write(blocks.data[one], drift.of(one), model, open_bytes, where, one) for one in cells]
    futures = client.compute(tasks)
    try:
        for future in shown(as_completed(futures), "classify", total=len(futures)):
            future.result()
    finally:
        client.cancel(futures)
