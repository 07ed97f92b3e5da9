"""The amortised posterior beside NUTS and importance sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.arrays import Array
from eels_bayes.arviz_bridge import arviz, dataset, inference_data
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.importance_sampling import (
    best_gaussian,
    importance_sample,
    weighted_draws,
)
from eels_bayes.diagnostics.latent_posterior import (
    LatentModel,
    as_mixture,
    latent_model,
)
from eels_bayes.diagnostics.nuts_sampling import Chains, run_nuts
from eels_bayes.latent import mixtures
from eels_bayes.training import learning

ELBO_DRAWS = 500  # of each spectrum's latent: chosen, not tuned
LEAST_DRAWS, LEAST_CHAINS = 4, 2  # what R-hat, which splits each chain, can be computed of


@dataclass(frozen=True, eq=False)
class NutsComparison:
    """The amortised posterior of n spectra beside NUTS and importance sampling.

    Attributes
    ----------
    inference_data : arviz.InferenceData (ArviZ below 1) or xarray.DataTree
        ``posterior`` with ``z`` (chain, draw, pixel, latent), ``sample_stats`` with ``lp`` of each
        pixel and ``diverging``, ``observed_data``, and ``constant_data`` where there is an sd.
    mean, sd : (n, D) arrays
        By NUTS, all chains together.
    r_hat, ess : (n, D) arrays
        Rank-normalised split R-hat and bulk effective sample size (Vehtari et al., Bayesian Anal.
        16, 667 (2021)).
    amortised_mean, amortised_sd : (n, D) arrays
    importance_mean, importance_sd : (n, D) arrays
        By importance sampling; to be trusted where ``pareto_k`` is at most 0.7.
    log_evidence, log_evidence_error : (n,) arrays
        ``log p(x)`` and its standard error, nats.
    pareto_k : (n,) array
    elbo_amortised, elbo_gaussian : (n,) arrays
        Of the amortised posterior and of the best diagonal Gaussian found for each spectrum, nats.
    """

    inference_data: Any
    mean: Array
    sd: Array
    r_hat: Array
    ess: Array
    amortised_mean: Array
    amortised_sd: Array
    importance_mean: Array
    importance_sd: Array
    log_evidence: Array
    log_evidence_error: Array
    pareto_k: Array
    elbo_amortised: Array
    elbo_gaussian: Array

    @property
    def amortisation_gap(self) -> Array:
        """What a diagonal Gaussian fitted to each spectrum gains over the encoder's posterior.

        Negative where the noisy encoder's mixture beats every single Gaussian.

        Returns
        -------
        (n,) array
            Nats.
        """
        return np.asarray(self.elbo_gaussian - self.elbo_amortised)

    @property
    def approximation_gap(self) -> Array:
        """Nats that the best diagonal Gaussian still lacks, its KL divergence from p(z | x).

        Gaps as in Cremer, Li and Duvenaud, ICML 2018.

        Returns
        -------
        (n,) array
            Nats.
        """
        return np.asarray(self.log_evidence - self.elbo_gaussian)


@learning()
def nuts(
    clf: EELSClassifier,
    spectra: Spectra | ArrayLike,
    *,
    n_draws: int = 100,
    n_warmup: int = 60,
    n_chains: int = 4,
    seed: int = 0,
) -> NutsComparison:
    """The posterior of the latent by NUTS, against the encoder's.

    The target is the posterior under :meth:`SpectrumVAE.model` with the decoder fixed. For clean
    spectra that is what q(z | x) approximates, and the gap is amortisation's own. For noisy pixels
    the likelihood's scale is widened to ``(b^2 + sd^2)^(1/2)``, channel by channel. The noisy
    encoder r(z | x) does *not* aim at that posterior: it is fitted to simulated pixels, whose
    background error moves channels together, which the widened likelihood takes for independent
    noise, and that likelihood knows nothing of the spectrum outside the window. There the
    comparison says how far the two models are apart, and no encoder could close it.

    All spectra are sampled in one run, about a minute for 24 on one thread.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra or (n, L) array_like
        A few dozen noisy pixels (flagged ones are left out), or clean spectra in edge units.
    n_draws, n_warmup : int
        Of each chain, at least 4 draws.
    n_chains : int
        At least 2; see :func:`~eels_bayes.diagnostics.nuts_sampling.run_nuts` for where they
        start and why R-hat is large where the posterior has several modes.
    seed : int

    Returns
    -------
    NutsComparison

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    ValueError
        If no spectrum is usable, channels are not those of the fit, or draws are too few.
    """
    validation.whole("n_draws", n_draws, LEAST_DRAWS)
    validation.whole("n_warmup", n_warmup)
    validation.whole("n_chains", n_chains, LEAST_CHAINS)
    validation.seed(seed)
    model = latent_model(clf, spectra)
    best = best_gaussian(model, seed=seed)
    sample = importance_sample(model, best, seed=seed)
    length = {"n_draws": n_draws, "n_warmup": n_warmup, "n_chains": n_chains}
    chains = run_nuts(model, sample, **length, seed=seed)
    elbo_amortised, elbo_gaussian = (
        weighted_draws(model, q, ELBO_DRAWS, seed + 1)[1].mean(1).cpu().numpy()
        for q in (model.amortised, as_mixture(best, model.amortised.axes))
    )
    groups = _groups(model, chains)
    az = arviz()
    amortised_mean, amortised_sd = mixtures.moments(model.amortised)
    importance_mean, covariance = sample.moments()
    importance_sd = torch.diagonal(covariance, dim1=1, dim2=2).sqrt()
    return NutsComparison(
        inference_data(groups),
        chains.z.mean((0, 1)),
        chains.z.std((0, 1)),
        az.rhat(groups["posterior"])["z"].values,
        az.ess(groups["posterior"])["z"].values,
        amortised_mean.cpu().numpy(),
        amortised_sd.cpu().numpy(),
        importance_mean.cpu().numpy(),
        importance_sd.cpu().numpy(),
        *sample.log_evidence(),
        sample.pareto_k,
        elbo_amortised,
        elbo_gaussian,
    )


def _groups(model: LatentModel, chains: Chains) -> dict[str, Any]:
    """Datasets of an InferenceData: draws, how they went, and what they are of."""
    dims, of_spectra = ("chain", "draw", "pixel", "latent"), ("pixel", "channel")
    diverging = np.tile(chains.diverging, (len(chains.z), 1))
    groups = {
        "posterior": dataset({"z": (dims, chains.z)}),
        "sample_stats": dataset(
            {"lp": (dims[:3], chains.log_joint), "diverging": (dims[:2], diverging)}
        ),
        "observed_data": dataset({"x": (of_spectra, model.spectrum.cpu().numpy())}),
    }
    if model.sd is not None:
        groups["constant_data"] = dataset({"sd": (of_spectra, model.sd.cpu().numpy())})
    return groups
