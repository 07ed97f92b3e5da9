"""The Gaussian-process classifier learned again, in a second.

`fit.fit_gp` trains a classifier from nothing. Where there is one already, and labels or a class are
new, natural gradients in closed form (`conjugate_vi`) come to the optimum in some ten steps, so
that the result depends on what is known and not on the order in which it came.

Notation: N latents, D latent dimensions, K classes, M inducing points.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.conjugate_vi import (
    DEFAULT_SOLVER,
    Functions,
    Known,
    Solver,
    features_of,
    prior_functions,
    solve,
)
from eels_bayes.gp.inducing_points import spread_points
from eels_bayes.uncertainty.quadrature import normal_nodes

# Of the kernel of one lengthscale that is looked for where labels are few:

LENGTHSCALE = 2.0  # prior median, in sd of the VAE's standard normal prior; chosen, not tuned
LOG_SD = 1.0  # of the lengthscale's log-normal prior: a factor of e either way; chosen, not tuned
RATIO = 1.25  # of two lengthscales that are compared; chosen, not tuned
OUTPUTSCALE = 20.0  # squared logits, of that kernel; not learned: few labels do not tell it


def relearn(
    start: GPClassifier,
    latents: Tensor,
    labels: Tensor,
    n_classes: int,
    *,
    measured: tuple[Tensor, Tensor] | None = None,
    weight: float = 1.0,
    n_inducing: int,
    learn_kernel: bool = False,
    seed: int = 0,
    solver: Solver = DEFAULT_SOLVER,
) -> GPClassifier:
    """The classifier of these labelled latents, with a kernel known from another.

    Parameters
    ----------
    start : GPClassifier
        Whose kernel is taken, along dimensions that it does not know with the median of `fit_gp`'s
        prior.
    latents : Tensor
        (N, D).
    labels : Tensor
        Integer classes (N,), in 0..K-1.
    n_classes : int
        K.
    measured : (Tensor, Tensor), optional
        Labelled pixels: S draws of each one's latent, (m, S, D), and their classes, (m,).
    weight : float
        Labels that each of the N latents counts for; a pixel counts for one.
    n_inducing : int
        At most; no more than distinct latents are used.
    learn_kernel : bool
        Take a kernel of one lengthscale, which has most evidence, instead: few labels tell no more.
    seed : int
        Of the choice of inducing points.
    solver : Solver
        How exactly the optimum is found.

    Returns
    -------
    GPClassifier
        Its ``loss`` is the negative bound per latent at every step.
    """
    draws, codes = measured or (latents[:0].unsqueeze(1), labels[:0])
    known = _known(latents, labels, draws, codes, n_classes, weight)
    lengthscale = _of_dimensions(start.lengthscale, known.latents)
    outputscale, jitter = start.outputscale, start.jitter
    nodes = normal_nodes(solver.n_nodes, n_classes)
    if learn_kernel:
        # of one lengthscale, so how long it is does not matter to what the points are spread over
        inducing = _spread(known.latents, torch.ones_like(lengthscale), n_inducing, seed)
        best = _best_lengthscale(known, inducing, jitter, nodes, solver)
        lengthscale = torch.full_like(lengthscale, best)
        outputscale = torch.tensor(OUTPUTSCALE, dtype=torch.float64)
    else:
        inducing = _spread(known.latents, lengthscale, n_inducing, seed)
    features = features_of(known.latents, inducing, lengthscale, outputscale, jitter)
    functions, bounds = solve(known, features, prior_functions(features, n_classes), nodes, solver)
    return GPClassifier(
        inducing=inducing,
        lengthscale=lengthscale,
        outputscale=outputscale,
        variational_mean=functions.mean,
        variational_factor=torch.linalg.cholesky(functions.cov),
        jitter=jitter,
        loss=tuple(-bound / len(known.latents) for bound in bounds),
    )


def _known(
    latents: Tensor, labels: Tensor, draws: Tensor, codes: Tensor, n_classes: int, weight: float
) -> Known:
    """Latents (N, D) of labels (N,) and draws (m, S, D) of pixels of classes (m,), together."""
    order = _order(draws, codes)
    draws, codes = draws[order], codes[order]
    latents, draws = (x.detach().to("cpu", torch.float64) for x in (latents, draws))
    of_draws = codes.repeat_interleave(draws.shape[1])
    classes = torch.cat([labels, of_draws]).to("cpu", torch.int64)
    return Known(
        torch.cat([latents, draws.flatten(0, 1)]),
        torch.nn.functional.one_hot(classes, n_classes).double(),
        len(latents),
        draws.shape[1],
        weight,
    )


def _of_dimensions(lengthscale: Tensor, latents: Tensor) -> Tensor:
    """The lengthscales of as many dimensions as the latents (N, D) have, known or not."""
    unknown = math.sqrt(latents.shape[1]) * latents.std(0, correction=0)
    return torch.cat([lengthscale[: len(unknown)], unknown[len(lengthscale) :]])


def _order(draws: Tensor, codes: Tensor) -> Tensor:
    """Rows by what they hold, so that it does not matter in which order they came."""
    keys = np.column_stack([codes.cpu().numpy(), draws.flatten(1).cpu().numpy()])
    return torch.as_tensor(np.lexsort(keys.T[::-1]))


def _spread(points: Tensor, lengthscale: Tensor, n_points: int, seed: int) -> Tensor:
    """At most ``n_points`` of the points (N, D) that lie apart in units of the lengthscale."""
    generator = torch.Generator().manual_seed(seed)
    return spread_points(points / lengthscale, n_points, generator) * lengthscale


def _best_lengthscale(
    known: Known, inducing: Tensor, jitter: Tensor, nodes: Tensor, solver: Solver
) -> float:
    """Lengthscale, one for all axes, that has most evidence: the best one uphill of the prior's."""
    functions: Functions | None = None
    bounds: dict[int, float] = {}

    def bound(k: int) -> float:
        """Evidence's bound with the lengthscale's prior, nats, at the k-th lengthscale."""
        nonlocal functions
        if k not in bounds:
            lengthscale = torch.full_like(inducing[0], LENGTHSCALE * RATIO**k)
            features = features_of(
                known.latents,
                inducing,
                lengthscale,
                torch.tensor(OUTPUTSCALE, dtype=torch.float64),
                jitter,
            )
            before = functions or prior_functions(features, nodes.shape[1])
            functions, on_the_way = solve(known, features, before, nodes, solver)
            bounds[k] = on_the_way[-1] - 0.5 * (k * math.log(RATIO) / LOG_SD) ** 2
        return bounds[k]

    k = 0  # where an earlier search ended would tell what came first: evidence has several maxima
    while True:
        best = max((k, k - 1, k + 1), key=bound)
        if best == k:
            return LENGTHSCALE * RATIO**k
        k = best
