"""Is the element there at all: edges of any size, in some of the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

import eels_bayes as eb

from .bed import (
    CLASSES,
    FINE,
    LINES,
    OTHER,
    SETS,
    Array,
    Bed,
    fingerprints,
    preprocess,
    reference,
    signal_of,
)
from .methods import fitted, forward_model
from .options import Options

DOSES = (0.3, 1.0)
SPREAD = 0.5  # sd of the logarithm of an edge's intensity
SHARE = 0.5  # of the pixels that have an edge
WEAK = 0.5  # of the mean intensity: less is a weak edge
VALENCES_THERE = ((1,), (0, 2))  # LaMnO3 alone; MnO and the highest valence
NONE = "none"


def run(options: Options) -> Iterator[dict[str, Any]]:
    """By references of the other origin, the forward model alone and the whole."""
    print("\n== there or not, log-normal intensities", flush=True)
    doses = options.doses or DOSES
    for source, which, dose in product(options.sources, VALENCES_THERE, doses):
        names = tuple(SETS[source][k] for k in which)
        spectra, label, size = pixels(names, options.bed, dose, options.seed)
        known = tuple(SETS[OTHER[source]][k] for k in which)
        clf = fitted(spectra, library(known, which, options.bed), options.effort, bars=False)
        assert clf.fitted is not None
        for name, p in (
            ("forward model", forward_model.posterior(clf.fitted.forward, spectra)),
            ("eels_bayes", clf.predict(spectra).probabilities),
        ):
            row = {"spectra": source, "there": [CLASSES[k] for k in which], "dose": dose}
            row |= {"method": name, **scores(p, label, size)}
            print(
                f"{source} {' or '.join(row['there']):12s} dose {dose:g}  {name:14s} accuracy "
                f"{row['accuracy']:.3f}  NLL {row['nll']:.3f}  ECE {row['ece']:.3f}; mean "
                f"P(an edge) where there is none {row['false']:.3f}, P(none) where one is "
                f"{row['missed']:.3f}, weak {row['missed_weak']:.3f}",
                flush=True,
            )
            yield row


def pixels(
    names: tuple[str, ...], bed: Bed, dose: float, seed: int
) -> tuple[eb.Spectra, Array, Array]:
    """Spectra of these references or of none, which (n,), and their edges' intensities (n,)."""
    rng = np.random.default_rng([seed, len(names), 1])
    fine = np.arange(*LINES, FINE)
    shapes = np.array([reference(name, fine) for name in names])
    alike = replace(bed, intensity=0.0)
    parts = []
    for _ in range(bed.n_images):
        n = int(np.prod(bed.shape))
        label = np.where(rng.random(n) < SHARE, rng.integers(0, len(names), n), len(names))
        size = np.exp(SPREAD * rng.standard_normal(n) - 0.5 * SPREAD**2)
        size[label == len(names)] = 0.0
        fractions = size[:, None] * np.eye(len(names) + 1)[label, :-1]
        parts.append((signal_of(fractions, shapes, fine, alike, dose, rng), label, size))
    signals, *truth = zip(*parts, strict=True)
    label, size = (np.concatenate(column) for column in truth)
    return preprocess(list(signals)), label, size


def library(names: tuple[str, ...], which: tuple[int, ...], bed: Bed) -> eb.FingerprintLibrary:
    """References as fingerprints, and a class without an edge."""
    energy, rows = fingerprints(names, bed)
    rows = np.concatenate([rows, np.zeros_like(rows[:1])])
    return eb.FingerprintLibrary.from_arrays(energy, rows, [*(CLASSES[k] for k in which), NONE])


def scores(p: Array, label: Array, size: Array) -> dict[str, float]:
    """Of probabilities (n, K), the class without an edge last."""
    report = eb.metrics.summary(p / p.sum(1, keepdims=True), label)
    there, none = size > 0, p[:, -1]
    return {
        **{name: float(report[name]) for name in ("accuracy", "nll", "ece")},
        "false": float(1.0 - none[~there].mean()),
        "missed": float(none[there].mean()),
        "missed_weak": float(none[there & (size < WEAK)].mean()),
    }
