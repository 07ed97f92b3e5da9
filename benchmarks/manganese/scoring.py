"""Scores of readings against the truth, and their tables."""

from __future__ import annotations

from typing import Any

import numpy as np

import eels_bayes as eb

from .bed import Array, Sample
from .methods import Reading


def scores(reading: Reading, sample: Sample, use: Array) -> dict[str, float]:
    """By the dominant class: accuracy, NLL and ECE; of the valence: coverage, width and error."""
    p, label, valence = reading.probabilities[use], sample.label[use], sample.valence[use]
    report = eb.metrics.summary(p / p.sum(1, keepdims=True), label)
    low, high, value = reading.low[use], reading.high[use], reading.value[use]
    # of a pure pixel whose interval is a point the ends are the value itself
    slack = 1e-4
    covered = (low <= valence + slack) & (valence <= high + slack)
    pure = ~sample.mixed[use]
    right = p.argmax(1) == label
    return {
        **{name: float(report[name]) for name in ("accuracy", "nll", "ece")},
        "accuracy_pure": float(right[pure].mean()),
        "coverage": float(covered.mean()),
        "coverage_pure": float(covered[pure].mean()),
        "width": float((high - low).mean()),
        "rmse": float(np.sqrt(((value - valence) ** 2).mean())),
    }


def table(rows: dict[str, dict[str, Any]]) -> None:
    """Print scores by method."""
    print(
        f"{'':28s} accuracy (pure)     NLL    ECE  valence: rmse  90 % holds (pure)  width",
        flush=True,
    )
    for name, row in rows.items():
        print(
            f"{name:28s} {row['accuracy']:8.3f} ({row['accuracy_pure']:.3f}) {row['nll']:7.3f} "
            f"{row['ece']:6.3f}  {row['rmse']:13.3f} {row['coverage']:11.3f} "
            f"({row['coverage_pure']:.3f}) {row['width']:6.3f}",
            flush=True,
        )
