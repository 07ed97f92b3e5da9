"""Pixels back in the signals that were given: images as they are, frames in their stacks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eels_bayes.data.navigation_axes import axis_name, axis_unit, axis_values

if TYPE_CHECKING:
    from numpy.typing import NDArray


class GivenSignal(NamedTuple):
    """A signal as it was given, and the pixels of it that there are.

    Attributes
    ----------
    whole : ImageInfo or Stack
        Its navigation shape and axes, metadata and title.
    images : list of int
        Indices of its images: one, or the frames of a stack.
    rows : ndarray (m,)
        Which pixels are its own.
    place : ndarray (m,)
        Where they lie: flat C-order index in its navigation shape.
    """

    whole: Any
    images: list[int]
    rows: NDArray[np.int64]
    place: NDArray[np.int64]

    def filled(self, values: NDArray[Any]) -> NDArray[Any]:
        """An array (\\*shape, ...) of values (n, ...); NaN, or -1 in integers, without a pixel."""
        return in_shape(values[self.rows], self.place, self.whole.shape)


def in_shape(
    values: NDArray[Any], place: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Values (m, ...) at flat places (m,) of an array (\\*shape, ...); elsewhere NaN, or -1."""
    fill = -1 if values.dtype.kind in "iu" else np.nan
    flat = np.full((int(np.prod(shape)), *values.shape[1:]), fill, values.dtype)
    flat[place] = values
    return flat.reshape((*shape, *values.shape[1:]))


def given_signals(
    images: Sequence[Any], image: NDArray[np.int64], position: NDArray[np.int64]
) -> list[GivenSignal]:
    """The signals that images are of, in the order of their first images.

    Parameters
    ----------
    images : sequence of ImageInfo
    image, position : ndarray (n,)
        Of each pixel, as in `Spectra`.
    """
    order = np.argsort(image, kind="stable")
    ends = np.searchsorted(image[order], np.arange(len(images) + 1))
    groups: dict[tuple[str, int], list[int]] = {}
    for k, info in enumerate(images):
        key = ("image", k) if info.frame is None else ("stack", id(info.frame.stack))
        groups.setdefault(key, []).append(k)
    found = []
    for numbers in groups.values():
        rows = np.concatenate([order[ends[k] : ends[k + 1]] for k in numbers])
        first, place = images[numbers[0]], position[rows]
        if first.frame is None:
            found.append(GivenSignal(first, numbers, rows, place))
            continue
        index = np.array([frame.index for k in numbers if (frame := images[k].frame)])
        each = np.repeat(index, [ends[k + 1] - ends[k] for k in numbers], axis=0)
        stack = first.frame.stack
        found.append(GivenSignal(stack, numbers, rows, stack.flat(each, place)))
    return found


def outer_coordinates(
    images: Sequence[Any],
    image: NDArray[np.int64],
    position: NDArray[np.int64],
    *,
    taken: Collection[str] = (),
) -> dict[str, Any]:
    """Calibrated positions of pixels along the axes outside of rows and columns, for xarray.

    These are the outer axes of a stack, and of an image with more than two axes all but the last
    two.

    Parameters
    ----------
    images, image, position :
        As in `given_signals`.
    taken : collection of str
        Names that other variables have.

    Returns
    -------
    dict of str to (dimension, ndarray (n,), attributes)
        By the axes' names, "frame" where one has none, behind "frame_" where that is taken. NaN
        at pixels of signals without the axis.
    """
    values: dict[str, NDArray[np.float64]] = {}
    units: dict[str, set[str]] = {}
    for given in given_signals(images, image, position):
        whole, first = given.whole, images[given.images[0]].frame
        outer = tuple(range(len(whole.shape) - 2)) if first is None else first.stack.outer
        for axis in outer:
            name = axis_name(whole.axes[axis]) or ("frame" if len(outer) == 1 else f"frame_{axis}")
            name = f"frame_{name}" if name in taken else name
            cells = np.unravel_index(given.place, whole.shape)[axis]
            column = values.setdefault(name, np.full(len(image), np.nan))
            column[given.rows] = axis_values(whole.axes[axis], whole.shape[axis])[cells]
            units.setdefault(name, set()).add(axis_unit(whole.axes[axis]))
    coordinates = {}
    for name, column in values.items():
        unit = units[name].pop() if len(units[name]) == 1 else ""
        coordinates[name] = ("pixel", column, {"units": unit} if unit else {})
    return coordinates
