"""What a forward model says of single pixels, as one fixed network: script-safe.

For every component of the mixture the exact linear-Gaussian posterior at the pixel's own noise:
the sufficient statistics that a noisy encoder would otherwise have to learn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
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

Array = NDArray[Any]


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
    sizes : (B, S, R, C, W)
        Bins, directions that all components together span, rank of a component's loadings,
        components, bins of the window. Unknown structures' components follow the C of the library.
        The buffers are zero until `evidence_of` or ``load_state_dict`` fills them.
    """

    def __init__(self, sizes: tuple[int, int, int, int, int]):
        super().__init__()
        n_bins, n_span, rank, n_components, n_window = sizes
        self.sizes = sizes
        self.n_known = n_components
        n_all = n_components + len(UNKNOWN)
        self.outlier = OUTLIER  # scripting sees no globals
        self.register_buffer("center", torch.zeros(n_bins))
        self.register_buffer("white", torch.ones(n_bins))
        self.register_buffer("middle", torch.zeros(n_bins))
        self.register_buffer("spread", torch.zeros(n_bins))
        self.register_buffer("log_weight", torch.zeros(n_components))
        # in its columns the directions that matter, before the components' own projections
        self.register_buffer("span", torch.zeros(n_bins, n_span))
        self.register_buffer("loadings", torch.zeros(n_span, n_all * rank))
        self.register_buffer("offset", torch.zeros(n_all * rank))
        self.register_buffer("value", torch.ones(n_all, rank))
        self.register_buffer("mean", torch.zeros(n_span, n_all))
        self.register_buffer("mean_square", torch.zeros(n_all))
        # what is shown of a component: its clean spectrum, then all of it as it is measured
        self.register_buffer("shown", torch.zeros(n_components * (rank + 1), 2 * n_window))
        self.register_buffer("inside", torch.zeros(n_window, dtype=torch.int64))
        self.register_buffer("brightness", torch.tensor(1.0))
        self.center: Tensor
        self.white: Tensor
        self.middle: Tensor
        self.spread: Tensor
        self.log_weight: Tensor
        self.span: Tensor
        self.loadings: Tensor
        self.offset: Tensor
        self.value: Tensor
        self.mean: Tensor
        self.mean_square: Tensor
        self.shown: Tensor
        self.inside: Tensor
        self.brightness: Tensor

    def forward(self, profile: Tensor, level: Tensor) -> Evidence:
        noise = level * (profile.mean(1) / self.brightness).clamp(0.05, 20.0)
        reach = self.outlier * (self.spread**2 + noise.unsqueeze(1)).sqrt()
        deviation = (profile - self.center) * self.white
        deviation = torch.minimum(deviation, self.middle + reach)
        deviation = torch.maximum(deviation, self.middle - reach)
        n_all, rank = self.value.shape
        reduced = deviation @ self.span
        projected = (reduced @ self.loadings - self.offset).view(-1, n_all, rank)
        # |y - m|^2 by its parts: no (n, C, B) array
        square = (deviation**2).sum(1, keepdim=True) + self.mean_square
        square = square - 2.0 * reduced @ self.mean
        shrink = 1.0 / (noise.view(-1, 1, 1) + self.value)
        factor = projected * shrink
        quadratic = (square - (projected * factor).sum(2)) / noise.unsqueeze(1)
        likelihood = -0.5 * (quadratic - shrink.log().sum(2))
        joint = likelihood[:, : self.n_known] + self.log_weight
        others = torch.logsumexp(likelihood[:, self.n_known :], dim=1)
        unknown = others - torch.logsumexp(joint, dim=1)
        log_probability = torch.log_softmax(joint, dim=1)
        probability = log_probability.exp()
        each = probability.unsqueeze(2)
        weighted = torch.cat([factor[:, : self.n_known] * each, each], 2)
        shown = weighted.flatten(1) @ self.shown
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

    def padded(rows: list[Array], axis: int) -> list[Array]:
        return [np.insert(r, [r.shape[axis]] * (rank - r.shape[axis]), 0.0, axis) for r in rows]

    loadings = np.array(padded([one.loadings for one in parts], 1))
    centers = np.array([one.center for one in parts])
    # what is orthogonal to every component says nothing of which it is
    left, size, _ = np.linalg.svd(np.concatenate([centers.T, *loadings], 1), full_matrices=False)
    span = left[:, size > 1e-6 * size[0]]
    shown = []
    for one, shape in zip(known, shapes, strict=True):
        clean = (shape.mean + overlap @ model.mean)[inside] / white[inside]
        both = np.concatenate([overlap @ root, shape.loadings], axis=1) @ one.basis
        both = (both[inside] / white[inside, None]).T
        mean = np.append(clean, one.center[inside])
        spread = np.concatenate([both, one.loadings[inside].T], axis=1)
        shown.append(np.concatenate([*padded([spread], 0), mean[None]]))
    offset = np.einsum("cb,cbr->cr", centers, loadings)
    # a padded direction has no variance: its shrinkage is a constant of all components
    value = np.array(padded([one.value for one in parts], 0))
    sizes = (len(energy), span.shape[1], rank, len(known), int(inside.sum()))
    module = PixelEvidence(sizes)
    found = {
        "center": model.continuum.center(energy),
        "white": white,
        "middle": model.middle,
        "spread": model.spread,
        "brightness": model.mean_profile.mean(),
        "log_weight": np.log(np.maximum(weight, 1e-6)),
        "span": span,
        "loadings": np.concatenate(list(span.T @ loadings), 1),
        "offset": offset.ravel(),
        "value": value,
        "mean": span.T @ centers.T,
        "mean_square": (centers**2).sum(1),
        "shown": np.concatenate(shown),
    }
    for name, array in found.items():
        setattr(module, name, torch.as_tensor(array, dtype=torch.float32).contiguous())
    module.inside = torch.as_tensor(np.flatnonzero(inside))
    return module
