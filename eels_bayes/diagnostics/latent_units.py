"""What each latent dimension carries of the spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eels_bayes import validation
from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.latent_posterior import as_mixture, fitted_parts
from eels_bayes.latent import mixtures
from eels_bayes.latent import prior as priors
from eels_bayes.latent.mixtures import Gaussian
from eels_bayes.latent.principal_components import principal_components

THRESHOLD = 0.01  # of the activity, as in Burda, Grosse and Salakhutdinov, ICLR 2016
QUADRATURE = 16  # Gauss-Hermite nodes of a marginal KL divergence: chosen, not tuned
KL_DRAWS = 32  # of each latent, for the total KL divergence: it is averaged over many spectra


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """What each latent dimension carries.

    Attributes
    ----------
    variance : (D,) array
        ``Cov_x(E_q[z_d])``, the activity of Burda, Grosse and Salakhutdinov, ICLR 2016.
    active : (D,) bool array
        Activity above the threshold.
    kl : (D,) array
        Mean KL divergence of q(z_d | x) to the prior's marginal p(z_d), nats.
    total_kl : float
        Mean KL divergence of q(z | x) to the prior, nats, by Monte Carlo. Under the standard
        normal it is the sum of ``kl``; under the mixture it is not, dimensions depend there.
    """

    variance: Array
    active: NDArray[np.bool_]
    kl: Array
    total_kl: float


def active_units(
    clf: EELSClassifier,
    spectra: Spectra | ArrayLike,
    *,
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> ActiveUnits:
    """Which latents of the clean encoder vary with the spectrum at all.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra or (n, L) array_like
        Measured pixels, whose denoised principal components are taken, or clean spectra in edge
        units.
    threshold : float
        Of the activity, 0.01 in Burda, Grosse and Salakhutdinov, ICLR 2016.
    seed : int
        Of the Monte Carlo for the total.

    Returns
    -------
    ActiveUnits
        D latents.

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    """
    validation.not_negative("threshold", threshold)
    validation.seed(seed)
    vae = fitted_parts(clf).vae
    clean = principal_components(spectra) if isinstance(spectra, Spectra) else np.asarray(spectra)
    with torch.no_grad():
        q = vae.encode(tensor(clean).to(vae.log_b.device))
        prior = vae.prior()
        kl = marginal_kl(q, prior)
        mixture = as_mixture(q)
        z = mixtures.draw(mixture, KL_DRAWS, torch.Generator().manual_seed(seed))
        log_q = torch.stack([mixtures.log_density(mixture, draw) for draw in z.unbind(1)], dim=1)
        total = float((log_q - priors.log_prior(prior, z)).mean())
    variance = q.mean.double().var(0).cpu().numpy()
    return ActiveUnits(variance, variance > threshold, kl.mean(0).cpu().numpy(), total)


def marginal_kl(q: Gaussian, prior: priors.FingerprintPrior | None) -> Tensor:
    """KL divergence (n, D) of each q(z_d | x) to the prior's marginal, by Gauss-Hermite quadrature.

    ``None`` is the standard normal, where the quadrature is exact.
    """
    nodes, weight = (tensor(x) for x in np.polynomial.hermite_e.hermegauss(QUADRATURE))
    weight = (weight / weight.sum()).to(q.mean)
    divergence = []
    for d in range(q.mean.shape[1]):
        mean, sd = q.mean[:, d, None], q.sd[:, d, None]
        z = mean + sd * nodes.to(mean)
        log_q = torch.distributions.Normal(mean, sd).log_prob(z)
        marginal = None
        if prior is not None:
            marginal = prior._replace(mean=prior.mean[..., d, None], sd=prior.sd[..., d, None])
        divergence.append(((log_q - priors.log_prior(marginal, z.unsqueeze(-1))) * weight).sum(1))
    return torch.stack(divergence, dim=1)
