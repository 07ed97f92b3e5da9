"""How alike neighbours are, learned from unlabelled pixels: by how well they foretell one another.

Each pixel's own data are compared with what all others say of its class,

    sum_i log sum_k p(x_i | k) c_i(k),     c_i(k) ~ weights(k) prod m_ji(k),

with messages of belief propagation: the leave-one-out predictive likelihood (Geisser and Eddy, J.
Am. Stat. Assoc. 74, 153 (1979)), plus the prior of `field.prior`. It is a proper score of what
neighbours say, so that they are believed as far as they are right, also where domains are none of a
Potts field's. Messages settle while the coupling moves. Its gradient is a difference of fields a
little beside, which settle together, so that it holds what the coupling does to messages far away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes.field.graph import NONE, Graph
from eels_bayes.field.messages import (
    MOST_SWEEPS,
    Kernel,
    Sides,
    damped,
    if_not_alone,
    nothing_said,
    of_states,
    penalties,
    said_by_others,
    settled,
    sides_of,
    with_alone,
)
from eels_bayes.field.prior import PIXELS, Coupling, coupling_of, prior_of_logs
from eels_bayes.field.succession import (
    Places,
    kernel_in_time,
    nothing_follows,
    places_of,
    refollowed,
    tables,
)

STEPS = 60  # of learning, in each of which messages are passed once
RATE = 0.12  # of Adam, in logs: chosen, not tuned
MEMORY = (0.9, 0.99)  # of Adam, for a gradient's mean and square: it takes few steps
TINY = 1e-12  # squared nats: a gradient that is nothing has no direction
BESIDE = 0.05  # in logs, by which the fields beside differ
WEIGHT_STEPS = 30  # of the images' class weights at a known coupling
MOST_LEARNED = 4000  # pixels that strength and growth are learned from: whole images, evenly many
MOSTLY = 0.5  # of the pixels linked in time: images that follow one another say more then
PATIENCE = 3  # seconds that it may take before its progress is shown
LEAST = 1e-12  # of a class weight, to have a logarithm


class Field(NamedTuple):
    """What is known of n pixels' states together.

    A pixel is in one of S states among its neighbours, each of one of K classes, or, last, alone:
    in any state, whatever stands beside it.

    Attributes
    ----------
    local : Tensor (n, S + 1)
        Log of what each pixel and its image say of its state.
    if_alone : Tensor (n, S)
        Probabilities of the states of a pixel that is alone.
    others : Tensor (n, S)
        Those of a pixel by all others and its image, its own data left out.
    penalty : Tensor (2 A, S + 1, S + 1)
        Of states of neighbours, nats.
    coupling : Coupling
    weights : Tensor (I, S)
        Of the states in each image where neighbours say nothing.
    label : Tensor (S,) of int
        Class of each state.
    log_follows : Tensor (I, K, K)
        Log of how much more often each class comes after each in the image before than if they had
        nothing to do with one another; 0 where images are not linked.
    """

    local: Tensor
    if_alone: Tensor
    others: Tensor
    penalty: Tensor
    coupling: Coupling
    weights: Tensor
    label: Tensor
    log_follows: Tensor


def learn_field(
    likelihood: NDArray[np.float64],
    image: NDArray[np.int64],
    graph: Graph,
    distance: Tensor,
    overall: NDArray[np.float64],
    *,
    label: NDArray[np.int64] | None = None,
    coupling: Coupling | None = None,
    show_progressbar: bool = False,
) -> Field:
    """The field of pixels of one or of many images, its coupling learned from them.

    Parameters
    ----------
    likelihood : (n, S) array
        Log-likelihoods of the states, any constant a pixel; 0 for pixels that cannot be read.
    image : (n,) array of int
    graph : Graph
        Of the n pixels.
    distance : Tensor (S, S)
        Between states, in steps.
    overall : (S,) array
        Weights of the states in all images; they sum to one.
    label : (S,) array of int, optional
        Class of each state; by default each is a class.
    coupling : Coupling, optional
        Where it is known; weights of the images are learned all the same.
    show_progressbar : bool
        Shown where it takes more than a few seconds.

    Returns
    -------
    Field
    """
    data = torch.from_numpy(likelihood).float().T.contiguous()
    base = torch.from_numpy(np.maximum(overall, LEAST)).float()
    base, number = base / base.sum(), torch.from_numpy(image)
    of_state = torch.arange(len(base)) if label is None else torch.from_numpy(label)
    bar = tqdm(
        total=WEIGHT_STEPS + MOST_SWEEPS,
        desc="neighbours",
        delay=PATIENCE,
        disable=not show_progressbar,
    )
    if coupling is None:
        rows = _some_images(image, _mostly_in_time(graph))
        _, own = np.unique(image[rows], return_inverse=True)
        among = _among(graph.neighbour[:, rows], rows, len(image))
        part = Graph(among, graph.colour[rows], None if graph.image is None else own)
        some = _Pixels.of(data[:, rows].contiguous(), torch.from_numpy(own), part, base, of_state)
        coupling = _learned(some, distance, graph.n_axes)
    pixels = _Pixels.of(data, number, graph, base, of_state)
    penalty = with_alone(penalties(coupling.strength, coupling.growth, distance))
    with bar:
        known, messages = _of_images(pixels, penalty, coupling.alone, bar.update)
        prior, local = pixels.states(known.log_weight, coupling.alone)
        kernel = Kernel(torch.exp(-penalty).float(), known.in_time(pixels.places))
        messages = settled(messages, local, pixels.sides, kernel, bar.update)
    alone = known.log_weight[:, number]
    return Field(
        local.T.contiguous(),
        torch.softmax(alone + data, 0).T.contiguous(),
        if_not_alone(said_by_others(messages, prior), alone).T.contiguous(),
        penalty,
        coupling,
        known.log_weight.exp().T,
        of_state,
        known.follows(pixels.places).permute(2, 0, 1),
    )


class _OfImages(NamedTuple):
    """What is known of images: log weights (S, I), log factors (K, K, I + 1) in time."""

    log_weight: Tensor
    log_factors: Tensor

    def follows(self, places: Places | None) -> Tensor:
        """Log tables (K, K, I) in time."""
        nothing = torch.zeros_like(self.log_factors[..., :-1])
        return nothing if places is None else tables(self.log_factors, places)

    def in_time(self, places: Places | None) -> Tensor | None:
        """Weights of states of neighbours in time, where there are any."""
        return None if places is None else kernel_in_time(self.log_factors, places)


class _Pixels(NamedTuple):
    """Pixels that a field is learned from: log-likelihoods (S, n), images (n,), and neighbours."""

    data: Tensor
    image: Tensor
    sides: Sides
    base: Tensor
    label: Tensor
    places: Places | None

    @classmethod
    def of(cls, data: Tensor, image: Tensor, graph: Graph, base: Tensor, label: Tensor) -> _Pixels:
        """Pixels with the neighbours that a graph says."""
        return cls(data, image, sides_of(graph), base, label, places_of(graph, label))

    def as_all(self) -> _OfImages:
        """Images whose class weights are those of all, and that share nothing."""
        n_classes, n_images = int(self.label.max()) + 1, int(self.image.max()) + 1
        log_weight = self.base.log().unsqueeze(1).expand(-1, n_images)
        return _OfImages(log_weight, nothing_follows(n_classes, n_images))

    def nothing_said(self) -> Tensor:
        """Messages (sides, S + 1, n) that favour no state."""
        return nothing_said(len(self.data) + 1, self.sides)

    def states(self, log_weight: Tensor, alone: Tensor) -> tuple[Tensor, Tensor]:
        """Log prior (..., S + 1, n) of each state by weights (S, I), and with the data besides."""
        return of_states(self.data, log_weight[:, self.image], alone)


def _learned(pixels: _Pixels, distance: Tensor, n_axes: int) -> Coupling:
    """The coupling that makes the pixels foretell one another best.

    One field and one beside it for every parameter settle together; what is known of images is one.
    """
    middle, width = prior_of_logs(n_axes)
    place = middle.clone()
    aside = BESIDE * torch.eye(len(place), dtype=place.dtype)
    aside = torch.cat([torch.zeros_like(aside[:1]), aside])
    known = pixels.as_all()
    messages = pixels.nothing_said().expand(len(aside), -1, -1, -1)
    mean = square = torch.zeros_like(place)  # of the gradient, as Adam has them
    for step in range(STEPS):
        strength, growth, alone = coupling_of(place + aside)
        beside = torch.exp(-with_alone(penalties(strength, growth, distance))).float()
        kernel = Kernel(beside, known.in_time(pixels.places))
        prior, local = pixels.states(known.log_weight, alone)
        messages = damped(messages, local, pixels.sides, kernel)
        others = said_by_others(messages, prior)
        score = torch.logsumexp(others + local - prior, -2).double().sum(1)
        score = score - 0.5 * ((place + aside - middle) / width).square().sum(1)
        uphill = (score[1:] - score[0]) / BESIDE
        mean = mean + (uphill - mean) * (1.0 - MEMORY[0])
        square = square + (uphill.square() - square) * (1.0 - MEMORY[1])
        seen = [1.0 - memory ** (step + 1) for memory in MEMORY]
        rate = 0.5 * RATE * (1.0 + math.cos(math.pi * step / STEPS))
        place = place + rate * (mean / seen[0]) / (square / seen[1] + TINY).sqrt()
        known = _relearned(pixels, known, messages[0], (prior[0], local[0]), kernel)
    return coupling_of(place)


def _of_images(
    pixels: _Pixels, penalty: Tensor, alone: Tensor, after_each: Callable[[], object]
) -> tuple[_OfImages, Tensor]:
    """What is found of the images at a known coupling, and messages on their way."""
    beside, messages = torch.exp(-penalty).float(), pixels.nothing_said()
    known = pixels.as_all()
    for _ in range(WEIGHT_STEPS):
        kernel = Kernel(beside, known.in_time(pixels.places))
        prior, local = pixels.states(known.log_weight, alone)
        messages = damped(messages, local, pixels.sides, kernel)
        known = _relearned(pixels, known, messages, (prior, local), kernel)
        after_each()
    return known, messages


def _relearned(
    pixels: _Pixels,
    known: _OfImages,
    messages: Tensor,
    states: tuple[Tensor, Tensor],
    kernel: Kernel,
) -> _OfImages:
    """Images' weights and tables, one step on."""
    prior, local = states
    log_weight = _reweighted(pixels, said_by_others(messages, prior), known.log_weight)
    if pixels.places is None or kernel.in_time is None:
        return known._replace(log_weight=log_weight)
    outgoing = local + messages.sum(0) - messages[-2:]
    in_time = kernel.in_time[0]
    given = (known.log_factors, pixels.places, in_time, outgoing, local - prior)
    return _OfImages(log_weight, refollowed(*given))


def _reweighted(pixels: _Pixels, others: Tensor, log_weight: Tensor) -> Tensor:
    """Log weights (S, I) of the images, one step on."""
    none = torch.zeros_like(log_weight)
    by_others = if_not_alone(others, log_weight[:, pixels.image])
    belief = torch.softmax(by_others.log() + pixels.data, 0)
    believed = none.index_add(1, pixels.image, belief)
    foretold = none.index_add(1, pixels.image, by_others)
    return reweighted(believed, foretold, pixels.base.unsqueeze(1), log_weight)


def reweighted(believed: Tensor, foretold: Tensor, base: Tensor, log_weight: Tensor) -> Tensor:
    """Log weights (S, I) nearer to where each state is believed as often as it is foretold.

    There the predictive likelihood does not change with them, but for their prior.

    Parameters
    ----------
    believed, foretold : Tensor (S, I)
        Sums over the pixels of each image.
    base : Tensor (S, 1)
        Weights beforehand.
    log_weight : Tensor (S, I)
    """
    more = (believed + PIXELS * base) / (foretold + PIXELS * log_weight.exp())
    return torch.log_softmax(log_weight + more.log(), 0)


def _mostly_in_time(graph: Graph) -> bool:
    """Whether the pixels of a graph have one before them, but for a few."""
    return graph.image is not None and bool((graph.neighbour[-2] >= 0).mean() > MOSTLY)


def _some_images(image: NDArray[np.int64], in_time: bool) -> NDArray[np.intp]:
    """Rows of whole images, evenly from all, or of a part of one that is large.

    In time, images that follow one another, from the middle of the series.
    """
    sizes = np.bincount(image)
    there = np.flatnonzero(sizes)
    n_images = min(len(there), max(1, int(MOST_LEARNED / sizes[there].mean())))
    if in_time:
        start = (len(there) - n_images) // 2
        chosen = there[start : start + n_images]
    else:
        chosen = there[np.linspace(0, len(there) - 1, n_images).round().astype(int)]
    rows = np.flatnonzero(np.isin(image, chosen))
    start = max(0, len(rows) - MOST_LEARNED) // 2
    return rows[start : start + MOST_LEARNED]


def _among(neighbour: NDArray[np.int64], rows: NDArray[np.intp], n: int) -> NDArray[np.int64]:
    """Neighbours (S, m) of some rows by their place among these; -1 where they are not."""
    place = np.full(n + 1, NONE, dtype=np.int64)  # the last is where -1 points to
    place[rows] = np.arange(len(rows))
    return place[neighbour]
