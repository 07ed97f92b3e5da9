"""Which pool it is: a digest of its items in their order, for the journal of a loop."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.spectra import Spectra


class PoolIdentity(NamedTuple):
    """What tells a pool from others.

    Attributes
    ----------
    n_items : int
        Number of items.
    in_order : str or None
        SHA-256 of the items in their order; ``None`` where items are no numbers and no text.
    in_any_order : str or None
        The same whatever the order: tells a pool in disorder from another one.
    """

    n_items: int
    in_order: str | None
    in_any_order: str | None


def identity_of(pool: Any) -> PoolIdentity:
    """Of spectra by their profiles and noise levels, of arrays and lists by their values."""
    rows = _rows(pool)
    if rows is None:
        return PoolIdentity(len(pool), None, None)
    items = [hashlib.sha256(row.tobytes()).digest() for row in rows]
    in_order, in_any_order = (
        hashlib.sha256(b"".join(digests)).hexdigest() for digests in (items, sorted(items))
    )
    return PoolIdentity(len(pool), in_order, in_any_order)


def _rows(pool: Any) -> NDArray[Any] | None:
    """One row an item, where items are numbers or text."""
    if isinstance(pool, Spectra):
        return np.column_stack([pool.profile, pool.level])
    if not hasattr(pool, "__array__") and not isinstance(pool, list | tuple):
        return None
    try:
        values = np.asarray(pool)
    except (TypeError, ValueError, RuntimeError):  # ragged, on a graphics card, with gradients
        return None
    return None if values.dtype.hasobject or values.shape[:1] != (len(pool),) else values
