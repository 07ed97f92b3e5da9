"""Pixels drawn from a fitted model, of which everything is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Array
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.latent_posterior import fitted_parts
from eels_bayes.forward_model.reinsertion import reinsertion
from eels_bayes.latent.vae_fit import encoded_draws

# Of the logarithm of the dose, around the data's (sd): one model serves thinner and thicker places
# too. Chosen, not tuned.
DOSE_SPREAD = 0.35


@dataclass(frozen=True, eq=False)
class KnownPixels:
    """n pixels drawn from the fitted model, with what is true of them.

    Attributes
    ----------
    spectra : Spectra
        As measured; of ``counts``, ``norm`` and ``shift``, what is not drawn is NaN.
    clean : (n, L) array
        Edge units.
    latent : (n, D) array
        One draw of q(z | clean) each: the latent whose posterior r(z | x) stands for.
    fractions : (n, K) array
        Share of each class.
    values : (n,) array
        The library's value, NaN where there is none.
    """

    spectra: Spectra
    clean: Array
    latent: Array
    fractions: Array
    values: Array


def known_pixels(
    clf: EELSClassifier,
    spectra: Spectra,
    *,
    n: int = 2000,
    dose: float | None = None,
    seed: int = 0,
) -> KnownPixels:
    """Draw pixels from the joint distribution that the forward model and the VAE make.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        Whose doses and channel offsets the pixels take.
    n : int
        Pixels to draw; those that the preprocessing flags are left out.
    dose : float, optional
        Multiplies the data's doses; by default they are spread around them, by `DOSE_SPREAD`.
    seed : int

    Returns
    -------
    KnownPixels
        At most n of them.

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    """
    validation.whole("n", n)
    validation.seed(seed)
    if dose is not None:
        dose = validation.positive("dose", dose)
    fitted = fitted_parts(clf)
    rng = np.random.default_rng(seed)
    source = reinsertion(fitted.forward, spectra)
    doses = np.exp(DOSE_SPREAD * rng.standard_normal(n)) if dose is None else dose
    drawn = source.edges(n, rng)
    values = np.full(n, np.nan) if drawn.values is None else drawn.values
    pairs, edges = source.draw_edges(n, rng, edge=drawn.spectra, dose=doses)
    ok = (edges.flag == 0).numpy()
    latent = encoded_draws(fitted.vae, pairs.clean.numpy(), rng).numpy()
    template = spectra[np.resize(np.flatnonzero(spectra.ok), n)]
    unknown = {
        name: np.full_like(getattr(template, name), np.nan) for name in ("counts", "norm", "shift")
    }
    measured = edges._asdict() | {"profile": pairs.profile, "level": pairs.level}
    known = {name: value.numpy() for name, value in measured.items()}
    return KnownPixels(
        replace(template, **(unknown | known))[ok],
        pairs.clean.numpy()[ok],
        latent[ok],
        drawn.fractions[ok],
        values[ok],
    )
