"""What a prediction holds: names, units and texts of its quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eels_bayes.data.spectra import ImageInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Quantity(NamedTuple):
    text: str
    unit: str
    cmap: str = "viridis"


# Everything a map can be drawn of, in the order of a full figure. Quantities in nats share a
# colour scale, because the parts sum to the total.
MAPS = {
    "labels": _Quantity("Class", ""),
    "value": _Quantity("Value", ""),
    "value_sd": _Quantity("Value: standard deviation", "", "cividis"),
    "novelty": _Quantity("Novelty", "", "magma"),
    "total": _Quantity("Total uncertainty", "nats", "cividis"),
    "aleatoric": _Quantity("Aleatoric uncertainty", "nats", "cividis"),
    "encoder": _Quantity("Encoder uncertainty", "nats", "cividis"),
    "classifier": _Quantity("Classifier uncertainty", "nats", "cividis"),
}
TEXT = {name: quantity.text for name, quantity in MAPS.items()} | {
    "probabilities": "Class probability",
    "latent_mean": "Latent mean",
    "latent_sd": "Latent standard deviation",
    "flag": "Flag",
}


def axis_values(info: ImageInfo, axis: int) -> NDArray[np.float64]:
    values = info.axes[axis]
    if "axis" in values:  # HyperSpy's non-uniform DataAxis
        return np.asarray(values["axis"], dtype=float)
    steps = np.arange(info.shape[axis])
    return np.asarray(values.get("offset", 0.0) + values.get("scale", 1.0) * steps, dtype=float)


def axis_unit(info: ImageInfo, axis: int) -> str:
    unit = info.axes[axis].get("units")
    return unit.strip() if isinstance(unit, str) else ""
