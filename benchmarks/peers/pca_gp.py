"""Principal components, then a Gaussian process: what the dual VAE is to be better than.

The ten components of the pixels take the autoencoder's place. scikit-learn's Gaussian process reads
the scores, in units of their standard deviations, after learning from those of `labelled` draws of
the fingerprints; one length and one amplitude of its kernel are learned for each class.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

import eels_bayes as eb

from .labelled import draw
from .shared import Array, all_rows, denoise, intensity

N_DRAWS = 400  # labelled spectra; the cost grows with their cube
LENGTHS, AMPLITUDES = (0.1, 100.0), (0.1, 1000.0)  # bounds: score sds; squared logits


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K); NaN where flagged. Nothing here shows progress."""
    rows = intensity(spectra)
    components = denoise(rows).components
    scores = rows @ components.T
    center, width = scores.mean(0), scores.std(0)
    draws = draw(spectra, library, n_draws, seed=seed)
    kernel = ConstantKernel(10.0, AMPLITUDES) * RBF(3.0, LENGTHS)
    gp = GaussianProcessClassifier(kernel, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of a parameter at its bound
        gp.fit((draws.noisy @ components.T - center) / width, draws.labels)
    return all_rows(np.asarray(gp.predict_proba((scores - center) / width)), spectra)
