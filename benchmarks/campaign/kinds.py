"""Spectra that no detector should give, but some do: their kinds, types and layouts in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Kind = Callable[[Array, np.random.Generator], Array]
# of unsigned counts, and of values that a type cannot hold
TYPES = (
    *("float64", "float32", "float16", "uint8", "uint16", "uint32", "uint64"),
    *("int8", "int16", "int32", "int64"),
)
STEP = 0.25  # eV a channel, of the simulated series


def _some(row: Array, rng: np.random.Generator, most: int = 4) -> Array:
    """A few channels."""
    return rng.integers(len(row), size=rng.integers(1, most + 1))


def _put(value: float) -> Kind:
    """A value in a few channels."""

    def kind(row: Array, rng: np.random.Generator) -> Array:
        row[_some(row, rng)] = value
        return row

    return kind


def _all(value: float) -> Kind:
    """The same in every channel."""
    return lambda row, rng: np.full_like(row, value)


def _times(low: float, high: float) -> Kind:
    """Counts times a factor, log-uniform between two."""
    return lambda row, rng: row * 10 ** rng.uniform(low, high)


def _spikes(most: int) -> Kind:
    """Cosmic rays."""

    def kind(row: Array, rng: np.random.Generator) -> Array:
        row[_some(row, rng, most)] += 10 ** rng.uniform(2, 9)
        return row

    return kind


def _block(value: float | None, most: int) -> Kind:
    """A stretch of channels of one value, or NaN."""

    def kind(row: Array, rng: np.random.Generator) -> Array:
        start = rng.integers(len(row))
        row[start : start + rng.integers(1, most)] = np.nan if value is None else value
        return row

    return kind


def _border(row: Array, rng: np.random.Generator) -> Array:
    """An end filled up with zeros."""
    n = rng.integers(1, len(row))
    return np.where(np.arange(len(row)) < n, 0.0, row)[:: rng.choice([-1, 1])]


def _half(row: Array, rng: np.random.Generator) -> Array:
    """Only one side of the detector counts."""
    row[rng.integers(len(row)) :] = 0.0
    return row


def _saturated(row: Array, rng: np.random.Generator) -> Array:
    return np.minimum(row, np.round(np.quantile(row, rng.uniform(0.3, 0.999))))


def _steps(row: Array, rng: np.random.Generator) -> Array:
    """A detector of two halves with another gain."""
    row[len(row) // 2 :] *= rng.uniform(0.5, 2.0)
    return row


def _other_edge(row: Array, rng: np.random.Generator) -> Array:
    """One more edge anywhere."""
    onset = rng.integers(len(row))
    height, rest = rng.uniform(0.01, 10) * row.mean(), len(row) - onset
    row[onset:] += height * np.exp(-np.arange(rest) / rng.uniform(4, 800))
    return row


def _moved(row: Array, rng: np.random.Generator) -> Array:
    """Drifted by up to 25 eV."""
    return np.roll(row, rng.integers(-int(25 / STEP), int(25 / STEP) + 1))


def _noise(row: Array, rng: np.random.Generator) -> Array:
    return rng.normal(row.mean(), row.std(), len(row))


def _zero_loss(row: Array, rng: np.random.Generator) -> Array:
    """A peak a thousand times as high as all else."""
    centre = rng.integers(len(row))
    return row + 1e6 * np.exp(-(((np.arange(len(row)) - centre) / 4.0) ** 2))


def _alternating(row: Array, rng: np.random.Generator) -> Array:
    return row * np.where(np.arange(len(row)) % 2, 1.9, 0.1)


KINDS: dict[str, Kind] = {
    "counts": lambda row, rng: row,
    "counts again": lambda row, rng: rng.poisson(row).astype(float),
    "few counts": lambda row, rng: rng.poisson(row * 10 ** rng.uniform(-4, -1)).astype(float),
    "many counts": _times(0, 6),
    "gain": _times(-1, 1),
    "offset": lambda row, rng: row + rng.uniform(-1000, 1000),
    "zeros": _all(0.0),
    "negative zeros": _all(-0.0),
    "ones": _all(1.0),
    "constant": lambda row, rng: np.full_like(row, 10 ** rng.uniform(-30, 30)),
    "negative": lambda row, rng: -row,
    "some negative": lambda row, rng: row - np.quantile(row, rng.uniform(0.05, 0.95)),
    "without mean": lambda row, rng: row - row.mean(),
    "huge": _times(6, 38),
    "beyond single precision": _times(38, 290),
    "tiny": _times(-30, -1),
    "subnormal": _times(-48, -38),
    "subnormal double": _times(-320, -300),
    "NaN in channels": _put(np.nan),
    "infinite in channels": _put(np.inf),
    "minus infinite in channels": _put(-np.inf),
    "huge in channels": _put(3e38),
    "all NaN": _all(np.nan),
    "all infinite": _all(np.inf),
    "NaN in a block": _block(None, 400),
    "NaN and infinite": lambda row, rng: np.where(rng.random(len(row)) < 0.5, np.nan, np.inf),
    "spikes": _spikes(3),
    "many spikes": _spikes(200),
    "negative spikes": _put(-1e5),
    "dead channels": _block(0.0, 40),
    "stuck channels": _block(4095.0, 40),
    "border": _border,
    "half": _half,
    "saturated": _saturated,
    "halves": _steps,
    "ramp up": lambda row, rng: np.linspace(0, row.max(), len(row)),
    "ramp down": lambda row, rng: np.linspace(row.max(), 0, len(row)),
    "other edge": _other_edge,
    "drifted": _moved,
    "noise alone": _noise,
    "without noise": lambda row, rng: np.convolve(row, np.ones(101) / 101, "same"),
    "zero loss": _zero_loss,
    "alternating": _alternating,
    "shuffled": lambda row, rng: rng.permutation(row),
    "one count": lambda row, rng: np.eye(1, len(row), rng.integers(len(row)))[0],
}


def draw(rows: Array, rng: np.random.Generator) -> tuple[Array, list[str]]:
    """Rows (n, E) of counts made odd, each of a kind at random, and the kinds."""
    names = list(KINDS)
    kinds = [names[k] for k in rng.integers(len(names), size=len(rows))]
    made = np.empty(rows.shape)
    with np.errstate(all="ignore"):
        for k, name in enumerate(kinds):
            made[k] = KINDS[name](rows[k].astype(float), rng)
    return made, kinds


def of_type(rows: Array, name: str) -> Array:
    """Rows as another type holds them: integers stop at their ends, and NaN is 0."""
    with np.errstate(all="ignore"):
        if np.dtype(name).kind == "f":
            return rows.astype(name)
        bounds = np.iinfo(name)
        # the largest 64-bit integers have no float of their own
        high = np.nextafter(float(bounds.max), 0) if bounds.bits == 64 else bounds.max
        return np.clip(np.nan_to_num(np.round(rows)), bounds.min, high).astype(name)


def _strided(rows: Array) -> Array:
    wide = np.zeros((*rows.shape[:-1], 2 * rows.shape[-1]), rows.dtype)
    wide[..., ::2] = rows
    return wide[..., ::2]


def _readonly(rows: Array) -> Array:
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


def _unaligned(rows: Array) -> Array:
    raw = np.empty(rows.nbytes + 1, np.uint8)[1:]
    found = raw.view(rows.dtype).reshape(rows.shape) if rows.nbytes else rows
    found[...] = rows
    return found


LAYOUTS: dict[str, Callable[[Array], Any]] = {
    "contiguous": np.ascontiguousarray,
    "strided": _strided,
    "reversed": lambda rows: np.ascontiguousarray(rows[..., ::-1])[..., ::-1],
    "upside down": lambda rows: np.ascontiguousarray(rows[::-1])[::-1] if rows.ndim > 1 else rows,
    "transposed": lambda rows: np.ascontiguousarray(rows.T).T,
    "Fortran": np.asfortranarray,
    "read only": _readonly,
    "broadcast": lambda rows: np.broadcast_to(rows[:1], rows.shape) if rows.ndim > 1 else rows,
    "other byte order": lambda rows: rows.astype(rows.dtype.newbyteorder()),
    "unaligned": _unaligned,
    "list": lambda rows: rows.tolist(),
    "masked": lambda rows: np.ma.array(rows, mask=np.zeros(rows.shape, bool)),
}
