"""Whether pixels as a whole are as the model has them: their novelty is uniform then.

Novelty is a rank among pixels that the model draws, so a series that it describes has all ranks
alike. Many high ones are of other counts, noise or structures; none that is high, of counts that
were smoothed: noise that is not there makes no pixel stand out.
"""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array

LEAST_PIXELS = 50  # fewer are far from uniform by chance: 0.25 off one series in 250 then
FAR = 0.25  # largest distance to the uniform distribution (Kolmogorov-Smirnov) without a word
HIGH = 0.95


def unlike_model(novelty: Array) -> str:
    """What is wrong about the novelty (n,) of pixels as a whole, in words; empty if nothing is."""
    n = len(novelty)
    if n < LEAST_PIXELS:
        return ""
    ranks, uniform = np.sort(novelty), (np.arange(n) + 0.5) / n
    if (ranks - uniform).max() > FAR:
        return (
            f"{100 * (novelty > HIGH).mean():.0f} % of {n} pixels have a novelty above {HIGH} and "
            f"half of them one above {np.median(novelty):.2f}, where 5 % and 0.5 are expected: "
            "their counts, noise or structures are not as the model has them, and classes may be "
            "wrong and sure; see report(spectra)"
        )
    if (uniform - ranks).max() > FAR:
        return (
            f"no pixel in twenty of {n} has a novelty above {np.quantile(novelty, HIGH):.2f}, "
            f"where {HIGH} is expected: they scatter less than their noise. Denoised, smoothed or "
            "interpolated counts do, and classes are less sure than they seem; see report(spectra)"
        )
    return ""
