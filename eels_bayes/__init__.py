"""Uncertainty-aware classification of EELS spectrum images.

Every public name is importable from here and loads its module on first use (PEP 562), so that
``import eels_bayes`` is light and a program that only predicts loads neither Pyro nor GPyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eels_bayes import active, diagnostic_plots, diagnostics, metrics, plots, simulate
    from eels_bayes.classifier import EELSClassifier, load_model
    from eels_bayes.decisions import Costs, Decisions, decide
    from eels_bayes.effort import Effort
    from eels_bayes.fast import FastClassifier, FastReading, load_fast
    from eels_bayes.fingerprints import FingerprintLibrary, Variations
    from eels_bayes.fit import Schedule
    from eels_bayes.frames import combine
    from eels_bayes.gp import GPClassifier, fit_gp
    from eels_bayes.io import load
    from eels_bayes.live import LiveClassifier
    from eels_bayes.prediction import Prediction
    from eels_bayes.preprocess import Preprocessor
    from eels_bayes.spectra import Flag, ImageInfo, Spectra
    from eels_bayes.vae import SpectrumVAE

__version__ = "0.1.0.dev0"

# Public name -> the module that defines it; a module stands for itself.
_HOME = {
    "Costs": "decisions",
    "Decisions": "decisions",
    "EELSClassifier": "classifier",
    "Effort": "effort",
    "FastClassifier": "fast",
    "FastReading": "fast",
    "FingerprintLibrary": "fingerprints",
    "Flag": "spectra",
    "GPClassifier": "gp",
    "ImageInfo": "spectra",
    "LiveClassifier": "live",
    "Prediction": "prediction",
    "Preprocessor": "preprocess",
    "Schedule": "fit",
    "Spectra": "spectra",
    "SpectrumVAE": "vae",
    "Variations": "fingerprints",
    "active": "active",
    "combine": "frames",
    "decide": "decisions",
    "diagnostic_plots": "diagnostic_plots",
    "diagnostics": "diagnostics",
    "fit_gp": "gp",
    "load": "io",
    "load_fast": "fast",
    "load_model": "classifier",
    "metrics": "metrics",
    "plots": "plots",
    "simulate": "simulate",
}

__all__ = [
    "Costs",
    "Decisions",
    "EELSClassifier",
    "Effort",
    "FastClassifier",
    "FastReading",
    "FingerprintLibrary",
    "Flag",
    "GPClassifier",
    "ImageInfo",
    "LiveClassifier",
    "Prediction",
    "Preprocessor",
    "Schedule",
    "Spectra",
    "SpectrumVAE",
    "Variations",
    "active",
    "combine",
    "decide",
    "diagnostic_plots",
    "diagnostics",
    "fit_gp",
    "load",
    "load_fast",
    "load_model",
    "metrics",
    "plots",
    "simulate",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOME[name]}")
    value = module if name == _HOME[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
