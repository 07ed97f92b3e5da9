"""Classifiers on the dual VAE's own latents: those that its authors tried, and its dense head.

All are trained on the same draws of the fingerprints' latents as the published Gaussian process,
and read the same latents of the noisy spectra (`dual_vae.latents`), so that one training serves
all. They are scikit-learn's with its defaults. Where a method has no probabilities of its own (the
support vector machine) they come from Platt's sigmoid on held-out draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

import eels_bayes as eb

from .dual_vae import N_DRAWS, Trained, latents
from .shared import Array, all_rows

HIDDEN = (64, 32)  # widths of the dense head's layers

# From a seed to a classifier that is not fitted yet.
CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "Gaussian process": lambda seed: GaussianProcessClassifier(random_state=seed),
    "k nearest neighbours": lambda seed: KNeighborsClassifier(),
    "support vector machine": lambda seed: CalibratedClassifierCV(SVC(), ensemble=False),
    "random forest": lambda seed: RandomForestClassifier(random_state=seed),
    "logistic regression": lambda seed: LogisticRegression(max_iter=1000),
    "Gaussian naive Bayes": lambda seed: GaussianNB(),
    "dense head": lambda seed: MLPClassifier(HIDDEN, early_stopping=True, random_state=seed),
}


def classify(
    trained: Trained,
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    names: tuple[str, ...] = tuple(CLASSIFIERS),
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> dict[str, Array]:
    """Class probabilities (n, K) of each classifier by name; NaN where flagged.

    Parameters
    ----------
    trained : Trained
        Of `dual_vae.train`.
    spectra, library :
        As for every peer.
    names : tuple of str
        Of ``CLASSIFIERS``.
    n_draws : int
        Latents of each fingerprint that they are trained on.
    seed : int
        Of draws and classifiers.
    """
    found = latents(trained, spectra, library, n_draws=n_draws, seed=seed)
    out = {}
    for name in names:
        fitted = CLASSIFIERS[name](seed).fit(found.draws, found.labels)
        out[name] = all_rows(np.asarray(fitted.predict_proba(found.pixels)), spectra)
    return out
