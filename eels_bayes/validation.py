"""Input errors that name the argument, what was given and what would do."""

import math
import operator
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME_CHANNEL = 0.1  # of a channel's width: chosen, not tuned; rounded axes pass, a half channel not

UNEVEN = 0.01  # of a channel: axes in files are rounded, no real one is less even; chosen


def interval(name: str, value: object) -> tuple[float, float]:
    """Return `value` as (low, high) in eV.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.

    Returns
    -------
    (float, float)

    Raises
    ------
    TypeError
        Not a pair of numbers.
    ValueError
        Not finite, or not ascending.
    """
    try:
        low, high = (real(v) for v in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} is {value!r}; a pair (low, high) of energies in eV is needed"
        ) from None
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        raise ValueError(
            f"{name} is ({low:g}, {high:g}); two finite energies in eV, low < high, are needed"
        )
    return low, high


def positive(name: str, value: object, unit: str = "") -> float:
    """Return `value` as a float above zero.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.
    unit : str
        What it is given in, for the error's text.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        Not finite, or not above zero.
    """
    wanted = f"a finite number above zero{' in ' + unit if unit else ''}"
    number = _number(name, value, wanted)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{name} is {number:g}; {wanted} is needed")
    return number


def not_negative(name: str, value: object) -> float:
    """Return `value` as a finite float of zero or more.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        Not finite, or negative.
    """
    number = _number(name, value, "a finite number >= 0")
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{name} is {number:g}; give a finite number >= 0")
    return number


def share(name: str, value: object) -> float:
    """Return `value` as a float between 0 and 1, both left out.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        Not between 0 and 1.
    """
    number = _number(name, value, "a number between 0 and 1")
    if not 0 < number < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return number


def whole(name: str, value: object, least: int = 1) -> int:
    """Return `value` as an int of at least `least`.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.
    least : int

    Returns
    -------
    int

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        Not whole, not finite, or below `least`.
    """
    message = f"{name} must be a whole number of at least {least}, got {value!r}"
    try:
        real(value)
    except (TypeError, OverflowError):
        raise TypeError(message) from None
    if not hasattr(value, "__index__") or operator.index(value) < least:
        raise ValueError(message)
    return operator.index(value)


def seed(value: object) -> int:
    """Return a seed, of which zero is one.

    Parameters
    ----------
    value : object
        What the user gave.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        Not a whole number of 0 or more.
    """
    return whole("seed", value, 0)


def numbers(name: str, value: object) -> NDArray[np.float64]:
    """Return `value` as an array of floats, of any shape; they need not be finite.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError
        Not real numbers, or not in rows of one length.
    """
    try:
        given = np.asarray(value)
    except ValueError:  # of lists that are not rectangular
        given = np.asarray(None)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{name} is {value!r}; an array of real numbers is needed")
    return given.astype(np.float64)


def labels(name: str, value: object, n_classes: int) -> NDArray[np.int64]:
    """Return `value` as an array of class indices, of any shape; below 0 is no class.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.
    n_classes : int

    Returns
    -------
    ndarray of int

    Raises
    ------
    TypeError
        Not whole numbers, or not in rows of one length.
    ValueError
        More than there are classes.
    """
    try:
        given = np.asarray(value)
    except ValueError:  # of lists that are not rectangular
        given = np.asarray(None)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{name} are {value!r:.60}; an array of class indices is needed")
    if given.size and given.max() >= n_classes:
        raise ValueError(f"{name} go up to {given.max()}, but there are {n_classes} classes")
    return given.astype(np.int64)


def path(name: str, value: object) -> Path:
    """Return `value` as a path.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        No path.
    ValueError
        An empty one.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is {value!r:.60}; the path of a file is needed")
    if not os.fspath(value):
        raise ValueError(f"{name} is empty; the path of a file is needed")
    return Path(os.fsdecode(value))


def real(value: object) -> float:
    """Return a real number as a float, and not what only can be made one.

    Parameters
    ----------
    value : object
        What the user gave.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        A text, a truth value or anything else that is no real number.
    """
    if isinstance(value, (str, bytes, bool, np.bool_)) or not hasattr(value, "__float__"):
        raise TypeError
    return float(value)


def _number(name: str, value: object, wanted: str) -> float:
    """A single number, or the TypeError that says what is wanted."""
    try:
        return real(value)
    except (TypeError, OverflowError):
        raise TypeError(f"{name} is {value!r}; {wanted} is needed") from None


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """Return `value` where it is one of `allowed`.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.
    allowed : sequence of str

    Returns
    -------
    str

    Raises
    ------
    ValueError
        None of these.
    """
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; one of {', '.join(map(repr, allowed))} is needed")
    return str(value)


def axis(name: str, value: object) -> tuple[float, float, int]:
    """Return channel centres (E,) in eV as centre of the first, width and number of channels.

    Parameters
    ----------
    name : str
        Of the argument, for the error's text.
    value : object
        What the user gave.

    Returns
    -------
    first : float
        Centre of the first channel in eV.
    step : float
        Width of a channel in eV.
    n_channels : int

    Raises
    ------
    TypeError
        Not numbers.
    ValueError
        Fewer than two, or not ascending in even steps.
    """
    try:
        centers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; channel centres in eV are needed") from None
    if centers.ndim != 1 or len(centers) < 2 or not np.isfinite(centers).all():
        raise ValueError(
            f"{name} has shape {centers.shape}; the finite centres of at least two channels in eV "
            "are needed"
        )
    step = float(centers[-1] - centers[0]) / (len(centers) - 1)
    if step <= 0 or np.abs(np.diff(centers) - step).max() > UNEVEN * step:
        raise ValueError(
            f"{name} is not ascending in even steps (from {np.diff(centers).min():g} to "
            f"{np.diff(centers).max():g} eV); a uniform axis is needed"
        )
    return float(centers[0]), step, len(centers)


def same_axis(centers: ArrayLike, others: ArrayLike) -> bool:
    """Whether two evenly spaced axes are one: each channel within a tenth of a channel's width.

    Parameters
    ----------
    centers, others : (E,) array_like
        Channel centres, eV; the width is that of the first axis. Axes of a single channel, which
        have no width, must be equal.

    Returns
    -------
    bool
    """
    first, second = np.asarray(centers, dtype=float), np.asarray(others, dtype=float)
    if first.shape != second.shape:
        return False
    width = first[1] - first[0] if len(first) > 1 else 0.0
    return bool((np.abs(first - second) <= SAME_CHANNEL * width).all())
