"""Maps of a prediction, laid out for `plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data.navigation_axes import axis_unit
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.prediction.quantities import MAPS, PixelQuantities, Quantity, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from eels_bayes.plots.map_panel import Layer, Pixel

FOR_SEVERAL = ("labels", "value", "total")  # quantities of a figure of several images, by default


def map_figure(
    prediction: PixelQuantities,
    quantities: str | Sequence[str] | None,
    images: int | Sequence[int] | None,
    columns: int | None,
) -> Figure:
    """The figure of `Prediction.plot_maps`; the arguments are its."""
    from eels_bayes.plots import map_figures

    image_numbers = _listed(images, range(len(prediction.images)))
    names = _drawable(prediction, quantities, several=len(image_numbers) != 1)
    panels = {name: [_panel(prediction, name, k) for k in image_numbers] for name in names}
    limits = _color_limits(panels)
    layers = [
        _layer(
            quantity(prediction, name),
            panels[name],
            limits.get(name),
            prediction.class_names if name == "labels" else None,
        )
        for name in names
    ]
    titles = [prediction.images[k].title for k in image_numbers]
    pixels = [_pixel(prediction.images[k]) for k in image_numbers]
    return map_figures.layers(
        layers, titles if any(titles) else None, pixels=pixels, columns=columns
    )


def _listed(chosen: Any, default: Sequence[Any]) -> list[Any]:
    """A choice of one or of many as a list; the default where nothing was chosen."""
    if chosen is None:
        return list(default)
    return [chosen] if isinstance(chosen, str | int | np.integer) else list(chosen)


def _drawable(
    prediction: PixelQuantities, quantities: str | Sequence[str] | None, *, several: bool
) -> list[str]:
    """Names of the quantities to draw; ValueError where one of them cannot be drawn."""
    drawable = [name for name in MAPS if prediction.has_value or not name.startswith("value")]
    few = [name for name in FOR_SEVERAL if name in drawable]
    alone = not np.nan_to_num(prediction.neighbours).any()
    full = [name for name in drawable if not (alone and name == "neighbours")]
    names = _listed(quantities, few if several else full)
    for name in names:
        if name not in drawable:
            why = "the library has no values" if name in MAPS else "it is unknown"
            raise ValueError(
                f"quantity {name!r} cannot be drawn: {why}; choose of {', '.join(drawable)}"
            )
    return names


def _panel(prediction: PixelQuantities, name: str, image: int) -> NDArray[Any]:
    """One quantity of one image with at most two axes; ValueError where it has more."""
    panel = prediction.map(name, image)
    if panel.ndim > 2:
        raise ValueError(
            f"images[{image}] has {panel.ndim} navigation axes; maps need at most two. Read it as "
            "a series of frames, Preprocessor(frames='auto'), or browse to_signals()"
        )
    return panel if panel.ndim else panel.reshape(1, 1)


def _color_limits(
    panels: Mapping[str, Sequence[NDArray[Any]]],
) -> dict[str, tuple[float, float]]:
    """Colour limits by quantity; uncertainties in nats share theirs, as parts of one sum."""
    in_nats = [name for name in panels if MAPS[name].unit == "nats" and name != "neighbours"]
    shared = _from_zero([panel for name in in_nats for panel in panels[name]])
    most = _from_zero([np.abs(panel) for panel in panels.get("neighbours", [])])[1]
    return {
        "novelty": (0.0, 1.0),
        "neighbours": (-most, most),
        "value_sd": _from_zero(panels.get("value_sd", [])),
        **dict.fromkeys(in_nats, shared),
    }


def _from_zero(panels: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Colour limits from 0 to the largest value, to 1 where there is none."""
    finite = [float(np.nanmax(panel)) for panel in panels if np.isfinite(panel).any()]
    return 0.0, max(finite, default=0.0) or 1.0


def _layer(
    shown: Quantity,
    panels: Sequence[NDArray[Any]],
    limits: tuple[float, float] | None,
    class_names: Sequence[str] | None,
) -> Layer:
    """One quantity over all images, as `plots` draws it."""
    from eels_bayes.plots.map_panel import Layer

    return Layer(shown.text, panels, shown.unit, shown.cmap, limits, class_names)


def _pixel(info: ImageInfo) -> Pixel:
    """Height, width and unit of an image's pixels; plain squares where they are not known."""
    from eels_bayes.plots.map_panel import Pixel

    if not info.shape:
        return Pixel()
    width, unit = abs(float(info.axes[-1].get("scale", 1.0))), axis_unit(info.axes[-1])
    if len(info.shape) == 1:
        return Pixel(1.0, width or 1.0, unit)
    height = abs(float(info.axes[-2].get("scale", 1.0)))
    # Two different units say nothing about the shape of a pixel.
    return (
        Pixel(height, width, unit)
        if axis_unit(info.axes[-2]) == unit and height and width
        else Pixel()
    )
