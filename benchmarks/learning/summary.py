"""Medians over seeds with their intervals, and curves on one axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Lines = list[tuple[str, Array, Array]]  # name, x (m,), a curve a seed (runs, m)

REPETITIONS = 2000  # of the bootstrap


def median_interval(values: Array) -> tuple[float, float, float]:
    """Median and its 95 % bootstrap interval."""
    rows = np.random.default_rng(0).integers(len(values), size=(REPETITIONS, len(values)))
    low, high = np.quantile(np.median(np.asarray(values)[rows], axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def report_needed(runs: list[dict[str, Any]]) -> None:
    """What each strategy needs, and over random choice."""
    base = np.array([run["needed"]["random"] for run in runs], dtype=float)
    for strategy in runs[0]["needed"]:
        needed = np.array([run["needed"][strategy] for run in runs], dtype=float)
        print(
            "{:14s} {:5.1f} ({:.1f} to {:.1f}) needed".format(strategy, *median_interval(needed))
            + (
                ""
                if strategy == "random"
                else "; over random's {:.2f} ({:.2f} to {:.2f}), medians' ratio {:.2f}".format(
                    *median_interval(needed / np.maximum(base, 1.0)),
                    np.median(needed) / max(1.0, float(np.median(base))),
                )
            )
        )


def interpolated(x: Array, curve: dict[Any, float]) -> Array:
    return np.interp(x, [float(key) for key in curve], list(curve.values()))
