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

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.field.graph import NONE, Graph
from eels_bayes.field.messages import (
    Sides,
    damped,
    nothing_said,
    penalties,
    said_by_others,
    settled,
    sides_of,
)
from eels_bayes.field.prior import PIXELS, Coupling, coupling_of, prior_of_logs

STEPS = 60  # of learning, in each of which messages are passed once
RATE = 0.12  # of Adam, in log strength and log growth: chosen, not tuned
WEIGHT_STEPS = 30  # of the images' class weights at a known coupling
BESIDE = 0.05  # of the same, by which the fields beside differ
MOST_LEARNED = 4000  # pixels that strength and growth are learned from: whole images, evenly many
LEAST = 1e-12  # of a class weight, to have a logarithm


class Field(NamedTuple):
    """What is known of n pixels' classes together.

    Attributes
    ----------
    local : ndarray (n, K)
        Log of what each pixel and its image say of its class.
    others : ndarray (n, K)
        Class probabilities of a pixel by all others and its image, its own data left out.
    penalty : Tensor (2 A, K, K)
        Of classes of neighbours, nats.
    coupling : Coupling
    weights : ndarray (I, K)
        Of the classes in each image where neighbours say nothing.
    """

    local: NDArray[np.float64]
    others: NDArray[np.float64]
    penalty: Tensor
    coupling: Coupling
    weights: NDArray[np.float64]


def learn_field(
    likelihood: NDArray[np.float64],
    image: NDArray[np.int64],
    graph: Graph,
    distance: Tensor,
    overall: NDArray[np.float64],
    *,
    coupling: Coupling | None = None,
) -> Field:
    """The field of pixels of one or of many images, its coupling learned from them.

    Parameters
    ----------
    likelihood : (n, K) array
        Log-likelihoods of the classes, any constant a pixel; 0 for pixels that cannot be read.
    image : (n,) array of int
    graph : Graph
        Of the n pixels.
    distance : Tensor (K, K)
        Between classes, in steps.
    overall : (K,) array
        Class weights of all images; they sum to one.
    coupling : Coupling, optional
        Where it is known; class weights of the images are learned all the same.

    Returns
    -------
    Field
    """
    data = torch.from_numpy(likelihood).float()
    base = torch.from_numpy(np.maximum(overall, LEAST)).float()
    base = base / base.sum()
    number = torch.from_numpy(image)
    if coupling is None:
        rows = _some_images(image)
        part = Graph(_among(graph.neighbour[:, rows], rows, len(image)), graph.colour[rows])
        _, own = np.unique(image[rows], return_inverse=True)
        coupling = _learned(data[rows], torch.from_numpy(own), sides_of(part), distance, base)
    sides, penalty = sides_of(graph), penalties(*coupling, distance)
    log_weight = _weights(data, number, sides, penalty, base)
    prior = log_weight[number]
    messages = settled(prior + data, sides, penalty)
    return Field(
        (prior + data).numpy(),
        said_by_others(messages, prior).exp().numpy(),
        penalty,
        coupling,
        log_weight.exp().numpy(),
    )


def _learned(
    data: Tensor, image: Tensor, sides: Sides, distance: Tensor, base: Tensor
) -> Coupling:
    """Strength and growth that make the pixels foretell one another best.

    One field and one beside it for every parameter settle together; their class weights are one.
    """
    middle, width = prior_of_logs(len(sides.there) // 2)
    place = middle.clone()
    aside = BESIDE * torch.eye(len(place), dtype=place.dtype)
    aside = torch.cat([torch.zeros_like(aside[:1]), aside])
    messages = nothing_said(data, sides).expand(len(aside), -1, -1, -1)
    log_weight = base.log().expand(int(image.max()) + 1, -1)
    optimizer = torch.optim.Adam([place], lr=RATE)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        places = place + aside
        kernel = torch.exp(-penalties(*coupling_of(places), distance)).to(data.dtype)
        prior = log_weight[image]
        messages = damped(messages, prior + data, sides, kernel)
        others = said_by_others(messages, prior)
        score = torch.logsumexp(others + data, -1).double().sum(1)
        score = score - 0.5 * ((places - middle) / width).square().sum(1)
        place.grad = (score[0] - score[1:]) / BESIDE
        optimizer.step()
        rate.step()
        log_weight = _reweighted(data, others[0], image, log_weight, base)
    return coupling_of(place)


def _weights(data: Tensor, image: Tensor, sides: Sides, penalty: Tensor, base: Tensor) -> Tensor:
    """Log class weights (I, K) of the images, at a known coupling."""
    kernel, messages = torch.exp(-penalty).to(data.dtype), nothing_said(data, sides)
    log_weight = base.log().expand(int(image.max()) + 1, -1)
    for _ in range(WEIGHT_STEPS):
        prior = log_weight[image]
        messages = damped(messages, prior + data, sides, kernel)
        others = said_by_others(messages, prior)
        log_weight = _reweighted(data, others, image, log_weight, base)
    return log_weight


def _reweighted(
    data: Tensor, others: Tensor, image: Tensor, log_weight: Tensor, base: Tensor
) -> Tensor:
    """Log class weights (I, K) nearer to where each class is believed as often as it is foretold.

    There the predictive likelihood does not change with them, but for their prior.
    """
    none = torch.zeros_like(log_weight)
    believed = none.index_add(0, image, torch.softmax(others + data, -1)) + PIXELS * base
    foretold = none.index_add(0, image, others.exp()) + PIXELS * log_weight.exp()
    return torch.log_softmax(log_weight + (believed / foretold).log(), -1)


def _some_images(image: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows of whole images, evenly from all, or of a part of one that is large."""
    sizes = np.bincount(image)
    there = np.flatnonzero(sizes)
    n_images = min(len(there), max(1, int(MOST_LEARNED / sizes[there].mean())))
    chosen = there[np.linspace(0, len(there) - 1, n_images).round().astype(int)]
    rows = np.flatnonzero(np.isin(image, chosen))
    start = max(0, len(rows) - MOST_LEARNED) // 2
    return rows[start : start + MOST_LEARNED]


def _among(
    neighbour: NDArray[np.int64], rows: NDArray[np.intp], n: int
) -> NDArray[np.int64]:
    """Neighbours (S, m) of some rows by their place among these; -1 where they are not."""
    place = np.full(n + 1, NONE, dtype=np.int64)  # the last is where -1 points to
    place[rows] = np.arange(len(rows))
    return place[neighbour]
