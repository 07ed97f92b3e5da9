"""How many pixels are novel, and which, from the novelty of all of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.arrays import Array

P_VALUE_FLOOR = 1e-300  # so that a p-value has a logarithm
SMALLEST = 1e-7  # p-value that a novelty in single precision can tell from 0
STEEP = 0.1  # power of the p-values' density at most: mild misfits are not novel
LEAST_POWER = 0.01  # power of the p-values' density at least: keeps its mass off 0
MIXTURE_STEPS = 200  # of expectation-maximisation: chosen, not tuned
SHARE_START = 0.1  # share of novel pixels where the fit starts
SHARE_FLOOR = 1e-6  # share of novel pixels, and of known ones, at least: the odds stay finite
SURPRISE_FLOOR = 1e-12  # nats: where no pixel is surprising at all, not to divide by 0


def novel_probability(novelty: ArrayLike, share: float) -> Array:
    """Probability (n,) that pixels are of no known structure, from their novelty.

    Novelty is one minus a p-value p, and the evidence against the known structures is at most
    1 / (-e p log p) (Sellke, Bayarri and Berger, Am. Stat. 55, 62 (2001)); that bound is taken.

    Parameters
    ----------
    novelty : (n,) array_like
    share : float
        Of novel pixels, expected beforehand; between 0 and 1.

    Returns
    -------
    ndarray (n,)
    """
    # beyond 1 / e the bound is 1
    p = np.clip(1.0 - np.asarray(novelty, dtype=np.float64), P_VALUE_FLOOR, 1.0 / math.e)
    evidence = 1.0 / (-math.e * p * np.log(p))
    odds = share / (1.0 - share) * evidence
    probability: Array = odds / (1.0 + odds)
    return probability


def novel_share(novelty: ArrayLike) -> float:
    """Share of pixels that are of no known structure, by the novelty of all of them together.

    The p-values of known structures are uniform and those of others heap up near zero: the
    beta-uniform mixture of Pounds and Morris (Bioinformatics 19, 1236 (2003)), fitted by
    expectation-maximisation. For `Costs.novel`, where a structure may fill much of an image.

    Parameters
    ----------
    novelty : (n,) array_like
        NaN is left out.

    Returns
    -------
    float
        Between 0 and 1; 0 where there are no pixels.
    """
    return _beta_uniform(novelty)[0]


def novel_among(novelty: ArrayLike) -> Array:
    """Probability (n,) that pixels are of no known structure, learned from all of them together.

    As `novel_probability`, with the share and the evidence of `novel_share`.

    Parameters
    ----------
    novelty : (n,) array_like

    Returns
    -------
    ndarray (n,)
        0 where the novelty is NaN.
    """
    share, power = _beta_uniform(novelty)
    odds = share / (1.0 - share) * power * np.exp((1.0 - power) * _surprise(novelty))
    probability: Array = np.nan_to_num(odds / (1.0 + odds))
    return probability


def _surprise(novelty: ArrayLike) -> Array:
    """Minus the logarithm (n,) of the p-value."""
    p = 1.0 - np.asarray(novelty, dtype=np.float64)
    return -np.log(np.maximum(p, SMALLEST))


def _beta_uniform(novelty: ArrayLike) -> tuple[float, float]:
    """Share of the p-values that are Beta(a, 1) instead of uniform, and a."""
    surprise = _surprise(novelty)
    surprise = surprise[~np.isnan(surprise)]
    share, power = SHARE_START, STEEP
    if not len(surprise):
        return 0.0, power
    for _ in range(MIXTURE_STEPS):
        odds = share / (1.0 - share) * power * np.exp((1.0 - power) * surprise)
        weight = odds / (1.0 + odds)
        share = float(np.clip(weight.mean(), SHARE_FLOOR, 1.0 - SHARE_FLOOR))
        power = weight.sum() / (weight @ surprise + SURPRISE_FLOOR)
        power = float(np.clip(power, LEAST_POWER, STEEP))
    return share, power
