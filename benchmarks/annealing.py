"""The annealing series as every benchmark reads it; nothing to run by itself."""

from __future__ import annotations

from typing import Any

import eels_bayes as eb

SETTINGS: dict[str, Any] = {
    "window": (677, 737),
    "dispersion": 0.25,
    "background": (650, 680),
    "normalize": (570, 592.5),
    "align": (567.5, 627.5),
}


def preprocess(series: eb.simulate.Series) -> eb.Spectra:
    """Edge spectra of the F K edge, normalised and aligned on Cr L."""
    pre = eb.Preprocessor(**SETTINGS)
    spectra: eb.Spectra = pre(series.signals, show_progressbar=False)
    return spectra
