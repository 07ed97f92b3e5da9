"""Variational inference by natural gradients in closed form, for functions under a softmax.

Conjugate-computation variational inference (Khan and Lin, AISTATS 2017). With whitened features
``w(z) = L^-1 k(U, z)`` each function's ``q(u) = N(m, S)`` is that of a Gaussian regression,

    S^-1 = I + sum_i r_i a_i w_i w_i',    S^-1 m = sum_i r_i (g_i + a_i w_i'm) w_i,

where ``g`` and ``-a`` are the expected first and second derivatives of ``log p(y | f)`` by the
function: for a softmax ``E[1(y = k) - p_k]`` and ``-E[p_k (1 - p_k)]``.

Of a labelled pixel S draws of its latent are known. The label fits *some* of them, and ``r`` is how
likely each is that one (Jensen's bound of the mean over draws, tight at the best ``r``); elsewhere
it is 1.

Notation: N latents, D latent dimensions, K classes, M inducing points, Q nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.gp.kernel import rbf

N_NODES = 64  # of the functions' values at a latent; powers of two fill space best
STEPS = 40  # at most: some ten are usual
PRECISION = 0.02  # nats that another step must gain: far below what tells classifiers apart
FIRST_STEP = 0.5  # of the whole step to the regression's solution; chosen, not tuned
GROWTH = 1.3  # of a step, as long as it gains; chosen, not tuned
CHUNK = 4096  # latents whose values are held at a time: bounds the memory


@dataclass(frozen=True)
class Solver:
    """How exactly the optimum is found.

    Attributes
    ----------
    n_nodes : int
        Nodes of the functions' values at a latent.
    steps : int
        Most steps.
    precision : float
        Nats: it ends where a step gains less, and a step is taken back that loses more.
    chunk : int
        Latents whose values are held at a time; does not change the result.
    """

    n_nodes: int = N_NODES
    steps: int = STEPS
    precision: float = PRECISION
    chunk: int = CHUNK


DEFAULT_SOLVER = Solver()


class Known(NamedTuple):
    """Labelled latents: what is learned from.

    Attributes
    ----------
    latents, classes : Tensor
        (N, D), and one-hot (N, K), float64.
    n_exact : int
        How many of the latents are known; behind them are draws of labelled pixels.
    n_draws : int
        Draws of each pixel.
    weight : float
        Labels that each known latent counts for; a pixel counts for one.
    """

    latents: Tensor
    classes: Tensor
    n_exact: int
    n_draws: int
    weight: float


class Features(NamedTuple):
    """Whitened features (N, M), and the prior variance (N,) that they do not explain."""

    w: Tensor
    residual_variance: Tensor


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


class Look(NamedTuple):
    """What q is at some natural parameters, its bound (nats), and where a whole step leads."""

    functions: Functions
    bound: float
    target: Natural


def features_of(
    latents: Tensor, inducing: Tensor, lengthscale: Tensor, outputscale: Tensor, jitter: Tensor
) -> Features:
    """Whitened features of latents (N, D); arguments as the attributes of `GPClassifier`."""
    eye = torch.eye(len(inducing), dtype=inducing.dtype)
    at_inducing = rbf(inducing, inducing, lengthscale, outputscale)
    root = torch.linalg.cholesky(at_inducing + jitter * eye)
    at_latents = rbf(latents, inducing, lengthscale, outputscale)
    w = torch.linalg.solve_triangular(root, at_latents.mT, upper=False).mT
    return Features(w, (outputscale - w.square().sum(1)).clamp(min=0.0))


def prior_functions(features: Features, n_classes: int) -> Functions:
    """The functions before anything is known of them."""
    n_inducing = features.w.shape[1]
    eye = torch.eye(n_inducing, dtype=torch.float64)
    return Functions(
        torch.zeros(n_classes, n_inducing, dtype=torch.float64), eye.repeat(n_classes, 1, 1)
    )


def marginals(features: Features, functions: Functions) -> tuple[Tensor, Tensor]:
    """Mean and variance (N, K) of the functions at the latents."""
    mean = features.w @ functions.mean.mT
    explained = ((features.w @ functions.cov) * features.w).sum(2).mT
    return mean, features.residual_variance.unsqueeze(1) + explained


def _expected(
    known: Known, mean: Tensor, var: Tensor, nodes: Tensor, chunk: int
) -> tuple[float, Pull]:
    """Expected log-likelihood of all labels, nats, and how it pulls at the functions."""
    parts = []
    # in single precision: nodes are off by more, and halving what is moved halves the time
    at, means, sds = nodes.mT.float(), mean.float(), var.sqrt().float()
    for m, sd in zip(means.split(chunk), sds.split(chunk), strict=True):
        f = torch.log_softmax(m.unsqueeze(2) + sd.unsqueeze(2) * at, 1)  # (n, K, Q)
        log_mean, f = f.mean(2), f.exp_()
        p = f.mean(2)
        parts.append((log_mean, p, p - f.square_().mean(2)))
    log_p, p, curvature = (torch.cat(part).double() for part in zip(*parts, strict=True))
    of_label = (log_p * known.classes).sum(1)
    weight = torch.full_like(of_label, known.weight)
    of_draws = of_label[known.n_exact :].view(-1, known.n_draws)
    weight[known.n_exact :] = torch.softmax(of_draws, 1).flatten()
    of_pixel = torch.logsumexp(of_draws, 1) - math.log(known.n_draws)
    total = known.weight * of_label[: known.n_exact].sum() + of_pixel.sum()
    weight = weight.unsqueeze(1)
    pull = Pull(weight * (known.classes - p), weight * curvature)
    return total.item(), pull


def solve(
    known: Known, features: Features, start: Functions, nodes: Tensor, solver: Solver
) -> tuple[Functions, list[float]]:
    """Find where the natural gradient vanishes.

    Parameters
    ----------
    known : Known
    features : Features
        Of the known latents.
    start : Functions
        Where to begin.
    nodes : Tensor
        (Q, K), standard normal.
    solver : Solver

    Returns
    -------
    functions : Functions
    bounds : list of float
        The evidence's lower bound of every step that was taken, nats.
    """
    precision = torch.linalg.inv(start.cov)
    natural = Natural((precision @ start.mean.unsqueeze(2)).squeeze(2), precision)
    here = _look(known, features, natural, nodes, solver.chunk)
    bounds = [here.bound]
    step = FIRST_STEP
    for _ in range(solver.steps):
        ahead = Natural(*(x + step * (to - x) for x, to in zip(natural, here.target, strict=True)))
        there = _look(known, features, ahead, nodes, solver.chunk)
        gain = there.bound - bounds[-1]
        if gain < -solver.precision:  # too far: the weights are those of where it was
            step *= 0.5
            continue
        natural, here = ahead, there
        bounds.append(here.bound)
        if gain < solver.precision:
            break
        step = min(1.0, GROWTH * step)
    return here.functions, bounds


def _look(known: Known, features: Features, natural: Natural, nodes: Tensor, chunk: int) -> Look:
    """What there is to know at these natural parameters."""
    w = features.w
    eye = torch.eye(w.shape[1], dtype=w.dtype)
    cov = torch.linalg.inv(natural.precision)
    cov = 0.5 * (cov + cov.mT)
    functions = Functions((cov @ natural.shift.unsqueeze(2)).squeeze(2), cov)
    mean, var = marginals(features, functions)
    expected, pull = _expected(known, mean, var, nodes, chunk)
    trace = cov.diagonal(dim1=1, dim2=2).sum()
    divergence = 0.5 * (
        trace
        + functions.mean.square().sum()
        - mean.shape[1] * len(eye)
        + natural.precision.logdet().sum()
    )
    target = Natural(
        (pull.first + pull.second * mean).mT @ w,
        eye + w.mT @ (pull.second.mT.unsqueeze(2) * w),
    )
    return Look(functions, expected - divergence.item(), target)
