"""Maps of a prediction, laid out for `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data.spectra import ImageInfo
from eels_bayes.prediction.quantities import axis_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eels_bayes.plots.map_panel import Pixel


def _listed(chosen: Any, default: Sequence[Any]) -> list[Any]:
    if chosen is None:
        return list(default)
    return [chosen] if isinstance(chosen, str | int | np.integer) else list(chosen)


def _from_zero(panels: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Colour limits from 0 to the largest value, to 1 where there is none."""
    finite = [float(np.nanmax(panel)) for panel in panels if np.isfinite(panel).any()]
    return 0.0, max(finite, default=0.0) or 1.0


def _pixel(info: ImageInfo) -> Pixel:
    from eels_bayes.plots.map_panel import Pixel

    if not info.shape:
        return Pixel()
    width, unit = abs(float(info.axes[-1].get("scale", 1.0))), axis_unit(info, -1)
    if len(info.shape) == 1:
        return Pixel(1.0, width or 1.0, unit)
    height = abs(float(info.axes[-2].get("scale", 1.0)))
    # Two different units say nothing about the shape of a pixel.
    return (
        Pixel(height, width, unit) if axis_unit(info, -2) == unit and height and width else Pixel()
    )
