"""Images of a series before they are read: signals, or the frames of signals that are stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.data.stacks import Frame, Stack

Frames = str | tuple[str, ...] | None  # "auto", names of axes, or none at all

AUTO = "auto"
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

    def read(self) -> RawImage:
        """Its counts and what is said of them; of a stack nothing but the frame is computed.

        The noise stated of a frame is that of its stack.
        """
        if self.frame is None:
            return read_counts(self.signal)
        (frame, head), stack = self.frame, self.frame[0].stack
        cells: list[int | slice] = [slice(None)] * len(stack.shape)
        for axis, cell in zip(stack.outer, frame.index, strict=True):
            cells[axis] = cell
        energy = energy_index(self.signal)
        cells.insert(energy, slice(None))
        # before anything else: then files are asked for no more than this
        data = self.signal.data[tuple(cells)]
        energy -= sum(isinstance(cell, int) for cell in cells[:energy])
        info = ImageInfo(
            shape=tuple(stack.shape[axis] for axis in stack.inner),
            axes=tuple(stack.axes[axis] for axis in stack.inner),
            metadata=stack.metadata,
            title=frame.title,
            energy=head.axis,
            frame=frame,
        )
        counts, limits = flat_counts(data, energy)
        return RawImage(counts, *head._replace(info=info), limits)


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
