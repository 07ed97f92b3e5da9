"""How far single channels of drawn pixels stand out.

A class of narrow lines has channels that stand out of the series' mean by themselves: how far in
each class, drawn pixels show. How far channels stand out altogether is the detector's matter: drawn
pixels are scaled to measured ones, as far as there are some of the class to its own.
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
        spikes *= _scale(spikes, measured, probability, rng)[:, None]
    return spikes.astype(np.float32)


def _scale(spikes: Array, measured: Array, probability: Array, rng: np.random.Generator) -> Array:
    """What spikes (K, n) are to be multiplied with (K,); see `drawn_spikes`."""
    n_classes, n = spikes.shape
    pixels = probability.sum(0)
    weight = probability + ANY_CLASS / len(probability)
    of_series = rng.choice(n_classes, n, p=pixels / pixels.sum())
    overall = np.quantile(measured, USUAL) / np.quantile(spikes[of_series, np.arange(n)], USUAL)
    likely = np.array([rng.choice(measured, n, p=column / column.sum()) for column in weight.T])
    own = np.quantile(likely, USUAL, axis=1) / np.quantile(spikes, USUAL, axis=1)
    scale: Array = (pixels * own + SOME_OF_CLASS * overall) / (pixels + SOME_OF_CLASS)
    return scale
