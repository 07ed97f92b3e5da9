"""The variational autoencoder of clean edge spectra, as a Pyro model and guide.

    model:  z ~ p(z),  x ~ Laplace(decoder(z), b)          guide:  z ~ Normal(mean(x), sd(x))

A Laplace likelihood is the mean absolute error of Hollenbach et al. (2024) with its balance against
the KL term learned (``b``) instead of set by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from eels_bayes import validation
from eels_bayes.latent import prior as priors
from eels_bayes.latent.mixtures import Gaussian
from eels_bayes.latent.networks import ConvEncoder, DenseDecoder

DEGREES_OF_FREEDOM = 4.0  # of Student's t: heavy tails with a finite variance; chosen, not tuned
# Log of the likelihood's scale in units of the typical intensity where training starts. Sharp: a
# wide likelihood lets latents fall back to the prior, for good.
LOG_B_START = -3.0
DEFAULT_NONE_WEIGHT = 0.1  # prior weight of "none of these" where none is given: chosen, not tuned

Likelihood = Literal["laplace", "normal", "student_t"]
LIKELIHOODS: dict[str, Callable[[Tensor, Tensor], dist.Distribution]] = {
    "laplace": dist.Laplace,
    "normal": dist.Normal,
    "student_t": lambda mean, scale: dist.StudentT(DEGREES_OF_FREEDOM, mean, scale),
}
_instances = itertools.count()


class SpectrumVAE(nn.Module):
    """Pyro model and guide of clean edge spectra; works with ``SVI``, ``Predictive``, ``MCMC``.

    Parameters
    ----------
    n_channels : int
        L, channels of an edge spectrum.
    latent_dim : int
        D, dimensions of the latent.
    fingerprints : Tensor, (K, J, L), optional
        J physical variations of each of K classes, whose posteriors are the explicit prior's
        components. ``None`` makes the prior a standard normal.
    class_weights : Tensor, (K + 1,), optional
        Prior weights of the classes and, last, of "none of these"; by default equal, and 0.1.
    likelihood : {"laplace", "normal", "student_t"}
        Of a channel's intensity around the decoded one, with one learned scale.
    scale : float
        Typical intensity, in the unit of the spectra; the networks work in multiples of it.
    dropout : float
        Probability that a unit of the encoder's convolutions is dropped in training.

    Raises
    ------
    ValueError
        If there is no such likelihood, the scale is not positive, or the fingerprints have another
        number of channels.

    Examples
    --------
    >>> import pyro
    >>> import torch
    >>> import eels_bayes as eb
    >>> vae = eb.SpectrumVAE(n_channels=60, latent_dim=4)
    >>> spectra = torch.rand(10, 60)
    >>> mean, sd = vae.encode(spectra)
    >>> tuple(mean.shape), tuple(vae.decode(mean).shape)
    ((10, 4), (10, 60))

    As a model and guide of Pyro, with a parameter store of its own:

    >>> with pyro.get_param_store().scope():
    ...     trace = pyro.poutine.trace(vae.model).get_trace(spectra)
    ...     latent = vae.guide(spectra)
    >>> tuple(trace.nodes["z"]["value"].shape), tuple(trace.nodes["x"]["value"].shape)
    ((10, 4), (10, 60))
    >>> tuple(latent.shape)
    (10, 4)
    """

    scale: Tensor
    fingerprints: Tensor | None
    class_weights: Tensor

    def __init__(
        self,
        n_channels: int,
        latent_dim: int = 16,
        fingerprints: Tensor | None = None,
        class_weights: Tensor | None = None,
        *,
        likelihood: Likelihood = "laplace",
        scale: float = 1.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        validation.choice("likelihood", likelihood, sorted(LIKELIHOODS))
        validation.whole("n_channels", n_channels)
        validation.whole("latent_dim", latent_dim)
        validation.positive("scale", scale)
        if validation.not_negative("dropout", dropout) >= 1:
            raise ValueError(f"dropout is {dropout}; a share below 1 is needed")
        if fingerprints is not None and fingerprints.shape[-1] != n_channels:
            raise ValueError(
                f"fingerprints have {fingerprints.shape[-1]} channels, the spectra {n_channels}: "
                "resample the library to the spectra's energy axis"
            )
        self.n_channels = n_channels
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.encoder = ConvEncoder(n_channels, latent_dim, dropout)
        self.decoder = DenseDecoder(n_channels, latent_dim)
        self.log_b = nn.Parameter(torch.tensor(LOG_B_START, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(float(scale), dtype=torch.float32))
        self.register_buffer("fingerprints", fingerprints)
        if fingerprints is not None and class_weights is None:
            n_classes = len(fingerprints)
            known = (1.0 - DEFAULT_NONE_WEIGHT) / n_classes
            class_weights = torch.tensor(
                [known] * n_classes + [DEFAULT_NONE_WEIGHT], dtype=torch.float32
            )
        self.register_buffer("class_weights", class_weights)
        # Pyro's parameter store is global; a name of its own keeps each model's parameters its own.
        self.pyro_name = f"spectrum_vae_{next(_instances)}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.pyro_name = f"spectrum_vae_{next(_instances)}"  # a copy is a model of its own

    def encode(self, spectrum: Tensor) -> Gaussian:
        """Posterior q(z | x) of the guide.

        Parameters
        ----------
        spectrum : Tensor (n, L)
            Clean spectra.

        Returns
        -------
        Gaussian
            ``mean`` and ``sd`` (n, D) of the latents.
        """
        return self.encoder(spectrum / self.scale)

    def decode(self, latent: Tensor) -> Tensor:
        """Spectra around which the likelihood lies.

        Parameters
        ----------
        latent : Tensor (n, D)

        Returns
        -------
        Tensor (n, L)
            In the unit of the spectra.
        """
        return self.decoder(latent) * self.scale

    def prior(self) -> priors.FingerprintPrior | None:
        """The explicit prior with its components where the encoder puts them now.

        Returns
        -------
        FingerprintPrior or None
            None where the prior is a standard normal.
        """
        if self.fingerprints is None:
            return None
        return self._prior_of(self.encode(self.fingerprints.flatten(0, 1)))

    def _prior_of(self, encoded: Gaussian) -> priors.FingerprintPrior:
        """The explicit prior whose components (K J, D) these are."""
        assert self.fingerprints is not None
        mean, sd = (part.unflatten(0, self.fingerprints.shape[:2]) for part in encoded)
        return priors.smooth(priors.FingerprintPrior(mean, sd, self.class_weights.log()))

    def model(self, spectrum: Tensor, sd: Tensor | None = None) -> Tensor:
        """Pyro model: z ~ p(z), then the spectrum around the decoded one.

        Sample sites are "z" (n, D) and "x" (n, L), in a plate "spectra".

        Parameters
        ----------
        spectrum : Tensor (n, L)
            Observed.
        sd : Tensor (n, L), optional
            Of the spectra themselves; it widens the likelihood's scale, added in squares.

        Returns
        -------
        Tensor (n, L)
            The observed spectra.
        """
        pyro.module(self.pyro_name, self)
        p_z = priors.distribution(self.prior(), self.latent_dim, spectrum)
        with pyro.plate("spectra", len(spectrum)):
            z = pyro.sample("z", p_z)
            return pyro.sample("x", self._around(z, sd), obs=spectrum)

    def _around(self, z: Tensor, sd: Tensor | None) -> dist.Distribution:
        """The likelihood of spectra with latents (n, D), whose own sd is (n, L) or none."""
        b = self.log_b.exp() * self.scale
        width = b if sd is None else (b**2 + sd**2).sqrt()
        return LIKELIHOODS[self.likelihood](self.decode(z), width).to_event(1)

    def guide(self, spectrum: Tensor, sd: Tensor | None = None) -> Tensor:
        """Pyro guide: the encoder's diagonal Gaussian.

        Parameters
        ----------
        spectrum : Tensor (n, L)
            Observed.
        sd : Tensor (n, L), optional
            Not used: model and guide take the same arguments.

        Returns
        -------
        Tensor (n, D)
            One draw of the latents.
        """
        pyro.module(self.pyro_name, self)
        with pyro.plate("spectra", len(spectrum)):
            mean, scale = self.encode(spectrum)
            return pyro.sample("z", dist.Normal(mean, scale).to_event(1))

    def negative_elbo(self, spectrum: Tensor, sd: Tensor | None = None) -> Tensor:
        """Estimate of the negative evidence lower bound from one draw, differentiable.

        Parameters
        ----------
        spectrum : Tensor (n, L)
        sd : Tensor (n, L), optional
            As `model` takes it.

        Returns
        -------
        Tensor, scalar
            Nats a spectrum.
        """
        # As Pyro's Trace_ELBO finds it of model and guide, which encode one after the other.
        together = [spectrum]
        if self.fingerprints is not None:
            together.append(self.fingerprints.flatten(0, 1))
        mean, scale = self.encode(torch.cat(together))
        n = len(spectrum)
        prior = None
        if self.fingerprints is not None:
            prior = self._prior_of(Gaussian(mean[n:], scale[n:]))
        q_z = dist.Normal(mean[:n], scale[:n]).to_event(1)
        z = q_z.rsample()
        log_p = priors.distribution(prior, self.latent_dim, spectrum).log_prob(z)
        return (q_z.log_prob(z) - log_p - self._around(z, sd).log_prob(spectrum)).mean()
