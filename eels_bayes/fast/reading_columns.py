"""Readings of many pixels as columns of one array, and as the variables of an xarray Dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eels_bayes.data.navigation_axes import axis_coordinates
from eels_bayes.data.signal_blocks import SignalBlocks
from eels_bayes.fast.frame_drift import Drift
from eels_bayes.prediction.quantities import TEXT, quantity_attributes

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray

# Fields of a reading with a number a pixel, in the order of the columns behind the probabilities.
SINGLE = (
    "labels",
    "total",
    "aleatoric",
    "encoder",
    "classifier",
    "novelty",
    "value",
    "value_sd",
    "flag",
)
WHOLE = ("labels", "flag")  # those that are whole numbers, small enough for single precision
ROWS = 4096  # spectra whose counts are made ready at once: few beside a block
TAKEN = (*TEXT, "class", "drift")  # names that no axis may have


class Words(NamedTuple):
    """What a Dataset says of its numbers.

    Attributes
    ----------
    class_names : tuple of str
    value_name, value_unit : str
        As the library calls them.
    attributes : dict
        Of the whole Dataset.
    """

    class_names: tuple[str, ...]
    value_name: str
    value_unit: str
    attributes: dict[str, Any]


def read_columns(
    counts: NDArray[Any], shift: NDArray[np.float64], read: Callable[..., Any]
) -> NDArray[np.float32]:
    """Columns (..., K + 9) of counts (..., E): a reading's probabilities, then `SINGLE`.

    Parameters
    ----------
    counts : ndarray (..., E)
    shift : ndarray
        Drift to remove, eV; broadcast to the pixels.
    read : FastClassifier
    """
    rows = counts.reshape(-1, counts.shape[-1])
    shifts = np.broadcast_to(shift, counts.shape[:-1]).reshape(-1)
    parts = []
    for start in range(0, len(rows), ROWS):
        own = shifts[start : start + ROWS]
        same = float(own[0]) if (own == own[0]).all() else own
        reading = read(rows[start : start + ROWS], same)._asdict()
        columns = [reading["probabilities"], *(reading[name] for name in SINGLE)]
        parts.append(np.column_stack(columns).astype(np.float32))
    return np.concatenate(parts).reshape(*counts.shape[:-1], -1)


def variables_of(columns: Any) -> dict[str, Any]:
    """The fields of a reading by name, of columns (..., K + 9): numpy or dask."""
    n_classes = columns.shape[-1] - len(SINGLE)
    fields = {"probabilities": columns[..., :n_classes]}
    for k, name in enumerate(SINGLE):
        values = columns[..., n_classes + k]
        fields[name] = values.astype(np.int64) if name in WHOLE else values
    return fields


def frame_of(
    blocks: SignalBlocks, words: Words, drift: Drift
) -> tuple[tuple[str, ...], xarray.Dataset]:
    """Dimensions of the image, and a Dataset of what is no reading: coordinates and attributes."""
    import xarray

    dims, coords = axis_coordinates(blocks.axes, blocks.shape, TAKEN)
    about = {"long_name": "Energy drift that was removed", "units": "eV", "source": drift.source}
    shift = drift.shift.reshape([blocks.shape[axis] for axis in drift.outer])
    coords["drift"] = (tuple(dims[axis] for axis in drift.outer), shift, about)
    # as objects: zarr has no name for numpy's texts of one length
    coords["class"] = ("class", np.array(words.class_names, dtype=object), {})
    attributes = words.attributes | ({"title": blocks.title} if blocks.title else {})
    return dims, xarray.Dataset(coords=coords, attrs=attributes)


def dataset_of(columns: Any, blocks: SignalBlocks, words: Words, drift: Drift) -> xarray.Dataset:
    """All fields of a reading as an xarray Dataset; see `FastClassifier.map`."""
    dims, frame = frame_of(blocks, words, drift)
    variables = {
        name: (variable_dims(name, dims), values, quantity_attributes(words, name))
        for name, values in variables_of(columns).items()
    }
    return frame.assign(variables)


def variable_dims(name: str, dims: Sequence[str]) -> tuple[str, ...]:
    """Dimensions of a field of a reading."""
    return (*dims, "class") if name == "probabilities" else tuple(dims)
