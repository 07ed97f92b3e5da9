"""Other ways to read the same edge spectra, on equal terms with eels_bayes.

Every peer takes the Spectra and the FingerprintLibrary that eels_bayes takes, with no label, and
returns the probabilities (n, K) of the library's classes, one row a pixel, NaN where a pixel is
flagged:

    peer(spectra, library, *, seed=0, show_progressbar=True) -> ndarray

``PEERS`` names them. ``PIXEL_BY_PIXEL`` take long and learn next to nothing from other pixels (MLLS
one broadening): give them the pixels that are wanted. ``OPTIONAL`` need a package that nothing else
does, and raise ImportError without it. ``ABLATIONS`` names parts of eels_bayes that read spectra by
themselves. The classifiers on the dual VAE's latents share one training: `latent_classifiers`.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import eels_bayes as eb

from . import (
    dual_vae,
    em_mixture,
    forward_model,
    least_squares,
    nearest,
    nmf,
    pca_gp,
    pca_ratio,
    pyeelsmodel_fit,
    rapid_eels,
    shifted_fit,
)


class Peer(Protocol):
    """What every peer can be called with."""

    def __call__(
        self,
        spectra: eb.Spectra,
        library: eb.FingerprintLibrary,
        *,
        seed: int = 0,
        show_progressbar: bool = True,
    ) -> NDArray[np.float64]:
        """Class probabilities (n, K)."""
        ...


PEERS: dict[str, Peer] = {
    "EM mixture": em_mixture.probabilities,
    "EM mixture, weights by image": partial(em_mixture.probabilities, by_image=True),
    "EM mixture, whole spectrum": partial(em_mixture.probabilities, whole=True),
    "EM mixture, whole spectrum, weights by image": partial(
        em_mixture.probabilities, whole=True, by_image=True
    ),
    "least squares": least_squares.probabilities,
    "PCA(10), least squares": least_squares.probabilities_denoised,
    "PCA(10), nearest by L2": nearest.by_distance,
    "PCA(10), nearest by cosine": nearest.by_angle,
    "PCA(10), peak over shoulder": pca_ratio.probabilities,
    "PCA(10), Gaussian process": pca_gp.probabilities,
    "NMF(10), nearest by L2": nmf.probabilities,
    "RapidEELS (2021)": rapid_eels.probabilities,
    "dual VAE and GP (Hollenbach 2024)": dual_vae.probabilities,
}
PIXEL_BY_PIXEL: dict[str, Peer] = {"MLLS with a shift a pixel": shifted_fit.by_mlls}
OPTIONAL: dict[str, Peer] = {"pyEELSMODEL 1.0.9, linear fit": pyeelsmodel_fit.probabilities}
ABLATIONS: dict[str, Peer] = {"forward model without networks": forward_model.probabilities}
