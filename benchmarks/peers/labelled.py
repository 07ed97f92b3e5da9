"""What is labelled before anyone has looked at a pixel: noisy draws of the fingerprints.

A fingerprint under the library's variations, an overlapping shape of some height, and the noise of
a pixel drawn at random. That noise is put in channel by channel; the part of it that a fitted
background makes common to all channels is not, as nothing that is labelled shows it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import eels_bayes as eb

from .shared import Array

OVERLAP = 0.3  # sd of an overlapping shape's height, edge units; heights are not negative


class Draws(NamedTuple):
    """Labelled spectra: ``noisy`` and ``clean`` (n, L), ``labels`` (n,)."""

    noisy: Array
    clean: Array
    labels: Array


def draw(spectra: eb.Spectra, library: eb.FingerprintLibrary, n: int, *, seed: int = 0) -> Draws:
    """Draw n spectra, all classes equally often, with the noise of these pixels.

    The clean ones hold the edge alone, without the overlapping shape.
    """
    rng = np.random.default_rng(seed)
    known = library.resample(spectra.energy)
    clean, labels, _ = known.vary(n, rng, labels=np.arange(n) % known.n_classes)
    heights = np.abs(rng.normal(0.0, OVERLAP, (n, len(known.nuisances))))
    sd = spectra.sd[rng.choice(np.flatnonzero(spectra.ok), n)]
    noisy = clean + heights @ known.nuisances + sd * rng.standard_normal(clean.shape)
    return Draws(noisy, clean, labels)
