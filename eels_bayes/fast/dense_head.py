"""The dense head: a small network from latents to classes, the published low-latency option.

Together with the encoder it is one feed-forward network (Hollenbach et al., Sci. Rep. 14, 17881
(2024)). It knows no uncertainty of its own: of the decomposition it has the total alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from eels_bayes.effort import FULL, Effort
from eels_bayes.prediction.gp_heads import Gaussians, HeadOutputs, summed
from eels_bayes.randomness import own_randomness
from eels_bayes.training import FitState, fit
from eels_bayes.uncertainty.decomposition import Decomposition

HIDDEN = 64  # units of each of the two hidden layers: chosen, not tuned
PROBABILITY_FLOOR = 1e-30  # keeps 0 log 0 finite: in single precision it adds nothing
WIDTH_FLOOR = 1e-6  # of a latent's sd, so that one that never varies is not divided by zero
HELD_OUT_PART = 10  # one latent in so many is held out to stop at the best epoch


class DenseHeads(nn.Module):
    """Latents (n, D) to class probabilities through two hidden layers, averaged over a mixture.

    Parameters
    ----------
    latent_dim, n_classes : int
        D, K.
    """

    def __init__(self, latent_dim: int, n_classes: int):
        super().__init__()
        self.floor = PROBABILITY_FLOOR  # scripting sees no globals
        self.has_value, self.n_classes = False, n_classes
        self.register_buffer("center", torch.zeros(latent_dim, dtype=torch.float32))
        self.register_buffer("width", torch.ones(latent_dim, dtype=torch.float32))
        self.center: Tensor
        self.width: Tensor
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, HIDDEN, dtype=torch.float32),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN, dtype=torch.float32),
            nn.SiLU(),
            nn.Linear(HIDDEN, n_classes, dtype=torch.float32),
        )

    def logits(self, latents: Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., K) of latents (..., D)."""
        return self.layers((latents - self.center) / self.width)

    def forward(self, read: Gaussians, n: int, ratio: Tensor | None) -> HeadOutputs:
        """Probabilities at the means of n pixels' Gaussians; all but the total is NaN."""
        joint = read.weight.unsqueeze(1) * torch.softmax(self.logits(read.mean), 1)
        if ratio is not None:
            joint = joint * ratio
        of_pixel = summed(joint, read.pixel, n) + read.unread
        whole = of_pixel.sum(1, keepdim=True)
        probabilities = of_pixel / whole
        total = -(probabilities * probabilities.clamp(min=self.floor).log()).sum(1)
        unknown = torch.full_like(total, math.nan)
        each = joint / whole.index_select(0, read.pixel)
        parts = Decomposition(probabilities, total, unknown, unknown, unknown, each.sum(1))
        return HeadOutputs(parts, each, whole, unknown, unknown)


def fit_dense(
    latents: Tensor,
    labels: Tensor,
    n_classes: int,
    *,
    effort: Effort = FULL,
    seed: int = 0,
    show_progressbar: bool = True,
) -> DenseHeads:
    """Train the head by cross-entropy on the GP's own training data.

    Parameters
    ----------
    latents : Tensor (N, D)
        In no order: the first tenth is held out to stop at the best epoch.
    labels : Tensor (N,) of int
        Their classes.
    n_classes : int
        K.
    effort : Effort
        Schedule and batch size.
    seed : int
        Of everything random in training.
    show_progressbar : bool

    Returns
    -------
    DenseHeads
    """
    latents, labels = latents.float(), labels.long()
    with own_randomness(seed):
        head = DenseHeads(latents.shape[1], n_classes)
    head.center = latents.mean(0)
    head.width = latents.std(0).clamp_min(WIDTH_FLOOR)
    n_held_out = len(latents) // HELD_OUT_PART
    held_out, training = latents[:n_held_out], latents[n_held_out:]
    held_out_targets, targets = labels[:n_held_out], labels[n_held_out:]

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(training), (effort.dense_batch,), generator=generator)
        return nn.functional.cross_entropy(head.logits(training[rows]), targets[rows])

    fit(
        head,
        loss,
        lambda: nn.functional.cross_entropy(head.logits(held_out), held_out_targets),
        effort.dense,
        FitState(),
        seed=seed,
        description="dense head",
        show_progressbar=show_progressbar,
    )
    return head
