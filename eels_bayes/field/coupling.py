"""How alike neighbours are, learned from unlabelled pixels: by how well they foretell one another.

Each pixel's own data are compared with what all others say of its class,

    sum_i log sum_k p(x_i | k) c_i(k),     c_i(k) ~ weights(k) prod m_ji(k),

with messages of belief propagation: the leave-one-out predictive likelihood (Geisser and Eddy, J.
Am. Stat. Assoc. 74, 153 (1979)), plus the prior of `field.prior`. It is a proper score of what
neighbours say, so that they are believed as far as they are right, also where domains are none of a
Potts field's. Messages settle while the coupling moves. Its gradient is a difference of fields a
little beside, which settle together, so that it holds what the coupling does to messages far away.
Each pixel's own gradient g_i gives the curvature, sum g_i g_i' (Berndt et al., Ann. Econ. Soc.
Meas. 3, 653 (1974)), and with it a Newton step.
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

from eels_bayes.field.graph import Graph
from eels_bayes.field.messages import Kernel, if_not_alone, normalised, penalties, with_alone
from eels_bayes.field.pixels import Both, OfImages, Pixels, pixels_of, relearned, said, swept
from eels_bayes.field.prior import Coupling, coupling_of, logs_of, prior_of_logs

STEPS, STEPS_OF_MANY = 12, 6  # of learning at most: from few pixels, then from many
SWEEPS = 2  # of all messages in each of these: of one, the slope lags behind, and steps swing
# Of the strength: from weak coupling on, messages have one fixed point. Where pixels are shuffled
# and doubtful, 0.3 is beyond a hump, and neighbours are taken for the mix of their image.
START = math.log(0.05)
LEAST_GAIN = 0.3  # nats: steps from which no more is expected are the last,
GAIN_OF_PIXEL = 1e-4  # or of each pixel no more than this
AT_LAST = 2  # such steps, as the slope lags behind
LONGEST = 0.7  # in any log: where the score is no parabola, steps lead astray
BESIDE = 0.05  # in logs, by which the fields beside differ
FIRST_SWEEPS = 6  # before it is learned: else neighbours stand in for their image's weights
WEIGHT_SWEEPS = 30  # in which the images' class weights are learned, too, at a known coupling
MOST_SWEEPS = 60  # after which a message of a settled field no longer travels
SETTLED = 1e-3  # largest change of a message, or a weight, in a sweep that ends it
ROUGH_SWEEPS = 6  # where a field only says what each pixel is likely to be
FEW, MANY = 4000, 16_000  # pixels that the coupling is learned from: whole images, evenly many
MOSTLY = 0.5  # of the pixels linked in time: images that follow one another say more then
PATIENCE = 3  # seconds that it may take before its progress is shown
LEAST = 1e-12  # of a class weight: no image has none of a class


class Found(NamedTuple):
    """What was found so far of pixels and their images, in so many sweeps of messages."""

    pixels: Pixels
    of_images: OfImages
    messages: Both
    sweeps: int = 0


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
    image : Tensor (n,) of int
    label : Tensor (S,) of int
        Class of each state.
    log_follows : Tensor (I, K, K)
        Log of how much more often each class comes after each in the image before than if they had
        nothing to do with one another; 0 where images are not linked.
    found : Found, optional
        Of a rough field: from where the same pixels, read a little otherwise, settle.
    """

    local: Tensor
    if_alone: Tensor
    others: Tensor
    penalty: Tensor
    coupling: Coupling
    weights: Tensor
    image: Tensor
    label: Tensor
    log_follows: Tensor
    found: Found | None = None


def learn_field(
    likelihood: NDArray[np.float64],
    image: NDArray[np.int64],
    graph: Graph,
    distance: Tensor,
    overall: NDArray[np.float64],
    *,
    label: NDArray[np.int64] | None = None,
    coupling: Coupling | None = None,
    near: Field | None = None,
    rough: bool = False,
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
    near : Field, optional
        A rough one of the same pixels, read a little otherwise, from where it is looked for. A
        coupling that many told is taken as it is.
    rough : bool
        Whether to stop before all has settled.
    show_progressbar : bool
        Shown where it takes more than a few seconds.

    Returns
    -------
    Field
    """
    base = torch.from_numpy(np.maximum(overall, LEAST)).float()
    of_state = torch.arange(len(base)) if label is None else torch.from_numpy(label)
    given = (likelihood, image, graph, base / base.sum(), of_state)
    sweeps = ROUGH_SWEEPS if rough else MOST_SWEEPS
    bar = tqdm(
        total=2 * FIRST_SWEEPS + SWEEPS * (STEPS + STEPS_OF_MANY) + sweeps,
        desc="neighbours",
        delay=PATIENCE,
        disable=not show_progressbar,
    )
    with bar, torch.no_grad():
        found = None
        if near is not None and near.found is not None:
            found = near.found._replace(pixels=pixels_of(*given))
        if coupling is None and near is not None and found is not None:
            coupling = near.coupling
            if len(image) <= FEW:
                logs = logs_of(coupling)
                coupling, found = _climbed(found, distance, logs, STEPS, bar.update)
        if coupling is None:
            coupling, found = _learned(given, distance, bar.update)
        if found is None or len(found.pixels.rows) < len(image):
            found = _nothing_found(pixels_of(*given))
        penalty = with_alone(penalties(coupling.strength, coupling.growth, distance))
        settled = _settled(found, penalty, coupling.alone, sweeps, bar.update)
        field = _field(settled, penalty, coupling)
        return field._replace(found=settled) if rough else field


def _nothing_found(pixels: Pixels) -> Found:
    """Before the first sweep."""
    return Found(pixels, pixels.as_all(), pixels.nothing_said())


def _field(found: Found, penalty: Tensor, coupling: Coupling) -> Field:
    """What was found, with the pixels in the order that they were given in."""
    pixels, known, messages, _ = found
    prior, local = pixels.states(known, coupling.alone)
    own = pixels.of_pixels(known.weight)
    others = if_not_alone(normalised(prior * said(messages)), own)
    back = torch.from_numpy(np.argsort(pixels.rows))

    def of_rows(values: Tensor) -> Tensor:
        return values.T[back].contiguous()

    return Field(
        of_rows(local).log(),
        of_rows(normalised(own * pixels.data)),
        of_rows(others),
        penalty,
        coupling,
        known.weight.T,
        pixels.image[back],
        pixels.label,
        known.follows(pixels.places).permute(2, 0, 1),
    )


def _learned(
    given: tuple[NDArray[np.float64], NDArray[np.int64], Graph, Tensor, Tensor],
    distance: Tensor,
    after_each: Callable[[], object],
) -> tuple[Coupling, Found]:
    """The coupling that makes pixels foretell one another best: by few of them, then by many."""
    _, image, graph, *_ = given
    in_time = _mostly_in_time(graph)
    few = _some_images(image, in_time, FEW)
    logs = prior_of_logs(graph.n_axes)[0]
    logs[0] = START
    found = _nothing_found(pixels_of(*given, few))
    coupling, found = _climbed(found, distance, logs, STEPS, after_each)
    if len(few) < len(image):
        found = _nothing_found(pixels_of(*given, _some_images(image, in_time, MANY)))
        coupling, found = _climbed(found, distance, logs_of(coupling), STEPS_OF_MANY, after_each)
    return coupling, found


def _climbed(
    found: Found,
    distance: Tensor,
    start: Tensor,
    n_steps: int,
    after_each: Callable[[], object],
) -> tuple[Coupling, Found]:
    """The maximum of the score near logs of a coupling.

    One field and one beside it for growth, alone and each axis settle together; what is known of
    images is one. The strength is what moves all axes.
    """
    middle, width = prior_of_logs(len(start) - 3)
    aside = torch.eye(len(start), dtype=start.dtype)
    aside[0, 0] = 0.0
    of_logs = aside[:, 1:].clone()
    of_logs[0, 2:] = 1.0
    if found.sweeps == 0:
        coupling = coupling_of(start)
        penalty = with_alone(penalties(coupling.strength, coupling.growth, distance))
        found = _settled(found, penalty, coupling.alone, FIRST_SWEEPS, after_each)
    place, (pixels, known, messages, n_sweeps) = start, found
    least_gain = max(LEAST_GAIN, GAIN_OF_PIXEL * len(pixels.rows))
    first, second = (x.expand(len(aside), -1, -1, -1) for x in messages)
    share, taken, too_far, few_gains = 1.0, torch.zeros_like(start), False, 0
    for _ in range(n_steps):
        coupling = coupling_of(place + BESIDE * aside)
        penalty = with_alone(penalties(coupling.strength, coupling.growth, distance))
        beside = torch.exp(-penalty).float()
        prior, local = pixels.states(known, coupling.alone)
        kernel = Kernel(beside, pixels.in_time(known))
        for _ in range(1 if too_far else SWEEPS):
            first, second = swept((first, second), local, pixels, kernel)
            n_sweeps += 1
            after_each()
        by_all = said((first, second))
        score = ((local * by_all).sum(-2) / (prior * by_all).sum(-2)).log().double()
        here, states = (first[0], second[0]), (prior[0], local[0])
        known = relearned(pixels, known, here, states, kernel.in_time)
        slope = of_logs @ ((score[1:] - score[0]) / BESIDE)
        curvature = slope @ slope.T + torch.diag(width**-2)
        uphill = slope.sum(1) - (place - middle) / width**2
        step = torch.linalg.solve(curvature, uphill)
        gain = 0.5 * float(uphill @ step)
        if float(step @ curvature @ taken) < 0.0:  # beyond the top: weights move it, too
            share *= 0.5
        longest = float(step.abs().max())
        too_far = longest > LONGEST  # away from the top, roughly the direction is enough
        taken = share * step * min(1.0, LONGEST / max(longest, LONGEST))
        place = place + taken
        few_gains = few_gains + 1 if gain < least_gain else 0
        if few_gains == AT_LAST:
            break
    return coupling_of(place), Found(pixels, known, (first[0], second[0]), n_sweeps)


def _settled(
    found: Found,
    penalty: Tensor,
    alone: Tensor,
    most_sweeps: int,
    after_each: Callable[[], object],
) -> Found:
    """What is found of the images at a known coupling, when nothing of it changes any more."""
    beside, (pixels, known, messages, done) = torch.exp(-penalty).float(), found
    for sweep in range(done, done + most_sweeps):
        kernel = Kernel(beside, pixels.in_time(known))
        states, before = pixels.states(known, alone), (*messages, known.weight)
        messages = swept(messages, states[1], pixels, kernel)
        if sweep < WEIGHT_SWEEPS:
            known = relearned(pixels, known, messages, states, kernel.in_time)
        after_each()
        # the weights, too: pixels without neighbours, or hardly coupled, get no other messages
        after = (*messages, known.weight)
        if all(_near(x, y) for x, y in zip(before, after, strict=True)):
            break
    return Found(pixels, known, messages, max(found.sweeps, 1))


def _near(before: Tensor, after: Tensor) -> bool:
    """Whether messages, or weights, are the same but for little."""
    return after.numel() == 0 or float((after - before).abs().amax()) < SETTLED


def _mostly_in_time(graph: Graph) -> bool:
    """Whether the pixels of a graph have one before them, but for a few."""
    return graph.image is not None and bool((graph.neighbour[-2] >= 0).mean() > MOSTLY)


def _some_images(image: NDArray[np.int64], in_time: bool, most: int) -> NDArray[np.intp]:
    """Rows of whole images, evenly from all, or of a part of one that is large.

    In time, images that follow one another, from the middle of the series.
    """
    sizes = np.bincount(image)
    there = np.flatnonzero(sizes)
    n_images = min(len(there), max(1, int(most / sizes[there].mean())))
    if in_time:
        start = (len(there) - n_images) // 2
        chosen = there[start : start + n_images]
    else:
        chosen = there[np.linspace(0, len(there) - 1, n_images).round().astype(int)]
    rows = np.flatnonzero(np.isin(image, chosen))
    start = max(0, len(rows) - most) // 2
    return rows[start : start + most]
