"""The energy drift of every image of a signal, from the mean spectrum of a sample of its blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.data.signal_blocks import Cells, SignalBlocks, chosen

# Spectra of an image, or of a frame of a stack, whose mean shows its drift. Chosen, not tuned.
PIXELS = 30_000
LEAST_BLOCKS = 8  # that they are taken from, so that no corner stands for an image

GIVEN, MEASURED, NONE = "given", "measured from the mean spectrum", "not removed"


class Aligning(Protocol):
    """What finds a drift: a `FastClassifier`."""

    def drift(self, counts: ArrayLike) -> float: ...
    def _rows(self, counts: ArrayLike) -> tuple[NDArray[np.float32], bool]: ...


class Sums(NamedTuple):
    """Of pixels of some images.

    Attributes
    ----------
    total : ndarray (*images, E)
        Counts that say something, of all pixels.
    number : ndarray (*images, E) of int
        Of how many.
    """

    total: NDArray[np.float64]
    number: NDArray[np.int64]


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
    model: Aligning,
    shown: Callable[..., Iterable[Any]],
) -> Drift:
    """The drift of every image, block by block: each chosen block is read once.

    Parameters
    ----------
    blocks : SignalBlocks
    outer : tuple of int
        Which navigation axes number images.
    model : FastClassifier
    shown : callable
        Blocks with a progress bar that says what is done.
    """
    groups = sampled(blocks, outer)
    shift = np.zeros([blocks.shape[axis] for axis in outer])
    coming = iter(shown([one for group in groups for one in group], "drift"))
    for group in groups:
        read = (next(coming) for _ in group)
        sums = (image_sums(blocks.read(cells), outer, model) for cells in read)
        shift[images_of(group, outer)] = shift_of_images(sums, model)
    for _ in coming:  # to its end, which a bar waits for
        pass
    return measured(shift, blocks.shape, outer)


def image_sums(counts: NDArray[Any], outer: tuple[int, ...], model: Aligning) -> Sums:
    """Of a block's counts (..., E): of each image, a sum over some of its pixels and their number.

    Parameters
    ----------
    counts : ndarray (..., E)
    outer : tuple of int
        Which of its axes number images.
    model : FastClassifier
    """
    shape, n_channels = [counts.shape[axis] for axis in outer], counts.shape[-1]
    total = np.zeros((*shape, n_channels))
    number = np.zeros((*shape, n_channels), dtype=np.int64)
    images = np.moveaxis(counts, outer, range(len(outer)))
    most = -(-PIXELS // LEAST_BLOCKS)
    for image in np.ndindex(*shape):
        flat = images[image].reshape(-1, n_channels)
        seen = model._rows(flat[:: max(1, len(flat) // most)])[0]
        finite = np.isfinite(seen)
        total[image] = np.where(finite, seen, 0.0).sum(0, dtype=np.float64)
        number[image] = finite.sum(0)
    return Sums(total, number)


def shift_of_images(sums: Iterable[Sums], model: Aligning) -> NDArray[np.float64]:
    """The drift (eV) of images, from what is summed of each in blocks, in their order."""
    total, number = np.zeros(1), np.zeros(1, dtype=np.int64)
    for one in sums:
        total, number = total + one.total, number + one.number
    mean = total / np.maximum(number, 1)
    shift = np.zeros(mean.shape[:-1])
    for image in np.ndindex(*shift.shape):
        shift[image] = model.drift(mean[image])
    return shift


def measured(shift: NDArray[np.float64], shape: Sequence[int], outer: tuple[int, ...]) -> Drift:
    """The drift (eV) of every image, as it was measured."""
    return Drift(_spread(shift, shape, outer), outer, MEASURED)


def no_drift(shape: Sequence[int], outer: tuple[int, ...]) -> Drift:
    """Where the preprocessor aligns nothing."""
    return given_drift(0.0, shape, outer)._replace(source=NONE)


def sampled(blocks: SignalBlocks, outer: tuple[int, ...]) -> list[list[Cells]]:
    """Blocks that hold a sample of every image, those of the same images together."""
    size = math.prod(blocks.block)
    groups: dict[tuple[tuple[int, int], ...], list[Cells]] = {}
    for one in blocks.cells():
        key = tuple((one[axis].start, one[axis].stop) for axis in outer)
        groups.setdefault(key, []).append(one)
    images = math.prod(blocks.block[axis] for axis in outer)
    n = max(LEAST_BLOCKS, -(-PIXELS * images // size))
    return [chosen(group, n) for group in groups.values()]


def images_of(group: Sequence[Cells], outer: tuple[int, ...]) -> tuple[slice, ...]:
    """Which images such blocks have pixels of."""
    return tuple(group[0][axis] for axis in outer)


def _spread(
    shift: NDArray[np.float64], shape: Sequence[int], outer: tuple[int, ...]
) -> NDArray[np.float64]:
    """Of every image, with an axis of one along those within an image."""
    return shift.reshape([size if axis in outer else 1 for axis, size in enumerate(shape)])
