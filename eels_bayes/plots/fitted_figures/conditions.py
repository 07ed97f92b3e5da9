"""Which image was taken at which temperature: read from titles, or as given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.fitted_figures.subjects import Image
from eels_bayes.plots.map_panel import Pixel

# "450 C", "450 °C", "450degC", "-20,5 ℃"; no letter behind, or "3 Cr" would be three degrees
TEMPERATURE = re.compile(r"(?<![\w.])([-+]?\d+(?:[.,]\d+)?)\s*(?:°\s*C|℃|deg\s*C|C)(?![A-Za-z0-9])")
LONGEST_NAME = 14  # characters of a condition that is only a title: more run into the next


class Conditions(NamedTuple):
    """The conditions of I images, C of them distinct.

    Attributes
    ----------
    names : list of str
        Of the conditions, ascending where they are numbers: "450 °C".
    values : (C,) array
        The numbers, or 0, 1, 2, ... where there are none.
    label : str
        Of an axis along them.
    of_image : (I,) array of int
        Index of each image's condition.
    numeric : bool
        Whether the values are numbers of the experiment.
    """

    names: list[str]
    values: NDArray[np.float64]
    label: str
    of_image: NDArray[np.int64]
    numeric: bool

    def of_pixels(self, image: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the condition (n,) of pixels of images (n,)."""
        return self.of_image[image]

    def titles(self) -> list[str]:
        """One a image: "area 2, 450 °C", or the condition alone where none has two images."""
        counts = np.bincount(self.of_image, minlength=len(self.names))
        seen: dict[int, int] = {}
        titles = []
        for index in self.of_image.tolist():
            seen[index] = seen.get(index, 0) + 1
            name = self.names[index]
            titles.append(f"area {seen[index]}, {name}" if counts.max() > 1 else name)
        return titles


def conditions_of(
    images: Sequence[Image], given: Sequence[Any] | None = None, unit: str = "°C"
) -> Conditions:
    """Conditions of images.

    Parameters
    ----------
    images : sequence of ImageInfo
    given : sequence of float or str, optional
        One for each image. By default the temperature in each title, such as "450 C, area 1", and
        the titles themselves where one has none.
    unit : str
        Of numbers that are given.

    Raises
    ------
    ValueError
        If there is not one condition an image, or a number is not finite.
    """
    if given is None:
        found = [TEMPERATURE.search(image.title) for image in images]
        if images and all(found):
            numbers = [float(match[1].replace(",", ".")) for match in found if match]
            return _numeric(numbers, "temperature (°C)", "°C")
        names = [image.title or f"image {k}" for k, image in enumerate(images)]
        return _named([name[-LONGEST_NAME:] for name in _apart(names)])
    if len(given) != len(images):
        raise ValueError(
            f"conditions must be one for each of {len(images)} images, got {len(given)}"
        )
    if all(isinstance(value, str) for value in given):
        return _named([str(value) for value in given])
    numbers = [float(value) for value in given]
    if not np.isfinite(numbers).all():
        raise ValueError("conditions must be finite numbers, or words")
    quantity = "temperature" if unit in ("°C", "K") else "condition"
    return _numeric(numbers, f"{quantity} ({unit})" if unit else quantity, unit)


def _apart(names: list[str]) -> list[str]:
    """Names of which no two are alike at their ends."""
    ends = [name[-LONGEST_NAME:] for name in names]
    return names if len(set(ends)) == len(ends) else [f"image {k}" for k in range(len(names))]


def _numeric(numbers: list[float], label: str, unit: str) -> Conditions:
    values, index = np.unique(np.asarray(numbers, dtype=float), return_inverse=True)
    names = [f"{value:g} {unit}".strip() for value in values]
    return Conditions(names, values, label, index.reshape(-1).astype(np.int64), True)


def _named(names: list[str]) -> Conditions:
    distinct = list(dict.fromkeys(names))
    index = np.array([distinct.index(name) for name in names], dtype=np.int64)
    return Conditions(distinct, np.arange(len(distinct), dtype=float), "image", index, False)


def placed(values: NDArray[Any], pixels: Any, image: int) -> NDArray[Any]:
    """Values (n,) of pixels in the navigation shape of one image; NaN, or -1, elsewhere.

    Raises
    ------
    ValueError
        If the image has more than two navigation axes.
    """
    shape = pixels.images[image].shape
    if len(shape) > 2:
        raise ValueError(
            f"images[{image}] has {len(shape)} navigation axes; maps need at most two. Read "
            "it as a series of frames: Preprocessor(frames='auto')"
        )
    whole = values.dtype.kind in "iu"
    filled = np.full(int(np.prod(shape)), -1 if whole else np.nan, values.dtype if whole else float)
    mine = pixels.image == image
    filled[pixels.position[mine]] = values[mine]
    return filled.reshape(shape or (1, 1))


def pixel_size(image: Image) -> Pixel:
    """Height, width and unit of an image's pixels; plain squares where they are not known."""
    steps = [(abs(float(axis.get("scale", 1.0))), axis.get("units")) for axis in image.axes[-2:]]
    if not steps:
        return Pixel()
    width, unit = steps[-1]
    height, other = steps[0] if len(steps) == 2 else (1.0, unit)
    if not isinstance(unit, str) or other != unit or not height or not width:
        return Pixel()
    return Pixel(height, width, unit.strip())
