"""Pixels read once more, with what the others of their images say: by few Gaussians of each.

A first reading has found how likely each component of the forward model is. What others say of a
pixel leaves mostly one or two, and no more need be read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from eels_bayes.prediction.pixel_reader import Reader, Reading

LIGHTER = 0.5  # of the first reading's least weight: the lightest are averaged roughly, and cheap


def read_again(
    reader: Reader, profile: Tensor, level: Tensor, component: Tensor, ratio: Tensor
) -> Reading:
    """Read usable pixels whose components' probabilities are known.

    Parameters
    ----------
    reader : Reader
    profile : Tensor (n, B)
    level : Tensor (n,)
        Both as in `Spectra`.
    component : Tensor (n, C)
        Probabilities of the forward model's components in each pixel by itself.
    ratio : Tensor (n or 1, C or 1, K)
        Prior weights of the classes, in each component, over those of the fit; positive.

    Returns
    -------
    Reading
        The novelty is 0: it is that of the first reading.
    """
    weights = reader.heavy(component, ratio, LIGHTER * reader.light)
    mixture = reader.encoder.read_some(profile, level, weights > 0.0)
    return reader.of_mixture(component, weights, mixture, torch.zeros_like(level), ratio)
