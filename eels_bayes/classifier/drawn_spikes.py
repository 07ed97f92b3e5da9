"""How far single channels of drawn pixels stand out.

A class of narrow lines has channels that stand out of the series' mean by themselves, and pure
pixels more so than mixed ones: that drawn pixels show. How far channels stand out altogether is the
detector's matter, and the alignment's: drawn pixels are scaled to measured ones, and as far as
there are some of the class they take the sizes of these, rank by rank.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from eels_bayes.arrays import Array
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.forward_model.reinsertion import Reinsertion
from eels_bayes.prediction.novelty import MIN_PIXELS
from eels_bayes.preprocessing.spikes import largest_spike

USUAL = 0.9  # quantile at which drawn spikes are as large as measured ones: chosen, not tuned
ANY_CLASS = 1e-3  # weight of all pixels together for any class at least: none is without
SOME_OF_CLASS = 20.0  # pixels that say as much of a class as all together: chosen, not tuned


def drawn_spikes(
    source: Reinsertion,
    electrons: list[Tensor],
    measured: Array,
    probability: Array,
    rng: np.random.Generator,
) -> Array:
    """Largest excess of a channel in drawn pixels of each class.

    Parameters
    ----------
    source : Reinsertion
        What they are drawn from.
    electrons : list of K tensors (n, C)
        Of the classes' pixels, on the canonical axis.
    measured : (m,) array
        Largest excess of a channel in measured pixels, sd.
    probability : (m, K) array
        Of the classes in these pixels.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (K, n) float32
        In units of the sd.
    """
    n_classes, n = len(electrons), len(electrons[0])
    pixels = probability.sum(0) + ANY_CLASS
    share = pixels / pixels.sum()
    means = torch.stack([counts.mean(0) for counts in electrons], 1)
    typical = means @ torch.as_tensor(share, dtype=torch.float32)
    step = float(source.energy[1] - source.energy[0])
    axis = EnergyAxis(float(source.energy[0]), step, len(source.energy))
    # in electrons, of a channel as wide as the axis's
    readout = source.readout * step / source.detector_step / float(np.median(source.gain)) ** 2
    unmoved = torch.zeros(n, dtype=torch.float32)
    inside = np.array(
        [
            largest_spike(counts, axis, unmoved, typical, axis, 1.0, readout).numpy()
            for counts in electrons
        ]
    )
    # beside the canonical axis classes are alike
    beside = max(1, len(source.preprocessor.typical) - axis.n)
    spikes = np.maximum(inside, norm.ppf(rng.random((n_classes, n)) ** (1.0 / beside)))
    if len(measured) >= MIN_PIXELS:
        spikes = _sized(spikes, measured, probability, rng)
    return spikes.astype(np.float32)


def _sized(spikes: Array, measured: Array, probability: Array, rng: np.random.Generator) -> Array:
    """Spikes (K, n) as large as measured ones (m,); see `drawn_spikes`."""
    n_classes, n = spikes.shape
    pixels = probability.sum(0)
    of_series = rng.choice(n_classes, n, p=pixels / pixels.sum())
    scale = np.quantile(measured, USUAL) / np.quantile(spikes[of_series, np.arange(n)], USUAL)
    sized = np.empty_like(spikes)
    for k, weight in enumerate((probability + ANY_CLASS / len(probability)).T):
        likely = np.sort(rng.choice(measured, n, p=weight / weight.sum()))
        order, known = np.argsort(spikes[k]), pixels[k] / (pixels[k] + SOME_OF_CLASS)
        sized[k, order] = known * likely + (1.0 - known) * scale * spikes[k, order]
    return sized
