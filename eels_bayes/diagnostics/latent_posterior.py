"""The latent posterior of single spectra without amortisation: a yardstick for the encoders.

The target is the posterior of the VAE's Pyro model with its decoder fixed,

    p(z | x)  proportional to  p(z) prod_l Laplace(x_l | decoder(z)_l, b_l),

``b_l = b`` for a clean spectrum and ``b_l = (b^2 + sd_l^2)^(1/2)`` for a noisy one. The latter is
a working likelihood: channels are independent given z, although the background's error moves them
together, and a Laplace distribution of scale ``sd`` is 2^(1/2) times as wide as the noise.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from pyro.infer import MCMC, NUTS
from torch import Tensor

from eels_bayes.arrays import Array, tensor
from eels_bayes.arviz_bridge import arviz
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import Fitted, posterior
from eels_bayes.data.spectra import Spectra
from eels_bayes.latent import mixtures
from eels_bayes.latent import prior as priors
from eels_bayes.latent.mixtures import Gaussian, GaussianMixture
from eels_bayes.latent.vae import LIKELIHOODS, SpectrumVAE
from eels_bayes.randomness import own_randomness

STEPS, DRAWS, LEARNING_RATE = 200, 8, 0.03  # of the search for the best Gaussian
WIDENED = 1.2  # of the best Gaussian's sd in a proposal: importance weights need heavier tails
CHUNK = 4096  # latents decoded at a time
MAX_TREE_DEPTH = 5  # all spectra move together: the slowest must not set the price


@dataclass(frozen=True, eq=False)
class LatentModel:
    """Joint density of n spectra and their latents, decoder and prior fixed; see the module's head.

    Attributes
    ----------
    vae : SpectrumVAE
        A copy whose parameters take no gradient.
    prior : FingerprintPrior or None
        ``None`` is the standard normal.
    spectrum : Tensor (n, L)
        Edge units.
    sd : Tensor (n, L) or None
        ``None`` for clean spectra.
    amortised : GaussianMixture
        What the encoder makes of the spectra: q(z | x) of clean ones, r(z | x) of noisy ones.
    """

    vae: SpectrumVAE
    prior: priors.FingerprintPrior | None
    spectrum: Tensor
    sd: Tensor | None
    amortised: GaussianMixture

    def __len__(self) -> int:
        return len(self.spectrum)

    def log_joint(self, z: Tensor) -> Tensor:
        """``log p(x, z)`` (n, S) of S latents (n, S, D) for each spectrum, nats, float64."""
        mean = self.vae.decode(z.flatten(0, 1).to(self.spectrum)).unflatten(0, z.shape[:2])
        width = self.vae.log_b.exp() * self.vae.scale
        if self.sd is not None:
            width = (width**2 + self.sd.unsqueeze(1) ** 2).sqrt()
        x = LIKELIHOODS[self.vae.likelihood](mean.double(), width.double().expand_as(mean))
        likelihood = x.log_prob(self.spectrum.unsqueeze(1).double()).sum(-1)
        return likelihood + log_prior(self.prior, z.double())


def log_prior(prior: priors.FingerprintPrior | None, z: Tensor) -> Tensor:
    """``log p(z)`` (...) of latents (..., D); ``None`` is the standard normal."""
    if prior is None:
        return -0.5 * (z**2 + math.log(2.0 * math.pi)).sum(-1)
    return priors.log_density(prior, z)


def fitted_parts(clf: EELSClassifier) -> Fitted:
    """What the classifier was fitted to; RuntimeError before."""
    if clf.fitted is None:
        raise RuntimeError("this classifier is not fitted; call fit(spectra) first")
    return clf.fitted


def decode(vae: SpectrumVAE, z: Tensor) -> Array:
    """Mean spectra (n, L) of latents (n, D)."""
    with torch.no_grad():
        parts = [vae.decode(part) for part in z.to(vae.log_b).split(CHUNK)]
    return np.asarray(torch.cat(parts).cpu().numpy())


def latent_model(clf: EELSClassifier, spectra: Spectra | ArrayLike) -> LatentModel:
    """Set up the joint density for the spectra of one classifier.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra or (n, L) array_like
        Noisy pixels with their sd (flagged ones are left out), or clean spectra in edge units.

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    ValueError
        If clean spectra have another number of channels than the fit, or no spectrum is usable.
    """
    fitted = fitted_parts(clf)
    vae = copy.deepcopy(fitted.vae).eval().requires_grad_(False)
    sd = None
    if isinstance(spectra, Spectra):
        spectra = spectra[spectra.ok]
        clean = np.asarray(spectra.intensity)
        sd = tensor(spectra.sd).to(clf.device)
    else:
        clean = np.asarray(spectra)
    if clean.ndim != 2 or clean.shape[1] != vae.n_channels or not len(clean):
        raise ValueError(
            f"spectra have shape {clean.shape}; (n, {vae.n_channels}) with at least one usable "
            "spectrum is needed, on the channels of the fit"
        )
    spectrum = tensor(clean).to(clf.device)
    with torch.no_grad():
        prior = vae.prior()
        if isinstance(spectra, Spectra):
            amortised = posterior(fitted.encoder, spectra, torch.device(clf.device))
        else:
            amortised = as_mixture(vae.encode(spectrum))
    return LatentModel(vae, prior, spectrum, sd, amortised)


def as_mixture(gaussian: Gaussian, axes: Tensor | None = None) -> GaussianMixture:
    """A Gaussian (n, D), diagonal along ``axes`` or the latent's own, as a mixture of one."""
    mean, sd = gaussian
    if axes is None:
        axes = torch.eye(mean.shape[1]).to(mean)
    return GaussianMixture(mean.new_zeros(len(mean), 1), mean.unsqueeze(1), sd.unsqueeze(1), axes)


def best_gaussian(model: LatentModel, *, steps: int = STEPS, seed: int = 0) -> Gaussian:
    """The Gaussian of largest ELBO for each spectrum, (n, D), diagonal along the amortised axes.

    Found by Adam on reparametrised draws, from the amortised posterior's moments: a local optimum,
    which under a prior of several modes may be one of them (Cremer, Li and Duvenaud, ICML 2018,
    whose "approximation gap" it leaves).
    """
    axes = model.amortised.axes
    mean, sd = mixtures.moments(model.amortised._replace(axes=torch.eye(len(axes)).to(axes)))
    mean = mean.clone().requires_grad_()
    log_sd = sd.log().requires_grad_()
    optimizer = torch.optim.Adam([mean, log_sd], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        noise = torch.randn(len(mean), DRAWS, mean.shape[1], generator=generator).to(mean)
        z = (mean.unsqueeze(1) + log_sd.exp().unsqueeze(1) * noise) @ axes.T
        # The entropy in closed form, up to its constant.
        loss = -(model.log_joint(z).mean(1) + log_sd.sum(1)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Gaussian(mean.detach(), log_sd.detach().exp())


def weighted_draws(
    model: LatentModel, q: GaussianMixture, n_draws: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Draws (n, S, D) from ``q`` and their ``log p(x, z) - log q(z)`` (n, S), nats.

    The mean of the latter over draws is the ELBO of ``q``.
    """
    z = mixtures.draw(q, n_draws, torch.Generator().manual_seed(seed))
    per_part = max(1, CHUNK // len(model))
    with torch.no_grad():
        density = torch.stack([mixtures.log_density(q, draw) for draw in z.unbind(1)], dim=1)
        joint = torch.cat([model.log_joint(part) for part in z.split(per_part, dim=1)], dim=1)
    return z, joint - density


class ImportanceSample(NamedTuple):
    """Weighted draws from the posterior of n spectra.

    Attributes
    ----------
    z : Tensor (n, S, D)
    log_weight : Tensor (n, S)
        Pareto-smoothed ``log p(x, z) - log q(z)``, nats.
    pareto_k : array (n,)
        Above 0.7 the weights cannot be relied on (Vehtari et al., JMLR 25 (72), 2024).
    """

    z: Tensor
    log_weight: Tensor
    pareto_k: Array

    def log_evidence(self) -> tuple[Array, Array]:
        """``log p(x)`` (n,) in nats and its standard error by the delta method."""
        n_draws = self.log_weight.shape[1]
        log_mean = self.log_weight.logsumexp(1, keepdim=True) - np.log(n_draws)
        relative = (self.log_weight - log_mean).exp()
        return log_mean[:, 0].cpu().numpy(), (relative.std(1) / n_draws**0.5).cpu().numpy()

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (n, D) and covariance (n, D, D) of the posterior."""
        weight = self.log_weight.softmax(1)
        mean = (weight.unsqueeze(-1) * self.z).sum(1)
        centred = self.z - mean.unsqueeze(1)
        return mean, (weight.unsqueeze(-1) * centred).mT @ centred

    def resample(self, n_draws: int, generator: torch.Generator) -> Tensor:
        """Draws (n, n_draws, D) of the posterior, with replacement."""
        weight = self.log_weight.softmax(1).cpu()
        which = torch.multinomial(weight, n_draws, replacement=True, generator=generator)
        index = which.to(self.z.device).unsqueeze(-1).expand(-1, -1, self.z.shape[-1])
        return self.z.gather(1, index)


def importance_sample(
    model: LatentModel, gaussian: Gaussian, *, n_draws: int = 2000, seed: int = 0
) -> ImportanceSample:
    """Draw from an equal mixture of the amortised posterior and of a fitted Gaussian, and weigh.

    The Gaussian, from :func:`best_gaussian` and a little widened, is fitted to the very posterior,
    so that an encoder that missed it is no disaster.
    """
    mean, sd = gaussian
    amortised = model.amortised
    log_weight = torch.cat([amortised.log_weight, mean.new_zeros(len(mean), 1)], 1)
    proposal = GaussianMixture(
        log_weight - math.log(2.0),
        torch.cat([amortised.mean, mean.unsqueeze(1)], 1),
        torch.cat([amortised.sd, WIDENED * sd.unsqueeze(1)], 1),
        amortised.axes,
    )
    z, raw = weighted_draws(model, proposal, n_draws, seed)
    with np.errstate(over="ignore"):  # a tail too long to smooth: its k says so
        smoothed, k = arviz().psislw(raw.cpu().numpy(), normalize=False)
    return ImportanceSample(z.double(), torch.as_tensor(smoothed).to(raw), np.asarray(k))


class Chains(NamedTuple):
    """NUTS draws z (C, S, n, D), log joint density (C, S, n) and divergent transitions (S,)."""

    z: Array
    log_joint: Array
    diverging: Array


def run_nuts(
    model: LatentModel,
    sample: ImportanceSample,
    *,
    n_draws: int,
    n_warmup: int,
    n_chains: int,
    seed: int = 0,
) -> Chains:
    """Sample the posterior of all spectra at once by the No-U-Turn sampler.

    Spectra are independent given the decoder, so n spectra times C chains are one product density,
    whose trajectories, step size and divergences they share. The importance sample whitens each
    spectrum's space and gives the chains' starts. Under a prior of several modes a chain seldom
    leaves the mode it starts in: the weights of the modes are then those of the importance sample,
    and a large R-hat says so. Hoffman and Gelman, JMLR 15, 1593 (2014).
    """
    mean, covariance = sample.moments()
    mean = mean.unsqueeze(1)
    root = torch.linalg.cholesky(_shrunk(covariance, sample.log_weight))
    start = sample.resample(n_chains, torch.Generator().manual_seed(seed))

    def latent(u: Tensor) -> Tensor:
        return mean + u @ root.mT

    def potential(position: dict[str, Tensor]) -> Tensor:
        return -model.log_joint(latent(position["u"])).sum()

    with own_randomness(seed):
        chain = MCMC(
            NUTS(potential_fn=potential, adapt_mass_matrix=False, max_tree_depth=MAX_TREE_DEPTH),
            n_draws,
            warmup_steps=n_warmup,
            initial_params={
                "u": torch.linalg.solve_triangular(root, (start - mean).mT, upper=False).mT
            },
            disable_progbar=True,
        )
        chain.run()
        draws = chain.get_samples()["u"]  # (S, n, C, D)
    with torch.no_grad():
        z = torch.stack([latent(u) for u in draws])
        joint = torch.stack([model.log_joint(one) for one in z])
    diverging = np.zeros(n_draws, dtype=bool)
    diverging[chain.diagnostics()["divergences"]["chain 0"]] = True
    return Chains(
        z.permute(2, 0, 1, 3).cpu().numpy(), joint.permute(2, 0, 1).cpu().numpy(), diverging
    )


def _shrunk(covariance: Tensor, log_weight: Tensor) -> Tensor:
    """Covariances (n, D, D) drawn towards their diagonal where few draws carry the weight."""
    dim = covariance.shape[-1]
    effective = 1.0 / log_weight.softmax(1).square().sum(1)
    part = (dim / (dim + effective))[:, None, None]
    variance = torch.diagonal(covariance, dim1=-2, dim2=-1).clamp_min(1e-8)
    return (1.0 - part) * covariance + part * torch.diag_embed(variance)
