"""Is a power law what the background window holds? Asked of a mean spectrum, said in words."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing.power_law import USUAL_EXPONENT, fit_shrunk, log_energies
from eels_bayes.preprocessing.reference import stands_out
from eels_bayes.preprocessing.windows import background_channels, bin_channels, centers

Floats = NDArray[np.float64]
Interval = tuple[float, float]

# Chosen on 42 windows of four real files and on simulated series (seeds 7000 to 7009).
MOST_MISFIT = 0.011  # of the counts, rms beyond noise: up to 0.9 % before edges, 1.2 % over one
SURE_MISFIT = 8.0  # errors by which it stands out from noise, which metadata may understate
LEAST_RISE = 0.005  # of the counts: a smaller step costs a background less than its own error
SURE_RISE = 6.5  # errors of a step: up to 6.0 before edges, mostly above 6 eV into the weak F K
POSSIBLE = (1.0, 8.0)  # exponents: those of core-loss backgrounds lie between 2 and 6
SURE_EXPONENT = 3.0  # errors by which an exponent must lie outside
LEAST_BINS = 10  # that a window is divided into, if it has as many channels
MEDIAN_SQUARE = 0.455  # median of a squared standard Gaussian
MEDIAN_COST = np.pi / 2  # variance of a median over that of a mean, for Gaussian noise


class Doubts(NamedTuple):
    """What a power law leaves of a mean spectrum in the background window.

    Attributes
    ----------
    exponent, exponent_error : float
    misfit : float
        Root mean square residual beyond noise, in parts of the counts; 0 where noise is all.
    largest : float
        Where the residual is largest, eV.
    rise, rise_at : float
        The surest step upwards, in parts of the counts, and where it begins, eV; 0 without one.
    """

    exponent: float
    exponent_error: float
    misfit: float
    largest: float
    rise: float
    rise_at: float


def background_doubts(
    counts: Tensor, variance: Tensor, background: Interval, window: Interval, axis: EnergyAxis
) -> str:
    """What speaks against the background window, and what would do; '' where nothing does.

    Parameters
    ----------
    counts, variance : Tensor (C,)
        Summed or mean counts on the canonical axis, and their variance.
    background, window : (low, high)
        As in `Preprocessor`, eV.
    axis : EnergyAxis
        The canonical axis.
    """
    first, last = background_channels(background, window, axis)
    if not bool(stands_out(counts[None, first:last])[0]):
        return ""
    found = _doubts(
        counts[first:last].double().numpy(),
        variance[first:last].double().numpy(),
        log_energies(axis, (first, last))[first:last],
        centers(axis)[first:last],
    )
    reasons = _reasons(found, background)
    return f"background {background}: {'; '.join(reasons)}" if reasons else ""


def warn_of_background(
    counts: Tensor, variance: Tensor, background: Interval, window: Interval, axis: EnergyAxis
) -> None:
    """Warn of what `background_doubts` finds.

    Warns
    -----
    UserWarning
        Once, with everything that speaks against the window.
    """
    message = background_doubts(counts, variance, background, window, axis)
    if message:
        warnings.warn(message, stacklevel=4)


def _doubts(counts: Floats, variance: Floats, u: Floats, energy: Floats) -> Doubts:
    """Fit the power law to channels (B,) and look at what it leaves in bins of about 2 eV."""
    step = float(energy[1] - energy[0])
    width = max(1, min(bin_channels(step), len(counts) // LEAST_BINS))
    fit = fit_shrunk(
        torch.from_numpy(counts)[None],
        torch.from_numpy(variance.sum(keepdims=True) / counts.sum()),
        torch.from_numpy(u),
        torch.tensor(USUAL_EXPONENT, dtype=torch.float64),
        torch.tensor(0.0, dtype=torch.float64),
    )
    exponent = float(fit.exponent)
    model = np.exp(float(fit.log_amplitude) - exponent * u)
    each, noise = counts / model - 1.0, variance / model**2
    # neighbours' differences show noise that is larger than believed, and few of them structure
    noise = np.maximum(noise, _shown(each))
    start = len(counts) % width
    # medians, as one channel may hold a spike
    residual = np.median(each[start:].reshape(-1, width), axis=1)
    noise = noise[start:].reshape(-1, width).mean(1) / width * (MEDIAN_COST if width > 2 else 1.0)
    borders = energy[start::width] - 0.5 * step
    n = len(residual)
    # and those of bins noise that neighbouring channels have in common
    white = max(float(noise.mean()), _shown(residual))
    beyond = float((residual**2).sum()) / max(n - 2, 1) - white
    surely = beyond > SURE_MISFIT * white * np.sqrt(2.0 / max(n - 2, 1))
    rise, rise_at = _rise(residual, 1.0 / noise, borders, 1 if width > 2 else 2)
    return Doubts(
        exponent,
        float(fit.var_exponent) ** 0.5,
        beyond**0.5 if surely else 0.0,
        float(borders[np.abs(residual).argmax()]) + 0.5 * width * step,
        rise,
        rise_at,
    )


def _shown(residual: Floats) -> float:
    """Noise variance of residuals by their neighbours' differences, whatever a few of them are."""
    return float(np.median(np.diff(residual) ** 2)) / MEDIAN_SQUARE / 2.0


def _rise(residual: Floats, weight: Floats, borders: Floats, least: int) -> tuple[float, float]:
    """The surest step upwards in residuals (n,) with a free parabola beneath it, and where, eV.

    The parabola takes what is smooth: the tail of an edge before, and a mean of many power laws.
    Errors are those of what is left where that is more than noise. `least` bins lie behind it.
    """
    n = len(residual)
    x = np.linspace(-1.0, 1.0, n)
    best, found = SURE_RISE, (0.0, 0.0)
    for first in range(2, n - least + 1):
        design = np.stack([np.ones(n), x, x * x, np.arange(n) >= first], axis=1)
        if n <= design.shape[1]:
            break
        covariance = np.linalg.pinv(design.T @ (weight[:, None] * design))
        solution = covariance @ (design.T @ (weight * residual))
        left = residual - design @ solution
        scatter = max(1.0, float((weight * left**2).sum()) / (n - design.shape[1]))
        errors = float(solution[3]) / float(covariance[3, 3] * scatter) ** 0.5
        if errors > best and solution[3] > LEAST_RISE:
            best, found = errors, (float(solution[3]), float(borders[first]))
    return found


def _reasons(found: Doubts, background: Interval) -> list[str]:
    """What speaks against the window, in words, each with what would do."""
    low, high = background
    reasons = []
    if found.rise:
        side = (
            f"end it before {found.rise_at:.4g} eV"
            if found.rise_at - low > high - found.rise_at
            else "begin it behind that edge and its fine structure"
        )
        reasons.append(
            f"the counts rise by {found.rise:.1%} at {found.rise_at:.4g} eV, as where an edge "
            f"begins ({side})"
        )
    if found.misfit > MOST_MISFIT:
        reasons.append(
            f"a power law misses the counts by {found.misfit:.1%} beyond noise, most at "
            f"{found.largest:.4g} eV (a shorter window, farther from other edges, would do)"
        )
    far = SURE_EXPONENT * found.exponent_error
    if found.exponent + far < POSSIBLE[0] or found.exponent - far > POSSIBLE[1]:
        reasons.append(
            f"the exponent is {found.exponent:.2f} +- {found.exponent_error:.1g}, and that of a "
            f"background lies between {POSSIBLE[0]:g} and {POSSIBLE[1]:g} (an edge in the window, "
            "or a wrong dark level)"
        )
    return reasons
