"""What neighbours say of a pixel's class: loopy belief propagation on a Potts field.

    p(classes | data) ~ prod_i h_i(k_i) prod_(i j) exp(-penalty_a(k_i, k_j))

over neighbours i, j along axis a. A message from j to i is what j says of i's class,

    m_ji(k) ~ sum_l exp(-penalty_a(k, l)) h_j(l) prod_(other neighbours of j) m(l),

and the product of those that a pixel gets is what all others say of it (Pearl 1988; on grids, which
have loops, an approximation: Yedidia, Freeman and Weiss, IEEE Trans. Inf. Theory 51, 2282 (2005)).
Plain tensors, of any number of fields at a time; pixels are last, where all arithmetic is fast.
Messages are probabilities, not their logs: a sweep needs no exponential.

Notation: n pixels, K classes, S = 2 A sides (before and behind along each axis).
"""

from __future__ import annotations

from functools import reduce
from operator import mul
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eels_bayes.field.graph import Graph

# Of a message: no neighbour rules a class out, and products of many stay single precision's. What
# all others say is held to more, as some pixels are alone.
LEAST_SAID = 1e-7
LEAST_SEEN = 1e-15  # of a likelihood, in the largest of its pixel: as above


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
    """Who sends to m pixels.

    Attributes
    ----------
    sender : Tensor (S, 1, m) of int
        The neighbour on each side, among those that send, from 1 on; 0 where there is none.
    opposite : Tensor (S,) of int
        The side on which that neighbour sees the pixel.
    """

    sender: Tensor
    opposite: Tensor


def sides_of(graph: Graph, receivers: slice = slice(None), first_sender: int = 0) -> Sides:
    """Sides of some pixels of a graph; the neighbour on one side sees a pixel on its other one.

    Parameters
    ----------
    graph : Graph
    receivers : slice
        Of its pixels.
    first_sender : int
        Row of the first of those that send to them.
    """
    row = torch.from_numpy(graph.neighbour[:, receivers]).unsqueeze(1)
    return Sides((row - first_sender + 1).clamp(min=0), torch.arange(len(row)) ^ 1)


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


def passed(messages: Tensor, local: Tensor, sides: Sides, kernel: Kernel) -> Tensor:
    """Messages that m pixels get, from those that their neighbours got.

    Parameters
    ----------
    messages : Tensor (..., S, K, n)
        That those who send got; 1 where there is no neighbour.
    local : Tensor (..., K, n)
        What each of these says of itself, h.
    sides : Sides
    kernel : Kernel
        Of those who send.

    Returns
    -------
    Tensor (..., S, K, m)
        Sums over classes are one.
    """
    n_sides = len(sides.opposite)
    if local.shape[-1] == 0 or n_sides == 0:  # where all are of one colour, or of no axis
        return messages.new_ones(sides.sender.shape).expand(*messages.shape[:-1], -1)
    n_beside = kernel.beside.shape[-3]
    # what goes to the neighbour on one side is all but what came from there: it is kept where that
    # neighbour hears it, on the opposite side
    both = messages.unflatten(-3, (n_sides // 2, 2))
    of_axes = both[..., 0, :, :] * both[..., 1, :, :]
    axes = range(n_sides // 2)
    rest = [
        reduce(mul, [of_axes[..., other, :, :] for other in axes if other != axis], local)
        for axis in axes
    ]
    outgoing = (both * torch.stack(rest, -3).unsqueeze(-3)).flatten(-4, -3)
    beside = kernel.beside.index_select(-3, sides.opposite[:n_beside])
    sent = torch.matmul(beside, outgoing[..., :n_beside, :, :])
    if kernel.in_time is not None:
        to_images = outgoing[..., n_beside:, :, :].unsqueeze(-3)
        sent = torch.cat([sent, (kernel.in_time.flip(0) * to_images).sum(-2)], -3)
    # and what those say who are not there, first
    said_of_all = torch.nn.functional.pad(
        normalised(sent).clamp_(min=LEAST_SAID), (1, 0), value=1.0
    )
    return said_of_all.gather(-1, sides.sender.expand(*sent.shape[:-1], -1))


def normalised(weights: Tensor) -> Tensor:
    """Probabilities (..., K, n) by weights of classes."""
    return weights / weights.sum(-2, keepdim=True)


def nothing_said(n_classes: int, sides: Sides) -> Tensor:
    """Messages (S, K, m) that favour no class."""
    return torch.where(sides.sender > 0, 1.0 / n_classes, 1.0).repeat(1, n_classes, 1)


def values_of_all(known: ArrayLike | None, n_classes: int) -> NDArray[np.float64]:
    """Value of each class (K,) by those of the first ones; NaN where a class has none."""
    values = np.full(n_classes, np.nan)
    if known is not None:
        given = np.asarray(known, dtype=np.float64)
        values[: len(given)] = given
    return values


def class_distance(values: NDArray[np.float64]) -> Tensor:
    """Steps between classes (K, K): along the order of their values; 1 where one has none (NaN)."""
    known = np.isfinite(values)
    rank = np.zeros(len(values))
    rank[known] = np.unique(values[known], return_inverse=True)[1]
    steps = np.maximum(np.abs(rank[:, None] - rank), 1.0)
    steps[~known] = steps[:, ~known] = 1.0
    np.fill_diagonal(steps, 0.0)
    return torch.from_numpy(steps)


def of_states(likelihood: Tensor, prior: Tensor, alone: Tensor) -> tuple[Tensor, Tensor]:
    """Prior (..., S + 1, n) of states and of being alone, last; and with the data besides.

    Parameters
    ----------
    likelihood, prior : Tensor (S, n)
        Of the states; and their weights where neighbours say nothing.
    alone : Tensor (...)
        Share of pixels that are.
    """
    alone = alone.to(prior.dtype)[..., None, None]
    joint = prior * likelihood
    of_any = joint.sum(0, keepdim=True)
    none = alone.expand(*alone.shape[:-2], 1, prior.shape[1])
    among = 1.0 - alone
    return torch.cat([prior * among, none], -2), torch.cat([joint * among, of_any * alone], -2)


def if_not_alone(states: Tensor, prior: Tensor) -> Tensor:
    """Probabilities (S, n) of states by those (S + 1, n) of these and of being alone."""
    return states[:-1] + states[-1:] * prior


def with_alone(penalty: Tensor) -> Tensor:
    """Penalties (..., K + 1, K + 1) of one state more, last, which costs nothing beside any."""
    return torch.nn.functional.pad(penalty, (0, 1, 0, 1))
