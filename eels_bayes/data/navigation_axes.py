"""What HyperSpy's dictionary of a navigation axis says: name, unit and calibrated positions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

INNER = ("x", "y")  # what navigation axes are called where they have no name, the last first


def axis_values(axis: dict[str, Any], size: int) -> NDArray[np.float64]:
    """Calibrated positions (size,) along an axis, in its unit."""
    if "axis" in axis:  # HyperSpy's non-uniform DataAxis
        return np.asarray(axis["axis"], dtype=float)
    steps = np.arange(size)
    return np.asarray(axis.get("offset", 0.0) + axis.get("scale", 1.0) * steps, dtype=float)


def axis_name(axis: dict[str, Any]) -> str:
    """Name of an axis; '' where it has none."""
    return _text(axis.get("name"))


def axis_unit(axis: dict[str, Any]) -> str:
    """Unit of an axis; '' where it has none."""
    return _text(axis.get("units"))


def axis_coordinates(
    axes: Sequence[dict[str, Any]], shape: Sequence[int], taken: Collection[str]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Dimensions of an image for xarray, and the calibrated positions along each.

    Parameters
    ----------
    axes : sequence of dict
        Of the image, numpy order.
    shape : sequence of int
    taken : collection of str
        Names that mean something else: an axis called so gets another.

    Returns
    -------
    dims : tuple of str
        The axes' names; where they have none, "y", "x" and, further out, "frame_2", ...
    coords : dict
        Positions, with their units, by dimension.
    """
    dims, coords = list[str](), dict[str, Any]()
    for left, axis, size in zip(range(len(axes) - 1, -1, -1), axes, shape, strict=True):
        name = axis_name(axis).replace("/", "_").lstrip(".")  # which would be folders in files
        name = name or (INNER[left] if left < len(INNER) else f"frame_{left}")
        name = f"image_{name}" if name in (*taken, *dims) else name
        unit = axis_unit(axis)
        coords[name] = (name, axis_values(axis, size), {"units": unit} if unit else {})
        dims.append(name)
    return tuple(dims), coords


def _text(given: Any) -> str:
    return given.strip() if isinstance(given, str) else ""
