"""Posterior predictive checks: measured pixels beside replicates of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from eels_bayes import validation
from eels_bayes.arrays import Array, tensor
from eels_bayes.arviz_bridge import dataset, inference_data
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import posterior
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.latent_posterior import decode, fitted_parts
from eels_bayes.forward_model.reinsertion import Reinsertion, reinsertion
from eels_bayes.latent import mixtures
from eels_bayes.latent.vae import LIKELIHOODS
from eels_bayes.randomness import DiagnosticStream, own_randomness, stream

PIXELS_AT_ONCE = 64  # whose replicates are in memory together, counts and all


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Replicated pixels beside the measured ones.

    Attributes
    ----------
    inference_data : arviz.InferenceData (ArviZ below 1) or xarray.DataTree
        ``posterior`` with ``z``, ``posterior_predictive`` and ``observed_data`` with ``intensity``
        (pixel, energy), edge units, ``constant_data`` with ``sd``. ``az.plot_ppc`` takes it.
    realised, replicated : dict of str to (S, n) array
        Test quantities of the measured spectrum and of the replicate, at the same latent:
        "chi-square per channel"; "largest residual", in sd; "edge area", in edge units times eV.
    p_values : dict of str to (n,) array
        Share of draws whose replicate has the larger quantity.
    """

    inference_data: Any
    realised: dict[str, Array]
    replicated: dict[str, Array]
    p_values: dict[str, Array]


def posterior_predictive(
    clf: EELSClassifier, spectra: Spectra, *, n_draws: int = 100, seed: int = 0
) -> PredictiveCheck:
    """Replicate measured pixels and compare test quantities.

    A latent is drawn from r(z | x), a clean spectrum from the VAE's likelihood at it, and that is
    put back into the experiment at the pixel's own dose: a fresh continuum of the population,
    Poisson noise, the very preprocessing. The reported sd alone would not do, because it says
    nothing of the background error that moves all channels together and rules the edge area.

    p-values are those of realised discrepancies (Gelman, Meng and Stern, Stat. Sinica 6, 733
    (1996)). Data are used twice, so they gather around 0.5 even for a perfect model; values near 0
    or 1 over many pixels are what tells.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels, a few hundred at most; flagged ones are left out.
    n_draws : int
        S, replicates a pixel.
    seed : int

    Returns
    -------
    PredictiveCheck

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    ValueError
        If no pixel is usable or n_draws is not positive.
    """
    fitted = fitted_parts(clf)
    spectra = spectra[spectra.ok]
    validation.whole("n_draws", n_draws)
    validation.seed(seed)
    if not len(spectra):
        raise ValueError("at least one usable pixel is needed, got 0")
    mixture = posterior(fitted.encoder, spectra, torch.device(clf.device))
    z = mixtures.draw(mixture, n_draws, torch.Generator().manual_seed(seed))
    mean = decode(fitted.vae, z.flatten(0, 1)).reshape(len(spectra), n_draws, -1)
    with own_randomness(seed), torch.no_grad():
        b = (fitted.vae.log_b.exp() * fitted.vae.scale).cpu().expand(mean.shape)
        clean = LIKELIHOODS[fitted.vae.likelihood](tensor(mean), b).sample().numpy()
    source = _without_overlap(reinsertion(fitted.forward, spectra))
    intensity, sd = _replicates(source, spectra, clean, stream(seed, DiagnosticStream.REPLICATES))
    step = float(spectra.energy[1] - spectra.energy[0])
    realised = _quantities(spectra.intensity[:, None], spectra.sd[:, None], mean, step)
    replicated = _quantities(intensity, sd, mean, step)
    # A replicate may be flagged: it has no quantity and no say.
    p_values = {
        name: np.nanmean(
            np.where(np.isfinite(replicated[name]), replicated[name] >= realised[name], np.nan),
            axis=0,
        )
        for name in realised
    }
    dims, energy = ("chain", "draw", "pixel", "energy"), spectra.energy
    draws_first = intensity.swapaxes(0, 1)[None]
    latent = z.cpu().numpy().swapaxes(0, 1)[None]
    groups = {
        "posterior": dataset({"z": ((*dims[:3], "latent"), latent)}),
        "posterior_predictive": dataset({"intensity": (dims, draws_first)}, energy=energy),
        "observed_data": dataset({"intensity": (dims[2:], spectra.intensity)}, energy=energy),
        "constant_data": dataset({"sd": (dims[2:], spectra.sd)}, energy=energy),
    }
    return PredictiveCheck(inference_data(groups), realised, replicated, p_values)


def _without_overlap(source: Reinsertion) -> Reinsertion:
    """For edges that hold the overlapping shapes already, as decoded ones do."""
    library = source.model.library
    alone = replace(library, nuisances=np.zeros_like(library.nuisances))
    return replace(source, model=replace(source.model, library=alone))


def _replicates(
    source: Reinsertion, spectra: Spectra, clean: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Noisy spectra and sd (n, S, L) of clean ones (n, S, L), each at its own pixel's dose."""
    intensity, sd = (np.empty(clean.shape, dtype=np.float32) for _ in range(2))
    n_draws = clean.shape[1]
    # A Reinsertion draws gains at random: one gain at a time keeps each pixel's own.
    for gain in np.unique(spectra.gain):
        of_gain = replace(source, norm=np.ones(1), gain=np.array([gain], dtype=float))
        pixels = np.flatnonzero(spectra.gain == gain)
        for rows in np.array_split(pixels, -(-len(pixels) // PIXELS_AT_ONCE)):
            edge = clean[rows].reshape(-1, clean.shape[2]).astype(float)
            dose = np.repeat(spectra.norm[rows].astype(float), n_draws)
            _, edges = of_gain.draw_edges(len(edge), rng, edge=edge, dose=dose)
            shape = (len(rows), n_draws, -1)
            intensity[rows] = edges.intensity.numpy().reshape(shape)
            sd[rows] = edges.sd.numpy().reshape(shape)
    return intensity, sd


def _quantities(intensity: Array, sd: Array, mean: Array, step: float) -> dict[str, Array]:
    """Test quantities (S, n) of spectra (n, S or 1, L) at decoded means (n, S, L)."""
    residual = (intensity - mean) / sd
    area = np.broadcast_to(intensity.sum(2) * step, mean.shape[:2])
    return {
        "chi-square per channel": (residual**2).mean(2).T,
        "largest residual": np.abs(residual).max(2).T,
        "edge area": area.T,
    }
