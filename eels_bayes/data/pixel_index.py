"""Some of the pixels of a container whose arrays have one row a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checked_index(index: slice | NDArray[Any] | Sequence[int]) -> slice | NDArray[Any]:
    """An index of pixels that is sure to keep their axis.

    Parameters
    ----------
    index : slice, or 1-D array_like of int or bool
        Pixels to take, or a mask.

    Returns
    -------
    slice or ndarray

    Raises
    ------
    TypeError
        If it is anything else: a single number would take the axis of the pixels away.
    """
    if isinstance(index, slice):
        return index
    index = np.asarray(index)
    if index.ndim != 1 or index.dtype.kind not in "iub":
        raise TypeError(
            f"index has shape {index.shape} and type {index.dtype}; a slice, a 1-D array "
            "of integers or a 1-D mask is needed"
        )
    return index


def per_pixel_fields(container: type, *, shared: Sequence[str]) -> tuple[str, ...]:
    """Names of a dataclass's fields but those that all pixels share."""
    return tuple(field.name for field in fields(container) if field.name not in shared)


def rows_of(container: Any, names: Sequence[str], index: slice | NDArray[Any]) -> dict[str, Any]:
    """The rows of the arrays with these names, by name."""
    return {name: getattr(container, name)[index] for name in names}
