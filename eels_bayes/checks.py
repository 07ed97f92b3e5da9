"""Input errors that name the argument, what was given and what would do."""

import math
from collections.abc import Sequence


def interval(name: str, value: object) -> tuple[float, float]:
    """Return `value` as (low, high) in eV.

    Raises
    ------
    TypeError
        Not a pair of numbers.
    ValueError
        Not finite, or not ascending.
    """
    try:
        low, high = (float(v) for v in value)  # type: ignore[attr-defined]
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
    """Return `value` as a float above zero; ValueError or TypeError otherwise."""
    wanted = f"a finite number above zero{' in ' + unit if unit else ''}"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}; {wanted} is needed")
    number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{name} is {number:g}; {wanted} is needed")
    return number


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """Return `value` where it is one of `allowed`; ValueError otherwise."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; one of {', '.join(map(repr, allowed))} is needed")
    return str(value)
