"""What a prediction holds: names, units and texts of its quantities, and a pixel's place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from eels_bayes.data.spectra import ImageInfo

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray

    from eels_bayes.prediction.map_posterior import MapPosterior


class Quantity(NamedTuple):
    """A quantity of every pixel: its text, its unit and its colour map."""

    text: str
    unit: str
    cmap: str = "viridis"


# Everything a map can be drawn of, in the order of a full figure. Quantities in nats share a
# colour scale, because the parts sum to the total.
MAPS = {
    "labels": Quantity("Class", ""),
    "value": Quantity("Value", ""),
    "value_sd": Quantity("Value: standard deviation", "", "cividis"),
    "novelty": Quantity("Novelty", "", "magma"),
    "total": Quantity("Total uncertainty", "nats", "cividis"),
    "aleatoric": Quantity("Aleatoric uncertainty", "nats", "cividis"),
    "encoder": Quantity("Encoder uncertainty", "nats", "cividis"),
    "classifier": Quantity("Classifier uncertainty", "nats", "cividis"),
    "neighbours": Quantity("Taken away by other pixels", "nats", "PuOr_r"),
}
TEXT = {name: quantity.text for name, quantity in MAPS.items()} | {
    "probabilities": "Class probability",
    "latent_mean": "Latent mean",
    "latent_sd": "Latent standard deviation",
    "flag": "Flag",
}
OF_VALUE = ("value", "value_sd")  # the quantities that a library has its own words for


class ValueWords(Protocol):
    """What a library calls its value."""

    @property
    def value_name(self) -> str: ...
    @property
    def value_unit(self) -> str: ...


class PixelQuantities(ValueWords, Protocol):
    """What maps and exports read of a `Prediction`; the attributes mean what they mean there."""

    @property
    def probabilities(self) -> NDArray[Any]: ...
    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def value(self) -> NDArray[Any]: ...
    @property
    def value_sd(self) -> NDArray[Any]: ...
    @property
    def value_range(self) -> tuple[float, float]: ...
    @property
    def model(self) -> str: ...
    @property
    def neighbours(self) -> NDArray[Any]: ...
    @property
    def map_posterior(self) -> MapPosterior | None: ...
    @property
    def latent_mean(self) -> NDArray[Any]: ...
    @property
    def flag(self) -> NDArray[np.int64]: ...
    @property
    def image(self) -> NDArray[np.int64]: ...
    @property
    def position(self) -> NDArray[np.int64]: ...
    @property
    def images(self) -> tuple[ImageInfo, ...]: ...
    @property
    def ok(self) -> NDArray[np.bool_]: ...
    @property
    def has_value(self) -> bool: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: NDArray[Any]) -> PixelQuantities: ...
    def reasons(self) -> list[str]: ...
    def to_xarray(self) -> xarray.Dataset: ...
    def map(self, quantity: str, image: int = 0) -> NDArray[Any]: ...


def quantity(prediction: ValueWords, name: str) -> Quantity:
    """Text, unit and colours of one quantity; the value's are the library's own words."""
    if name not in OF_VALUE:
        return MAPS.get(name, Quantity(TEXT[name], ""))
    of_spread = MAPS[name].text.removeprefix(MAPS["value"].text)
    text = _as_title(prediction.value_name) + of_spread
    return MAPS[name]._replace(text=text, unit=prediction.value_unit)


def quantity_attributes(prediction: ValueWords, name: str) -> dict[str, str]:
    """What xarray calls a quantity, and its unit where it has one."""
    text, unit, _ = quantity(prediction, name)
    return {"long_name": text} | ({"units": unit} if unit else {})


def _as_title(name: str) -> str:
    """A name with a capital, where it begins with a word and not with a symbol such as pH."""
    word = name[:2].isalpha() and name[:2].islower() and len(name) > 1
    return name[0].upper() + name[1:] if word else name
