"""Class probabilities of many pixels together: what a label at one of them says of the others.

The decomposition of a pixel's entropy needs the classifier's functions at that pixel alone. A batch
of labels needs them at many at once: a draw of the functions, the same for all pixels, and each
pixel's class probabilities given that draw, its own latent integrated out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.uncertainty.quadrature import normal_nodes

if TYPE_CHECKING:
    from eels_bayes.gp.classifier import GPClassifier

N_NODES = 8  # of each Gaussian of a pixel's latent
CHUNK = 256  # pixels at a time


@dataclass(frozen=True, eq=False)
class JointPosterior:
    """Latent posteriors of n pixels and the classifier that reads them.

    Attributes
    ----------
    weight : ndarray (n, R)
    mean, sd : ndarray (n, R, D)
        Gaussians of each pixel's latent along the encoder's axes; NaN where flagged.
    gp : GPClassifier
    """

    weight: NDArray[np.float32]
    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    gp: GPClassifier

    def __getitem__(self, index: slice | NDArray[Any] | Sequence[int]) -> JointPosterior:
        return JointPosterior(self.weight[index], self.mean[index], self.sd[index], self.gp)

    def draw(self, n_draws: int, *, seed: int = 0) -> NDArray[np.float64]:
        """Class probabilities (S, n, K) under S draws of the functions, NaN where flagged.

        What the inducing points leave open of a function is drawn for every Gaussian by itself.
        """
        generator = torch.Generator().manual_seed(seed)
        gp, (n, r, d) = self.gp, self.mean.shape
        weights = gp.draw_weights(n_draws, generator)  # (S, K, M)
        nodes = normal_nodes(N_NODES, d)
        parts = [torch.zeros(n_draws, 0, gp.n_classes, dtype=torch.float64)]
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            weight, mean, sd = (
                torch.as_tensor(x[rows], dtype=torch.float64)
                for x in (self.weight, self.mean, self.sd)
            )
            z = mean.unsqueeze(2) + sd.unsqueeze(2) * nodes  # (n, R, Q, D)
            kernel = gp.kernel(z.reshape(-1, d))
            left = gp.left_variance(kernel).view(len(mean), r, -1).mean(2)  # (n, R)
            f = torch.einsum("pm,skm->spk", kernel, weights)
            f = f.view(n_draws, len(mean), r, N_NODES, -1)
            own = torch.randn(n_draws, len(mean), r, f.shape[-1], generator=generator).double()
            f = f + (own * left.sqrt().unsqueeze(-1)).unsqueeze(3)
            parts.append(_averaged(torch.softmax(f, -1), weight))
        return torch.cat(parts, 1).numpy()

    def draw_at_latents(
        self, n_draws: int, n_latents: int, *, seed: int = 0
    ) -> NDArray[np.float64]:
        """Class probabilities (T, S, n, K) at T draws of each latent, under S of the functions."""
        generator = torch.Generator().manual_seed(seed)
        gp, n = self.gp, len(self.mean)
        weights = gp.draw_weights(n_draws, generator)
        usable = np.isfinite(self.weight).all(1)
        found = np.full((n_latents, n_draws, n, gp.n_classes), np.nan)
        weight, mean, sd = (
            torch.as_tensor(x[usable], dtype=torch.float64)
            for x in (self.weight, self.mean, self.sd)
        )
        for t in range(n_latents if usable.any() else 0):
            which = torch.multinomial(weight, 1, generator=generator)[:, 0]
            rows = torch.arange(len(which))
            noise = torch.randn(mean[:, 0].shape, generator=generator, dtype=torch.float64)
            kernel = gp.kernel(mean[rows, which] + sd[rows, which] * noise)
            f = torch.einsum("nm,skm->snk", kernel, weights)
            own = torch.randn(f.shape, generator=generator, dtype=torch.float64)
            f = f + own * gp.left_variance(kernel).sqrt().unsqueeze(-1)
            found[t][:, usable] = torch.softmax(f, -1).numpy()
        return found


def _averaged(probability: Tensor, weight: Tensor) -> Tensor:
    """Over nodes and Gaussians: (S, n, R, Q, K) with weights (n, R) -> (S, n, K)."""
    return torch.einsum("snrk,nr->snk", probability.mean(3), weight)
