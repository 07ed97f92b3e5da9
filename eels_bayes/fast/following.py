"""A compiled reader's model of the spectra, moved to a population that has drifted.

The compiled reader holds, for every component of the forward model, a Gaussian of noise-free
spectra. What drifts is the population of the continuum's coefficients, the components' weights and
the noise; what the fingerprints look like stays. So each Gaussian's mean and covariance move by
what the coefficients' do, ``W dm`` and ``W dS W'``, and the rest of it stays. The latent of a
noise-free spectrum is a matter of the encoders and not of how frequent a spectrum is: the noisy
encoder's regressions of it (`latent.noisy_encoder`) stay, written down along the new axes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.fast.population import Population
from eels_bayes.latent.noisy_encoder import NoisyEncoder

# Buffers of the noisy encoder that follow a population; all others stay.
EVIDENCE = ("log_weight", "axes", "offset", "variance", "shown", "middle", "spread", "brightness")
ENCODER = ("offset", "slope")
FOLLOWING = (*(f"evidence.{name}" for name in EVIDENCE), *ENCODER)


class State(NamedTuple):
    """What follows a stream.

    Attributes
    ----------
    weight : Tensor (C,)
        Of the components; they sum to one.
    mean, covariance : Tensor (P,) and (P, P)
        Of the continuum's coefficients.
    noise : Tensor, scalar
        Variance of a bin over what the detector's noise makes of its counts.
    """

    weight: Tensor
    mean: Tensor
    covariance: Tensor
    noise: Tensor


class Components(NamedTuple):
    """Gaussians of noise-free spectra, of known and unknown structures, where directions matter.

    Attributes
    ----------
    log_weight : Tensor (C,)
        Of the known ones; they sum to one.
    center : Tensor (T, S)
    axes : Tensor (T, S, S)
        Principal axes of each, in columns.
    variance : Tensor (T, S)
        Along these.
    noise : Tensor, scalar
        As in `State`.
    """

    log_weight: Tensor
    center: Tensor
    axes: Tensor
    variance: Tensor
    noise: Tensor


class Followed(nn.Module):
    """How a compiled reader's components depend on the population; float64, on the CPU.

    Script-safe, as what follows a stream is compiled: see `stream_em`.

    Parameters
    ----------
    encoder : NoisyEncoder
        As it was fitted.
    population : Population
        As it was fitted.
    n_classes : int
        K; the components of single classes come first.
    """

    fitted: State

    def __init__(self, encoder: NoisyEncoder, population: Population, n_classes: int):
        super().__init__()
        self.n_classes, self.single = n_classes, population.single
        evidence = encoder.evidence
        n_all, n_span = evidence.variance.shape
        own = {name: getattr(evidence, name).double().cpu() for name in EVIDENCE}
        self.white = evidence.white.double().cpu()
        self.span, self.inside = evidence.span.double().cpu(), evidence.inside.cpu()
        self.directions = self.span.T @ (population.columns * self.white.unsqueeze(1))  # (S, P)
        self.fitted = State(
            own["log_weight"].softmax(0),
            population.mean,
            population.covariance,
            torch.ones((), dtype=torch.float64),
        )
        axes = own["axes"].view(n_span, n_all, n_span).transpose(0, 1)
        offset = own["offset"].view(n_all, n_span)
        center = torch.einsum("tsa,ta->ts", axes, offset)
        self.edge = center - self.directions @ population.mean
        covariance = (axes * own["variance"].unsqueeze(1)) @ axes.mT
        moving = self.directions @ population.covariance @ self.directions.T
        self.staying = covariance - moving  # of edges, their variations and misfits
        self.middle, self.spread = own["middle"], own["spread"]
        self.brightness = own["brightness"]
        self.latent = encoder.offset.double().cpu()
        slope = encoder.slope.double().cpu()
        self.slope = axes[: len(slope)] @ slope  # in the directions themselves
        self.shown_mean, self.shown_variance = self._shown(self.components(self.fitted))

    @torch.jit.export
    def components(self, state: State) -> Components:
        """The Gaussians of a state."""
        moving = self.directions @ state.covariance @ self.directions.T
        variance, axes = torch.linalg.eigh(self.staying + moving)
        center = self.edge + self.directions @ state.mean
        return Components(state.weight.log(), center, axes, variance.clamp(min=0.0), state.noise)

    @torch.jit.export
    def tensors(self, state: State, components: Components) -> dict[str, Tensor]:
        """What the encoder's buffers `FOLLOWING` are for these components, in single precision."""
        n_known, n_all = len(self.latent), components.variance.shape[0]
        n_span = components.variance.shape[1]
        offset = torch.einsum("tsa,ts->ta", components.axes, components.center)
        axes = components.axes[:n_known]
        wide = axes * components.variance[:n_known].unsqueeze(1)
        shown = torch.cat([wide.mT, components.center[:n_known].unsqueeze(1)], 1)  # (C, S + 1, S)
        mean, variance = self._shown(components)
        moved = self.directions @ (state.mean - self.fitted.mean)
        spread = (self.spread**2 + variance - self.shown_variance).clamp(min=0.0).sqrt()
        whole = {
            "evidence.log_weight": components.log_weight,
            "evidence.axes": components.axes.transpose(0, 1).reshape(n_span, n_all * n_span),
            "evidence.offset": offset.flatten(),
            "evidence.variance": components.variance,
            "evidence.shown": (shown @ self.span[self.inside].T).flatten(0, 1),
            "evidence.middle": self.middle + (mean - self.shown_mean),
            "evidence.spread": spread,
            # by it the noise is reckoned from a profile's sum
            "evidence.brightness": self.brightness / components.noise,
            "offset": self.latent + moved @ self.slope,
            "slope": axes.mT @ self.slope,
        }
        found: dict[str, Tensor] = {}
        for name, x in whole.items():
            found[name] = x.float().contiguous()
        return found

    def _shown(self, components: Components) -> tuple[Tensor, Tensor]:
        """Mean and variance (B,) of whitened bins among spectra without noise."""
        weight = components.log_weight.exp()
        n_known = len(weight)
        center = components.center[:n_known]
        mean = weight @ center
        apart = center - mean
        covariance = (apart * weight.unsqueeze(1)).T @ apart
        root = (components.variance[:n_known] * weight.unsqueeze(1)).sqrt()
        wide = components.axes[:n_known] * root.unsqueeze(1)
        covariance = covariance + (wide @ wide.mT).sum(0)
        return self.span @ mean, ((self.span @ covariance) * self.span).sum(1)
