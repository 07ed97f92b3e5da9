"""Pixels with next to no counts: vacuum beside a specimen, and holes in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.flags import Flag
from eels_bayes.data.spectra import Spectra

DIM, BRIGHT = 0.1, 0.9  # of the counts that the brightest tenth of an image has at least


def without_dim(spectra: Spectra) -> Spectra:
    """Spectra in which pixels with next to no counts are flagged, too.

    A fit takes all pixels for one material, and learns its continuum and how it varies from them;
    these would add noise alone.
    """
    ok = np.flatnonzero(spectra.ok)
    counts = spectra.profile[ok].mean(1) / spectra.level[ok]
    flag = spectra.flag.copy()
    flag[ok[dim(counts, spectra.image[ok])]] = Flag.DIM
    return spectra if (flag == spectra.flag).all() else replace(spectra, flag=flag)


def dim(counts: NDArray[np.floating], image: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which pixels' counts (n,) are few beside those of the bright ones of their image (n,)."""
    order = np.lexsort((counts, image))
    _, first, of, size = np.unique(
        image[order], return_index=True, return_inverse=True, return_counts=True
    )
    bright = counts[order][first + np.ceil(BRIGHT * (size - 1)).astype(int)]
    found = np.zeros(len(counts), dtype=bool)
    found[order] = counts[order] < DIM * bright[of]
    return found
