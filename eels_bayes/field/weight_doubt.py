"""What stays open of an image's class weights, and with them of its areas.

The weights of an image hold what its pixels are, and what is wrong with the evidence for a class in
all of them: they are where each class is believed as often as neighbours foretell it. Pixels tell
so much of their logarithms v as the predictive score (`field.coupling`) changes with them,

    precision = sum_i g_i g_i' + PIXELS diag(weights),     g_i = d score_i / d v,

with all that weights do to messages far away (the information of a composite likelihood: Varin,
Reid and Firth, Stat. Sinica 21, 5 (2011)). Each weight is drawn from the gamma distribution of its
precision, as the counts of a Dirichlet distribution have, and they hang together as Gaussians do.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import gamma
from torch import Tensor
from torch.nn.functional import pad

from eels_bayes.field.coupling import BESIDE, Field
from eels_bayes.field.graph import Graph
from eels_bayes.field.messages import Kernel
from eels_bayes.field.pixels import OfImages, Pixels, pixels_of, said, swept
from eels_bayes.field.prior import PIXELS

SWEEPS, SWEEPS_BESIDE = 30, 15  # of messages, from nothing, and from those of the field itself
LEAST_PRECISION = 1e-2  # of a log weight: a class that is not there has none
MOST_OFF = 30.0  # nats, of a log weight


def drawn_offsets(
    field: Field, graph: Graph, n_draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """By how much the log weights of the classes may be off in each image.

    Parameters
    ----------
    field : Field
    graph : Graph
        Of its n pixels.
    n_draws : int
        D.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (D, I, K)
    """
    slope, image = score_slopes(field, graph), field.image.numpy()
    of_class = torch.nn.functional.one_hot(field.label).double()
    weight = (field.weights.double() @ of_class).numpy()
    offsets = np.zeros((n_draws, *weight.shape))
    for here in np.unique(image):
        mine, own = slope[image == here], weight[here]
        precision = mine.T @ mine + np.diag(PIXELS * own + LEAST_PRECISION)
        covariance = np.linalg.inv(precision)
        sd = np.sqrt(np.diag(covariance))
        normal = rng.multivariate_normal(np.zeros(len(own)), covariance, n_draws) / sd
        shape = 1.0 / sd**2
        drawn = np.log(np.maximum(gamma.ppf(ndtr(normal), shape) / shape, np.exp(-MOST_OFF)))
        # what is common to all says nothing
        offsets[:, here] = drawn - np.log(np.exp(drawn) @ own)[:, None]
    return offsets


def score_slopes(field: Field, graph: Graph) -> NDArray[np.float64]:
    """Change (n, K) of each pixel's log predictive likelihood with its image's log weights."""
    pixels = _pixels(field, graph)
    factors = pad(field.log_follows.permute(1, 2, 0), (0, 1))
    weight = field.weights.T.contiguous()
    known = OfImages(weight, factors, torch.zeros_like(weight))
    kernel = Kernel(torch.exp(-field.penalty).float(), pixels.in_time(known))
    messages = pixels.nothing_said()
    scores = []  # as given, then beside it in each class
    with torch.no_grad():
        for klass in range(-1, int(field.label.max()) + 1):
            moved = weight * torch.where(field.label == klass, np.exp(BESIDE), 1.0).unsqueeze(1)
            nudged = known._replace(weight=(moved / moved.sum(0)).float())
            prior, local = pixels.states(nudged, field.coupling.alone)
            settling = messages
            for _ in range(SWEEPS if klass < 0 else SWEEPS_BESIDE):
                settling = swept(settling, local, pixels, kernel)
            by_all = said(settling)
            score = ((local * by_all).sum(0) / (prior * by_all).sum(0)).log().double()
            if klass < 0:
                messages = settling
            scores.append(score)
    here, *beside = scores
    found = np.empty((len(pixels.rows), len(beside)))
    found[pixels.rows] = (torch.stack(beside, 1) - here[:, None]).numpy() / BESIDE
    return found


def _pixels(field: Field, graph: Graph) -> Pixels:
    """The field's pixels as they were when it was learned, but for what no image changes."""
    weight = field.weights[field.image]
    likelihood: Tensor = field.if_alone.clamp(min=1e-30).log() - weight.log()
    image = field.image.numpy()
    return pixels_of(likelihood.double().numpy(), image, graph, weight.mean(0), field.label)
