"""What neighbours say of a pixel's class: loopy belief propagation on a Potts field.

    p(classes | data) ~ prod_i h_i(k_i) prod_(i j) exp(-penalty_a(k_i, k_j))

over neighbours i, j along axis a. A message from j to i is what j says of i's class,

    m_ji(k) ~ sum_l exp(-penalty_a(k, l)) h_j(l) prod_(other neighbours of j) m(l),

and the product of those that a pixel gets is what all others say of it (Pearl 1988; on grids, which
have loops, an approximation: Yedidia, Freeman and Weiss, IEEE Trans. Inf. Theory 51, 2282 (2005)).
Plain tensors, of any number of fields at a time; pixels are last, where all arithmetic is fast.

Notation: n pixels, K classes, S = 2 A sides (before and behind along each axis).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.field.graph import Graph

DAMPING = 0.5  # part of a message that stays: without it sweeps of a grid oscillate
MOST_SWEEPS = 60  # a message of a settled field no longer travels
SETTLED = 1e-3  # largest change of a log message in a sweep that ends it


class Kernel(NamedTuple):
    """Weights of the states of two neighbours.

    Attributes
    ----------
    beside : Tensor (..., 2 A, K, K)
        ``exp(-penalties)``, of each side in an image.
    in_time : Tensor (2, K, K, n), optional
        By the state of the neighbour in the image before, and in the next one, and of the pixel.
    """

    beside: Tensor
    in_time: Tensor | None = None


class Sides(NamedTuple):
    """A graph as messages need it.

    Attributes
    ----------
    sender : Tensor (S, 1, n) of int
        Row of the neighbour on each side; 0 where there is none.
    opposite : Tensor (S,) of int
        The side on which that neighbour sees the pixel.
    there : Tensor (S, 1, n) of bool
        Whether there is such a neighbour.
    """

    sender: Tensor
    opposite: Tensor
    there: Tensor


def sides_of(graph: Graph) -> Sides:
    """A graph's sides; the neighbour on one side sees a pixel on its other one."""
    row = torch.from_numpy(graph.neighbour).unsqueeze(1)
    return Sides(row.clamp(min=0), torch.arange(len(row)) ^ 1, row >= 0)


def penalties(strength: Tensor, growth: Tensor, distance: Tensor) -> Tensor:
    """What unequal classes of neighbours cost, nats.

    Parameters
    ----------
    strength : Tensor (..., A)
        Of classes at distance 1, along each axis.
    growth : Tensor (...)
        By what share of it one step further costs more.
    distance : Tensor (K, K)
        In steps; 0 on the diagonal.

    Returns
    -------
    Tensor (..., 2 A, K, K)
    """
    steps = (distance - 1.0).clamp(min=0.0)
    cost = distance.clamp(max=1.0) + growth[..., None, None] * steps
    of_axes = strength[..., None, None] * cost.unsqueeze(-3)
    return of_axes.repeat_interleave(2, dim=-3)


def sweep(messages: Tensor, local: Tensor, sides: Sides, kernel: Kernel) -> Tensor:
    """All messages once more, from those before.

    Parameters
    ----------
    messages : Tensor (..., S, K, n)
        Logs; 0 where there is no neighbour.
    local : Tensor (..., K, n)
        Log of what each pixel says of itself, ``log h``.
    sides : Sides
    kernel : Kernel

    Returns
    -------
    Tensor (..., S, K, n)
        Normalised over classes.
    """
    outgoing = (local + messages.sum(-3)).unsqueeze(-3) - messages
    outgoing = (outgoing - outgoing.amax(-2, keepdim=True)).exp()
    n_beside = kernel.beside.shape[-3]
    sent = torch.matmul(kernel.beside, outgoing[..., :n_beside, :, :])
    if kernel.in_time is not None:
        to_images = outgoing[..., n_beside:, :, :].unsqueeze(-3)
        sent = torch.cat([sent, (kernel.in_time * to_images).sum(-2)], -3)
    sent = (sent / sent.sum(-2, keepdim=True)).log().index_select(-3, sides.opposite)
    return torch.where(sides.there, sent.gather(-1, sides.sender.expand_as(sent)), 0.0)


def damped(messages: Tensor, local: Tensor, sides: Sides, kernel: Kernel) -> Tensor:
    """Messages half way to those of a `sweep`."""
    return torch.lerp(sweep(messages, local, sides, kernel), messages, DAMPING)


def said_by_others(messages: Tensor, prior: Tensor) -> Tensor:
    """Log of what all others and the prior (K, n) say of each pixel (..., K, n), normalised."""
    return torch.log_softmax(prior + messages.sum(-3), -2)


def settled(
    messages: Tensor,
    local: Tensor,
    sides: Sides,
    kernel: Kernel,
    after_each: Callable[[], object] = lambda: None,
) -> Tensor:
    """Messages (S, K, n) that no longer change, or are close to it.

    Parameters
    ----------
    messages : Tensor (S, K, n)
        To begin with.
    local : Tensor (K, n)
    sides : Sides
    kernel : Kernel
    after_each : callable
        Called after each sweep.
    """
    for _ in range(MOST_SWEEPS):
        after = damped(messages, local, sides, kernel)
        change = (after - messages).abs().amax() if after.numel() else torch.tensor(0.0)
        messages = after
        after_each()
        if change < SETTLED:
            break
    return messages


def nothing_said(n_classes: int, sides: Sides) -> Tensor:
    """Messages (S, K, n) that favour no class."""
    none = torch.full((n_classes, 1), -float(np.log(n_classes)), dtype=torch.float32)
    return torch.where(sides.there, none, 0.0)


def class_distance(values: NDArray[np.float64]) -> Tensor:
    """Steps between classes (K, K): along the order of their values; 1 where one has none (NaN)."""
    known = np.isfinite(values)
    rank = np.zeros(len(values))
    rank[known] = np.unique(values[known], return_inverse=True)[1]
    steps = np.maximum(np.abs(rank[:, None] - rank), 1.0)
    steps[~known] = steps[:, ~known] = 1.0
    np.fill_diagonal(steps, 0.0)
    return torch.from_numpy(steps)


def of_states(data: Tensor, prior: Tensor, alone: Tensor) -> tuple[Tensor, Tensor]:
    """Log prior (..., S + 1, n) of states and of being alone, last; and with the data besides.

    Parameters
    ----------
    data, prior : Tensor (S, n)
        Log-likelihoods, and log weights where neighbours say nothing.
    alone : Tensor (...)
        Share of pixels that are.
    """
    alone = alone.to(prior.dtype)[..., None, None]
    among = prior + torch.log1p(-alone)
    none = torch.zeros_like(among[..., :1, :]) + alone.log()
    of_any = torch.logsumexp(prior + data, 0, keepdim=True)
    prior_of_states = torch.cat([among, none], -2)
    return prior_of_states, prior_of_states + torch.cat([data, of_any])


def if_not_alone(states: Tensor, prior: Tensor) -> Tensor:
    """Probabilities (S, n) of states by logs (S + 1, n) of these and of being alone."""
    return states[:-1].exp() + states[-1:].exp() * prior.exp()


def with_alone(penalty: Tensor) -> Tensor:
    """Penalties (..., K + 1, K + 1) of one state more, last, which costs nothing beside any."""
    return torch.nn.functional.pad(penalty, (0, 1, 0, 1))
