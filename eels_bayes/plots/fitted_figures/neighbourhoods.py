"""What a pixel is compared with: its nearest neighbours of one class, and a reference for noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eels_bayes.plots.fitted_figures.subjects import Array, EdgeSpectra

FEWEST_IN_REFERENCE = 100  # pixels: its noise is then a tenth of a pixel's


def nearest_alike(
    spectra: EdgeSpectra, labels: NDArray[np.int64], pixel: int, n: int
) -> NDArray[np.int64] | None:
    """The n pixels of this pixel's class in its image that lie nearest, itself first.

    None where there are fewer. Of pixels at one distance the first in the image is taken.
    """
    alike = (spectra.image == spectra.image[pixel]) & (labels == labels[pixel]) & spectra.ok
    rows = np.flatnonzero(alike)
    if len(rows) < n or not alike[pixel]:
        return None
    shape = spectra.images[int(spectra.image[pixel])].shape or (1,)
    place = np.stack(np.unravel_index(spectra.position[rows], shape), axis=1).astype(float)
    own = np.stack(np.unravel_index(spectra.position[[pixel]], shape), axis=1)[0]
    order = np.argsort(((place - own) ** 2).sum(1), kind="stable")
    return rows[order[:n]]


def measured_reference(
    spectra: EdgeSpectra, labels: NDArray[np.int64], rows: NDArray[np.int64]
) -> Array:
    """Mean measured spectrum (L,) of the other pixels of the class of ``rows`` in their image.

    Of all images where fewer than `FEWEST_IN_REFERENCE` are left; NaN where none is.
    """
    alike = spectra.ok & (labels == labels[rows[0]])
    alike[rows] = False
    here = alike & (spectra.image == spectra.image[rows[0]])
    chosen = here if here.sum() >= FEWEST_IN_REFERENCE else alike
    if not chosen.any():
        return np.full(len(spectra.energy), np.nan)
    mean: Array = np.asarray(spectra.intensity)[chosen].mean(0, dtype=float)
    return mean
