"""The report of a fitted model: made when it is fitted, or anew of other spectra."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Protocol

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.classifier.compatibility import check_spectra
from eels_bayes.classifier.fit_problems import notes, problems
from eels_bayes.classifier.fit_report import FitReport
from eels_bayes.classifier.fitted import Fitted, required
from eels_bayes.data.dim_pixels import without_dim
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import FULL, Effort
from eels_bayes.forward_model.components import absent
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.rivals import exchange, rivals
from eels_bayes.forward_model.window_fit import WindowFit, window_fit
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.series_noise import noise_source

MOST_PIXELS = 4000  # that a report looks at: a second's work, and errors are small by then
WARNED_CALL = 5  # calls from a warning about a fit up to the line that calls `EELSClassifier.fit`


def measured_fit(forward: ForwardModel, spectra: Spectra) -> WindowFit:
    """What a forward model leaves of spectra; of many pixels, every so many, and not of dim ones.

    Raises
    ------
    ValueError
        If no pixel is usable.
    """
    n_usable = int(spectra.ok.sum())
    spectra = without_dim(spectra)
    rows = np.flatnonzero(spectra.ok)
    if len(rows) == 0:
        raise ValueError(
            f"none of {len(spectra)} pixels is usable, and a report needs one: see "
            "spectra.reasons()"
        )
    dim = 1.0 - len(rows) / n_usable
    rows = rows[:: -(-len(rows) // MOST_PIXELS)]
    profile, level = spectra.profile[rows].astype(float), spectra.level[rows].astype(float)
    return window_fit(forward, profile, level, dim)


class OfFit(Protocol):
    """What a report is made of: an `EELSClassifier`."""

    fitted: Fitted | None
    library: FingerprintLibrary
    effort: Effort


def report(self: OfFit, spectra: Spectra | None = None) -> FitReport:
    """What the fit says of itself: noise, library, convergence, misfit, and what would help.

    Parameters
    ----------
    spectra : Spectra, optional
        How the model describes these, in place of those of the fit; flagged pixels are left out.

    Returns
    -------
    FitReport
        Printed it is a text, in a notebook a table; its `plot` is a figure.

    Raises
    ------
    RuntimeError
        Before ``fit``.
    TypeError, ValueError
        If spectra are not like those of the fit, or none is usable.
    """
    return report_of(required(self.fitted), self.library, spectra, self.effort)


def report_of(
    fitted: Fitted, library: FingerprintLibrary, spectra: Spectra | None, effort: Effort
) -> FitReport:
    """The report of a fit, or of how its model describes other spectra.

    Raises
    ------
    TypeError, ValueError
        If spectra are not like those of the fit, or no pixel is usable.
    """
    preprocessor: Preprocessor = fitted.preprocessor
    window = fitted.window_fit
    if spectra is not None:
        check_spectra(fitted, spectra)
        preprocessor, window = spectra.preprocessor, measured_fit(fitted.forward, spectra)
    forward, vary = fitted.forward, fitted.forward.library.variations
    fit = forward.library_fit
    of_classes = window.class_pixels[: library.n_classes]
    edges = window.edge[: library.n_classes]
    only = window.only_class(library.n_classes)
    # beside a class without an edge, few others tell where the library stands
    placed_by_it = only is not None and np.abs(window.fingerprint[only]).any()
    report = FitReport(
        **vars(window),
        class_names=forward.library.class_names,
        n_fitted=fitted.record.n_pixels,
        noise=preprocessor.detector_noise,
        noise_source=noise_source(preprocessor.noise, preprocessor.noises.tolist()),
        gain=fit.gain,
        gain_sd=vary.intensity,
        shift=fit.shift,
        shift_sd=vary.shift,
        broadening=float(np.sqrt(fit.broadening)),
        broadening_sd=vary.broadening,
        misfit=forward.misfit.pixel,
        class_misfit=forward.misfit.of_class,
        converged=forward.converged,
        normalized=preprocessor.normalize is not None,
        begun_again=forward.begun_again,
        log_likelihood=forward.log_likelihood,
        held_out=fitted.held_out.words,
        # of the fit's pixels: of others nothing is known
        pair_weights=_pair_weights(forward) * (spectra is None),
        rivals=tuple(rivals(forward, library, edges[only])) if only is not None else (),
        exchange=None if placed_by_it else exchange(forward, library, edges, of_classes),
    )
    limited = effort.forward_iterations < FULL.forward_iterations
    return replace(
        report, problems=problems(report, limited=limited), notes=notes(report, limited=limited)
    )


def _pair_weights(forward: ForwardModel) -> Array:
    """Weights (K, K) of mixed and pure pixels; those of another size are pure."""
    weights, none = forward.pair_weights.copy(), absent(forward.library)
    if none is not None:
        others = np.arange(len(weights)) != none
        weights[others, others] += weights[others, none]
        weights[others, none] = 0.0
    return weights


def warn_of_problems(fitted: Fitted, library: FingerprintLibrary, effort: Effort) -> None:
    """Warn of the worst problem of a fit; for calls by `fit_run`, see `WARNED_CALL`."""
    found = report_of(fitted, library, None, effort).problems
    if found:
        more = f" ({len(found) - 1} more in report())" if len(found) > 1 else " (see report())"
        warnings.warn(f"fit: {found[0]}{more}", stacklevel=WARNED_CALL)
