"""Pixels whose classes are found together: messages between them, and what their images learn.

A neighbour of a pixel has the other colour of a chessboard. What pixels of one colour get depends
on what the others got alone: they take turns, and a sweep over both needs no damping.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.field.graph import Graph, by_colour, part_of
from eels_bayes.field.messages import (
    LEAST_SEEN,
    Kernel,
    Sides,
    if_not_alone,
    normalised,
    nothing_said,
    of_states,
    passed,
    sides_of,
)
from eels_bayes.field.prior import PIXELS
from eels_bayes.field.succession import (
    Places,
    kernel_in_time,
    nothing_follows,
    places_of,
    refollowed,
    tables,
)

MOMENTUM = 0.5  # of the images' weights, whose steps are small and alike

Both = tuple[Tensor, Tensor]  # of the pixels of each colour


class OfImages(NamedTuple):
    """What is known of I images.

    Attributes
    ----------
    weight : Tensor (S, I)
        Of the states where neighbours say nothing; sums are one.
    log_factors : Tensor (K, K, I + 1)
        Of classes in time; see `field.succession`.
    moved : Tensor (S, I)
        By how much the log weights did, with the last step.
    """

    weight: Tensor
    log_factors: Tensor
    moved: Tensor

    def follows(self, places: Places | None) -> Tensor:
        """Log tables (K, K, I) in time."""
        nothing = torch.zeros_like(self.log_factors[..., :-1])
        return nothing if places is None else tables(self.log_factors, places)


class Pixels(NamedTuple):
    """n pixels, those of colour 0 first.

    Attributes
    ----------
    rows : ndarray (n,) of int
        Which of those given each is.
    n_first : int
        Pixels of colour 0.
    data : Tensor (S, n)
        Likelihoods of the states, the largest 1.
    image : Tensor (n,) of int
    sides : pair of Sides
        By which the pixels of each colour get messages from the others.
    base : Tensor (S, 1)
        Weights of the states in all images.
    label : Tensor (S,) of int
        Class of each state.
    places : Places, optional
        Of linked images.
    n_images : int
    """

    rows: NDArray[np.intp]
    n_first: int
    data: Tensor
    image: Tensor
    sides: tuple[Sides, Sides]
    base: Tensor
    label: Tensor
    places: Places | None
    n_images: int

    def as_all(self) -> OfImages:
        """Images whose class weights are those of all, and that share nothing."""
        n_classes = int(self.label.max()) + 1
        weight = self.base.expand(-1, self.n_images)
        factors = nothing_follows(n_classes, self.n_images)
        return OfImages(weight, factors, torch.zeros_like(weight))

    def nothing_said(self) -> Both:
        """Messages (sides, S + 1, n_c) that favour no state."""
        first, second = (nothing_said(len(self.base) + 1, sides) for sides in self.sides)
        return first, second

    def states(self, known: OfImages, alone: Tensor) -> tuple[Tensor, Tensor]:
        """Prior (..., S + 1, n) of each state, and with the data besides."""
        return of_states(self.data, self.of_pixels(known.weight), alone)

    def of_pixels(self, of_images: Tensor) -> Tensor:
        """Values (S, n or 1) of the pixels' images by those of all (S, I)."""
        return of_images if self.n_images == 1 else of_images[:, self.image]

    def by_image(self, values: Tensor) -> Tensor:
        """Sums (S, I) over the pixels (S, n) of each image."""
        if self.n_images == 1:
            return values.sum(1, keepdim=True)
        return values.new_zeros(len(values), self.n_images).index_add_(1, self.image, values)

    def in_time(self, known: OfImages) -> Tensor | None:
        """Weights of states of neighbours in time, where there are any."""
        return None if self.places is None else kernel_in_time(known.log_factors, self.places)


def pixels_of(
    likelihood: NDArray[np.float64],
    image: NDArray[np.int64],
    graph: Graph,
    base: Tensor,
    label: Tensor,
    rows: NDArray[np.intp] | None = None,
) -> Pixels:
    """Pixels, or some rows of them, with the neighbours that a graph says.

    Parameters
    ----------
    likelihood : (n, S) array
        Logs.
    image : (n,) array of int
    graph : Graph
    base : Tensor (S,)
    label : Tensor (S,) of int
    rows : (m,) array of int, optional
    """
    if rows is not None:
        graph = part_of(graph, rows)
    order = by_colour(graph)
    graph, rows = part_of(graph, order), order if rows is None else rows[order]
    n_first = int((graph.colour == 0).sum())
    data = torch.from_numpy(likelihood[rows]).T
    data = (data - data.amax(0)).float().exp().clamp(min=LEAST_SEEN).contiguous()
    of_image = torch.from_numpy(image[rows])
    sides = sides_of(graph, slice(0, n_first), n_first), sides_of(graph, slice(n_first, None))
    n_images = int(of_image.max()) + 1 if len(of_image) else 1
    places = places_of(graph, label)
    return Pixels(rows, n_first, data, of_image, sides, base.unsqueeze(1), label, places, n_images)


def swept(messages: Both, local: Tensor, pixels: Pixels, kernel: Kernel) -> Both:
    """All messages once more: what the first colour gets, and by that what the second does."""
    n_first = pixels.n_first
    senders = [local[..., :n_first], local[..., n_first:]]
    kernels = [kernel, kernel]
    if kernel.in_time is not None:
        kernels = [
            kernel._replace(in_time=kernel.in_time[..., :n_first]),
            kernel._replace(in_time=kernel.in_time[..., n_first:]),
        ]
    first = passed(messages[1], senders[1], pixels.sides[0], kernels[1])
    return first, passed(first, senders[0], pixels.sides[1], kernels[0])


def said(messages: Both) -> Tensor:
    """What all neighbours say of each pixel (..., S + 1, n), up to a factor."""
    return torch.cat([messages[0].prod(-3), messages[1].prod(-3)], -1)


def relearned(
    pixels: Pixels,
    known: OfImages,
    messages: Both,
    states: tuple[Tensor, Tensor],
    in_time: Tensor | None,
) -> OfImages:
    """Images' weights and tables, one step on.

    Parameters
    ----------
    pixels : Pixels
    known : OfImages
    messages : pair of Tensor (sides, S + 1, n_c)
    states : pair of Tensor (S + 1, n)
        Prior, and with the data besides.
    in_time : Tensor, optional
        Of `Kernel`.
    """
    (prior, local), by_all = states, said(messages)
    by_others = if_not_alone(normalised(prior * by_all), pixels.of_pixels(known.weight))
    believed = normalised(by_others * pixels.data)
    sums = pixels.by_image(believed), pixels.by_image(by_others)
    step = (reweighted(*sums, pixels.base, known.weight) / known.weight).log()
    moved = step + MOMENTUM * known.moved
    known = known._replace(weight=normalised(known.weight * moved.exp()), moved=moved)
    if pixels.places is None or in_time is None:
        return known
    outgoing = local * by_all / torch.cat([x[-2:] for x in messages], -1)
    given = (known.log_factors, pixels.places, in_time[0], outgoing, local / prior)
    return known._replace(log_factors=refollowed(*given))


def reweighted(believed: Tensor, foretold: Tensor, base: Tensor, weight: Tensor) -> Tensor:
    """Weights (S, I) nearer to where each state is believed as often as it is foretold.

    There the predictive likelihood does not change with them, but for their prior.

    Parameters
    ----------
    believed, foretold : Tensor (S, I)
        Sums over the pixels of each image.
    base : Tensor (S, 1)
        Weights beforehand.
    weight : Tensor (S, I)
    """
    moved = weight * (believed + PIXELS * base) / (foretold + PIXELS * weight)
    return moved / moved.sum(0)
