"""The field's prior as a Pyro model: how alike neighbours are, and how frequent each class is.

    strength ~ LogNormal        what the next class at a neighbour costs, nats
    along_a ~ LogNormal         how much more of it along axis a: pixels need not be square
    growth ~ LogNormal          by what share of that one class further costs more
    weights_i ~ Dirichlet       of image i's classes where neighbours say nothing

    p(classes) ~ prod_i weights(k_i) prod_(i j) exp(-penalty(k_i, k_j))

Weak, so that a small image decides little and a large one for itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from eels_bayes.field.graph import Graph
from eels_bayes.field.messages import penalties

# Log-mean and log-sd of each.
STRENGTH = (math.log(1.0), 1.0)  # neighbours are alike, or do not care
ALONG = (0.0, 0.2)  # axes differ where an image says so clearly
GROWTH = (math.log(1.0), 1.0)  # farther classes cost twice as much, or hardly more
PIXELS = 8.0  # that an image's weights are worth beforehand; chosen, not tuned


class Coupling(NamedTuple):
    """How alike neighbours are.

    Attributes
    ----------
    strength : Tensor (..., A)
        What the next class at a neighbour costs, nats, along each axis, the fastest first.
    growth : Tensor (...)
        By what share of that one class further costs more.
    """

    strength: Tensor
    growth: Tensor


def prior_of_logs(n_axes: int) -> tuple[Tensor, Tensor]:
    """Mean and sd (A + 2,) of the logs of strength, growth, and along each axis."""
    mean, sd = zip(STRENGTH, GROWTH, *[ALONG] * n_axes, strict=True)
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(sd, dtype=torch.float64)


def coupling_of(logs: Tensor) -> Coupling:
    """The coupling of such logs (..., A + 2)."""
    return Coupling((logs[..., :1] + logs[..., 2:]).exp(), logs[..., 1].exp())


def model(
    likelihood: Tensor, image: Tensor, graph: Graph, distance: Tensor, overall: Tensor
) -> Tensor:
    """Pyro model of n pixels' log-likelihoods (n, K); gives their classes (n,).

    The field is known but for its normalisation, which depends on strength and growth: condition on
    ``logs``, as `messages` do.

    Parameters
    ----------
    likelihood : Tensor (n, K)
        Logs.
    image : Tensor (n,)
    graph : Graph
    distance : Tensor (K, K)
        In steps.
    overall : Tensor (K,)
        Class weights of all images.
    """
    mean, sd = prior_of_logs(len(graph.neighbour) // 2)
    logs = pyro.sample("logs", dist.Normal(mean, sd).to_event(1))
    with pyro.plate("images", int(image.max()) + 1):
        weights = pyro.sample("weights", dist.Dirichlet(1.0 + PIXELS * overall))
    with pyro.plate("pixels", len(image)):
        classes: Tensor = pyro.sample("classes", dist.Categorical(weights[image]))
        pyro.factor("data", likelihood.gather(-1, classes.unsqueeze(-1)).squeeze(-1))
    penalty = penalties(*coupling_of(logs), distance)
    behind = graph.neighbour[1::2]  # each pair once
    for axis, rows in enumerate(behind):
        first = torch.from_numpy(np.flatnonzero(rows >= 0))
        second = torch.from_numpy(rows[rows >= 0])
        pair = penalty[2 * axis][classes[first], classes[second]]
        pyro.factor(f"neighbours {axis}", -pair.sum())
    return classes
