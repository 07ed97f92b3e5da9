"""Accuracy and calibration over dose, in both directions, beside least squares and others."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from . import methods
from .bed import OTHER, SETS, library, preprocess, series
from .options import Options
from .scoring import scores, table

DOSES = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)


def compare(source: str, dose: float, options: Options) -> dict[str, Any]:
    """Scores of every method on spectra of one set by a library of the other."""
    bed = options.bed
    sample = series(SETS[source], bed, dose, options.seed)
    spectra, known = preprocess(sample.signals), library(SETS[OTHER[source]], bed)
    start = time.process_time()
    clf = methods.fitted(spectra, known, options.effort)
    seconds = time.process_time() - start
    pred = clf.predict(spectra)
    assert clf.fitted is not None
    forward = clf.fitted.forward
    found = {
        methods.OURS: methods.of_prediction(pred),
        methods.FORWARD: methods.of_forward_model(forward, spectra),
        **{name: peer(spectra, known) for name, peer in methods.PEERS.items()},
    }
    chi2 = methods.residual_chi_square(forward, spectra)
    return {
        "spectra": source,
        "dose": dose,
        "pixels": int(spectra.ok.sum()),
        "scores": {name: scores(reading, sample, spectra.ok) for name, reading in found.items()},
        "chi_square": float(chi2.mean()),
        "novel": float(np.mean(pred.novelty[spectra.ok] > 0.95)),
        "library_fit": asdict(forward.library_fit),
        "variations": asdict(forward.library.variations),
        "seconds": seconds,
    }


def report(row: dict[str, Any]) -> None:
    """Print one dose."""
    source = row["spectra"]
    print(f"\n== {source} by fingerprints of {OTHER[source]}, dose {row['dose']:g}, ", end="")
    print(f"{row['pixels']} pixels; fit {row['seconds']:.0f} s")
    table(row["scores"])
    fit, vary = row["library_fit"], row["variations"]
    print(
        f"residual chi-square a channel {row['chi_square']:.2f}; novelty above 0.95: "
        f"{row['novel']:.3f}; gain {fit['gain']:.3g}, shift {fit['shift']:+.2f} eV, broadening "
        f"{fit['broadening']:.2f} eV^2; a pixel's shift {vary['shift']:.2f} eV, broadening "
        f"{vary['broadening']:.2f} eV, intensity {vary['intensity']:.3f}",
        flush=True,
    )


def run(options: Options) -> Any:
    """Every dose in both directions, one after the other."""
    for source in options.sources:
        for dose in options.doses or DOSES:
            row = compare(source, dose, options)
            report(row)
            yield row
