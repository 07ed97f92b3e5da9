"""Images of a series before they are read: signals, or the frames of signals that are stacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eels_bayes.data.hyperspy_io import (
    Head,
    RawImage,
    energy_index,
    flat_counts,
    navigation_axes,
    read_counts,
    read_head,
)
from eels_bayes.data.navigation_axes import axis_name
from eels_bayes.data.signal_blocks import (
    Cells,
    SignalBlocks,
    block_shape,
    chosen,
    energy_last,
    grown,
)
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.data.stacks import Frame, Stack

Frames = str | tuple[str, ...] | None  # "auto", names of axes, or none at all

AUTO = "auto"
LARGE = 20_000  # pixels of a lazy image above which it is read in parts; chosen, not tuned
# Pixels of the sample that stands for a series of large images, and for each of them at least: it
# shows its drift, and which channels are dead. Chosen, not tuned.
SAMPLED, LEAST_SAMPLED = 8_000, 500
SAMPLED_PARTS = 4  # of an image at least, so that no corner stands for it
SAMPLED_BYTES = 2**21  # of a part of a sample at most, as it is stored; a row at least
MOST_KEPT = 64  # images of a series whose samples are read once: a quarter of a GB
PART_BYTES = 2**24  # of a part, when all are read one after the other
IMAGE_AXES = 2  # navigation axes of an image: by itself, a signal of more is a stack


@dataclass(frozen=True, eq=False)
class UnreadImage:
    """An image of a series, of which no count is read yet.

    Attributes
    ----------
    signal : EELSSpectrum
        It, or the stack that it is a frame of.
    frame : (Frame, Head), optional
        Which frame it is, and what the stack says of all of them, so that it is read once.
    """

    signal: Any
    frame: tuple[Frame, Head] | None = None

    @property
    def large(self) -> bool:
        """Whether it is lazy, and so large that it is read in parts."""
        # nothing else is asked of what is in memory
        if not hasattr(getattr(self.signal, "data", None), "dask"):
            return False
        return math.prod(self._unread()[1].shape) > LARGE

    def read(self, *, sample: int | None = None, rows: bool = False) -> RawImage:
        """Its counts and what is said of them; of a stack nothing but the frame is computed.

        The noise stated of a frame is that of its stack.

        Parameters
        ----------
        sample : int, optional
            Of a large image, a seeded choice of its parts in place of all: so many pixels or more.
        rows : bool
            Whether these are whole rows, where there are several.
        """
        if sample is not None and self.large:
            data, _ = self._unread()
            share = -(-sample // SAMPLED_PARTS) * data.shape[-1] * data.dtype.itemsize
            parts = self._parts(min(SAMPLED_BYTES, share), rows)
            return self._joined(parts, _sampled(parts, sample))
        if self.frame is None:
            return read_counts(self.signal)
        data, info = self._unread()
        counts, limits = flat_counts(data, data.ndim - 1)
        return RawImage(counts, *self._head(info), limits)

    def parts(self, *, rows: bool = False) -> Iterator[RawImage]:
        """All of a large image, in parts, one after the other; ``rows`` as in `read`."""
        parts = self._parts(PART_BYTES, rows)
        return (self._joined(parts, [cells]) for cells in parts.cells())

    def _unread(self) -> tuple[Any, ImageInfo]:
        """Its counts, the energy last, and what is known of them before they are read."""
        head = self._head()
        if self.frame is None:
            return energy_last(self.signal.data, energy_index(self.signal)), head.info
        frame, stack = self.frame[0], self.frame[0].stack
        cells: list[int | slice] = [slice(None)] * len(stack.shape)
        for axis, cell in zip(stack.outer, frame.index, strict=True):
            cells[axis] = cell
        info = ImageInfo(
            shape=tuple(stack.shape[axis] for axis in stack.inner),
            axes=tuple(stack.axes[axis] for axis in stack.inner),
            metadata=stack.metadata,
            title=frame.title,
            energy=head.axis,
            frame=frame,
        )
        # before anything else: then files are asked for no more than this
        return energy_last(self.signal.data, energy_index(self.signal))[tuple(cells)], info

    def _head(self, info: ImageInfo | None = None) -> Head:
        """What is said of the counts, of the image with these words."""
        head = read_head(self.signal) if self.frame is None else self.frame[1]
        return head if info is None else head._replace(info=info)

    def _parts(self, most_bytes: int, rows: bool) -> SignalBlocks:
        """Blocks that suit the chunks, or of whole rows."""
        data, info = self._unread()
        block = block_shape(data, most_bytes, most_bytes)
        if rows and len(block) > 1:
            width = data.shape[-2]
            high = max(1, math.prod(block[:-1]) * block[-1] // width)
            block = (*grown([1] * (len(block) - 1), data.shape[:-2], high), width)
        return SignalBlocks(data, info.axes, info.title, info.energy, block)

    def _joined(self, parts: SignalBlocks, cells: Sequence[Cells]) -> RawImage:
        """Some parts as one image, which knows where its pixels lie."""
        every = np.arange(math.prod(parts.shape)).reshape(parts.shape)
        position = np.concatenate([every[one].ravel() for one in cells])
        flat = [parts.read(one).reshape(-1, parts.data.shape[-1]) for one in cells]
        masked = any(isinstance(part, np.ma.MaskedArray) for part in flat)
        together = np.ma.concatenate(flat) if masked else np.concatenate(flat)
        counts, limits = flat_counts(together, 1)
        return RawImage(counts, *self._head(self._unread()[1]), limits, position)


def _sampled(parts: SignalBlocks, sample: int) -> list[Cells]:
    """A seeded choice of parts that have so many pixels or more; all where there are no more."""
    cells = parts.cells()
    n = max(SAMPLED_PARTS, -(-sample // math.prod(parts.block)))
    found = chosen(cells, n)
    while len(found) < len(cells) and sum(map(_n_pixels, found)) < sample:  # parts at ends are less
        n += 1
        found = chosen(cells, n)
    return found


def _n_pixels(cells: Cells) -> int:
    return math.prod(cell.stop - cell.start for cell in cells)


def many_lazy_pixels(signals: Sequence[Any]) -> bool:
    """Whether the lazy ones of signals have more pixels together than are read at once."""
    lazy = [signal for signal in signals if hasattr(signal.data, "dask")]
    return sum(math.prod(signal.axes_manager.navigation_shape) for signal in lazy) > LARGE


def sampled_images(
    images: Sequence[UnreadImage], *, rows: bool = False
) -> Callable[[], Iterator[RawImage]]:
    """What reads the images of a series one by one, as often as it is called; large ones' samples.

    Parameters
    ----------
    images : sequence of UnreadImage
    rows : bool
        As in `UnreadImage.read`.
    """
    sample = max(LEAST_SAMPLED, SAMPLED // len(images))
    kept: dict[int, RawImage] = {}

    def read() -> Iterator[RawImage]:
        for k, image in enumerate(images):
            raw = kept[k] if k in kept else image.read(sample=sample, rows=rows)
            if raw.position is not None and len(images) <= MOST_KEPT:
                kept[k] = raw
            yield raw

    return read


def unread_images(
    signals: Sequence[Any], frames: Frames, *, needed: bool = True
) -> list[UnreadImage]:
    """The images of signals, in their order, frames in that of the stack's outer axes.

    Parameters
    ----------
    signals : sequence of EELSSpectrum
    frames : "auto", str, tuple of str or None
        What numbers frames: all navigation axes but the two innermost, those of these names, or
        nothing.
    needed : bool
        Whether a name must be that of an axis; a signal without it is one image else.

    Raises
    ------
    TypeError, ValueError
        A stack that cannot be read; a name that no navigation axis has.
    """
    axes = [navigation_axes(s) if hasattr(s, "axes_manager") else () for s in signals]
    names = [[axis_name(axis) for axis in of_signal] for of_signal in axes]
    if needed:
        _check_names(frames, {name for of_signal in names for name in of_signal})
    images: list[UnreadImage] = []
    for signal, of_signal in zip(signals, names, strict=True):
        outer = outer_axes(of_signal, frames)
        if not outer:
            images.append(UnreadImage(signal))
            continue
        head = read_head(signal)
        info = head.info
        stack = Stack(info.shape, info.axes, outer, info.metadata, info.title)
        images += [UnreadImage(signal, (frame, head)) for frame in stack.frames]
    return images


def outer_axes(names: Sequence[str], frames: Frames) -> tuple[int, ...]:
    """Which of the navigation axes with these names, in numpy order, number frames."""
    if frames is None:
        return ()
    if frames == AUTO:
        return tuple(range(len(names) - IMAGE_AXES))
    return tuple(k for k, name in enumerate(names) if name in _wanted(frames))


def _wanted(frames: Frames) -> tuple[str, ...]:
    """Names of axes that are asked for."""
    if frames is None or frames == AUTO:
        return ()
    return (frames,) if isinstance(frames, str) else frames


def _check_names(frames: Frames, known: set[str]) -> None:
    """Raise ValueError where a name is asked for that is not known."""
    missing = [name for name in _wanted(frames) if name not in known]
    if missing:
        theirs = ", ".join(repr(name) for name in sorted(known) if name) or "without names"
        raise ValueError(
            f"frames is {frames!r}, but no navigation axis of the signals is named "
            f"{missing[0]!r}: they are {theirs}; set frames to one of these, to 'auto' or to None, "
            "or name the axis (signal.axes_manager[0].name)"
        )
