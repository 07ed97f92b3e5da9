"""A prediction in other libraries' containers: HyperSpy signals, xarray and ArviZ."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from eels_bayes import arviz_bridge, validation
from eels_bayes.data.flags import describe
from eels_bayes.data.given_signals import GivenSignal, given_signals, outer_coordinates
from eels_bayes.data.navigation_axes import axis_coordinates, axis_unit, axis_values
from eels_bayes.prediction.quantities import (
    MAPS,
    TEXT,
    PixelQuantities,
    quantity,
    quantity_attributes,
)
from eels_bayes.quiet_imports import import_quietly

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal
    from numpy.typing import NDArray

# Metadata that describe counts: on a map they would make HyperSpy build a spectrum, or weight it.
COUNTS_METADATA = ("signal_type", "Noise_properties")
# Quantities of more than a number a pixel, and what they have one of.
EXTRA_DIMENSION = {"probabilities": "class", "latent_mean": "latent", "latent_sd": "latent"}


def signals(prediction: PixelQuantities) -> dict[str, list[BaseSignal]]:
    """Signals of every quantity, one for each signal given; see `Prediction.to_signals`."""
    names = ["probabilities", *MAPS, "latent_mean", "latent_sd", "flag"]
    if not prediction.has_value:
        names = [name for name in names if not name.startswith("value")]
    given = given_signals(prediction.images, prediction.image, prediction.position)
    return {name: [_signal(prediction, name, one) for one in given] for name in names}


def _signal(prediction: PixelQuantities, name: str, given: GivenSignal) -> BaseSignal:
    """One quantity of one signal, with that signal's navigation axes and metadata."""
    import_quietly("exspy.signals")
    from hyperspy.signals import BaseSignal, Signal1D

    whole, data = given.whole, given.filled(getattr(prediction, name))
    metadata = _metadata(prediction, name, given)
    axes = [copy.deepcopy(axis) for axis in whole.axes]
    if data.ndim > len(whole.shape):
        axes.append({"name": EXTRA_DIMENSION[name], "size": data.shape[-1], "navigate": False})
        return Signal1D(data, axes=axes, metadata=metadata)
    if not whole.shape:  # as HyperSpy itself does when it sums a single spectrum
        return BaseSignal(data.reshape(1), metadata=metadata)
    return BaseSignal(data, axes=axes, metadata=metadata)


def _metadata(prediction: PixelQuantities, name: str, given: GivenSignal) -> dict[str, Any]:
    """The signal's metadata, and what the numbers of this quantity are."""
    metadata = copy.deepcopy(given.whole.metadata)
    signal = metadata.setdefault("Signal", {})
    for key in COUNTS_METADATA:
        signal.pop(key, None)
    text, unit, _ = quantity(prediction, name)
    signal["quantity"] = f"{text} ({unit})" if unit else text
    flag = prediction.flag[given.rows]
    reasons = Counter(describe(int(flag)) for flag in flag[flag != 0])
    metadata["eels_bayes"] = metadata.get("eels_bayes", {}) | {
        "quantity": name,
        "unit": unit,
        "class_names": list(prediction.class_names),
        "model": prediction.model,
        "image": given.images if len(given.images) > 1 else given.images[0],
        "flagged": [f"{count} pixels: {text}" for text, count in reasons.items()],
    }
    return metadata


def dataset(prediction: PixelQuantities) -> xarray.Dataset:
    """Every quantity over pixels, classes and latent dimensions; see `Prediction.to_xarray`."""
    variables: dict[str, Any] = {}
    for name in TEXT:
        dims = ("pixel", EXTRA_DIMENSION[name]) if name in EXTRA_DIMENSION else ("pixel",)
        variables[name] = (dims, getattr(prediction, name), quantity_attributes(prediction, name))
    variables["reason"] = ("pixel", np.array(prediction.reasons(), dtype=str))
    coords = {"class": ("class", np.array(prediction.class_names)), **_coordinates(prediction)}
    return xarray.Dataset(variables, coords=coords, attrs={"model": prediction.model})


def image_dataset(prediction: PixelQuantities, image: int) -> xarray.Dataset:
    """Every quantity of one image over its navigation axes; see `Prediction.to_xarray`."""
    flag = prediction.map("flag", image)  # an index that cannot be is an error there
    info = prediction.images[image]
    dims, coords = axis_coordinates(info.axes, info.shape, (*TEXT, "class", "latent", "reason"))
    variables: dict[str, Any] = {}
    for name in TEXT:
        over = (*dims, EXTRA_DIMENSION[name]) if name in EXTRA_DIMENSION else dims
        variables[name] = (over, prediction.map(name, image), quantity_attributes(prediction, name))
    reasons = [describe(max(0, int(one))) for one in flag.ravel()]
    variables["reason"] = (dims, np.array(reasons, dtype=str).reshape(flag.shape))
    coords["class"] = ("class", np.array(prediction.class_names), {})
    attributes = {"model": prediction.model, "title": info.title}
    return xarray.Dataset(variables, coords=coords, attrs=attributes)


def _coordinates(prediction: PixelQuantities) -> dict[str, Any]:
    """Where each pixel lies: in which image, at which row and column, and calibrated."""
    n = len(prediction)
    index = {name: np.zeros(n, dtype=np.int64) for name in ("row", "col")}
    place = {name: np.zeros(n) for name in ("y", "x")}
    units: dict[str, set[str]] = {"y": set(), "x": set()}
    titles = np.array([info.title for info in prediction.images], dtype=str)
    for k, info in enumerate(prediction.images):
        in_image = prediction.image == k
        cells = np.unravel_index(prediction.position[in_image], info.shape or (1,))
        for axis, cell, name in ((-1, "col", "x"), (-2, "row", "y")):
            if len(info.shape) >= -axis:
                index[cell][in_image] = cells[axis]
                values = axis_values(info.axes[axis], info.shape[axis])
                place[name][in_image] = values[cells[axis]]
                units[name].add(axis_unit(info.axes[axis]))
    coords: dict[str, Any] = {
        "pixel": ("pixel", np.arange(n)),
        "image": ("pixel", prediction.image),
        "position": ("pixel", prediction.position),
        "title": ("pixel", titles[prediction.image] if len(titles) else np.zeros(0, dtype=str)),
    }
    coords |= {name: ("pixel", values) for name, values in index.items()}
    for name, values in place.items():
        unit = units[name].pop() if len(units[name]) == 1 else ""
        coords[name] = ("pixel", values, {"units": unit} if unit else {})
    taken = {*coords, *TEXT, "class", "latent", "reason"}
    places = (prediction.images, prediction.image, prediction.position)
    return coords | outer_coordinates(*places, taken=taken)


def inference_data(prediction: PixelQuantities, *, draws: int, chains: int, seed: int) -> Any:
    """Predictive draws and quantities for ArviZ; see `Prediction.to_inference_data`."""
    draws, chains = validation.whole("draws", draws), validation.whole("chains", chains)
    validation.seed(seed)
    if not prediction.ok.any():
        raise ValueError("every pixel is flagged; there is nothing to draw from")
    rng = np.random.default_rng(seed)
    kept = prediction[prediction.ok]
    shape, dims = (chains, draws, len(kept)), ("chain", "draw", "pixel")
    classes = _drawn_classes(kept.probabilities, shape, rng)
    probability = kept.probabilities[np.arange(len(kept)), classes].astype(np.float64)
    posterior: dict[str, Any] = {"class": (dims, classes)}
    if prediction.has_value:
        noise = rng.standard_normal(shape, dtype=np.float32)
        values = (kept.value + kept.value_sd * noise).astype(np.float32)
        values = values.clip(*prediction.value_range)
        posterior["value"] = (dims, values, quantity_attributes(prediction, "value"))
    quantities = dataset(prediction).isel(pixel=prediction.ok)
    pixel = quantities.pixel.values
    groups = {
        "posterior": arviz_bridge.dataset(posterior, pixel=pixel),
        "sample_stats": arviz_bridge.dataset({"lp": (dims, np.log(probability))}, pixel=pixel),
    }
    groups = {name: group.assign_attrs(quantities.attrs) for name, group in groups.items()}
    return arviz_bridge.inference_data(groups | {"constant_data": quantities})


def _drawn_classes(
    probabilities: NDArray[Any], shape: tuple[int, int, int], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Classes (chains, draws, n) drawn from the probabilities (n, K) of pixels."""
    cumulative = np.cumsum(probabilities, axis=1, dtype=float)
    uniform = rng.random(shape)
    classes = np.zeros(shape, dtype=np.int32)
    for k in range(probabilities.shape[1] - 1):
        classes += uniform >= cumulative[:, k]
    return classes
