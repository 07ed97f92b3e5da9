"""Whole signals by the fast path, block by block: in memory, lazily, or to a file."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from eels_bayes import validation
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.navigation_axes import axis_name
from eels_bayes.data.signal_blocks import SEED, Cells, SignalBlocks, signal_blocks
from eels_bayes.data.unread_images import outer_axes
from eels_bayes.fast import block_tasks, fast_file, result_store
from eels_bayes.fast.block_tasks import Compiled
from eels_bayes.fast.frame_drift import Drift, given_drift, measured_drift, no_drift
from eels_bayes.fast.map_neighbours import with_neighbours
from eels_bayes.fast.reading_columns import SINGLE, Words, dataset_of, frame_of, read_columns
from eels_bayes.prediction.quantities import TEXT, quantity_attributes

if TYPE_CHECKING:
    import xarray

Context = Literal["pixel", "neighbours"]
CONTEXTS = get_args(Context)
NEIGHBOURS = "neighbours"  # the quantity
Shown = Callable[..., Iterable[Any]]  # blocks with a progress bar

BAR_DELAY = 3  # seconds before a progress bar appears: what is quicker needs none
DIGITS = 16  # hexadecimal, of what tells counts apart
CHECKED_RUNS, CHECKED_RUN = 16, 32  # places that are looked at to do so, and spectra of each


def map_signal(
    self: Compiled,
    signal: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    shift: float | ArrayLike | None = None,
    context: Context = "pixel",
    show_progressbar: bool = True,
) -> xarray.Dataset:
    """Read a whole signal, lazy or not, in bounded memory.

    Parameters
    ----------
    signal : EELSSpectrum, LazyEELSSpectrum, numpy or dask array
        Raw counts on `energy`, which is the last axis of an array. A lazy one is read block by
        block, where it lies.
    path : path-like, optional
        Folder, such as ``"map.zarr"``, that the result is written to, block by block. Where it
        is there, what it holds is not done again: after an interruption, the same call goes on.
        With a `distributed.Client` in use, its workers read a lazy signal and write: file and
        folder must be where all of them reach them. Needs zarr (the extra of that name).
    shift : float or array_like, optional
        Energy drift to remove, eV; of a stack an array with that of every frame. Measured by
        default: of each image or frame (as ``Preprocessor(frames=...)`` says) as `drift` does,
        from the mean of some 30,000 spectra of a seeded sample of its blocks.
    context : {"pixel", "neighbours"}
        With "neighbours" what lies beside a pixel in its image or frame counts; there is no path
        then. They are told of classes, not, as by `EELSClassifier.predict`, of mixtures, and no
        pixel is read twice: value and parts of the total are NaN.
    show_progressbar : bool
        Shown where it takes more than a few seconds.

    Returns
    -------
    xarray.Dataset
        The fields of a `FastReading` over the navigation axes and ``class``, with units; the
        drift that was removed as the coordinate ``drift``, eV; the model's digest among the
        attributes. Of a lazy signal only the drift is computed at once, by single pixels. With a
        path it is what the folder holds, opened and not loaded. ``neighbours`` is what these took
        away of the total, nats; negative where they contradict a pixel.

    Raises
    ------
    TypeError
        If `signal` is none of these.
    ValueError
        If there is no such context, or a path with neighbours; if the signal lies on another
        axis than `energy`; if the folder holds another model's result,
        that of other counts (by their axes and a sample of spectra), or something else; if
        there is not a shift for every image.
    OSError
        If the folder cannot be written.
    ImportError
        If there is a path, and zarr is not installed.

    Examples
    --------
    With ``fast`` a compiled classifier, and a file that is larger than the memory::

        (signal,) = eb.load("large.hspy", lazy=True)
        result = fast.map(signal, "large.zarr")
        result.novelty.max().compute()
    """
    validation.choice("context", context, CONTEXTS)
    blocks = signal_blocks(signal)
    _check_axis(self, blocks)
    outer = outer_axes([axis_name(axis) for axis in blocks.axes], self._preprocessor.frames)
    shown = partial(_bar, show=show_progressbar)
    given = None if shift is None else given_drift(shift, blocks.shape, outer)
    if path is not None:
        _check_alone(context)
        return _to_file(self, blocks, validation.path("path", path).resolve(), given, outer, shown)
    drift, words = given or _measured(self, blocks, outer, shown, context), _words(self, {})
    if blocks.lazy and context == "pixel":
        return dataset_of(block_tasks.lazy_columns(self, blocks, drift), blocks, words, drift)
    single = _all(self, blocks, drift, shown)
    if context == "pixel":
        return dataset_of(single, blocks, words, drift)
    columns, taken = with_neighbours(single, outer, self.library, show=show_progressbar)
    return _with_taken(dataset_of(columns, blocks, words, drift), taken, words)


def _all(fast: Compiled, blocks: SignalBlocks, drift: Drift, shown: Shown) -> NDArray[np.float32]:
    """Columns of all pixels."""
    n_columns = len(fast.class_names) + len(SINGLE)
    columns = np.empty((*blocks.shape, n_columns), dtype=np.float32)
    for cells, part in _each(fast, blocks, blocks.cells(), drift, shown):
        columns[cells] = part
    return columns


def _with_taken(found: xarray.Dataset, taken: NDArray[np.float32], words: Words) -> xarray.Dataset:
    """A result and what neighbours took away."""
    about = quantity_attributes(words, NEIGHBOURS)
    return found.assign({NEIGHBOURS: (found.total.dims, taken, about)})


def _check_alone(context: Context) -> None:
    """Raise ValueError where blocks cannot be read one by one."""
    if context != "pixel":
        raise ValueError(
            f"with context={context!r} all pixels are read together: leave path out, and write the "
            "result with its to_zarr"
        )


def _to_file(
    fast: Compiled,
    blocks: SignalBlocks,
    path: Path,
    given: Drift | None,
    outer: tuple[int, ...],
    shown: Shown,
) -> xarray.Dataset:
    """Readings as a folder of zarr; what is there is not done again."""
    result_store.zarr_module()
    known = {
        "reading": fast_file.digest(fast._parts),
        "counts": _counts_digest(blocks),
        "alignment": "measured" if given is None else given.shift.tolist(),
    }
    words = _words(fast, known)
    about = {name: quantity_attributes(words, name) for name in TEXT}
    if not path.exists():
        drift = given or _measured(fast, blocks, outer, shown)
        dims, frame = frame_of(blocks, words, drift)
        result_store.create(path, frame, about, dims, blocks.block)
    # also what was just made: another process may have come first
    dims, frame = frame_of(blocks, words, no_drift(blocks.shape, outer))
    blocks = replace(blocks, block=result_store.check(path, frame, about, dims))
    result = result_store.opened_result(path)
    shift = np.asarray(result["drift"].values, dtype=np.float64)
    drift = given_drift(shift, blocks.shape, outer)
    left = result_store.pending(path, blocks.cells())
    client = block_tasks.cluster()
    if client is not None and blocks.lazy:
        block_tasks.by_workers(client, fast, blocks, left, drift, path, shown)
    else:
        for cells, columns in _each(fast, blocks, left, drift, shown):
            result_store.write(str(path), cells, columns)
    return result_store.opened_result(path)


def _measured(
    fast: Compiled,
    blocks: SignalBlocks,
    outer: tuple[int, ...],
    shown: Shown,
    context: Context = "pixel",
) -> Drift:
    """The drift of every image, where the preprocessor aligns; by a cluster if that will read."""
    if not fast.aligned:
        return no_drift(blocks.shape, outer)
    client = block_tasks.cluster()
    if client is not None and blocks.lazy and context == "pixel":
        return block_tasks.drift_by_workers(client, fast, blocks, outer, shown)
    return measured_drift(blocks, outer, fast, shown)


def _each(
    fast: Compiled,
    blocks: SignalBlocks,
    cells: Sequence[Cells],
    drift: Drift,
    shown: Shown,
) -> Iterable[tuple[Cells, NDArray[np.float32]]]:
    """Columns of blocks, one after the other; the next is read meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(blocks.read, one) for one in cells[:1]]
        for k, one in enumerate(shown(cells, "classify")):
            counts = coming.pop().result()
            coming = [reader.submit(blocks.read, later) for later in cells[k + 1 : k + 2]]
            yield one, read_columns(counts, drift.of(one), fast)


def _words(fast: Compiled, known: dict[str, Any]) -> Words:
    """What a Dataset says of a model's numbers."""
    library = fast.library
    return Words(
        tuple(fast.class_names),
        str(library.get("value_name", "value")),
        str(library.get("value_unit", "")),
        {"model": fast.model} | known,
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
    # whatever the blocks are: another time they may be others
    rng = np.random.default_rng(SEED)
    checked = []
    for place in rng.integers(math.prod(blocks.shape), size=CHECKED_RUNS):
        index = np.unravel_index(place, blocks.shape) if blocks.shape else ()
        runs = [1] * (len(index) - 1) + [CHECKED_RUN]
        checked.append(tuple(slice(int(k), int(k) + n) for k, n in zip(index, runs, strict=False)))
    for counts in blocks.read_together(checked):
        found.update(np.ascontiguousarray(np.ma.getdata(counts)).tobytes())
        if np.ma.is_masked(counts):
            found.update(np.packbits(np.ma.getmaskarray(counts)).tobytes())
    return found.hexdigest()[:DIGITS]


def _bar(
    blocks: Iterable[Any], what: str, *, show: bool, total: int | None = None
) -> Iterable[Any]:
    """Blocks with a progress bar."""
    return tqdm(blocks, desc=what, unit="block", delay=BAR_DELAY, disable=not show, total=total)
