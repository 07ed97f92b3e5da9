"""The annealing series as every benchmark reads it; nothing to run by itself."""

from __future__ import annotations

import eels_bayes as eb


def preprocess(series: eb.simulate.Series) -> eb.Spectra:
    """Edge spectra of the F K edge, normalised and aligned on Cr L."""
    pre = eb.Preprocessor(
        window=(677, 737),
        dispersion=0.25,
        background=(650, 680),
        normalize=(570, 592.5),
        align=(567.5, 627.5),
    )
    spectra: eb.Spectra = pre(series.signals, show_progressbar=False)
    return spectra
