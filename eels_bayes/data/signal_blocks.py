"""A whole signal or array of counts in blocks of pixels, lazy or not: never all of it in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.hyperspy_io import energy_index, read_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

Cells = tuple[slice, ...]  # of a block along every navigation axis

# Bytes of a block's counts as they are stored: enough to pay for a file's call, few beside a
# process's libraries. Chosen, not tuned.
BLOCK_BYTES = 2**25
SEED = 0  # of a choice of blocks
MOST_CHUNK_BYTES = 2**27  # of a lazy array's chunk that is taken as it is: dask's choice


@dataclass(frozen=True, eq=False)
class SignalBlocks:
    """Counts of a signal, and the blocks in which they are read.

    Attributes
    ----------
    data : numpy or dask array (\\*shape, E)
        Counts, the energy last.
    axes : tuple of dict
        HyperSpy's dictionaries of the navigation axes, numpy order; of an array their sizes alone.
    title : str
        Of the signal; '' of an array.
    energy : EnergyAxis or None
        Of the signal; an array says nothing of it.
    block : tuple of int
        Pixels of a block along every navigation axis; those at an end may be fewer.
    """

    data: Any
    axes: tuple[dict[str, Any], ...]
    title: str
    energy: EnergyAxis | None
    block: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Navigation shape, numpy order."""
        return tuple(int(size) for size in self.data.shape[:-1])

    @property
    def lazy(self) -> bool:
        """Whether the counts lie elsewhere."""
        return hasattr(self.data, "dask")

    def cells(self) -> list[Cells]:
        """Where the blocks lie, in C order."""
        steps = [
            [slice(start, min(start + step, size)) for start in range(0, size, step)]
            for size, step in zip(self.shape, self.block, strict=True)
        ]
        return list(itertools.product(*steps))

    def read(self, cells: Cells) -> NDArray[Any]:
        """Counts (..., E) of some pixels; of a lazy signal nothing else is computed."""
        counts = self.data[cells]
        found: NDArray[Any] = counts.compute() if self.lazy else counts
        return found

    def read_together(self, cells: Sequence[Cells]) -> tuple[NDArray[Any], ...]:
        """Counts of several blocks that fit into memory; of a lazy signal each chunk once."""
        parts = tuple(self.data[one] for one in cells)
        if not self.lazy:
            return parts
        import dask

        return tuple(dask.compute(*parts))


def signal_blocks(signal: Any) -> SignalBlocks:
    """A signal, or an array with the energy last, in blocks that its chunks suit.

    Parameters
    ----------
    signal : EELSSpectrum, LazyEELSSpectrum, numpy or dask array

    Raises
    ------
    TypeError
        Neither a signal nor an array, or counts that are no real numbers.
    ValueError
        An empty one, or a dask array that does not know its size; a signal without a uniform,
        ascending energy axis.
    """
    if hasattr(signal, "axes_manager"):
        head = read_head(signal)
        data = energy_last(signal.data, energy_index(signal))
        axes, title, energy = head.info.axes, head.info.title, head.axis
        return SignalBlocks(
            data, axes, title, energy, block_shape(data, BLOCK_BYTES, MOST_CHUNK_BYTES)
        )
    if not (hasattr(signal, "dask") or isinstance(signal, np.ndarray)):
        raise TypeError(
            f"signal is a {type(signal).__name__}; an EELSSpectrum, lazy or not, or a numpy or "
            "dask array of counts (..., E) is needed"
        )
    if signal.dtype.kind not in "iuf":
        raise TypeError(f"signal is an array of {signal.dtype}; real counts are needed")
    if any(math.isnan(size) for size in signal.shape):
        raise ValueError(
            f"signal has shape {signal.shape}, which dask does not know; call "
            "signal.compute_chunk_sizes() before"
        )
    if not signal.ndim or not math.prod(signal.shape):
        raise ValueError(f"signal has shape {signal.shape}; counts (..., E) are needed")
    sizes = tuple({"size": int(size)} for size in signal.shape[:-1])
    return SignalBlocks(signal, sizes, "", None, block_shape(signal, BLOCK_BYTES, MOST_CHUNK_BYTES))


def energy_last(data: Any, energy: int) -> Any:
    """The same array with the energy's axis behind the others, without a copy."""
    order = [axis for axis in range(data.ndim) if axis != energy]
    return data if energy == data.ndim - 1 else data.transpose(*order, energy)


def block_shape(data: Any, most_bytes: int, most_chunk_bytes: int) -> tuple[int, ...]:
    """How many pixels along each navigation axis are read together.

    Parameters
    ----------
    data : numpy or dask array (..., E)
    most_bytes : int
        Of a block that is made of several chunks.
    most_chunk_bytes : int
        Of a chunk; a larger one is read in parts.
    """
    sizes, spectrum = data.shape[:-1], data.shape[-1] * data.dtype.itemsize
    lazy = hasattr(data, "dask")
    block = [max(along) for along in data.chunks[:-1]] if lazy else [1] * len(sizes)
    while math.prod(block) * spectrum > most_chunk_bytes and max(block, default=1) > 1:
        longest = block.index(max(block))
        block[longest] = -(-block[longest] // 2)
    return grown(block, sizes, max(1, most_bytes // spectrum))


def grown(block: Sequence[int], sizes: Sequence[int], most: int) -> tuple[int, ...]:
    """A block times whole numbers, along the last axis first, while it has at most so many pixels.

    Parameters
    ----------
    block, sizes : sequence of int
        Pixels of the block, and of all, along every axis.
    most : int
    """
    larger = [min(one, size) for one, size in zip(block, sizes, strict=True)]
    for axis in reversed(range(len(larger))):
        times = max(1, most // math.prod(larger))
        larger[axis] = min(sizes[axis], larger[axis] * times)
        if larger[axis] < sizes[axis]:
            break
    return tuple(larger)


def chosen(cells: Sequence[Cells], n: int) -> list[Cells]:
    """A seeded choice of n blocks, in their order; all where there are no more."""
    if len(cells) <= n:
        return list(cells)
    rows = np.random.default_rng(SEED).choice(len(cells), n, replace=False)
    return [cells[k] for k in sorted(rows.tolist())]
