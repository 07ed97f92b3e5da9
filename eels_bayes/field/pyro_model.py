"""The field as a Pyro model; `field.prior` says what its parameters mean."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from eels_bayes.field.graph import Graph
from eels_bayes.field.messages import penalties
from eels_bayes.field.prior import PAIRS, PIXELS, coupling_of, prior_of_logs


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
    mean, sd = prior_of_logs(graph.n_axes)
    logs = pyro.sample("logs", dist.Normal(mean, sd).to_event(1))
    with pyro.plate("images", int(image.max()) + 1):
        weights = pyro.sample("weights", dist.Dirichlet(1.0 + PIXELS * overall))
    coupling = coupling_of(logs)
    with pyro.plate("pixels", len(image)):
        alone = pyro.sample("alone", dist.Bernoulli(coupling.alone.expand(len(image))))
        classes: Tensor = pyro.sample("classes", dist.Categorical(weights[image]))
        pyro.factor("data", likelihood.gather(-1, classes.unsqueeze(-1)).squeeze(-1))
    penalty = penalties(coupling.strength, coupling.growth, distance)
    log_follows = torch.zeros(0, dtype=torch.float32)
    if graph.image is not None:
        size = (int(image.max()) + 2, len(overall), len(overall))
        factors = dist.Gamma(1.0 + PAIRS, PAIRS).expand(size).to_event(3)
        log_factors = pyro.sample("factors", factors).log()  # the last is common
        log_follows = log_factors[:-1] + log_factors[-1]
    for axis, rows in enumerate(graph.neighbour[1::2]):  # behind: each pair once
        first = torch.from_numpy(np.flatnonzero(rows >= 0))
        second = torch.from_numpy(rows[rows >= 0])
        both = (1.0 - alone[first]) * (1.0 - alone[second])
        if axis < graph.n_axes:
            energy = -penalty[2 * axis][classes[first], classes[second]]
        else:
            energy = log_follows[image[second], classes[first], classes[second]]
        pyro.factor(f"neighbours {axis}", (both * energy).sum())
    return classes
