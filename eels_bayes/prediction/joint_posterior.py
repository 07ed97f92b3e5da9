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

# Nodes of each Gaussian of a pixel's latent: their probabilities are off by up to 0.035, and by
# 0.006 in the mean.
N_NODES = 8
CHUNK = 256  # pixels at a time, to bound the memory


@dataclass(frozen=True, eq=False)
class JointPosterior:
    """Latent posteriors of n pixels and the classifier that reads them.

    Attributes
    ----------
    weight : ndarray (n, R)
        Of the R Gaussians of each pixel's latent; they sum to one.
    mean, sd : ndarray (n, R, D)
        Of these Gaussians, along the encoder's axes.
    component : ndarray (n, R)
        Which of the forward model's C components each Gaussian is of. All four are NaN where
        flagged; in single or half precision.
    gp : GPClassifier
        What reads the latents.
    against : ndarray (C, K)
        Logits that speak against each class in each component, as far as the functions are known.
    """

    weight: NDArray[np.floating]
    mean: NDArray[np.floating]
    sd: NDArray[np.floating]
    component: NDArray[np.floating]
    gp: GPClassifier
    against: NDArray[np.floating]

    def __getitem__(self, index: slice | NDArray[Any] | Sequence[int]) -> JointPosterior:
        """Some of the pixels, by a slice, indices or a mask."""
        of_pixels = (self.weight, self.mean, self.sd, self.component)
        weight, mean, sd, component = (column[index] for column in of_pixels)
        return JointPosterior(weight, mean, sd, component, self.gp, self.against)

    def draw(
        self, n_draws: int, *, seed: int = 0, n_nodes: int = N_NODES, chunk_size: int = CHUNK
    ) -> NDArray[np.float64]:
        """Class probabilities of all pixels under common draws of the functions.

        What the inducing points leave open of a function is drawn for every Gaussian by itself.

        Parameters
        ----------
        n_draws : int
            S.
        seed : int
            Of the draws.
        n_nodes : int
            Nodes over which each Gaussian of a pixel's latent is averaged.
        chunk_size : int
            Pixels at a time, to bound the memory.

        Returns
        -------
        ndarray (S, n, K)
            NaN where flagged.
        """
        generator = torch.Generator().manual_seed(seed)
        gp, (n, r, d) = self.gp, self.mean.shape
        weights = gp.draw_weights(n_draws, generator)  # (S, K, M)
        nodes = normal_nodes(n_nodes, d)
        parts = [torch.zeros(n_draws, 0, gp.n_classes, dtype=torch.float64)]
        for start in range(0, n, chunk_size):
            rows = slice(start, start + chunk_size)
            weight, mean, sd, against = self._gaussians(rows)
            z = mean.unsqueeze(2) + sd.unsqueeze(2) * nodes  # (n, R, Q, D)
            kernel = gp.kernel(z.reshape(-1, d))
            residual_variance = gp.left_variance(kernel).view(len(mean), r, -1).mean(2)  # (n, R)
            f = torch.einsum("pm,skm->spk", kernel, weights)
            f = f.view(n_draws, len(mean), r, n_nodes, -1)
            noise = torch.randn(
                n_draws, len(mean), r, f.shape[-1], generator=generator, dtype=torch.float32
            ).double()
            f = f + (noise * residual_variance.sqrt().unsqueeze(-1)).unsqueeze(3)
            share = gp.known_share(kernel).view(len(mean), r, n_nodes, -1)
            f = f - against.unsqueeze(2) * share
            parts.append(_averaged(torch.softmax(f, -1), weight))
        return torch.cat(parts, 1).numpy()

    def draw_at_latents(
        self, n_draws: int, n_latents: int, *, seed: int = 0
    ) -> NDArray[np.float64]:
        """Class probabilities at drawn latents, under common draws of the functions.

        Parameters
        ----------
        n_draws : int
            S, draws of the functions.
        n_latents : int
            T, draws of each pixel's latent.
        seed : int
            Of the draws.

        Returns
        -------
        ndarray (T, S, n, K)
            NaN where flagged.
        """
        generator = torch.Generator().manual_seed(seed)
        gp, n = self.gp, len(self.mean)
        weights = gp.draw_weights(n_draws, generator)
        usable = np.isfinite(self.weight).all(1)
        probabilities = np.full((n_latents, n_draws, n, gp.n_classes), np.nan)
        weight, mean, sd, against = self._gaussians(usable)
        for t in range(n_latents if usable.any() else 0):
            which = torch.multinomial(weight, 1, generator=generator)[:, 0]
            rows = torch.arange(len(which))
            latent_noise = torch.randn(mean[:, 0].shape, generator=generator, dtype=torch.float64)
            kernel = gp.kernel(mean[rows, which] + sd[rows, which] * latent_noise)
            f = torch.einsum("nm,skm->snk", kernel, weights)
            noise = torch.randn(f.shape, generator=generator, dtype=torch.float64)
            f = f + noise * gp.left_variance(kernel).sqrt().unsqueeze(-1)
            f = f - against[rows, which] * gp.known_share(kernel)
            probabilities[t][:, usable] = torch.softmax(f, -1).numpy()
        return probabilities

    def _gaussians(self, rows: slice | NDArray[Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights, means, sd and logits against classes of the Gaussians of some pixels.

        Weights sum to one, also where they are stored in half precision.
        """
        weight, mean, sd = (
            torch.as_tensor(x[rows], dtype=torch.float64) for x in (self.weight, self.mean, self.sd)
        )
        component = torch.as_tensor(np.nan_to_num(self.component[rows])).long()
        against = torch.as_tensor(self.against, dtype=torch.float64)[component]
        return weight / weight.sum(1, keepdim=True), mean, sd, against


def _averaged(probability: Tensor, weight: Tensor) -> Tensor:
    """Over nodes and Gaussians: (S, n, R, Q, K) with weights (n, R) -> (S, n, K)."""
    return torch.einsum("snrk,nr->snk", probability.mean(3), weight)
