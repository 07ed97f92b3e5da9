"""Which two classes share pixels, where there are too many pairs to ask every pixel of each.

Any two of K classes may mix, but most of the K (K - 1) / 2 pairs are in no pixel. Pairs enter one
after the other, the one first that makes the pixels likeliest, as long as it gains enough (forward
selection by the likelihood ratio). All else stays as it is, so that a pixel's evidence of each pair
is reckoned once. A pair of no pixel that enters by chance costs time, one of a few pixels that does
not costs these: so chance is let in a little.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from eels_bayes.arrays import Array
from eels_bayes.forward_model.components import MIXING

# Nats by which a pair makes the pixels likelier at least. One of no pixel does in one of 45 cases:
# twice the gain has half the time a chi-square distribution of one degree of freedom, else it is 0.
GAIN = 2.0
TRIED = np.geomspace(1e-3, 0.3, 8)  # shares of the pixels that a pair is tried with
MOST_RATIO = 50.0  # nats: a pixel that is likelier by more is the pair's whatever its share
LEAST_SHARE = 1e-12  # of the pixels, where a logarithm is taken of it
WEIGHT_STEPS = 5  # of expectation-maximisation of the shares, whenever a pair has entered


def chosen(base: Array, together: Array, most: int) -> tuple[list[int], Array]:
    """The columns that enter, in order, and the share of the pixels that each takes.

    Parameters
    ----------
    base : (n,) array
        Log-likelihood of the pixels without any pair, nats.
    together : (n, Q) array
        The same by each of Q pairs.
    most : int
        Pairs that may enter.

    Returns
    -------
    columns : list of int
        In increasing order.
    share : (columns,) array
    """
    entered: list[int] = []
    share, total = np.zeros(0), base
    left = np.arange(together.shape[1])
    while len(left) and len(entered) < most:
        gain = _gains(together[:, left] - total[:, None])
        # one that others make needless will not be needed again
        left, gain = left[gain > GAIN], gain[gain > GAIN]
        if not len(left):
            break
        best = int(np.argmax(gain))
        entered.append(int(left[best]))
        left = np.delete(left, best)
        share = np.append(share * (1.0 - TRIED[0]), TRIED[0])
        known = np.column_stack([base, together[:, entered]])
        for _ in range(WEIGHT_STEPS):
            weight = np.log(np.append(max(1.0 - share.sum(), LEAST_SHARE), share))
            total = logsumexp(known + weight, axis=1)
            share = np.exp(known + weight - total[:, None]).mean(0)[1:]
    order = np.argsort(entered)
    return [entered[i] for i in order], share[order]


def _gains(log_ratio: Array) -> Array:
    """Nats (Q,) that each pair of these ratios (n, Q) gains at the best of the shares `TRIED`."""
    ratio = np.expm1(np.minimum(log_ratio, MOST_RATIO))
    gains: Array = np.max([np.log1p(share * ratio).sum(0) for share in TRIED], axis=0)
    return gains


def of_pairs(fits: Array) -> Array:
    """Log-likelihood (n, Q) by pairs of that by their components (n, 4 Q), shares alike, nats."""
    by_share = fits.reshape(len(fits), -1, len(MIXING))
    found: Array = logsumexp(by_share, axis=2) - np.log(len(MIXING))
    return found
