"""Counts without an electron, from how bright and dark images of a series differ in shape.

Images of one material differ in brightness, by thickness and current, and keep their shape. With an
offset o in its counts an image a times as bright as the mean M is ``a M + o (1 - a)``: least
squares on M and a constant, weighted by 1/M, find the constant ``k``, and the brightness ``t`` is
the image's share of the mean's counts. Across images ``k = q (1 - t)`` with ``q = o / (1 - o /
m)``, m the mean of M. By these weights the Poisson errors of k and t are uncorrelated, and a change
of the background's exponent changes k alone, so that neither is taken for an offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_IMAGES = 6  # a line and its error are found from
LEAST_SHARE = 0.05  # of the median count, below which a channel says nothing; chosen, not tuned


class Offset(NamedTuple):
    """Counts without an electron, and the error.

    Attributes
    ----------
    value, error : float
    """

    value: float
    error: float


def offset_by_brightness(means: Sequence[Floats]) -> Offset | None:
    """The offset in the counts of images of different brightness.

    Parameters
    ----------
    means : sequence of (E,) arrays
        Mean spectra of images on one axis; six at least.

    Returns
    -------
    Offset or None
        None where it cannot be found.
    """
    if len(means) < LEAST_IMAGES or len({len(mean) for mean in means}) > 1:
        return None
    counts = np.stack(list(means))
    mean = counts.mean(0)
    good = mean > LEAST_SHARE * np.median(mean)
    if mean[good].sum() <= 0 or good.sum() < LEAST_IMAGES:
        return None
    counts, mean = counts[:, good], mean[good]
    level = float(mean.mean())
    design = np.stack([mean, np.ones_like(mean)], axis=1) / np.sqrt(mean)[:, None]
    part, constant = np.linalg.lstsq(design, (counts / np.sqrt(mean)).T, rcond=None)[0]
    dark = 1.0 - (part + constant / level)
    dark, constant = dark - dark.mean(), constant - constant.mean()
    spread = float((dark**2).sum())
    if spread <= 0:
        return None
    slope = float((dark * constant).sum()) / spread
    rest = float(np.square(constant - slope * dark).sum()) / (len(means) - 2)
    shrunk = 1.0 + slope / level
    if shrunk <= 0:
        return None
    return Offset(slope / shrunk, float(np.sqrt(rest / spread)) / shrunk**2)
