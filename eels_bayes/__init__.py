"""Uncertainty-aware classification of EELS spectrum images.

Every public name is importable from here and loads its module on first use (PEP 562), so that
``import eels_bayes`` is light and a program that only predicts loads neither Pyro nor GPyTorch.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes import ab_initio, active, diagnostics, metrics, plots, simulate, structures
    from eels_bayes.active.decisions import Costs, Decisions, decide
    from eels_bayes.classifier.classifier import EELSClassifier
    from eels_bayes.classifier.fit_report import FitReport
    from eels_bayes.classifier.held_out import HeldOut
    from eels_bayes.classifier.loading import load_model
    from eels_bayes.classifier.stream_refit import Refit
    from eels_bayes.data.broadening import broaden
    from eels_bayes.data.detector_noise import Noise
    from eels_bayes.data.dual_eels import DualEELS, load_dual
    from eels_bayes.data.energy_axis import EnergyAxis
    from eels_bayes.data.example_files import example_file
    from eels_bayes.data.fingerprint_reading import read_fingerprint
    from eels_bayes.data.fingerprints import FingerprintLibrary
    from eels_bayes.data.flags import Flag
    from eels_bayes.data.hydrogenic_edges import hydrogenic_library
    from eels_bayes.data.hyperspy_io import load
    from eels_bayes.data.library_loading import load_library
    from eels_bayes.data.repeated_frames import combine
    from eels_bayes.data.shape_comparison import ShapeComparison, compare_shapes
    from eels_bayes.data.single_fingerprint import Fingerprint
    from eels_bayes.data.spectra import ImageInfo, Spectra
    from eels_bayes.data.variations import Variations
    from eels_bayes.effort import Effort
    from eels_bayes.fast.adaptation import Adaptation, Swap
    from eels_bayes.fast.classifier import FastClassifier, FastReading, load_fast
    from eels_bayes.fast.live import LiveClassifier
    from eels_bayes.fast.live_map import LiveMap
    from eels_bayes.gp.classifier import GPClassifier
    from eels_bayes.gp.fit import fit_gp
    from eels_bayes.latent.vae import SpectrumVAE
    from eels_bayes.plots import diagnostic_figures as diagnostic_plots
    from eels_bayes.prediction.prediction import Prediction
    from eels_bayes.preprocessing.axis_calibration import calibrate_axis
    from eels_bayes.preprocessing.preprocessor import Preprocessor
    from eels_bayes.training import Schedule

__version__ = "0.1.0"

# Public name -> "module" or "module:name", below this package.
_HOME = {
    "Adaptation": "fast.adaptation:Adaptation",
    "Costs": "active.decisions:Costs",
    "Decisions": "active.decisions:Decisions",
    "DualEELS": "data.dual_eels:DualEELS",
    "EELSClassifier": "classifier.classifier:EELSClassifier",
    "Effort": "effort:Effort",
    "EnergyAxis": "data.energy_axis:EnergyAxis",
    "FastClassifier": "fast.classifier:FastClassifier",
    "FastReading": "fast.classifier:FastReading",
    "Fingerprint": "data.single_fingerprint:Fingerprint",
    "FingerprintLibrary": "data.fingerprints:FingerprintLibrary",
    "FitReport": "classifier.fit_report:FitReport",
    "Flag": "data.flags:Flag",
    "GPClassifier": "gp.classifier:GPClassifier",
    "HeldOut": "classifier.held_out:HeldOut",
    "ImageInfo": "data.spectra:ImageInfo",
    "LiveClassifier": "fast.live:LiveClassifier",
    "LiveMap": "fast.live_map:LiveMap",
    "Noise": "data.detector_noise:Noise",
    "Prediction": "prediction.prediction:Prediction",
    "Preprocessor": "preprocessing.preprocessor:Preprocessor",
    "Refit": "classifier.stream_refit:Refit",
    "Schedule": "training:Schedule",
    "ShapeComparison": "data.shape_comparison:ShapeComparison",
    "Spectra": "data.spectra:Spectra",
    "SpectrumVAE": "latent.vae:SpectrumVAE",
    "Swap": "fast.adaptation:Swap",
    "Variations": "data.variations:Variations",
    "ab_initio": "ab_initio",
    "active": "active",
    "broaden": "data.broadening:broaden",
    "calibrate_axis": "preprocessing.axis_calibration:calibrate_axis",
    "combine": "data.repeated_frames:combine",
    "compare_shapes": "data.shape_comparison:compare_shapes",
    "decide": "active.decisions:decide",
    "diagnostic_plots": "plots.diagnostic_figures",
    "diagnostics": "diagnostics",
    "example_file": "data.example_files:example_file",
    "fit_gp": "gp.fit:fit_gp",
    "hydrogenic_library": "data.hydrogenic_edges:hydrogenic_library",
    "load": "data.hyperspy_io:load",
    "load_dual": "data.dual_eels:load_dual",
    "load_fast": "fast.classifier:load_fast",
    "load_library": "data.library_loading:load_library",
    "load_model": "classifier.loading:load_model",
    "metrics": "metrics",
    "plots": "plots",
    "read_fingerprint": "data.fingerprint_reading:read_fingerprint",
    "simulate": "simulate",
    "structures": "structures",
}

__all__ = [
    "Adaptation",
    "Costs",
    "Decisions",
    "DualEELS",
    "EELSClassifier",
    "Effort",
    "EnergyAxis",
    "FastClassifier",
    "FastReading",
    "Fingerprint",
    "FingerprintLibrary",
    "FitReport",
    "Flag",
    "GPClassifier",
    "HeldOut",
    "ImageInfo",
    "LiveClassifier",
    "LiveMap",
    "Noise",
    "Prediction",
    "Preprocessor",
    "Refit",
    "Schedule",
    "ShapeComparison",
    "Spectra",
    "SpectrumVAE",
    "Swap",
    "Variations",
    "ab_initio",
    "active",
    "broaden",
    "calibrate_axis",
    "combine",
    "compare_shapes",
    "decide",
    "diagnostic_plots",
    "diagnostics",
    "example_file",
    "fit_gp",
    "hydrogenic_library",
    "load",
    "load_dual",
    "load_fast",
    "load_library",
    "load_model",
    "metrics",
    "plots",
    "read_fingerprint",
    "simulate",
    "structures",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
