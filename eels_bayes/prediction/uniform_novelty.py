"""Whether pixels as a whole are as the model has them: their novelty is uniform then.

Novelty is a rank among pixels that the model draws, so a series that it describes has all ranks
alike. Many of the highest are of other counts, noise or structures; no high one at all is of counts
that were smoothed: noise that is not there makes no pixel stand out.
"""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array

LEAST_PIXELS = 50  # of fewer, chance decides
HIGH = 0.95
# Chosen on simulated series. Above `HIGH` were 0.02 to 0.07 of the pixels of a fit, 0.16 to 0.53
# with a dark offset of 100 counts that the fit did not have (0.36 of classes right), 0.96 with a
# gain three times as large; four principal components reached 0.59, sums of frames 0.80.
MOST_HIGH = 0.13  # share of the pixels above `HIGH`
SURELY = 2.0  # standard errors of such a share that it must be beyond
LEAST_HIGH = 0.7  # novelty that one pixel in twenty is above


def unlike_model(novelty: Array) -> str:
    """What is wrong about the novelty (n,) of pixels as a whole, in words; empty if nothing is."""
    n = len(novelty)
    if n < LEAST_PIXELS:
        return ""
    share, highest = float((novelty > HIGH).mean()), float(np.quantile(novelty, HIGH))
    if share > MOST_HIGH + SURELY * np.sqrt(MOST_HIGH * (1.0 - MOST_HIGH) / n):
        return (
            f"{100 * share:.0f} % of {n} pixels have a novelty above {HIGH}, where 5 % are "
            "expected: their counts, noise or structures are not as the model has them, and "
            "classes may be wrong and sure; see report(spectra)"
        )
    if highest < LEAST_HIGH:
        return (
            f"one pixel in twenty of {n} has a novelty above {highest:.2f}, where {HIGH} is "
            "expected: they scatter less than their noise. Denoised, smoothed or interpolated "
            "counts do, and classes are less sure than they seem; see report(spectra)"
        )
    return ""
