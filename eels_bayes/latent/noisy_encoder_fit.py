"""Fitting the noisy encoder r(z | x) to matched pairs, in closed form.

Clean spectra of every component of the forward model are put back into the experiment, and their
latents z ~ q(z | clean) regressed on the deviations that `PixelEvidence` would find of them: the
maximum of the pairs' likelihood under the encoder's model, with a weak Gaussian prior on the slopes
(Bishop, Pattern Recognition and Machine Learning (2006), eqs. 3.34 and 3.53).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.effort import FULL
from eels_bayes.forward_model.components import reach
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.reinsertion import Reinsertion
from eels_bayes.latent.noisy_encoder import NoisyEncoder, information
from eels_bayes.latent.vae import SpectrumVAE

SLOPE_PRECISION = 1.0  # of the slopes beforehand: weak, that of one spectrum
NEGLIGIBLE = 1e-6  # share of the largest variance below which a direction is not regressed on


def fit_noisy_encoder(
    vae: SpectrumVAE,
    source: Reinsertion,
    *,
    axes: Tensor | None = None,
    n_draws: int = FULL.encoder_draws,
    ridge: float = SLOPE_PRECISION,
    negligible: float = NEGLIGIBLE,
    seed: int = 0,
) -> NoisyEncoder:
    """Fit r(z | x) for a trained VAE, which is not changed, and a forward model.

    Parameters
    ----------
    vae : SpectrumVAE
    source : Reinsertion
        Draws clean spectra of each component of its forward model.
    axes : Tensor (D, D), optional
        Orthonormal columns along which Gaussians are diagonal; by default the principal ones of
        latents of one component.
    n_draws : int
        Clean spectra of each component.
    ridge : float
        Precision of the slopes beforehand, for deviations in units of their sd.
    negligible : float
        Share of the largest variance below which a direction is not regressed on.
    seed : int
        Of the clean spectra.

    Returns
    -------
    NoisyEncoder
    """
    rng = np.random.default_rng(seed)
    evidence = evidence_of(source.model)
    members, weight = source.model.components()
    drawn = [_draw(vae, source, member, n_draws, rng) for member in members]
    own = axes is None
    if axes is None:
        axes = _own_axes(drawn, weight)
    encoder = NoisyEncoder(evidence, vae.latent_dim)
    # rows one after the other, as a file holds them: products round alike then
    encoder.axes = axes.float().clone(memory_format=torch.contiguous_format)
    axes = encoder.axes.double()
    for c, (profile, mean, var) in enumerate(drawn):
        with torch.no_grad():
            deviation = (profile - evidence.center) * evidence.white
            projected = (deviation @ evidence.span) @ evidence.axes - evidence.offset
        along = projected.view(n_draws, *evidence.variance.shape)[:, c].double()
        prior = evidence.variance[c].double()
        matters = prior > negligible * prior.max()
        scale = torch.where(matters, prior, torch.ones_like(prior)).sqrt()
        x = along / scale * matters
        z = mean.double() @ axes
        x_mean, z_mean = x.mean(0), z.mean(0)
        gram = (x - x_mean).T @ (x - x_mean) + ridge * torch.eye(len(scale), dtype=x.dtype)
        slope = torch.linalg.solve(gram, (x - x_mean).T @ (z - z_mean))
        residual = (z - z_mean) - (x - x_mean) @ slope
        freedom = n_draws / (n_draws - 1 - int(matters.sum()))
        spread = freedom * residual.square().mean(0) + var.double().mean(0) @ axes.square()
        encoder.offset[c] = (z_mean - x_mean @ slope).float()
        encoder.slope[c] = (slope / scale.unsqueeze(1)).float()
        encoder.spread[c] = spread.sqrt().float()
    if own:
        _put_the_telling_first(encoder)
    return encoder.eval()


def _put_the_telling_first(encoder: NoisyEncoder) -> None:
    """Order the axes by what they tell, so that those which heads read are few."""
    order = information(encoder).argsort(descending=True)
    for name in ("axes", "offset", "slope", "spread"):
        getattr(encoder, name).copy_(getattr(encoder, name)[..., order])


def _draw(
    vae: SpectrumVAE,
    source: Reinsertion,
    member: tuple[int, int, float],
    n: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Noise-free profiles (N, B) of one component; mean and variance (N, D) of their latents."""
    first, second, share = member
    shares = np.full(n, share)
    if first != second:
        shares += reach(source.model.library, member) * rng.uniform(-1.0, 1.0, n)
    classes = np.full(n, first), np.full(n, second)
    edge = source.mixed_edges(*classes, shares, rng).spectra
    u = source.coefficients(n, rng)
    clean = torch.as_tensor(edge + source.overlap(u), dtype=torch.float32)
    with torch.no_grad():
        mean, sd = vae.encode(clean.to(vae.log_b.device))
    profile = torch.as_tensor(source.profile(edge, u), dtype=torch.float32)
    return profile, mean.cpu(), sd.cpu().square()


def _own_axes(drawn: list[tuple[Tensor, Tensor, Tensor]], weight: NDArray[np.float64]) -> Tensor:
    """Axes (D, D) along which latents of one component hang together least.

    Each component has a Gaussian of its own, so that how components lie to one another says nothing
    of its axes: they are the principal ones of the covariance within components.

    Parameters
    ----------
    drawn : list of (profile, mean, var)
        What `_draw` gives of each component.
    weight : ndarray (C,)
        How frequent each component is.
    """
    share = torch.as_tensor(weight / weight.sum())
    means = torch.stack([mean.double() for _, mean, _ in drawn])  # (C, N, D)
    _, axes = torch.linalg.eigh(_covariance(means - means.mean(1, keepdim=True), share))
    # signs are arbitrary: fix them, so that every machine finds the same axes
    return axes * torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True)))


def _covariance(deviation: Tensor, share: Tensor) -> Tensor:
    """Covariance (D, D) of deviations (C, N, D) of components that are so frequent (C,)."""
    return torch.einsum("c,cnd,cne->de", share, deviation, deviation) / deviation.shape[1]
