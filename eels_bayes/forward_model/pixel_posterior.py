"""What a forward model says of single pixels, as one fixed network: script-safe.

For every component of the mixture the exact linear-Gaussian posterior at the pixel's own noise:
what the noisy encoder reads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eels_bayes.forward_model.directions import spanned
from eels_bayes.forward_model.edge_shapes import UNKNOWN, unknown_shapes
from eels_bayes.forward_model.factor_mixture import Population, rotated
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.whitening import whiten_tensors

LEAST_PRIOR = 1e-6  # prior weight of a component at least: none is ruled out


class Evidence(NamedTuple):
    """Posterior of n pixels under the forward model.

    Attributes
    ----------
    log_probability : Tensor (n, C)
        Of each component, normalised.
    noise : Tensor (n,)
        Noise variance of a whitened bin.
    unknown : Tensor (n,)
        Log-likelihood of an unknown structure over that of the library's, nats.
    residual : Tensor (n, W)
        What the posterior mean of everything leaves in the window's bins, in sd of the noise.
    factor : Tensor (n, C, S)
        Deviation from each component's center along its principal axes, over noise and spread
        together: times the component's variance it is their posterior mean.
    """

    log_probability: Tensor
    noise: Tensor
    unknown: Tensor
    residual: Tensor
    factor: Tensor


def log_sum(rows: Tensor) -> Tensor:
    """``logsumexp`` of rows (n, C), finite ones: (n,). One fused kernel instead of seven."""
    return rows.amax(1) - torch.log_softmax(rows, 1).amax(1)


class PixelEvidence(nn.Module):
    """Profiles (n, B) and their noise levels (n,) -> `Evidence`.

    Parameters
    ----------
    sizes : (B, S, C, W)
        Bins, directions that all components together span, components, bins of the window.
        Unknown structures' components follow the C of the library. The buffers are zero until
        `evidence_of` or ``load_state_dict`` fills them.
    """

    def __init__(self, sizes: tuple[int, int, int, int]):
        super().__init__()
        n_bins, n_span, n_components, n_window = sizes
        self.sizes = sizes
        self.n_known = n_components
        n_all = n_components + len(UNKNOWN)
        self.register_buffer("center", torch.zeros(n_bins, dtype=torch.float32))
        self.register_buffer("white", torch.ones(n_bins, dtype=torch.float32))
        self.register_buffer("middle", torch.zeros(n_bins, dtype=torch.float32))
        self.register_buffer("spread", torch.zeros(n_bins, dtype=torch.float32))
        self.register_buffer("log_weight", torch.zeros(n_components, dtype=torch.float32))
        # In its columns the directions that matter; in these each component has principal axes of
        # its own, along which it has a center and a variance.
        self.register_buffer("span", torch.zeros(n_bins, n_span, dtype=torch.float32))
        self.register_buffer("axes", torch.zeros(n_span, n_all * n_span, dtype=torch.float32))
        self.register_buffer("offset", torch.zeros(n_all * n_span, dtype=torch.float32))
        self.register_buffer("variance", torch.ones(n_all, n_span, dtype=torch.float32))
        # what a component looks like in the window as it is measured: its spreads, then its center
        self.register_buffer(
            "shown", torch.zeros(n_components * (n_span + 1), n_window, dtype=torch.float32)
        )
        self.register_buffer("inside", torch.zeros(n_window, dtype=torch.int64))
        self.register_buffer("brightness", torch.tensor(1.0, dtype=torch.float32))
        self.center: Tensor
        self.white: Tensor
        self.middle: Tensor
        self.spread: Tensor
        self.log_weight: Tensor
        self.span: Tensor
        self.axes: Tensor
        self.offset: Tensor
        self.variance: Tensor
        self.shown: Tensor
        self.inside: Tensor
        self.brightness: Tensor

    def forward(self, profile: Tensor, level: Tensor) -> Evidence:
        """Posterior of pixels with profiles (n, B), in units of their norm, and levels (n,)."""
        deviation, noise = whiten_tensors(
            profile, level, self.center, self.white, self.middle, self.spread, self.brightness
        )
        variance = noise.unsqueeze(1)
        n_all, n_span = self.variance.size(0), self.variance.size(1)
        # what is orthogonal to the span is noise to all components alike
        projected = (deviation @ self.span) @ self.axes - self.offset
        projected = projected.view(-1, n_all, n_span)
        shrink = (variance.unsqueeze(2) + self.variance).reciprocal()
        factor = projected * shrink
        likelihood = (shrink.log() - projected * factor).sum(2)
        weight = nn.functional.pad(self.log_weight, [0, n_all - self.n_known])
        joint, unknown = torch.add(weight, likelihood, alpha=0.5).split(
            [self.n_known, n_all - self.n_known], 1
        )
        log_probability = torch.log_softmax(joint, 1)
        total = joint.amax(1) - log_probability.amax(1)
        each = log_probability.exp().unsqueeze(2)
        known = factor.narrow(1, 0, self.n_known)
        weighted = torch.cat([known * each, each], 2)
        measured = weighted.flatten(1) @ self.shown
        residual = (deviation.index_select(1, self.inside) - measured) * variance.rsqrt()
        return Evidence(log_probability, noise, log_sum(unknown) - total, residual, known)


def evidence_of(model: ForwardModel) -> PixelEvidence:
    """The fixed network of a fitted forward model.

    Parameters
    ----------
    model : ForwardModel

    Returns
    -------
    PixelEvidence
        Float32, on the CPU.

    Raises
    ------
    ValueError
        If the model's numbers are not finite.
    """
    energy, white, inside = model.continuum.energy, model.white, model.continuum.inside
    known = model.rotated_components()
    _, weight = model.components()
    columns = model.continuum.columns(energy, model.library) * white[:, None]
    population = Population(weight, model.mean, model.covariance)
    unknown = unknown_shapes(energy, model.library, white)
    parts = known + [rotated(columns, population, shape) for shape in unknown]

    spreads = [part.loadings @ part.basis.T for part in parts]  # of standard normal factors
    centers = np.array([part.center for part in parts])
    directions = np.concatenate([centers.T, *spreads], 1)
    if not np.isfinite(directions).all():
        raise ValueError("the forward model's numbers make no finite evidence")
    span = spanned(directions)
    reduced = [span.T @ spread for spread in spreads]
    variance, axes = np.linalg.eigh(np.array([spread @ spread.T for spread in reduced]))
    variance = np.maximum(variance, 0.0)
    shown = [
        np.vstack([(span[inside] @ axes[k] * variance[k]).T, known[k].center[inside]])
        for k in range(len(known))
    ]
    offset = np.einsum("cb,bs,cst->ct", centers, span, axes)
    module = PixelEvidence((len(energy), span.shape[1], len(known), int(inside.sum())))
    buffers = {
        "center": model.continuum.center(energy),
        "white": white,
        "middle": model.middle,
        "spread": model.spread,
        "brightness": model.mean_profile.mean(),
        "log_weight": np.log(np.maximum(weight, LEAST_PRIOR)),
        "span": span,
        "axes": np.concatenate(list(axes), 1),
        "offset": offset.ravel(),
        "variance": variance,
        "shown": np.concatenate(shown),
    }
    for name, array in buffers.items():
        setattr(module, name, torch.as_tensor(array, dtype=torch.float32).contiguous())
    module.inside = torch.as_tensor(np.flatnonzero(inside))
    return module


def next_frame(
    evidence: PixelEvidence,
    profile: Tensor,
    level: Tensor,
    frames: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Profiles (n, B) that pixels may show in one more frame, drawn from their own posterior.

    Parameters
    ----------
    evidence : PixelEvidence
    profile : Tensor (n, B)
        In units of the norm.
    level, frames : Tensor (n,)
        Noise level of a profile, and how many frames of the next one's dose it holds.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor (n, B)
        On the device of ``profile``.
    """
    posterior = evidence(profile, level)
    n_all, n_span = evidence.variance.shape
    which = torch.multinomial(posterior.log_probability.exp().cpu(), 1, generator=generator)[:, 0]
    which = which.to(profile.device)
    prior = evidence.variance[which]
    noise = posterior.noise.unsqueeze(1)
    rows = torch.arange(len(which), device=which.device)
    mean = prior * posterior.factor[rows, which]
    sd = (prior * noise / (prior + noise)).sqrt()
    along = mean + sd * torch.randn(mean.shape, generator=generator, dtype=torch.float32).to(mean)
    along = along + evidence.offset.view(n_all, n_span)[which]
    axes = evidence.axes.view(n_span, n_all, n_span).transpose(0, 1)[which]
    deviation = torch.einsum("nst,nt->ns", axes, along) @ evidence.span.T
    one_frame = (noise * frames.unsqueeze(1)).sqrt()
    deviation = deviation + one_frame * torch.randn(
        deviation.shape, generator=generator, dtype=torch.float32
    ).to(mean)
    return evidence.center + deviation / evidence.white
