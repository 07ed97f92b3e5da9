"""The latent posterior of single spectra without amortisation: a yardstick for the encoders.

The target is the posterior of the VAE's Pyro model with its decoder fixed,

    p(z | x)  proportional to  p(z) prod_l Laplace(x_l | decoder(z)_l, b_l),

``b_l = b`` for a clean spectrum and ``b_l = (b^2 + sd_l^2)^(1/2)`` for a noisy one. The latter is
a working likelihood: channels are independent given z, although the background's error moves them
together, and a Laplace distribution of scale ``sd`` is 2^(1/2) times as wide as the noise.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import Fitted, posterior, required
from eels_bayes.data.spectra import Spectra
from eels_bayes.latent import prior as priors
from eels_bayes.latent.mixtures import Gaussian, GaussianMixture
from eels_bayes.latent.vae import LIKELIHOODS, SpectrumVAE

CHUNK = 4096  # latents decoded at a time: bounds memory


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
        return likelihood + priors.log_prior(self.prior, z.double())


def fitted_parts(clf: EELSClassifier) -> Fitted:
    """What a classifier's fit found; RuntimeError before."""
    return required(clf.fitted)


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

    Returns
    -------
    LatentModel

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
        axes = torch.eye(mean.shape[1], dtype=torch.float32).to(mean)
    return GaussianMixture(mean.new_zeros(len(mean), 1), mean.unsqueeze(1), sd.unsqueeze(1), axes)
