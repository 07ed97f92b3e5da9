"""Simulation-based calibration: is a fitted classifier right about pixels that it draws itself?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes import validation
from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import posterior
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.drawn_pixels import KnownPixels, known_pixels
from eels_bayes.diagnostics.latent_posterior import fitted_parts
from eels_bayes.diagnostics.latent_units import THRESHOLD
from eels_bayes.diagnostics.ranks import (
    N_BINS,
    Uniformity,
    randomised_pit,
    rank_statistics,
    uniformity,
    unit_uniformity,
)
from eels_bayes.latent import mixtures
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.prediction.prediction import Prediction
from eels_bayes.randomness import DiagnosticStream, stream


@dataclass(frozen=True, eq=False)
class Calibration:
    """Simulation-based calibration of one classifier.

    Attributes
    ----------
    known : KnownPixels
    prediction : Prediction
        Of the known pixels.
    n_draws : int
        Posterior draws a pixel; ranks run from 0 to n_draws.
    ranks : (n, D) int array
        Of the true latent among the draws, along each of the posterior's axes.
    latent : Uniformity
        Of ``ranks``: statistic and p-value (D,).
    active : (D,) bool array
        Axes that carry something of the spectrum: as `active_units` has it, along the axes. The
        others are uniform by telling nothing.
    density_ranks : (n,) int array
        Of the true latent's posterior log density among the draws'.
    density : Uniformity
        Of ``density_ranks``: sees wrong correlations, which single dimensions do not show.
    class_pit : (n,) array
        Randomised PIT of the dominant class.
    classes : Uniformity
        Of ``class_pit``.
    """

    known: KnownPixels
    prediction: Prediction
    n_draws: int
    ranks: NDArray[np.int64]
    latent: Uniformity
    active: NDArray[np.bool_]
    density_ranks: NDArray[np.int64]
    density: Uniformity
    class_pit: Array
    classes: Uniformity


def simulation_based_calibration(
    clf: EELSClassifier,
    spectra: Spectra,
    *,
    n: int = 2000,
    n_draws: int = 99,
    dose: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Check r(z | x) and the class probabilities on pixels drawn from the model itself.

    Ranks of the true latent among independent draws of r(z | x) are uniform where r is the
    posterior (Talts et al., arXiv:1804.06788). So is the rank of a function of latent and data;
    the posterior's density is a sensitive one (Modrak et al., Bayesian Anal. 20, 461 (2025)).
    For the classes, whose ranks would tie, the randomised PIT of the dominant class is taken
    (Czado, Gneiting and Held, Biometrics 65, 1254 (2009)). The GP learns classes that are equally
    frequent, the pixels drawn here are as frequent as in the data and may be mixtures: the class
    test asks more than the latent one.

    With n = 2000 a small misfit is found: read the size of the deviations in the histogram, and
    remember that one in twenty of D honest p-values is below 0.05.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        Whose doses and channel offsets the pixels take.
    n : int
        Pixels to draw, at least 100.
    n_draws : int
        Posterior draws a pixel; n_draws + 1 must be a multiple of 20, the number of bins.
    dose : float, optional
        Multiplies the data's doses; by default they are spread around them, see `known_pixels`.
    seed : int
        Of pixels, draws and ranks.

    Returns
    -------
    Calibration

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    ValueError
        If n_draws does not divide, or too few pixels are left.
    """
    if (validation.whole("n_draws", n_draws) + 1) % N_BINS:
        raise ValueError(f"n_draws + 1 must be a multiple of {N_BINS}, got n_draws = {n_draws}")
    known = known_pixels(clf, spectra, n=n, dose=dose, seed=seed)
    rng = stream(seed, DiagnosticStream.RANKS)
    mixture = posterior(fitted_parts(clf).encoder, known.spectra, torch.device(clf.device))
    z = mixtures.draw(mixture, n_draws, torch.Generator().manual_seed(seed))
    truth = tensor(known.latent).to(z)
    log_r = torch.stack([mixtures.log_density(mixture, draw) for draw in z.unbind(1)], dim=1)
    axes = mixture.axes
    ranks = rank_statistics((z @ axes).cpu().numpy(), (truth @ axes).cpu().numpy(), rng)
    density_ranks = rank_statistics(
        log_r.cpu().numpy(), mixtures.log_density(mixture, truth).cpu().numpy(), rng
    )
    prediction = clf.predict(known.spectra, show_progressbar=False)
    pit = randomised_pit(prediction.probabilities, known.fractions.argmax(1), rng)
    return Calibration(
        known,
        prediction,
        n_draws,
        ranks,
        uniformity(ranks, n_draws, N_BINS),
        _active(fitted_parts(clf).vae, known.clean, axes),
        density_ranks,
        uniformity(density_ranks, n_draws, N_BINS),
        pit,
        unit_uniformity(pit, N_BINS),
    )


def _active(vae: SpectrumVAE, clean: Array, axes: Tensor) -> NDArray[np.bool_]:
    """Which axes (D,) carry something of the clean spectra; see `latent_units.active_units`."""
    with torch.no_grad():
        mean = vae.encode(tensor(clean).to(axes.device)).mean @ axes
    active: NDArray[np.bool_] = (mean.double().var(0) > THRESHOLD).cpu().numpy()
    return active
