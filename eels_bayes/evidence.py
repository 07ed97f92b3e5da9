"""What a forward model says of single pixels, as one fixed network: script-safe.

For every component of the mixture the exact linear-Gaussian posterior at the pixel's own noise:
the sufficient statistics that a noisy encoder would otherwise have to learn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eels_bayes.factors import Population, rotated
from eels_bayes.forward_model import (
    OUTLIER,
    UNKNOWN,
    ForwardModel,
    LibraryFit,
    edge_shapes,
    unknown_shapes,
)


class Evidence(NamedTuple):
    """Posterior of n pixels under the forward model.

    Attributes
    ----------
    log_probability : Tensor (n, C)
        Of each component, normalised.
    clean : Tensor (n, W)
        Posterior mean of edge and overlapping shapes in the window's bins, edge units.
    noise : Tensor (n,)
        Noise variance of a whitened bin.
    unknown : Tensor (n,)
        Log-likelihood of an unknown structure over that of the library's, nats.
    residual : Tensor (n, W)
        What the posterior mean of everything leaves in the window's bins, in sd of the noise.
    """

    log_probability: Tensor
    clean: Tensor
    noise: Tensor
    unknown: Tensor
    residual: Tensor


class PixelEvidence(nn.Module):
    """Profiles (n, B) and their noise levels (n,) -> `Evidence`.

    Parameters
    ----------
    sizes : (B, R, C, W)
        Bins, rank of the components' loadings, components, bins of the window. Unknown structures'
        components follow the C of the library. The buffers are
        zero until `evidence_of` or ``load_state_dict`` fills them.
    """

    def __init__(self, sizes: tuple[int, int, int, int]):
        super().__init__()
        n_bins, rank, n_components, n_window = sizes
        self.sizes = sizes
        self.n_known = n_components
        n_all = n_components + len(UNKNOWN)
        self.outlier = OUTLIER  # scripting sees no globals
        self.register_buffer("center", torch.zeros(n_bins))
        self.register_buffer("white", torch.ones(n_bins))
        self.register_buffer("middle", torch.zeros(n_bins))
        self.register_buffer("spread", torch.zeros(n_bins))
        self.register_buffer("log_weight", torch.zeros(n_components))
        self.register_buffer("loadings", torch.zeros(n_all, n_bins, rank))
        self.register_buffer("offset", torch.zeros(n_all, rank))
        self.register_buffer("value", torch.ones(n_all, rank))
        self.register_buffer("mean", torch.zeros(n_all, n_bins))
        # what is shown of a component: its clean spectrum, then all of it as it is measured
        self.register_buffer("shown_mean", torch.zeros(n_components, 2 * n_window))
        self.register_buffer("shown_loadings", torch.zeros(n_components, rank, 2 * n_window))
        self.register_buffer("inside", torch.zeros(n_window, dtype=torch.int64))
        self.register_buffer("brightness", torch.tensor(1.0))
        self.center: Tensor
        self.white: Tensor
        self.middle: Tensor
        self.spread: Tensor
        self.log_weight: Tensor
        self.loadings: Tensor
        self.offset: Tensor
        self.value: Tensor
        self.mean: Tensor
        self.shown_mean: Tensor
        self.shown_loadings: Tensor
        self.inside: Tensor
        self.brightness: Tensor

    def forward(self, profile: Tensor, level: Tensor) -> Evidence:
        noise = level * (profile.mean(1) / self.brightness).clamp(0.05, 20.0)
        reach = self.outlier * (self.spread**2 + noise.unsqueeze(1)).sqrt()
        deviation = (profile - self.center) * self.white
        deviation = torch.minimum(deviation, self.middle + reach)
        deviation = torch.maximum(deviation, self.middle - reach)
        n_components, n_bins, rank = self.loadings.shape
        flat = self.loadings.permute(1, 0, 2).reshape(n_bins, n_components * rank)
        projected = (deviation @ flat).view(-1, n_components, rank) - self.offset
        # |y - m|^2 by its parts: no (n, C, B) array
        square = (
            (deviation**2).sum(1, keepdim=True)
            - 2.0 * deviation @ self.mean.t()
            + (self.mean**2).sum(1)
        )
        shrink = 1.0 / (noise.view(-1, 1, 1) + self.value)
        factor = projected * shrink
        quadratic = (square - (projected * factor).sum(2)) / noise.unsqueeze(1)
        likelihood = -0.5 * (quadratic - shrink.log().sum(2))
        joint = likelihood[:, : self.n_known] + self.log_weight
        others = torch.logsumexp(likelihood[:, self.n_known :], dim=1)
        unknown = others - torch.logsumexp(joint, dim=1)
        log_probability = torch.log_softmax(joint, dim=1)
        probability = log_probability.exp()
        weighted = factor[:, : self.n_known] * probability.unsqueeze(2)
        shown = probability @ self.shown_mean
        shown = shown + weighted.flatten(1) @ self.shown_loadings.flatten(0, 1)
        clean, measured = shown.chunk(2, 1)
        residual = deviation.index_select(1, self.inside) - measured
        residual = residual * noise.rsqrt().unsqueeze(1)
        return Evidence(log_probability, clean, noise, unknown, residual)


def evidence_of(model: ForwardModel) -> PixelEvidence:
    """The fixed network of a fitted forward model."""
    energy, white = model.continuum.energy, model.white
    window = model.continuum.window
    inside = (energy > window[0]) & (energy < window[1])
    known = model.rotated_components()
    _, weight = model.components()
    columns = model.continuum.columns(energy, model.library) * white[:, None]
    population = Population(weight, model.mean, model.covariance)
    others = unknown_shapes(energy, model.library, white)
    parts = known + [rotated(columns, population, shape) for shape in others]
    rank = max(len(one.value) for one in parts)
    n_shapes = len(model.library.nuisances)
    overlap = columns.copy()
    overlap[:, : columns.shape[1] - n_shapes] = 0.0
    root = np.linalg.cholesky(model.covariance)
    shapes = edge_shapes(energy, model.library, LibraryFit(), white)

    def padded(rows: list[np.ndarray], axis: int) -> Tensor:
        wide = [np.insert(r, [r.shape[axis]] * (rank - r.shape[axis]), 0.0, axis) for r in rows]
        return torch.as_tensor(np.array(wide), dtype=torch.float32)

    module = PixelEvidence((len(energy), rank, len(known), int(inside.sum())))
    module.center = torch.as_tensor(model.continuum.center(energy), dtype=torch.float32)
    module.white = torch.as_tensor(white, dtype=torch.float32)
    module.middle = torch.as_tensor(model.middle, dtype=torch.float32)
    module.spread = torch.as_tensor(model.spread, dtype=torch.float32)
    module.brightness = torch.tensor(float(model.mean_profile.mean()))
    module.log_weight = torch.as_tensor(np.log(np.maximum(weight, 1e-6)), dtype=torch.float32)
    module.mean = torch.as_tensor(np.array([one.center for one in parts]), dtype=torch.float32)
    module.loadings = padded([one.loadings for one in parts], 1)
    module.offset = padded([one.center @ one.loadings for one in parts], 0)
    # a padded direction has no variance: its shrinkage is a constant of all components
    value = [np.append(one.value, np.zeros(rank - len(one.value))) for one in parts]
    module.value = torch.as_tensor(np.array(value), dtype=torch.float32)
    means, loadings = [], []
    for one, shape in zip(known, shapes, strict=True):
        clean = (shape.mean + overlap @ model.mean)[inside] / white[inside]
        means.append(np.append(clean, one.center[inside]))
        both = np.concatenate([overlap @ root, shape.loadings], axis=1) @ one.basis
        clean = (both[inside] / white[inside, None]).T
        loadings.append(np.concatenate([clean, one.loadings[inside].T], axis=1))
    module.shown_mean = torch.as_tensor(np.array(means), dtype=torch.float32)
    module.shown_loadings = padded(loadings, 0)
    module.inside = torch.as_tensor(np.flatnonzero(inside))
    return module
