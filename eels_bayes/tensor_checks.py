"""What a file's tensors must be before anything is built from them: dtype, shape and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Range(NamedTuple):
    """What numbers must be, in words, and whether a tensor's are."""

    words: str
    holds: Callable[[Tensor], bool]


def _covariance(matrix: Tensor) -> bool:
    """Whether it can be one: symmetric, with variances on the diagonal.

    Shapes are (n, n), (a, b, a, b), or (m, n, n) for as many of them.
    """
    n = round(matrix.numel() ** 0.5)
    flat = matrix if matrix.ndim == 3 else matrix.reshape(n, n)
    if not flat.numel():
        return True
    variance = flat.diagonal(dim1=-2, dim2=-1)
    # sums in another order leave one half of it another than the other
    even = (flat - flat.mT).abs() <= ROUNDING * variance.abs().amax()
    return _finite(flat) and bool(even.all()) and bool((variance >= 0).all())


def _finite(x: Tensor) -> bool:
    return bool(x.isfinite().all())


def _ascending(x: Tensor) -> bool:
    return _finite(x) and bool((x[..., 1:] >= x[..., :-1]).all())


ROUNDING = 1e-6  # of the largest variance: by how much a covariance may be uneven
ANY = Range("numbers", lambda x: not bool(x.isnan().any()))
FINITE = Range("finite", _finite)
POSITIVE = Range("positive and finite", lambda x: _finite(x) and bool((x > 0).all()))
NOT_NEGATIVE = Range("finite and not negative", lambda x: _finite(x) and bool((x >= 0).all()))
ABOVE_ZERO = Range("above zero", lambda x: bool((x > 0).all()))  # or infinite
ASCENDING = Range("finite and ascending", _ascending)
COUNTED = Range(
    "ascending and not negative", lambda x: _ascending(x) and bool((x[..., :1] >= 0).all())
)
SHARES = Range("between 0 and 1", lambda x: bool(((x >= 0) & (x <= 1)).all()))
COVARIANCE = Range("a covariance", _covariance)
DEFINITE = Range(
    "a positive definite covariance",
    lambda x: _covariance(x) and not bool(torch.linalg.cholesky_ex(x).info.any()),
)


class Expected(NamedTuple):
    """What one tensor must be.

    Attributes
    ----------
    shape : str or None
        One letter a dimension; what shares a letter fits together, digits are themselves, "?" is
        any. None where the loader itself compares it.
    dtype : torch.dtype
    numbers : Range
    """

    shape: str | None
    dtype: torch.dtype
    numbers: Range = FINITE


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, named without it."""
    start = len(prefix)
    return {name[start:]: value for name, value in tensors.items() if name.startswith(prefix)}


def named(prefix: str, table: Mapping[str, Expected]) -> dict[str, Expected]:
    """A table whose names begin so."""
    return {f"{prefix}{name}": expected for name, expected in table.items()}


def check_tensors(
    tensors: Mapping[str, Tensor], table: Mapping[str, Expected], sizes: Mapping[str, int]
) -> dict[str, Tensor]:
    """Those tensors that a table names, each of which is what it must be.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of a file. What the table does not name is left out: nothing reads it.
    table : mapping of str to Expected
        One whose name ends in "*" is that of all names that begin so.
    sizes : mapping of str to int
        Of the letters that are known beforehand.

    Raises
    ------
    ValueError
        If a tensor is of another dtype, its size does not fit, or its numbers cannot be.
    """
    known, found = dict(sizes), {}
    ends = [name for name in table if name.endswith("*")]
    for name, tensor in tensors.items():
        pattern = next((end for end in ends if name.startswith(end[:-1])), name)
        expected = table.get(name) or table.get(pattern)
        if expected is None:
            continue
        if tensor.dtype != expected.dtype:
            given, needed = (str(x).removeprefix("torch.") for x in (tensor.dtype, expected.dtype))
            raise ValueError(f"{name} holds {given} where {needed} is needed")
        if expected.shape is not None:
            _check_shape(name, tuple(tensor.shape), expected.shape, known)
        if not expected.numbers.holds(tensor):
            raise ValueError(f"{name} holds what is not {expected.numbers.words}")
        found[name] = tensor
    return found


def _check_shape(name: str, shape: tuple[int, ...], letters: str, known: dict[str, int]) -> None:
    """Raise ValueError unless a shape fits what is known; what it tells further is known then."""
    known |= {letter: int(letter) for letter in letters if letter.isdigit()}
    if len(letters) != len(shape) or not all(
        letter == "?" or known.setdefault(letter, size) == size
        for letter, size in zip(letters, shape, strict=True)
    ):
        raise ValueError(f"{name} has shape {shape}, which does not fit the rest")
