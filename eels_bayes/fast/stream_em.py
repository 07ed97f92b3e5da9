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

Script-safe: a step of hundreds of small operations would ask for the interpreter before each, which
the loop that reads needs at the same time. Compiled, it asks for it a few times.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

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


class Fitted(NamedTuple):
    """What a step needs of `Followed`.

    Attributes
    ----------
    fitted : State
    directions : Tensor (S, P)
    single : Tensor (C1,) of int64
    n_classes : int
        As there.
    """

    fitted: State
    directions: Tensor
    single: Tensor
    n_classes: int


def begun(followed: Followed) -> Running:
    """What is known before the first spectrum: what was fitted."""
    state = followed.fitted
    return Running(state, complete(state))


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


def _joint(
    seen: Seen, components: Components, unknown: float = UNKNOWN_SHARE
) -> tuple[Tensor, Tensor, Tensor]:
    """Log of component and spectrum (n, T), and factor and shrink (n, T, S) as `PixelEvidence`."""
    n_known, n_all = len(components.log_weight), len(components.center)
    noise = seen.noise * components.noise
    offset = torch.einsum("ts,tsa->ta", components.center, components.axes)
    projected = torch.einsum("ns,tsa->nta", seen.along, components.axes) - offset
    shrink = (noise.view(-1, 1, 1) + components.variance).reciprocal()
    factor = projected * shrink
    likelihood = 0.5 * (shrink.log() - projected * factor).sum(2)
    weight = torch.full_like(components.center[:, 0], math.log(unknown / (n_all - n_known)))
    weight[:n_known] = components.log_weight + math.log1p(-unknown)
    return weight + likelihood, factor, shrink


def maximisation(
    running: Running,
    step: Expectation,
    population: Fitted,
    memory: float,
    class_memory: float,
    least_information: float = LEAST_INFORMATION,
    held: float = HELD,
    ridge: float = RIDGE,
    least_weight: float = LEAST_WEIGHT,
    least_noise: float = NOISE_RANGE[0],
    most_noise: float = NOISE_RANGE[1],
) -> Running:
    """What is known after an E-step.

    Parameters
    ----------
    running : Running
    step : Expectation
    population : Fitted
    memory, class_memory : float
        Spectra after which a factor of e is forgotten: of all, and of the components' weights.
    least_information, held, ridge, least_weight, least_noise, most_noise : float
        Scripted functions see no globals.
    """
    state, known = running.state, step.responsibility.sum(1)
    n, n_known = float(known.sum()), len(state.weight)
    if n < 1.0:
        return running
    share, of_classes = -math.expm1(-n / memory), -math.expm1(-n / class_memory)
    root = torch.linalg.cholesky(state.covariance)
    loadings = population.directions @ root  # (S, P)
    off = step.responsibility - known.unsqueeze(1) * state.weight
    score = torch.cat([off, step.score @ loadings], 1)
    information = torch.lerp(running.information, score.T @ score / n, share)
    mean = score.sum(0) / n
    mean[:n_known] = expected_weights(step.responsibility.sum(0) / n, population) - state.weight
    metric = information + least_information * complete(state)
    metric[:n_known, :n_known] += ridge * torch.eye(n_known, dtype=metric.dtype)
    metric[n_known:, n_known:] += held * torch.eye(len(root), dtype=metric.dtype)
    away = (state.mean - population.fitted.mean).unsqueeze(1)
    back = held * torch.linalg.solve_triangular(root, away, upper=False)[:, 0]
    move = torch.linalg.solve(metric, torch.cat([mean[:n_known], mean[n_known:] - back]))
    log_weight = state.weight.log() + _bounded(of_classes * move[:n_known])
    weight = log_weight.softmax(0).clamp(min=least_weight)
    # The covariance by expectation-maximisation: a mean of positive ones, and so positive itself.
    about = share * mean[n_known:]
    eye = torch.eye(len(root), dtype=root.dtype)
    scatter = eye + share * (loadings.T @ step.second @ loadings) / n - torch.outer(about, about)
    covariance = root @ scatter @ root.T
    after = State(
        weight / weight.sum(),
        state.mean + root @ _bounded(share * move[n_known:]),
        0.5 * (covariance + covariance.T),
        torch.lerp(state.noise, step.noise, share).clamp(least_noise, most_noise),
    )
    return Running(after, information)


def expected_weights(
    weight: Tensor,
    population: Fitted,
    least_weight: float = LEAST_WEIGHT,
    balance: float = BALANCE,
    mixed_weight: float = MIXED_WEIGHT,
) -> Tensor:
    """Weights (C,) drawn to what is expected of them beforehand.

    As `forward_model.class_weights` does in a fit: the share of mixed spectra to that of the fit,
    classes alone, whose components come first, to equal ones.
    """
    single, fitted, n_classes = population.single, population.fitted.weight, population.n_classes
    n_single = len(single)
    alone, mixed = weight[:n_single], weight[n_single:]
    pure, before = (
        _of_class(alone, single, n_classes),
        _of_class(fitted[:n_single], single, n_classes),
    )
    # how a class shares out; as in the fit where there is nothing of it
    part = torch.where(
        (pure > least_weight)[single],
        alone / pure.clamp(min=least_weight)[single],
        fitted[:n_single] / before.clamp(min=least_weight)[single],
    ).clamp(min=least_weight)
    pure = (pure / pure.sum().clamp(min=least_weight) + balance / n_classes) / (1.0 + balance)
    alone = pure[single] * part
    if len(mixed) == 0:
        return alone / alone.sum()
    share = (mixed.sum() + mixed_weight * fitted[n_single:].sum()) / (1.0 + mixed_weight)
    mixed = mixed.clamp(min=least_weight)
    return torch.cat([(1.0 - share) * alone / alone.sum(), share * mixed / mixed.sum()])


def _of_class(parts: Tensor, single: Tensor, n_classes: int) -> Tensor:
    """Sum (K,) over what a class has alone."""
    whole = torch.zeros(n_classes, dtype=parts.dtype)
    return whole.index_add(0, single, parts)


def complete(state: State) -> Tensor:
    """What a spectrum without noise would tell, as `Running.information`."""
    n_known, weight = len(state.weight), state.weight
    whole = torch.eye(n_known + len(state.mean), dtype=weight.dtype)
    whole[:n_known, :n_known] = torch.diag(weight) - torch.outer(weight, weight)
    return whole


def _bounded(step: Tensor, most: float = MOST_STEP) -> Tensor:
    return step.clamp(-most, most)


class StreamEM(nn.Module):
    """The steps above for one population, to be compiled.

    Parameters
    ----------
    followed : Followed
    """

    def __init__(self, followed: Followed):
        super().__init__()
        self.followed = followed

    @torch.jit.export
    def expectation(self, seen: Seen, components: Components) -> Expectation:
        """The E-step for n spectra."""
        return expectation(seen, components)

    @torch.jit.export
    def log_evidence(self, seen: Seen, components: Components) -> Tensor:
        """Log-likelihood (n,) of spectra."""
        return log_evidence(seen, components)

    @torch.jit.export
    def maximisation(
        self, running: Running, step: Expectation, memory: float, class_memory: float
    ) -> tuple[Running, Components, dict[str, Tensor]]:
        """What is known after an E-step, its Gaussians, and the encoder's buffers for them."""
        own = self.followed
        population = Fitted(own.fitted, own.directions, own.single, own.n_classes)
        running = maximisation(running, step, population, memory, class_memory)
        components = own.components(running.state)
        return running, components, own.tensors(running.state, components)
