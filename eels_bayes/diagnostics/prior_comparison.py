"""Two priors compared by the evidence of each spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.arrays import Array
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.importance_sampling import best_gaussian, importance_sample
from eels_bayes.diagnostics.latent_posterior import LatentModel, latent_model
from eels_bayes.training import learning

# Of Pareto's shape, above which importance weights cannot be relied on (Vehtari et al., JMLR 25, 72
# (2024)).
MAX_K = 0.7


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
        """Whether both models' weights can be relied on.

        Returns
        -------
        (n,) bool array
        """
        return np.asarray(np.maximum(self.pareto_k_a, self.pareto_k_b) <= MAX_K)


@learning()
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

    Returns
    -------
    PriorComparison

    Raises
    ------
    RuntimeError
        If one is not fitted.
    ValueError
        If channels are not those of a fit, or fewer than two spectra are usable.
    """
    validation.whole("n_draws", n_draws)
    validation.seed(seed)
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
    """Log evidence (n,), its standard error (n,) and Pareto's k (n,) of each spectrum."""
    sample = importance_sample(model, best_gaussian(model, seed=seed), n_draws=n_draws, seed=seed)
    return (*sample.log_evidence(), sample.pareto_k)
