"""Whether spectra, preprocessor and class weights are what a classifier was fitted for."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from eels_bayes.classifier.fitted import Fitted
from eels_bayes.data.spectra import Spectra
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.validation import numbers, same_axis

Signals: TypeAlias = Any  # EELSSpectrum or a list of them, whose type HyperSpy does not tell
# Settings of the preprocessor that change what an edge spectrum means.
MEANING = ("background", "normalize", "unit", "background_model")


def read_spectra(
    fitted: Fitted, given: Spectra | Signals, show_progressbar: bool, counts: bool
) -> Spectra:
    """Spectra as they are, or those of signals by the fit's own preprocessor; checked.

    Of signals, ``counts`` says whether theirs are kept.

    Raises
    ------
    TypeError, ValueError
        As `check_spectra` and `Preprocessor` do.
    """
    signals = given_as_signals(given)
    if signals:
        preprocessor: Preprocessor = fitted.preprocessor
        shown = None if show_progressbar else False
        given = preprocessor(signals, counts=counts, show_progressbar=shown)
    check_spectra(fitted, given)
    return given


def given_as_signals(given: Spectra | Signals) -> list[Any]:
    """Signals as a list; empty where they are none."""
    signals = list(given) if isinstance(given, list | tuple) else [given]
    return signals if all(hasattr(signal, "axes_manager") for signal in signals) else []


def check_spectra(fitted: Fitted, spectra: Any) -> None:
    """Raise unless what was fitted can read these spectra.

    Raises
    ------
    TypeError, ValueError
        If spectra are none, or lie on other axes or were made otherwise than those of the fit.
    """
    if not isinstance(spectra, Spectra):
        raise TypeError(
            f"spectra is a {type(spectra).__name__}; make Spectra with the Preprocessor "
            "that made those of the fit"
        )
    energy = fitted.energy
    if not same_axis(energy, spectra.energy):
        raise ValueError(
            f"spectra have {len(spectra.energy)} channels from {spectra.energy[0]:g} to "
            f"{spectra.energy[-1]:g} eV, but the fit was on {len(energy)} from "
            f"{energy[0]:g} to {energy[-1]:g} eV: use the fit's own, classifier.preprocessor"
        )
    bins = fitted.forward.continuum.energy
    if not same_axis(bins, spectra.profile_energy):
        raise ValueError(
            f"spectra have profiles of {len(spectra.profile_energy)} bins, the fit of "
            f"{len(bins)} from {bins[0]:g} to {bins[-1]:g} eV: use the fit's own, "
            "classifier.preprocessor"
        )
    given, fits = spectra.preprocessor.options(), fitted.preprocessor.options()
    for name in MEANING:
        if given[name] != fits[name]:
            raise ValueError(
                f"spectra were made with {name}={given[name]}, those of the fit with "
                f"{fits[name]}: use the fit's own, classifier.preprocessor"
            )


def check_preprocessor(fitted: Fitted, preprocessor: Preprocessor) -> None:
    """Raise unless a preprocessor is the fit's own, or a copy of it.

    Raises
    ------
    TypeError, ValueError
        If it is none, has other settings, or is calibrated on other data.
    """
    if not isinstance(preprocessor, Preprocessor):
        raise TypeError(
            f"preprocessor is a {type(preprocessor).__name__}; give classifier.preprocessor"
        )
    if preprocessor.options() != fitted.preprocessor.options() or not torch.equal(
        preprocessor.profile_bins, fitted.preprocessor.profile_bins
    ):
        raise ValueError(
            "preprocessor is not the one of the fit, or is calibrated on other data: use the "
            "fit's own, classifier.preprocessor"
        )


def checked_weights(given: ArrayLike | None, n_classes: int) -> NDArray[np.float64] | None:
    """Class weights (K,) that sum to one, of positive numbers; None where none are given.

    Raises
    ------
    ValueError
        If there are not as many as classes, or one is not positive and finite.
    """
    if given is None:
        return None
    weights = numbers("class_weights", given)
    if weights.shape != (n_classes,) or not (weights > 0).all() or not np.isfinite(weights).all():
        raise ValueError(
            f"class_weights must be {n_classes} positive numbers, one a class, got {given!r}"
        )
    return weights / weights.sum()
