"""The field's prior: how alike neighbours are, and how frequent each class is.

    strength ~ LogNormal        what the next class at a neighbour costs, nats
    along_a ~ LogNormal         how much more of it along axis a: pixels need not be square
    growth ~ LogNormal          by what share of that one class further costs more
    alone ~ LogNormal           share of pixels to which their neighbours mean nothing
    weights_i ~ Dirichlet       of image i's classes where neighbours say nothing
    common, own_i ~ Gamma       how much more often classes follow one another into image i

    p(classes) ~ prod_i weights(k_i) prod_(i j) exp(-penalty(k_i, k_j)) prod_(b i) follows(k_b, k_i)

of neighbours i, j and the same place b in the image before, where none of the two is alone.

Weak, so that a small image decides little and a large one for itself. As a Pyro model:
`field.pyro_model`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

# Log-mean and log-sd of each.
STRENGTH = (math.log(1.0), 1.0)  # neighbours are alike, or do not care
ALONG = (0.0, 0.2)  # axes differ where an image says so clearly
GROWTH = (math.log(1.0), 1.0)  # farther classes cost twice as much, or hardly more
ALONE = (math.log(0.01), 1.0)  # single pixels of another class are rare
MOST_ALONE = 0.5  # of all pixels: where more are, no field is there
PAIRS = 16.0  # of pixels, that each entry of a table in time is worth; chosen on one series
PIXELS = 8.0  # that an image's weights are worth beforehand; chosen, not tuned


class Coupling(NamedTuple):
    """How alike neighbours are.

    Attributes
    ----------
    strength : Tensor (..., A)
        What the next class at a neighbour costs, nats, along each axis, the fastest first.
    growth : Tensor (...)
        By what share of that one class further costs more.
    alone : Tensor (...)
        Share of pixels to which their neighbours mean nothing: a structure of one pixel.
    """

    strength: Tensor
    growth: Tensor
    alone: Tensor


def prior_of_logs(n_axes: int) -> tuple[Tensor, Tensor]:
    """Mean and sd (A + 3,) of the logs of strength, growth, alone, and along each axis."""
    mean, sd = zip(STRENGTH, GROWTH, ALONE, *[ALONG] * n_axes, strict=True)
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(sd, dtype=torch.float64)


def coupling_of(logs: Tensor) -> Coupling:
    """The coupling of such logs (..., A + 3)."""
    strength, growth, alone = logs[..., :1], logs[..., 1], logs[..., 2]
    return Coupling(
        (strength + logs[..., 3:]).exp(), growth.exp(), alone.exp().clamp(max=MOST_ALONE)
    )


def logs_of(coupling: Coupling) -> Tensor:
    """The likeliest logs (A + 3,) of a coupling beforehand."""
    along = coupling.strength.log()
    (mean, *_), (wide, _, _, *narrow) = prior_of_logs(len(along))
    # what axes have in common is the strength's, or all of theirs, as their priors are wide
    common = along.mean()
    pull = (common - mean) / (1.0 + narrow[0] ** 2 / (len(along) * wide**2))
    strength = mean + pull
    others = torch.stack([strength, coupling.growth.log(), coupling.alone.log()])
    return torch.cat([others, along - strength])
