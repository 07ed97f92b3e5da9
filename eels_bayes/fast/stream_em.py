"""The population of a stream's spectra, learned while it runs.

The model is that of `forward_model.em_steps`, without images of their own and with the fingerprints
as they were fitted. An E-step says of some new spectra how likely each is of which component, and
where its continuum lies. What follows from it is blended into what is known, of which a part is
forgotten: online expectation-maximisation (Cappe and Moulines, J. R. Stat. Soc. B 71, 593 (2009)).

Class weights and the overlapping shapes' mean explain nearly the same of noisy spectra. Along such
directions steps of expectation-maximisation hardly move, and a stream drifts faster. So means and
weights take recursive steps by what spectra do tell of them (the scores' own covariance;
Titterington, J. R. Stat. Soc. B 46, 257 (1984)), under which all directions forget in the same
time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.fast.following import Components, Followed, State

UNKNOWN_SHARE = 0.01  # of spectra that no class describes, as in the fit of the forward model
# What is expected of weights beforehand, as in the fit, in shares of the spectra that are
# remembered: noise hides what is mixed, and a class that is absent may come.
MIXED_WEIGHT = 0.25  # of the fit's share of mixed spectra
BALANCE = 0.05  # of equal classes
LEAST_WEIGHT = 1e-4  # of a component: none is ruled out
# Of what spectra without noise would tell, what they are taken to tell at the least: no step is
# longer than one of expectation-maximisation over this. Chosen, tried from 0.005 to 0.2.
LEAST_INFORMATION = 0.02
# Of the same, what the fit is taken to tell of the coefficients' mean beside each spectrum: what
# tells nothing of it must not move it. Chosen, tried from 0 to 0.01.
HELD = 0.002
MOST_STEP = 0.5  # of a weight's logarithm, or of a coefficient in sd, at once
NOISE_RANGE = (0.5, 2.0)  # within which the noise may follow: beyond, the detector is another
RIDGE = 1e-6  # of the weights' metric, which knows nothing of their sum


class Seen(NamedTuple):
    """Whitened spectra in the directions that matter.

    Attributes
    ----------
    along : Tensor (n, S)
    beside : Tensor (n,)
        Square of what lies beside the directions.
    n_beside : int
        In so many dimensions.
    noise : Tensor (n,)
        Variance of a bin as the detector's noise has it.
    """

    along: Tensor
    beside: Tensor
    n_beside: int
    noise: Tensor


class Expectation(NamedTuple):
    """What an E-step says of n spectra.

    Attributes
    ----------
    log_evidence : Tensor (n,)
        As of the function of this name.
    responsibility : Tensor (n, C)
        Of the components; what is missing to one is of no known structure.
    score : Tensor (n, S)
        Gradient of the log-likelihood by what all components' centres share.
    second : Tensor (S, S)
        Sum of the scores' squares within components, less what is expected of them.
    noise : Tensor, scalar
        Mean noise beside the directions over the detector's.
    """

    log_evidence: Tensor
    responsibility: Tensor
    score: Tensor
    second: Tensor
    noise: Tensor


class Running(NamedTuple):
    """What is known of a stream.

    Attributes
    ----------
    state : State
    information : Tensor (C + P, C + P)
        Of a spectrum about the weights' logarithms and the coefficients' mean in their sd.
    """

    state: State
    information: Tensor


def begun(followed: Followed) -> Running:
    """What is known before the first spectrum: what was fitted."""
    state = followed.fitted
    return Running(state, _complete(state))


def log_evidence(seen: Seen, components: Components) -> Tensor:
    """Log-likelihood (n,) of spectra but for a constant, nats: of known structures or not.

    Along the directions alone: what lies beside them tells nothing of a class, and would outweigh
    what does.
    """
    return _joint(seen, components)[0].logsumexp(1)


def expectation(seen: Seen, components: Components) -> Expectation:
    """The E-step for n spectra."""
    joint, factor, shrink = _joint(seen, components)
    total, n_known = joint.logsumexp(1), len(components.log_weight)
    of_known = (joint[:, :n_known] - total.unsqueeze(1)).exp()  # (n, C)
    factor, axes = factor[:, :n_known], components.axes[:n_known]
    weighted = factor * of_known.unsqueeze(2)
    square = torch.einsum("nca,ncb->cab", weighted, factor)
    hidden = torch.einsum("nc,nca->ca", of_known, shrink[:, :n_known])
    known = of_known.sum(1)
    noise = seen.beside / (seen.noise * seen.n_beside)
    return Expectation(
        total,
        of_known,
        torch.einsum("nca,csa->ns", weighted, axes),
        (axes @ (square - torch.diag_embed(hidden)) @ axes.mT).sum(0),
        (known @ noise) / known.sum().clamp(min=1.0),
    )


def _joint(seen: Seen, components: Components) -> tuple[Tensor, Tensor, Tensor]:
    """Log of component and spectrum (n, T), and factor and shrink (n, T, S) as `PixelEvidence`."""
    n_known, n_all = len(components.log_weight), len(components.center)
    noise = seen.noise * components.noise
    offset = torch.einsum("ts,tsa->ta", components.center, components.axes)
    projected = torch.einsum("ns,tsa->nta", seen.along, components.axes) - offset
    shrink = (noise.view(-1, 1, 1) + components.variance).reciprocal()
    factor = projected * shrink
    likelihood = 0.5 * (shrink.log() - projected * factor).sum(2)
    weight = noise.new_full((n_all,), math.log(UNKNOWN_SHARE / (n_all - n_known)))
    weight[:n_known] = components.log_weight + math.log1p(-UNKNOWN_SHARE)
    return weight + likelihood, factor, shrink


def maximisation(
    running: Running,
    step: Expectation,
    followed: Followed,
    *,
    memory: float,
    class_memory: float,
) -> Running:
    """What is known after an E-step.

    Parameters
    ----------
    running : Running
    step : Expectation
    followed : Followed
    memory, class_memory : float
        Spectra after which a factor of e is forgotten: of all, and of the components' weights.
    """
    state, known = running.state, step.responsibility.sum(1)
    n, n_known = float(known.sum()), len(state.weight)
    if n < 1.0:
        return running
    share, of_classes = (-math.expm1(-n / spectra) for spectra in (memory, class_memory))
    root = torch.linalg.cholesky(state.covariance)
    loadings = followed.directions @ root  # (S, P)
    off = step.responsibility - known.unsqueeze(1) * state.weight
    score = torch.cat([off, step.score @ loadings], 1)
    information = torch.lerp(running.information, score.T @ score / n, share)
    mean = score.sum(0) / n
    expected = expected_weights(step.responsibility.sum(0) / n, followed)
    mean[:n_known] = expected - state.weight
    metric = information + LEAST_INFORMATION * _complete(state)
    metric[:n_known, :n_known] += RIDGE * torch.eye(n_known, dtype=metric.dtype)
    metric[n_known:, n_known:] += HELD * torch.eye(len(root), dtype=metric.dtype)
    towards = mean.clone()
    away = (state.mean - followed.fitted.mean).unsqueeze(1)
    towards[n_known:] -= HELD * torch.linalg.solve_triangular(root, away, upper=False)[:, 0]
    move = torch.linalg.solve(metric, towards)
    log_weight = state.weight.log() + _bounded(of_classes * move[:n_known])
    weight = log_weight.softmax(0).clamp(min=LEAST_WEIGHT)
    # The covariance by expectation-maximisation: a mean of positive ones, and so positive itself.
    about = share * mean[n_known:]
    eye = torch.eye(len(root), dtype=root.dtype)
    scatter = eye + share * (loadings.T @ step.second @ loadings) / n - torch.outer(about, about)
    covariance = root @ scatter @ root.T
    state = State(
        weight / weight.sum(),
        state.mean + root @ _bounded(share * move[n_known:]),
        0.5 * (covariance + covariance.T),
        torch.lerp(state.noise, step.noise, share).clamp(*NOISE_RANGE),
    )
    return Running(state, information)


def expected_weights(weight: Tensor, followed: Followed) -> Tensor:
    """Weights (C,) drawn to what is expected of them beforehand.

    As `forward_model.class_weights` does in a fit: the share of mixed spectra to that of the fit,
    classes alone, whose components come first, to equal ones.
    """
    n_classes, single, fitted = followed.n_classes, followed.single, followed.fitted.weight
    n_single = len(single)
    alone, mixed = weight[:n_single], weight[n_single:]

    def of_class(parts: Tensor) -> Tensor:
        """Sum (K,) over what a class has alone."""
        return parts.new_zeros(n_classes).index_add(0, single, parts)

    pure, before = of_class(alone), of_class(fitted[:n_single])
    # how a class shares out; as in the fit where there is nothing of it
    part = torch.where(
        (pure > LEAST_WEIGHT)[single],
        alone / pure.clamp(min=LEAST_WEIGHT)[single],
        fitted[:n_single] / before.clamp(min=LEAST_WEIGHT)[single],
    ).clamp(min=LEAST_WEIGHT)
    pure = (pure / pure.sum().clamp(min=LEAST_WEIGHT) + BALANCE / n_classes) / (1.0 + BALANCE)
    alone = pure[single] * part
    if len(mixed) == 0:
        return alone / alone.sum()
    share = (mixed.sum() + MIXED_WEIGHT * fitted[n_single:].sum()) / (1.0 + MIXED_WEIGHT)
    mixed = mixed.clamp(min=LEAST_WEIGHT)
    return torch.cat([(1.0 - share) * alone / alone.sum(), share * mixed / mixed.sum()])


def _complete(state: State) -> Tensor:
    """What a spectrum without noise would tell, as `Running.information`."""
    n_known, weight = len(state.weight), state.weight
    complete = torch.eye(n_known + len(state.mean), dtype=weight.dtype)
    complete[:n_known, :n_known] = torch.diag(weight) - torch.outer(weight, weight)
    return complete


def _bounded(step: Tensor) -> Tensor:
    return step.clamp(-MOST_STEP, MOST_STEP)
