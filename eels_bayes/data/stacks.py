"""A signal that is read as a series of frames, and where a frame stands in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data.navigation_axes import axis_name, axis_unit, axis_values

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Stack:
    """A signal whose frames are images of a series.

    Attributes
    ----------
    shape : tuple of int
        Navigation shape of the whole signal in numpy order.
    axes : tuple of dict
        HyperSpy's dictionaries of all its navigation axes, numpy order.
    outer : tuple of int
        Which of the axes number the frames, ascending; the others are a frame's own.
    metadata : dict
        HyperSpy's metadata as a plain dictionary.
    title : str
        Title of the signal.
    """

    shape: tuple[int, ...]
    axes: tuple[dict[str, Any], ...]
    outer: tuple[int, ...]
    metadata: dict[str, Any]
    title: str

    @property
    def inner(self) -> tuple[int, ...]:
        """Which of the axes are a frame's own, ascending."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in self.outer)

    @property
    def frames(self) -> list[Frame]:
        """Its frames, those that differ in the last outer axis next to each other."""
        return [Frame(self, index) for index in np.ndindex(*(self.shape[k] for k in self.outer))]

    def flat(self, index: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.int64]:
        """Flat C-order indices (n,) in `shape` of pixels.

        Parameters
        ----------
        index : ndarray (n, F)
            Of each pixel's frame along the F outer axes.
        position : ndarray (n,)
            Flat C-order index in the frame.
        """
        cells = [np.zeros_like(position)] * len(self.shape)
        for axis, cell in zip(self.outer, index.T, strict=True):
            cells[axis] = cell
        if self.inner:
            inside = np.unravel_index(position, tuple(self.shape[k] for k in self.inner))
            for axis, cell in zip(self.inner, inside, strict=True):
                cells[axis] = cell
        return np.ravel_multi_index(tuple(cells), self.shape)


@dataclass(frozen=True, eq=False)
class Frame:
    """The place of one image in its stack.

    Attributes
    ----------
    stack : Stack
        The same object for all frames of a signal.
    index : tuple of int
        Along the stack's outer axes.
    """

    stack: Stack
    index: tuple[int, ...]

    @property
    def title(self) -> str:
        """Title of the stack, and name, calibrated position and unit along each outer axis."""
        stack, parts = self.stack, [self.stack.title]
        for axis, cell in zip(stack.outer, self.index, strict=True):
            name, unit = axis_name(stack.axes[axis]), axis_unit(stack.axes[axis])
            if name or unit:
                value = axis_values(stack.axes[axis], stack.shape[axis])[cell]
                parts.append(" ".join(filter(None, (name, f"{value:.10g}", unit))))
            else:
                parts.append(f"frame {cell}")
        return ", ".join(filter(None, parts))
