"""The amortised posterior beside NUTS and importance sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from eels_bayes.arrays import Array
from eels_bayes.arviz_bridge import arviz, dataset, inference_data
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.latent_posterior import (
    LatentModel,
    as_mixture,
    best_gaussian,
    importance_sample,
    latent_model,
    run_nuts,
    weighted_draws,
)
from eels_bayes.latent import mixtures

ELBO_DRAWS = 500
MAX_K = 0.7  # of Pareto's shape, above which importance weights cannot be relied on


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
        """(n,) nats that a diagonal Gaussian fitted to each spectrum gains over the encoder's.

        Negative where the noisy encoder's mixture beats every single Gaussian.
        """
        return np.asarray(self.elbo_gaussian - self.elbo_amortised)

    @property
    def approximation_gap(self) -> Array:
        """(n,) nats that the best diagonal Gaussian still lacks: its KL divergence from p(z | x).

        Gaps as in Cremer, Li and Duvenaud, ICML 2018.
        """
        return np.asarray(self.log_evidence - self.elbo_gaussian)


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
        At least 2; see :func:`~eels_bayes.diagnostics.latent_posterior.run_nuts` for where they
        start and why R-hat is large where the posterior has several modes.
    seed : int

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    ValueError
        If no spectrum is usable, channels are not those of the fit, or draws are too few.
    """
    if n_draws < 4 or n_warmup < 1 or n_chains < 2:
        raise ValueError(
            "at least 4 draws after 1 of warm-up in 2 chains are needed, got "
            f"n_draws={n_draws}, n_warmup={n_warmup}, n_chains={n_chains}"
        )
    model = latent_model(clf, spectra)
    best = best_gaussian(model, seed=seed)
    sample = importance_sample(model, best, seed=seed)
    chains = run_nuts(
        model, sample, n_draws=n_draws, n_warmup=n_warmup, n_chains=n_chains, seed=seed
    )
    elbo_amortised, elbo_gaussian = (
        weighted_draws(model, q, ELBO_DRAWS, seed + 1)[1].mean(1).cpu().numpy()
        for q in (model.amortised, as_mixture(best, model.amortised.axes))
    )
    dims = ("chain", "draw", "pixel", "latent")
    groups = {
        "posterior": dataset({"z": (dims, chains.z)}),
        "sample_stats": dataset(
            {
                "lp": (dims[:3], chains.log_joint),
                "diverging": (dims[:2], np.tile(chains.diverging, (n_chains, 1))),
            }
        ),
        "observed_data": dataset({"x": (("pixel", "channel"), model.spectrum.cpu().numpy())}),
    }
    if model.sd is not None:
        groups["constant_data"] = dataset({"sd": (("pixel", "channel"), model.sd.cpu().numpy())})
    az = arviz()
    amortised_mean, amortised_sd = mixtures.moments(model.amortised)
    importance_mean, covariance = sample.moments()
    evidence, error = sample.log_evidence()
    return NutsComparison(
        inference_data(groups),
        chains.z.mean((0, 1)),
        chains.z.std((0, 1)),
        az.rhat(groups["posterior"])["z"].values,
        az.ess(groups["posterior"])["z"].values,
        amortised_mean.cpu().numpy(),
        amortised_sd.cpu().numpy(),
        importance_mean.cpu().numpy(),
        torch.diagonal(covariance, dim1=1, dim2=2).sqrt().cpu().numpy(),
        evidence,
        error,
        sample.pareto_k,
        elbo_amortised,
        elbo_gaussian,
    )


@dataclass(frozen=True, eq=False)
class PriorComparison:
    """Log predictive density of the same n spectra under two fitted models.

    Attributes
    ----------
    log_evidence_a, log_evidence_b : (n,) arrays
        ``log p(x)``, nats.
    difference : float
        Sum of a - b over spectra, nats; positive favours a.
    standard_error : float
        ``(n var(a - b))^(1/2)`` (Vehtari, Gelman and Gabry, Stat. Comput. 27, 1413 (2017), eq. 24).
    monte_carlo_error : float
        Of the difference, by importance sampling alone.
    pareto_k_a, pareto_k_b : (n,) arrays
        Estimates with k above 0.7 cannot be relied on.
    """

    log_evidence_a: Array
    log_evidence_b: Array
    difference: float
    standard_error: float
    monte_carlo_error: float
    pareto_k_a: Array
    pareto_k_b: Array

    @property
    def reliable(self) -> NDArray[np.bool_]:
        """(n,) True where both models' weights can be relied on."""
        return np.asarray(np.maximum(self.pareto_k_a, self.pareto_k_b) <= MAX_K)


def compare_priors(
    clf_a: EELSClassifier,
    clf_b: EELSClassifier,
    spectra: Spectra | ArrayLike,
    *,
    n_draws: int = 1000,
    seed: int = 0,
) -> PriorComparison:
    """Compare two fitted models, such as the two priors, by what they say of held-out spectra.

    The score of a spectrum is its evidence ``log p(x_i) = log int p(x_i | z) p(z) dz`` at the
    fitted weights. Given those, spectra are independent, so the evidence *is* the density of
    spectrum i left out: nothing needs to be left out again, if the models were not fitted to these
    spectra. PSIS-LOO of ``p(x_i | z_i)`` is not used: each latent has one spectrum, without which
    it falls back to its prior, and the weights 1 / p(x_i | z_i) have no finite variance (Millar,
    Stat. Comput. 28, 375 (2018), on what to condition on). The integral is done by importance
    sampling with the amortised posterior and a fitted Gaussian as proposals, Pareto-smoothed
    (Vehtari et al., JMLR 25 (72), 2024), and its k says where it failed.

    For noisy pixels the likelihood is the widened one of :func:`nuts`. It takes channels for
    independent, so differences, in nats, are larger than they should be by the number of channels
    that the background's error ties together; their order is safer than their size. The standard
    error takes pixels for independent.

    Parameters
    ----------
    clf_a, clf_b : EELSClassifier
        Fitted, on the same channels.
    spectra : Spectra or (n, L) array_like
        Noisy pixels (flagged ones are left out) or clean spectra in edge units, of which neither
        fit has seen any. A hundred take about a minute.
    n_draws : int
        Of the importance sample of each spectrum.
    seed : int

    Raises
    ------
    RuntimeError
        If one is not fitted.
    ValueError
        If channels are not those of a fit, or fewer than two spectra are usable.
    """
    models = [latent_model(clf, spectra) for clf in (clf_a, clf_b)]
    if len(models[0]) < 2:
        raise ValueError("at least two usable spectra are needed for a standard error, got 1")
    (a, error_a, k_a), (b, error_b, k_b) = (_evidence(model, n_draws, seed) for model in models)
    return PriorComparison(
        a,
        b,
        float((a - b).sum()),
        float(np.sqrt(len(a)) * (a - b).std(ddof=1)),
        float(np.sqrt((error_a**2 + error_b**2).sum())),
        k_a,
        k_b,
    )


def _evidence(model: LatentModel, n_draws: int, seed: int) -> tuple[Array, Array, Array]:
    sample = importance_sample(model, best_gaussian(model, seed=seed), n_draws=n_draws, seed=seed)
    return (*sample.log_evidence(), sample.pareto_k)
