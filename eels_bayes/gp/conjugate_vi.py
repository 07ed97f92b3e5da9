"""The Gaussian-process classifier learned again, in a second: natural gradients in closed form.

`fit.fit_gp` trains a classifier from nothing. Where there is one already, and labels or a
class are new, conjugate-computation variational inference (Khan and Lin, AISTATS 2017) comes to the
optimum in some ten steps, so that the result depends on what is known and not on the order in which
it came. With whitened features ``w(z) = L^-1 k(U, z)`` each function's ``q(u) = N(m, S)`` is that
of a Gaussian regression,

    S^-1 = I + sum_i r_i a_i w_i w_i',    S^-1 m = sum_i r_i (g_i + a_i w_i'm) w_i,

where ``g`` and ``-a`` are the expected first and second derivatives of ``log p(y | f)`` by the
function: for a softmax ``E[1(y = k) - p_k]`` and ``-E[p_k (1 - p_k)]``.

Of a labelled pixel S draws of its latent are known. The label fits *some* of them, and ``r`` is how
likely each is that one (Jensen's bound of the mean over draws, tight at the best ``r``); elsewhere
it is 1.

Notation: N latents, D latent dimensions, K classes, M inducing points.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eels_bayes.gp.classifier import GPClassifier, spread_points
from eels_bayes.uncertainty.quadrature import normal_nodes

N_NODES = 64  # of the functions' values at a latent
STEPS = 40
GROWTH = 1.3  # of a step, as long as it gains
CHUNK = 4096  # latents whose values are held at a time
PRECISION = 0.02  # nats that another step gains, at the end
# A log-normal prior of the lengthscale, in the unit of the VAE's standard normal prior.
LENGTHSCALE, LOG_SD = 2.0, 1.0
RATIO = 1.25  # of two lengthscales that are compared
OUTPUTSCALE = 20.0  # squared logits


class Known(NamedTuple):
    """Latents (N, D) and one-hot classes (N, K); the last are draws of pixels, ``n_draws`` each."""

    latents: Tensor
    classes: Tensor
    n_exact: int
    n_draws: int
    weight: float


class Features(NamedTuple):
    """Whitened features (N, M), and the prior variance (N,) that they leave."""

    w: Tensor
    left: Tensor


class Functions(NamedTuple):
    """q(u): whitened means (K, M) and covariances (K, M, M)."""

    mean: Tensor
    cov: Tensor


class Natural(NamedTuple):
    """The same as natural parameters: precisions times means (K, M), and precisions (K, M, M)."""

    shift: Tensor
    precision: Tensor


class Pull(NamedTuple):
    """How the data pull at each latent's functions: ``r g`` and ``r a``, (N, K)."""

    first: Tensor
    second: Tensor


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

    Returns
    -------
    GPClassifier
        Its ``loss`` is the negative bound per latent at every step.
    """
    draws, codes = measured or (latents[:0].unsqueeze(1), labels[:0])
    order = _order(draws, codes)
    draws, codes = draws[order], codes[order]
    latents, draws = (x.detach().to("cpu", torch.float64) for x in (latents, draws))
    every = torch.cat([labels, codes.repeat_interleave(draws.shape[1])]).to("cpu", torch.int64)
    known = Known(
        torch.cat([latents, draws.flatten(0, 1)]),
        torch.nn.functional.one_hot(every, n_classes).double(),
        len(latents),
        draws.shape[1],
        weight,
    )
    lengthscale = _of_dimensions(start.lengthscale, known.latents)
    outputscale, jitter = start.outputscale, start.jitter
    nodes = normal_nodes(N_NODES, n_classes)
    if learn_kernel:
        # of one lengthscale, so how long it is does not matter to what the points are spread over
        inducing = _spread(known.latents, torch.ones_like(lengthscale), n_inducing, seed)
        best = _best_lengthscale(known, inducing, lengthscale, jitter, nodes)
        lengthscale = torch.full_like(lengthscale, best)
        outputscale = torch.tensor(OUTPUTSCALE, dtype=torch.float64)
    else:
        inducing = _spread(known.latents, lengthscale, n_inducing, seed)
    features = _features(known.latents, inducing, lengthscale, outputscale, jitter)
    functions, _, bounds = _solve(known, features, _prior(features, n_classes), nodes)
    return GPClassifier(
        inducing=inducing,
        lengthscale=lengthscale,
        outputscale=outputscale,
        variational_mean=functions.mean,
        variational_factor=torch.linalg.cholesky(functions.cov),
        jitter=jitter,
        loss=tuple(-bound / len(known.latents) for bound in bounds),
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
    generator = torch.Generator().manual_seed(seed)
    return spread_points(points / lengthscale, n_points, generator) * lengthscale


def _features(
    latents: Tensor, inducing: Tensor, lengthscale: Tensor, outputscale: Tensor, jitter: Tensor
) -> Features:
    u = inducing / lengthscale

    def kernel(points: Tensor) -> Tensor:
        away = (points / lengthscale).unsqueeze(1) - u
        return outputscale * torch.exp(-0.5 * away.square().sum(-1))

    eye = torch.eye(len(inducing), dtype=inducing.dtype)
    root = torch.linalg.cholesky(kernel(inducing) + jitter * eye)
    w = torch.linalg.solve_triangular(root, kernel(latents).mT, upper=False).mT
    return Features(w, (outputscale - w.square().sum(1)).clamp(min=0.0))


def _prior(features: Features, n_classes: int) -> Functions:
    n_inducing = features.w.shape[1]
    eye = torch.eye(n_inducing, dtype=torch.float64)
    return Functions(
        torch.zeros(n_classes, n_inducing, dtype=torch.float64), eye.repeat(n_classes, 1, 1)
    )


def _marginals(features: Features, functions: Functions) -> tuple[Tensor, Tensor]:
    """Mean and variance (N, K) of the functions at the latents."""
    mean = features.w @ functions.mean.mT
    explained = ((features.w @ functions.cov) * features.w).sum(2).mT
    return mean, features.left.unsqueeze(1) + explained


def _expected(known: Known, mean: Tensor, var: Tensor, nodes: Tensor) -> tuple[float, Pull]:
    """Expected log-likelihood of all labels, nats, and how it pulls at the functions."""
    log_p, p, curvature = [], [], []
    for m, v in zip(mean.split(CHUNK), var.split(CHUNK), strict=True):
        f = torch.log_softmax(m.unsqueeze(2) + v.sqrt().unsqueeze(2) * nodes.mT, 1)  # (n, K, Q)
        log_p.append(f.mean(2))
        f = f.exp()
        p.append(f.mean(2))
        curvature.append(p[-1] - f.square().mean(2))
    of_label = (torch.cat(log_p) * known.classes).sum(1)
    weight = torch.full_like(of_label, known.weight)
    of_draws = of_label[known.n_exact :].view(-1, known.n_draws)
    weight[known.n_exact :] = torch.softmax(of_draws, 1).flatten()
    some = torch.logsumexp(of_draws, 1) - math.log(known.n_draws)
    total = known.weight * of_label[: known.n_exact].sum() + some.sum()
    weight = weight.unsqueeze(1)
    pull = Pull(weight * (known.classes - torch.cat(p)), weight * torch.cat(curvature))
    return total.item(), pull


def _solve(
    known: Known, features: Features, functions: Functions, nodes: Tensor
) -> tuple[Functions, Pull, list[float]]:
    """Where the natural gradient vanishes; how the data pull there, and the bound on the way."""
    w = features.w
    eye = torch.eye(w.shape[1], dtype=w.dtype)
    precision = torch.linalg.inv(functions.cov)
    natural = Natural((precision @ functions.mean.unsqueeze(2)).squeeze(2), precision)
    functions, pull, bound, target = _look(known, features, natural, eye, nodes)
    bounds = [bound]
    step = 0.5
    for _ in range(STEPS):
        ahead = Natural(*(x + step * (to - x) for x, to in zip(natural, target, strict=True)))
        found = _look(known, features, ahead, eye, nodes)
        gain = found[2] - bounds[-1]
        if gain < -PRECISION:  # too far: the weights are those of where it was
            step *= 0.5
            continue
        natural, (functions, pull, bound, target) = ahead, found
        bounds.append(bound)
        if gain < PRECISION:
            break
        step = min(1.0, GROWTH * step)
    return functions, pull, bounds


def _look(
    known: Known, features: Features, natural: Natural, eye: Tensor, nodes: Tensor
) -> tuple[Functions, Pull, float, Natural]:
    """What q is, how the data pull at it, its bound, and where a whole step leads."""
    cov = torch.linalg.inv(natural.precision)
    cov = 0.5 * (cov + cov.mT)
    functions = Functions((cov @ natural.shift.unsqueeze(2)).squeeze(2), cov)
    mean, var = _marginals(features, functions)
    expected, pull = _expected(known, mean, var, nodes)
    trace = cov.diagonal(dim1=1, dim2=2).sum()
    divergence = 0.5 * (
        trace
        + functions.mean.square().sum()
        - mean.shape[1] * len(eye)
        + natural.precision.logdet().sum()
    )
    w = features.w
    target = Natural(
        (pull.first + pull.second * mean).mT @ w,
        eye + w.mT @ (pull.second.mT.unsqueeze(2) * w),
    )
    return functions, pull, expected - divergence.item(), target


def _best_lengthscale(
    known: Known, inducing: Tensor, start: Tensor, jitter: Tensor, nodes: Tensor
) -> float:
    """Lengthscale, one for every axis, that has most evidence: the best one uphill of ``start``."""
    functions: Functions | None = None
    bounds: dict[int, float] = {}

    def bound(k: int) -> float:
        nonlocal functions
        if k not in bounds:
            lengthscale = torch.full_like(start, LENGTHSCALE * RATIO**k)
            features = _features(
                known.latents, inducing, lengthscale, torch.tensor(OUTPUTSCALE), jitter
            )
            functions, _, found = _solve(
                known, features, functions or _prior(features, nodes.shape[1]), nodes
            )
            bounds[k] = found[-1] - 0.5 * (k * math.log(RATIO) / LOG_SD) ** 2
        return bounds[k]

    alike = bool((start == start[0]).all())
    k = round(math.log(start[0].item() / LENGTHSCALE) / math.log(RATIO)) if alike else 0
    while True:
        best = max((k, k - 1, k + 1), key=bound)
        if best == k:
            return LENGTHSCALE * RATIO**k
        k = best
