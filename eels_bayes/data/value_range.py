"""Which values are possible: a range, and its form in files, which hold finite numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eels_bayes import validation

ValueRange = tuple[float, float]
ANY_VALUE: ValueRange = (-math.inf, math.inf)


def checked_range(given: Sequence[float]) -> ValueRange:
    """The range (low, high) itself, as numbers; its ends may be infinite.

    Raises
    ------
    ValueError
        If it is not two numbers of which the second is the larger.
    """
    try:
        low, high = map(validation.real, given)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise ValueError(
            f"value_range must be two numbers (low, high), the second the larger, got {given!r}"
        )
    return low, high


def plain_range(value_range: ValueRange) -> list[float | None]:
    """The range as JSON holds it: None where there is no end."""
    return [float(end) if math.isfinite(end) else None for end in value_range]


def range_of_plain(plain: list[float | None]) -> ValueRange:
    """The range of `plain_range`; ValueError where it is none."""
    if not isinstance(plain, list) or len(plain) != len(ANY_VALUE):
        raise ValueError(f"value_range is {plain!r}")
    low, high = (
        end if given is None else given for given, end in zip(plain, ANY_VALUE, strict=True)
    )
    return checked_range((low, high))
