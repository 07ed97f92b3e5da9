"""What a pixel's intensities are measured against, and whether there is anything to measure.

One criterion everywhere: a mean over channels must stand out by three of its errors. Script-safe:
plain tensors only; scripted callers read the constants as default values.
"""

import torch
from torch import Tensor

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing.rebinning import common, overlap, picked

N_ERRORS = 3.0  # of a mean, by which it must be above zero: one empty window in 700 passes
MOST_COUNTS = 1e15  # a channel: beyond any detector's, where single precision would fail later
LEAST_COUNTS = 1e-15  # a channel: below any, where squares leave single precision


def reference_norm(
    counts: Tensor,
    axis: EnergyAxis,
    shift: Tensor,
    low: float,
    high: float,
    width: float,
    n_errors: float = N_ERRORS,
    most: float = MOST_COUNTS,
    least: float = LEAST_COUNTS,
) -> Tensor:
    """Counts (n,) that make an intensity of 1: the mean counts per eV of a window times a width.

    Parameters
    ----------
    counts : Tensor (n, E)
        Counts per channel of `axis`.
    axis : EnergyAxis
    shift : Tensor (n,)
        Shift to remove, eV.
    low, high : float
        The normalize window, eV.
    width : float
        Width of a channel times the share of the mean that makes an intensity of 1, eV.
    n_errors, most, least : float
        The mean is no reference unless above so many of its own errors, and between so many counts
        a channel.

    Returns
    -------
    Tensor (n,)
        0 where there is no reference, NaN where the counts are NaN.
    """
    n = (high - low) / axis.scale
    window = EnergyAxis(0.5 * (low + high), high - low, 1)
    index, weight = overlap(axis, common(shift), window)
    weights = weight.squeeze(2).to(counts.dtype) / n
    read = picked(counts, index.squeeze(2).t()).t()
    read = torch.where(weights > 0, read, torch.zeros_like(read))
    mean = (read * weights).sum(0)
    return planned_norm(mean, read, weights, n, width / axis.scale, n_errors, most, least)


def planned_norm(
    mean: Tensor,
    channels: Tensor,
    weights: Tensor,
    n: float,
    width: float,
    n_errors: float = N_ERRORS,
    most: float = MOST_COUNTS,
    least: float = LEAST_COUNTS,
) -> Tensor:
    """`reference_norm` from a mean that is already taken: without a root, and in few passes.

    With the mean square ``s`` of ``n`` channels the squared error of their mean ``m`` is
    ``(s - m^2) / n``; hence ``m > k error`` where ``m |m| > s k^2 / (n + k^2)``.

    Parameters
    ----------
    mean : Tensor (n_pixels,)
        Mean counts a channel of the normalize window.
    channels : Tensor (N, n_pixels)
        Counts of the window's channels.
    weights : Tensor (N, 1) or (N, n_pixels)
        Their weights in the mean; they sum to one.
    n : float
        Width of the window in channels.
    width : float
        As in `reference_norm`, but in channels.
    n_errors, most, least : float
        As in `reference_norm`.
    """
    squared = n_errors * n_errors
    scatter = (channels.square() * (weights * (squared / (n + squared)))).sum(0)
    stands_out = (mean * mean.abs() > scatter) & (mean < most) & (mean > least)
    return mean * stands_out * width


def stands_out(
    counts: Tensor,
    n_errors: float = N_ERRORS,
    most: float = MOST_COUNTS,
    least: float = LEAST_COUNTS,
) -> Tensor:
    """Whether the mean of the channels (n, B) is above zero by three errors of the mean; (n,).

    The noise is taken from neighbours' differences: dark-corrected counts without a signal
    scatter far more than their mean, or any Poisson model of it, would say.
    """
    n = counts.size(1)
    steps = counts[:, 1:] - counts[:, :-1]
    # sums, as a mean takes several times as long where there are few spectra
    whole = counts.sum(1)
    mean = whole / n
    # the squared errors of the mean times the number of channels; a difference has two noises
    scatter = (steps * steps).sum(1) * (0.5 * n_errors * n_errors / (n - 1))
    return (whole * mean.abs() > scatter) & (mean < most) & (mean > least)
