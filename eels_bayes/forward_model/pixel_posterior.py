"""What a forward model says of single pixels, as one fixed network: script-safe.

For every component of the mixture the exact linear-Gaussian posterior at the pixel's own noise:
what the noisy encoder reads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.forward_model.whitening import whiten_tensors

# Shift and splitting of an unknown structure's edge, eV
UNKNOWN = ((-3.0, 0.0), (3.0, 0.0), (-3.0, 4.0), (0.0, 4.0), (3.0, 4.0))


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
    shrink : Tensor (n, C, S)
        One over noise and spread together: times the noise and the component's variance it is the
        posterior variance.
    """

    log_probability: Tensor
    noise: Tensor
    unknown: Tensor
    residual: Tensor
    factor: Tensor
    shrink: Tensor


def log_sum(rows: Tensor) -> Tensor:
    """``logsumexp`` of rows (n, C), finite ones: (n,). One fused kernel instead of seven."""
    return rows.amax(1) - torch.log_softmax(rows, 1).amax(1)


class PixelEvidence(nn.Module):
    """Profiles (n, B) and their noise levels (n,) -> `Evidence`.

    Parameters
    ----------
    sizes : (B, S, C, O, W)
        Bins, directions that all components together span, components, those of structures that
        the library lacks, which follow the others, bins of the window. The buffers are zero until
        `model_evidence.evidence_of` or ``load_state_dict`` fills them.
    """

    def __init__(self, sizes: tuple[int, int, int, int, int]):
        super().__init__()
        n_bins, n_span, n_components, n_unknown, n_window = sizes
        self.sizes = sizes
        self.n_known = n_components
        n_all = n_components + n_unknown
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
        likelihood = shrink.log().addcmul_(projected, factor, value=-1.0).sum(2)
        weight = nn.functional.pad(self.log_weight, [0, n_all - self.n_known])
        joint, unknown = torch.add(weight, likelihood, alpha=0.5).split(
            [self.n_known, n_all - self.n_known], 1
        )
        log_probability = torch.log_softmax(joint, 1)
        total = joint.amax(1) - log_probability.amax(1)
        each = log_probability.exp()
        known = factor.narrow(1, 0, self.n_known)
        shown = self.shown.view(self.n_known, n_span + 1, -1)
        spreads, centers = shown.split([n_span, 1], 1)
        measured = (known * each.unsqueeze(2)).flatten(1) @ spreads.flatten(0, 1)
        measured = measured + each @ centers.flatten(0, 1)
        residual = (deviation.index_select(1, self.inside) - measured) * variance.rsqrt()
        shrink = shrink.narrow(1, 0, self.n_known)
        return Evidence(log_probability, noise, log_sum(unknown) - total, residual, known, shrink)

    def along(self, profile: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Deviations (n, S) of pixels along the span, and their noise (n,)."""
        deviation, noise = whiten_tensors(
            profile, level, self.center, self.white, self.middle, self.spread, self.brightness
        )
        return deviation @ self.span, noise

    def of_component(self, along: Tensor, noise: Tensor, component: int) -> tuple[Tensor, Tensor]:
        """What `Evidence` has of one component: factor and shrink (n, S), by `along`."""
        n_span = self.variance.size(1)
        mine = slice(component * n_span, (component + 1) * n_span)
        shrink = (noise.unsqueeze(1) + self.variance[component]).reciprocal()
        return (along @ self.axes[:, mine] - self.offset[mine]) * shrink, shrink


def next_frame(
    evidence: PixelEvidence,
    profile: Tensor,
    level: Tensor,
    frames: Tensor,
    generator: torch.Generator,
    weight: Tensor | None = None,
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
    weight : Tensor (n, C), optional
        Of the components, where more is known of a pixel than it shows itself.

    Returns
    -------
    Tensor (n, B)
        On the device of ``profile``.
    """
    posterior = evidence(profile, level)
    n_all, n_span = evidence.variance.shape
    weight = posterior.log_probability.exp() if weight is None else weight
    which = torch.multinomial(weight.cpu(), 1, generator=generator)[:, 0]
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
