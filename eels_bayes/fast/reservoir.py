"""A random choice of a stream's spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 0  # of the choice


class Reservoir:
    """A seeded random choice of spectra (E,) with their drifts, each as probable as any other.

    Vitter's algorithm R, ACM Trans. Math. Softw. 11, 37 (1985).
    """

    def __init__(self, size: int, n_channels: int):
        self.counts = np.zeros((size, n_channels), dtype=np.float32)
        self.shift, self.seen = np.zeros(size), 0
        self._rng = np.random.default_rng(SEED)

    def add(self, counts: NDArray[Any], shift: float) -> None:
        """One more."""
        size, place = len(self.shift), self.seen
        if place >= size:
            place = int(self._rng.integers(self.seen + 1))
        self.seen += 1
        if place < size:
            self.counts[place], self.shift[place] = counts, shift

    def kept(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """A copy of what there is."""
        n = min(self.seen, len(self.shift))
        return self.counts[:n].copy(), self.shift[:n].copy()
