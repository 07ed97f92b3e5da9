"""The arrays of a fingerprint library: made from what users give, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.arrays import Floats, Ints
from eels_bayes.data.energy_resampling import check_energy, check_rows
from eels_bayes.data.value_range import ValueRange, checked_range

AXIS_EVENNESS = 1e-3  # of a channel: axes in files are rounded to fewer digits


def floats(name: str, array: ArrayLike) -> Floats:
    """A copy in double precision; ValueError where it holds no numbers."""
    try:
        return np.array(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error


def integers(name: str, array: ArrayLike) -> Ints:
    """As integers; TypeError where they are none."""
    given = np.asarray(array)
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise TypeError(f"{name} has dtype {given.dtype}; give integers 0..K-1, or class names")
    return given.astype(np.int64)


def is_text(array: NDArray[Any]) -> bool:
    """Whether all entries are strings."""
    return array.dtype.kind in "UT" or (
        array.dtype.kind == "O" and all(isinstance(x, str) for x in array.flat)
    )


def encode(labels: ArrayLike, class_names: Sequence[str] | None) -> tuple[Ints, tuple[str, ...]]:
    """Labels as integers, and the classes' names; see `FingerprintLibrary.from_arrays`.

    Raises
    ------
    ValueError
        A label is not among `class_names`.
    TypeError
        Labels are neither integers nor strings.
    """
    given = np.asarray(labels)
    if is_text(given):
        flat = [str(x) for x in given.ravel()]
        names = tuple(dict.fromkeys(flat) if class_names is None else class_names)
        strangers = sorted(set(flat) - set(names))
        if strangers:
            raise ValueError(f"labels {strangers} are not among class_names {names}")
        code = {name: i for i, name in enumerate(names)}
        return np.array([code[x] for x in flat], dtype=np.int64).reshape(given.shape), names
    codes = integers("labels", given)
    if class_names is None:
        class_names = [f"class {k}" for k in range(int(codes.max(initial=-1)) + 1)]
    return codes, tuple(class_names)


def uniform_step(energy: Floats) -> float:
    """Channel width of a uniform axis, eV.

    Raises
    ------
    ValueError
        The axis is not uniform.
    """
    steps = np.diff(energy)
    step = float(steps.mean())
    if np.abs(steps - step).max() > AXIS_EVENNESS * step:
        raise ValueError(
            "the library's energy axis is not uniform; call resample with a uniform axis first"
        )
    return step


def check_library(
    energy: Floats,
    intensity: Floats,
    labels: Ints,
    class_names: tuple[str, ...],
    values: Floats | None,
    nuisances: Floats,
) -> None:
    """Raise ValueError unless the arrays of a `FingerprintLibrary` fit together."""
    check_energy(energy)
    n_channels = len(energy)
    check_rows("intensity", intensity, n_channels)
    check_rows("nuisances", nuisances, n_channels)
    if labels.shape != (len(intensity),):
        raise ValueError(
            f"labels has shape {labels.shape}; "
            f"give one label for each of the {len(intensity)} fingerprints"
        )
    n_classes = len(class_names)
    if len(set(class_names)) != n_classes:
        raise ValueError(f"class_names repeats a name: {class_names}")
    if n_classes < 2:
        raise ValueError(
            f"labels hold {n_classes} class; give fingerprints of at least two classes"
        )
    present = set(labels.tolist())
    if present != set(range(n_classes)):
        raise ValueError(
            f"labels are {sorted(present)} for the {n_classes} classes {class_names}; "
            f"each of 0..{n_classes - 1} needs a fingerprint, and no other label may occur"
        )
    if values is not None:
        if values.shape != labels.shape:
            raise ValueError(
                f"values has shape {values.shape}; give one a class ({n_classes},) "
                f"or one a fingerprint ({len(labels)},)"
            )
        if not np.isfinite(values).all():
            raise ValueError("values holds NaN or infinity; give finite numbers, or None")


def check_words(
    value_name: str, value_unit: str, value_range: ValueRange, source: str, values: Floats | None
) -> None:
    """Raise TypeError or ValueError unless they can be, and values lie within what is possible."""
    words = {"value_name": value_name, "value_unit": value_unit, "source": source}
    for name, text in words.items():
        if not isinstance(text, str):
            raise TypeError(f"{name} is a {type(text).__name__}; give words")
    if not value_name.strip():
        raise ValueError('value_name is empty; give the quantity, for example "valence"')
    low, high = checked_range(value_range)
    if values is not None and (values.min() < low or values.max() > high):
        raise ValueError(
            f"values run from {values.min():g} to {values.max():g}, beyond value_range "
            f"({low:g}, {high:g}); give a range that holds all that is possible"
        )


def joined_values(
    known: Floats | None, class_values: Floats | None, codes: Ints, values: ArrayLike | None
) -> Floats | None:
    """Values of a library with those of more fingerprints, whose classes are `codes`.

    See `FingerprintLibrary.with_fingerprints`.
    """
    if known is None or class_values is None:
        if values is not None:
            raise ValueError("values given, but this library has no values; leave them out")
        return None
    if values is not None:
        return np.concatenate([known, np.atleast_1d(floats("values", values))])
    if len(codes) and codes.max() >= len(class_values):
        raise ValueError("values is missing; a new class needs one, as this library has values")
    return np.concatenate([known, class_values[codes]])
