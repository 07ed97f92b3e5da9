"""What an image says of its own pixels: class weights per image.

    concentration ~ LogNormal,   weights_i ~ Dirichlet(concentration * overall weights)
    p(x_j | weights_i) = sum_k weights_ik p(k | x_j) / overall_k        for pixels j of image i

The probabilities of single pixels stand for their likelihoods, so the hierarchical prior needs no
second look at the spectra (a label shift: Saerens, Latinne and Decaestecker, Neural Comput. 14, 21
(2002)). Where all images share one mix, the concentration grows and nothing changes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import ClippedAdam
from torch import Tensor

from eels_bayes.effort import FULL
from eels_bayes.randomness import own_randomness
from eels_bayes.training import learning

LEARNING_RATE = 0.15  # of Adam: chosen, not tuned
DECAY = 0.99  # of the learning rate at each step, so that the steps settle
CONCENTRATION = (math.log(8.0), 1.5)  # log-mean and log-sd of its prior: images differ, or do not
LOG_WIDTH_START = -1.0  # log of the sd of the log concentration where the inference starts
LIKELIHOOD_FLOOR = 1e-30  # of a pixel, to have a logarithm
WEIGHT_FLOOR = 1e-4  # of a class overall: no image can have a class whose prior weight is nothing


class ImageWeights(NamedTuple):
    """Posterior of the class weights in each image.

    Attributes
    ----------
    mean, sd : ndarray (I, K)
        Variational: the sd comes out too small by up to a third where few pixels tell little.
    concentration : float
        Median.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    concentration: float


def model(ratio: Tensor, image: Tensor, n_images: int, overall: Tensor) -> None:
    """Pyro model of pixels' likelihood ratios (n, K) in images (n,)."""
    concentration = pyro.sample(
        "concentration",
        dist.LogNormal(*(torch.tensor(x, dtype=torch.float32) for x in CONCENTRATION)),
    )
    with pyro.plate("images", n_images):
        weights = pyro.sample("weights", dist.Dirichlet(concentration * overall))
    with pyro.plate("pixels", len(image)):
        pyro.factor("pixel", (weights[image] * ratio).sum(-1).clamp_min(LIKELIHOOD_FLOOR).log())


@learning()
def image_weights(
    probabilities: NDArray[Any],
    image: NDArray[np.int64],
    overall: NDArray[np.float64],
    *,
    steps: int = FULL.image_steps,
    seed: int = 0,
) -> ImageWeights:
    """Fit the hierarchical prior by stochastic variational inference.

    Parameters
    ----------
    probabilities : (n, K) array
        Of single pixels under the overall weights; flagged pixels left out.
    image : (n,) array
        Index of each pixel's image.
    overall : (K,) array
        Class weights that the probabilities were computed with; they sum to one.
    steps : int
        Of the inference.
    seed : int
        Of the inference.

    Returns
    -------
    ImageWeights
        Row i for image i; images without pixels get the prior's.
    """
    overall = np.maximum(overall, WEIGHT_FLOOR) / np.maximum(overall, WEIGHT_FLOOR).sum()
    n_images = int(image.max()) + 1
    ratio = torch.as_tensor(probabilities / overall, dtype=torch.float64)
    index = torch.as_tensor(image)
    base = torch.as_tensor(overall, dtype=torch.float64)
    shares = torch.zeros(n_images, len(overall), dtype=torch.float64)
    shares.index_add_(0, index, torch.as_tensor(probabilities, dtype=torch.float64))

    def guide(ratio: Tensor, image: Tensor, n_images: int, overall: Tensor) -> None:
        middle = pyro.param("middle", torch.tensor(CONCENTRATION[0], dtype=torch.float64))
        width = pyro.param("width", torch.tensor(LOG_WIDTH_START, dtype=torch.float64))
        pyro.sample("concentration", dist.LogNormal(middle, width.exp()))
        # begins as if every pixel's class were drawn from its own probabilities
        counts = pyro.param("log_counts", (shares + overall).log())
        with pyro.plate("images", n_images):
            pyro.sample("weights", dist.Dirichlet(counts.exp()))

    with own_randomness(seed), pyro.get_param_store().scope():
        svi = SVI(model, guide, ClippedAdam({"lr": LEARNING_RATE, "lrd": DECAY}), Trace_ELBO())
        for _ in range(steps):
            svi.step(ratio, index, n_images, base)
        counts = pyro.param("log_counts").detach().exp()
        concentration = float(pyro.param("middle").detach().exp())
    posterior = torch.distributions.Dirichlet(counts)
    return ImageWeights(posterior.mean.numpy(), posterior.stddev.numpy(), concentration)
