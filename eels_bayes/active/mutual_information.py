"""What class labels tell of each other and of the functions that they are drawn from, in nats.

On plain arrays of class probabilities under the same draws of the functions. BatchBALD: Kirsch, van
Amersfoort and Gal, NeurIPS 2019. EPIG: Bickford Smith et al., AISTATS 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from eels_bayes.arrays import Array

# Joint outcomes of a batch that are enumerated; beyond, as many are sampled. Chosen, not tuned: of
# four classes five pixels are still exact, and time grows in proportion.
EXACT = 1024
CHUNK = 256  # pixels whose joint probabilities are held at a time: bounds memory


def information_about(draws: ArrayLike, targets: ArrayLike) -> Array:
    """Mean mutual information (n,) of classes with those of m targets, nats.

    Parameters
    ----------
    draws, targets : (S, n, K) and (S, m, K) array_like
        Class probabilities under the same S draws of the functions.

    Returns
    -------
    (n,) array
        Nats; not negative but for rounding.
    """
    p, q = np.asarray(draws, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    n_draws, n, n_classes = p.shape
    flat = q.reshape(n_draws, -1)  # (S, m K)
    of_target = entr(q.mean(0)).sum()
    information = np.empty(n)
    for start in range(0, n, CHUNK):
        rows = p[:, start : start + CHUNK]
        joint = rows.reshape(n_draws, -1).T @ flat / n_draws  # p(y, y*), (n K, m K)
        together = entr(joint).sum(1).reshape(-1, n_classes).sum(1)
        alone = entr(rows.mean(0)).sum(1)
        information[start : start + CHUNK] = alone + (of_target - together) / q.shape[1]
    return information


def joint_information(
    draws: ArrayLike,
    k: int,
    *,
    alone: ArrayLike | None = None,
    most_outcomes: int = EXACT,
    seed: int = 0,
) -> tuple[NDArray[np.int64], Array]:
    """Greedy batch of most mutual information with the functions (Kirsch et al., 2019, Alg. 1).

    Exact over all joint outcomes as long as these are few, then over outcomes sampled from the
    chosen pixels' joint distribution (their eq. 12).

    Parameters
    ----------
    draws : (S, n, K) or (T, S, n, K) array_like
        Class probabilities of n pixels under S draws of the functions; with T of each pixel's
        latent the information is that given the latents, their average.
    k : int
    alone : (n,) array_like, optional
        Information of each pixel by itself, where it is known better than draws have it: they
        then tell only what a pixel shares with the batch.
    most_outcomes : int
        Joint outcomes that are enumerated; where there are more, so many are sampled.
    seed : int
        Of the sampled outcomes.

    Returns
    -------
    chosen : (k,) int array
        Pixels, the most informative first; fewer where there are fewer.
    information : (k,) array
        Of the batch so far, nats; with sampled outcomes an estimate.
    """
    p = np.asarray(draws, dtype=np.float64)
    rng = np.random.default_rng(seed)
    given_latents = p if p.ndim == 4 else p[None]
    batches = [_Batch(of_latent, rng, most_outcomes) for of_latent in given_latents]
    missing = np.zeros(p.shape[-2])
    if alone is not None:
        missing = np.asarray(alone) - np.mean([batch.information() for batch in batches], axis=0)
    chosen: list[int] = []
    information: list[float] = []
    for _ in range(min(k, p.shape[-2])):
        score = np.mean([batch.information() for batch in batches], axis=0)
        score = score + missing + missing[chosen].sum()
        score[chosen] = -np.inf
        pixel = int(score.argmax())
        chosen.append(pixel)
        information.append(float(score[pixel]))
        for batch in batches:
            batch.add(pixel)
    return np.array(chosen, dtype=np.int64), np.array(information)


class _Batch:
    """The joint outcomes of the pixels chosen so far, and how likely each draw makes them."""

    def __init__(self, p: Array, rng: np.random.Generator, most_outcomes: int):
        self.p, self.rng, self.most_outcomes = p, rng, most_outcomes
        self.flat = p.transpose(0, 2, 1).reshape(len(p), -1)  # (S, K n)
        self.given = entr(p).sum(2).mean(0)  # E H[y | f], adds up over pixels
        self.given_chosen = 0.0
        self.outcomes = np.ones((1, len(p)))  # p(outcome | f), its rows
        self.weight = np.ones(1)  # of the rows, so that averages are sums over them

    def information(self) -> Array:
        """Mutual information (n,) of the batch and each pixel with the functions, nats."""
        n_draws, n, n_classes = self.p.shape
        joint = (self.outcomes @ self.flat / n_draws).reshape(len(self.outcomes), n_classes, n)
        # H of batch and candidate: -sum over outcomes; rows are weighted where they are sampled
        together: Array = self.weight @ entr(joint).sum(1)
        return together - self.given - self.given_chosen

    def add(self, pixel: int) -> None:
        """Take one more pixel in, and sample the outcomes where they have become too many."""
        n_draws, _, n_classes = self.p.shape
        self.given_chosen += self.given[pixel]
        grown = self.outcomes[:, None] * self.p[:, pixel].T[None]
        outcomes, weight = grown.reshape(-1, n_draws), np.repeat(self.weight, n_classes)
        n_sampled = self.most_outcomes
        if len(outcomes) > n_sampled:
            chance = weight * outcomes.mean(1)
            chance = chance / chance.sum()
            rows, times = np.unique(
                self.rng.choice(len(outcomes), n_sampled, p=chance), return_counts=True
            )
            weight = weight[rows] * times / (n_sampled * chance[rows])
            outcomes = outcomes[rows]
        self.outcomes, self.weight = outcomes, weight
