"""How classes follow one another in a place, from one image to the next.

What lies between two images is not known: a heating step that changes every second place, or
nothing. So each pair of them has a table,

    follows_i(l, m) = common(l, m) own_i(l, m),

how much more often class m comes after l than if places had nothing to do with one another; 1 where
nothing persists. Tables are learned as the weights of the classes are: each pixel is foretold by
all others with its own data left out, and both factors move until pairs of classes are believed as
often as they are foretold. There the predictive likelihood does not change with them, but for their
prior.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from eels_bayes.field.graph import Graph
from eels_bayes.field.prior import PAIRS


class Places(NamedTuple):
    """Which table says what of which pixel.

    Attributes
    ----------
    table : Tensor (2, n) of int
        Image whose table holds between a pixel and the one before, or behind, it; I where none is.
    before : Tensor (n,) of int
        Row of the pixel before; 0 where none is.
    label : Tensor (S,) of int
        Class of each state, by which the tables are.
    n_images : int
        I.
    """

    table: Tensor
    before: Tensor
    label: Tensor
    n_images: int


def places_of(graph: Graph, label: Tensor) -> Places | None:
    """The places of a graph, if it has an axis in time, and the classes (S,) of states."""
    if graph.image is None:
        return None
    image, n_images = torch.from_numpy(graph.image), int(graph.image.max()) + 1
    before, behind = torch.from_numpy(graph.neighbour[-2:])
    of_before = torch.where(before >= 0, image, n_images)
    of_behind = torch.where(behind >= 0, image[behind.clamp(min=0)], n_images)
    table = torch.stack([of_before, of_behind])
    return Places(table, before.clamp(min=0), label, n_images)


def nothing_follows(n_classes: int, n_images: int) -> Tensor:
    """Log factors (K, K, I + 1) of images that share nothing: each one's own, then that of all."""
    return torch.zeros(n_classes, n_classes, n_images + 1, dtype=torch.float32)


def tables(log_factors: Tensor, places: Places) -> Tensor:
    """Log tables (K, K, I), class before and class after; 0 where nothing is before."""
    linked = torch.bincount(places.table[0], minlength=places.n_images + 1)[:-1] > 0
    return (log_factors[..., :-1] + log_factors[..., -1:]) * linked


def kernel_in_time(log_factors: Tensor, places: Places) -> Tensor:
    """Weights (2, S + 1, S + 1, n) of states, the neighbour's first, then the pixel's.

    A pixel that is alone has nothing to do with what it was.
    """
    of_states = of_label(tables(log_factors, places), places.label)
    weights = pad(of_states, (0, 1, 0, 1, 0, 1)).exp()
    before, behind = places.table
    return torch.stack([_of(weights, before), _of(weights.transpose(0, 1), behind)])


def refollowed(
    log_factors: Tensor,
    places: Places,
    kernel: Tensor,
    outgoing: Tensor,
    data: Tensor,
) -> Tensor:
    """Log factors nearer to where pairs of classes are believed as often as they are foretold.

    Parameters
    ----------
    log_factors : Tensor (K, K, I + 1)
    places : Places
    kernel : Tensor (S + 1, S + 1, n)
        Of each pixel and the one before it, whose state is first.
    outgoing : Tensor (2, S + 1, n)
        What each pixel and all others say of its state, but for the one before, or behind.
    data : Tensor (S + 1, n)
        What each pixel's own data say of its state.
    """
    here, there = outgoing[0], _of(outgoing[1], places.before)
    believed = _pairs(there, here, kernel)
    foretold = _pairs(there, here / data, kernel)
    foretold += _pairs(there / _of(data, places.before), here, kernel)
    believed, foretold = (_by_image(x, places) for x in (2.0 * believed, foretold))
    return log_factors + ((believed + PAIRS) / (foretold + PAIRS * log_factors.exp())).log()


def _by_image(pairs: Tensor, places: Places) -> Tensor:
    """Sums (K, K, I + 1) over each image's pixels with one before them, then over all of these."""
    n_states, n_classes = len(places.label), int(places.label.max()) + 1
    sums = pairs.new_zeros(n_states, n_states, places.n_images + 1)
    sums = sums.index_add(2, places.table[0], pairs)[..., :-1]
    for axis in (0, 1):  # from states to their classes
        shape = [n_classes if d == axis else size for d, size in enumerate(sums.shape)]
        sums = sums.new_zeros(shape).index_add(axis, places.label, sums)
    return torch.cat([sums, sums.sum(-1, keepdim=True)], -1)


def _pairs(there: Tensor, here: Tensor, kernel: Tensor) -> Tensor:
    """Probabilities (S, S, n) of states before and after, by those of each up to a factor."""
    there, here = there / there.sum(0), here / here.sum(0)
    both = there.unsqueeze(1) * here.unsqueeze(0) * kernel
    return (both / both.sum((0, 1)))[:-1, :-1]


def of_label(of_classes: Tensor, label: Tensor) -> Tensor:
    """Tables (S, S, ...) of states by those (K, K, ...) of their classes."""
    return of_classes[label][:, label]


def _of(values: Tensor, rows: Tensor) -> Tensor:
    """Values (..., n) of rows (n,) along the last axis."""
    return values.gather(-1, rows.expand(*values.shape[:-1], -1))
