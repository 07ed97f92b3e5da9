"""What HyperSpy's dictionary of a navigation axis says: name, unit and calibrated positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def _text(given: Any) -> str:
    return given.strip() if isinstance(given, str) else ""
