"""Profiles in bins of equal noise: what the forward model is fitted to and read by.

A profile's deviation from the continuum's center is divided by the root of the mean profile, so
that Poisson noise has the same variance in all bins. That variance follows the pixel's own
brightness, which a norm already holds. Bins far outside what pixels show are drawn in: spikes and
defects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eels_bayes.arrays import Array

OUTLIER = 6.0  # sd beyond which a bin is a spike or a defect, and is drawn in; chosen, not tuned
# Brightness over the mean profile's within which it sets the noise: a pixel without counts is not
# without noise, and one of endless counts has a place. Chosen, not tuned.
LEAST_BRIGHTNESS = 0.05
MOST_BRIGHTNESS = 20.0
QUARTILES = 1.349  # of a normal distribution, distance in sd


@dataclass(frozen=True, eq=False)
class Whitening:
    """How the profiles of an experiment are whitened.

    Attributes
    ----------
    mean_profile : (B,) array
        Mean of the profiles, in units of their norm: the shape of their Poisson noise.
    center : (B,) array
        Center of the continuum, in units of the norm.
    middle, spread : (B,) arrays
        Median whitened deviation from the center and its sd among pixels, noise left out.
    """

    mean_profile: Array
    center: Array
    middle: Array
    spread: Array

    @classmethod
    def of(cls, deviation: Array, level: Array, mean_profile: Array, center: Array) -> Whitening:
        """Learn it from whitened deviations (n, B) of pixels and their noise levels (n,).

        Median and sd are those of the quartiles, which spikes do not move.
        """
        low, middle, high = np.quantile(deviation, [0.25, 0.5, 0.75], axis=0)
        variance = ((high - low) / QUARTILES) ** 2 - level.mean()
        return cls(mean_profile, center, middle, np.sqrt(np.maximum(variance, 0.0)))

    def apply(self, profile: Array, level: Array) -> tuple[Array, Array]:
        """Whiten profiles.

        Parameters
        ----------
        profile : (n, B) array
            In units of their norm.
        level : (n,) array
            Noise variance of a bin over its mean intensity.

        Returns
        -------
        deviation : (n, B) array
            Whitened deviations from the center.
        noise : (n,) array
            Their noise variance, the same in all bins.
        """
        brightness = np.clip(
            profile.mean(1) / self.mean_profile.mean(), LEAST_BRIGHTNESS, MOST_BRIGHTNESS
        )
        noise = level * brightness
        deviation = (profile - self.center) / np.sqrt(self.mean_profile)
        reach = OUTLIER * np.sqrt(self.spread**2 + noise[:, None])
        return np.clip(deviation, self.middle - reach, self.middle + reach), noise


def whiten_tensors(
    profile: Tensor,
    level: Tensor,
    center: Tensor,
    white: Tensor,
    middle: Tensor,
    spread: Tensor,
    brightness: Tensor,
    outlier: float = OUTLIER,
    least_brightness: float = LEAST_BRIGHTNESS,
    most_brightness: float = MOST_BRIGHTNESS,
) -> tuple[Tensor, Tensor]:
    """`Whitening.apply` of tensors: script-safe, and in an order that few kernels make.

    Parameters
    ----------
    profile, level : Tensor
        (n, B) and (n,), as there.
    center, middle, spread : Tensor
        (B,), as there.
    white : Tensor
        (B,), one over the root of the mean profile.
    brightness : Tensor
        Mean of the mean profile, scalar.
    outlier, least_brightness, most_brightness : float
        Scripted functions see no globals.

    Returns
    -------
    deviation, noise : Tensor
        (n, B) and (n,).
    """
    mean = profile.sum(1) / profile.size(1)  # faster than its mean where there are few
    noise = level * (mean / brightness).clamp(least_brightness, most_brightness)
    # What is of constants alone is computed once where a graph is frozen.
    wide = outlier**2
    reach = torch.add(wide * spread**2, noise.unsqueeze(1), alpha=wide).sqrt()
    usual = center * white + middle
    return torch.clamp(profile * white - usual, -reach, reach) + middle, noise
