"""The energy drift of every image of a signal, from the mean spectrum of a sample of its blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.data.signal_blocks import Cells, SignalBlocks, chosen

# Spectra of an image, or of a frame of a stack, whose mean shows its drift. Chosen, not tuned.
PIXELS = 30_000
LEAST_BLOCKS = 8  # that they are taken from, so that no corner stands for an image

GIVEN, MEASURED, NONE = "given", "measured from the mean spectrum", "not removed"


class Drift(NamedTuple):
    """How far images have drifted.

    Attributes
    ----------
    shift : ndarray
        Of every image, eV: its size along the axes that number frames, one along the others.
    outer : tuple of int
        Which navigation axes number frames.
    source : str
        Where it comes from, in words.
    """

    shift: NDArray[np.float64]
    outer: tuple[int, ...]
    source: str

    def of(self, cells: Cells) -> NDArray[np.float64]:
        """Of a block, to be broadcast to its pixels."""
        own = [cell if axis in self.outer else slice(None) for axis, cell in enumerate(cells)]
        return self.shift[tuple(own)]


def given_drift(shift: ArrayLike, shape: Sequence[int], outer: tuple[int, ...]) -> Drift:
    """A drift (eV) that is known: one for all images, or one each.

    Raises
    ------
    TypeError, ValueError
        No numbers, not finite, or not as many as images.
    """
    numbers = validation.numbers("shift", shift)
    frames = tuple(shape[axis] for axis in outer)
    if numbers.shape not in ((), frames) or not np.isfinite(numbers).all():
        wanted = f"a finite number or an array {frames} of them" if frames else "a finite number"
        raise ValueError(f"shift has shape {numbers.shape}; {wanted}, in eV, is needed")
    return Drift(_spread(np.broadcast_to(numbers, frames), shape, outer), outer, GIVEN)


def measured_drift(
    blocks: SignalBlocks,
    outer: tuple[int, ...],
    rows: Callable[[Any], NDArray[np.float32]],
    drift: Callable[[Any], float],
    shown: Callable[[Sequence[Cells], str], Iterable[Cells]],
) -> Drift:
    """The drift of every image, block by block: each chosen block is read once.

    Parameters
    ----------
    blocks : SignalBlocks
    outer : tuple of int
        Which navigation axes number images.
    rows : callable
        Counts (n, E) as the fast path reads them, NaN where they say nothing.
    drift : callable
        Of a mean spectrum (E,), eV.
    shown : callable
        Blocks with a progress bar that says what is done.
    """
    sums: dict[tuple[int, ...], Any] = {}
    cells_read = _sampled(blocks, outer)
    left: dict[tuple[int, ...], int] = {}
    for cells in cells_read:
        for image in _images(cells, outer):
            left[image] = left.get(image, 0) + 1
    shift = np.zeros([blocks.shape[axis] for axis in outer])
    most = max(1, -(-PIXELS // LEAST_BLOCKS))
    for cells in shown(cells_read, "drift"):
        counts = blocks.read(cells)
        for image in _images(cells, outer):
            index = list[Any]([slice(None)] * len(cells))
            for axis, cell in zip(outer, image, strict=True):
                index[axis] = cell - cells[axis].start
            flat = counts[tuple(index)].reshape(-1, counts.shape[-1])
            seen = rows(flat[:: max(1, len(flat) // most)])
            finite = np.isfinite(seen)
            total = np.where(finite, seen, 0.0).sum(0, dtype=np.float64)
            before = sums.get(image, (0.0, 0))
            sums[image] = (before[0] + total, before[1] + finite.sum(0))
            left[image] -= 1
            if not left[image]:
                whole, number = sums.pop(image)
                shift[image] = drift(whole / np.maximum(number, 1))
    return Drift(_spread(shift, blocks.shape, outer), outer, MEASURED)


def no_drift(shape: Sequence[int], outer: tuple[int, ...]) -> Drift:
    """Where the preprocessor aligns nothing."""
    return given_drift(0.0, shape, outer)._replace(source=NONE)


def _sampled(blocks: SignalBlocks, outer: tuple[int, ...]) -> list[Cells]:
    """Blocks that hold a sample of every image."""
    cells, size = blocks.cells(), math.prod(blocks.block)
    groups: dict[tuple[tuple[int, int], ...], list[Cells]] = {}
    for one in cells:
        key = tuple((one[axis].start, one[axis].stop) for axis in outer)
        groups.setdefault(key, []).append(one)
    images = math.prod(blocks.block[axis] for axis in outer)
    n = max(LEAST_BLOCKS, -(-PIXELS * images // size))
    return [one for group in groups.values() for one in chosen(group, n)]


def _images(cells: Cells, outer: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Indices of the images that a block has pixels of."""
    for index in np.ndindex(*(cells[axis].stop - cells[axis].start for axis in outer)):
        yield tuple(k + cells[axis].start for k, axis in zip(index, outer, strict=True))


def _spread(
    shift: NDArray[np.float64], shape: Sequence[int], outer: tuple[int, ...]
) -> NDArray[np.float64]:
    """Of every image, with an axis of one along those within an image."""
    return shift.reshape([size if axis in outer else 1 for axis, size in enumerate(shape)])
