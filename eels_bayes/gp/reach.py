"""How many standard deviations intervals of a value reach, as a table of quantiles.

The table holds quantiles of ``|value - posterior mean| / sd`` at evenly spread levels, so that an
interval of any coverage is read from it by interpolation.
"""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Floats

N_REACH = 200  # quantiles kept: levels half a percent apart; chosen, not tuned


def reach_levels(n_levels: int = N_REACH) -> Floats:
    """Coverage of each of ``n_levels`` intervals: ``(i + 1/2) / n_levels``, shape (n_levels,)."""
    levels: Floats = (np.arange(n_levels) + 0.5) / n_levels
    return levels


def gaussian_reach() -> Floats:
    """The table of a normal distribution.

    Returns
    -------
    (N_REACH,) array
        Half widths of central intervals in sd, ascending, at `reach_levels`.
    """
    from scipy.stats import halfnorm  # seconds to import, and most readers have their own table

    reach: Floats = halfnorm.ppf(reach_levels())
    return reach
