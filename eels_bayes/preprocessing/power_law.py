"""Power-law background of many spectra at once: fit, extrapolation and its error.

The model is ``exp(a - r u)`` with ``u = log(E / E0)`` and E0 the centre of the fit window, which
makes amplitude and exponent nearly independent. Script-safe: plain tensors only.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.data.energy_axis import EnergyAxis

USUAL_EXPONENT = 3.0  # of core-loss backgrounds (Egerton 2011, section 4.4.2: 2 to 6)
LEAST_COUNTS = 1e-6  # a channel: guards the logarithm and the division by nothing
LEAST_DETERMINANT = 1e-30  # guards the inverse of an information matrix that holds none
NEWTON_STEPS = 6  # of the Poisson fit: it converges quadratically from the mean; chosen
GAUSS_NEWTON_STEPS = 12  # of least squares, which starts farther off; chosen
LEAST_START = 1e-3  # of the mean counts: in the windows that the start is taken from
MOST_AMPLITUDE_STEP = 1.0  # of the log amplitude in one step: keeps far starts from diverging
MOST_EXPONENT_STEP = 5.0  # in one step
START_EXPONENTS = (-10.0, 20.0)  # what the start of least squares may be; far beyond any seen
LEAST_SPECTRA = 3  # a mean and a spread, and one to see their error by
MAD_TO_VAR = 2.2  # squared median absolute deviation to variance of a Gaussian: 1 / 0.6745^2
PRIOR_ITERATIONS = 100  # halved each time: the fixed point to single precision
LEAST_PRIOR_VARIANCE = 1e-12  # of exponents: guards the weight of one that is known exactly


class PowerLaw(NamedTuple):
    """Fitted power laws and the covariance of (log amplitude at E0, exponent); all (n,).

    ``reach`` holds the entries of the matrix H with which noise of variance v in a channel of the
    fit window, where the model's derivative is J, moves the fit there: covariance = J H J' v.
    """

    log_amplitude: Tensor
    exponent: Tensor
    var_amplitude: Tensor
    covariance: Tensor
    var_exponent: Tensor
    reach_amplitude: Tensor
    reach_covariance: Tensor
    reach_exponent: Tensor


def log_energies(axis: EnergyAxis, fitted: tuple[int, int]) -> NDArray[np.float64]:
    """``log(E / E0)`` (C,) of an axis' channels, E0 the centre of the channels that are fitted."""
    energy = axis.offset + axis.scale * np.arange(axis.n)
    u: NDArray[np.float64] = np.log(energy / energy[fitted[0] : fitted[1]].mean())
    return u


def _invert(
    aa: Tensor, ar: Tensor, rr: Tensor, least: float = LEAST_DETERMINANT
) -> tuple[Tensor, Tensor, Tensor]:
    """Inverse of symmetric 2 x 2 matrices given by their entries, likewise."""
    determinant = torch.clamp(aa * rr - ar * ar, min=least)
    return rr / determinant, -ar / determinant, aa / determinant


def fit_shrunk(
    counts: Tensor,
    fano: Tensor,
    u: Tensor,
    prior_mean: Tensor,
    prior_precision: Tensor,
    n_steps: int = NEWTON_STEPS,
    least_counts: float = LEAST_COUNTS,
    most_a: float = MOST_AMPLITUDE_STEP,
    most_r: float = MOST_EXPONENT_STEP,
) -> PowerLaw:
    """Maximum a posteriori fit under Poisson noise and a Gaussian prior on the exponent.

    Newton's method on the concave log-posterior (a Poisson regression with log link; McCullagh
    and Nelder, Generalized Linear Models, 1989, section 2.5).

    Parameters
    ----------
    counts : Tensor (n, B)
        Counts in the fit window, with a positive sum.
    fano : Tensor (n,)
        Variance per count.
    u : Tensor (B,)
        ``log(E / E0)`` of the channels.
    prior_mean, prior_precision : Tensor ()
        Mean and 1 / sd^2 of the exponent; precision 0 is the plain weighted fit.
    n_steps : int
        Newton steps.
    least_counts : float
        Mean counts a channel that the fit starts from at least.
    most_a, most_r : float
        How far one step moves log amplitude and exponent at most.
    """
    a = torch.log(torch.clamp(counts.mean(1), min=least_counts))
    r = prior_mean.expand(counts.shape[0])
    powers = torch.stack([torch.ones_like(u), -u, u * u]).to(counts.dtype)
    info_aa, info_ar, info_rr = a, a, a
    for step in range(n_steps + 1):
        model = torch.exp(a.unsqueeze(1) - r.unsqueeze(1) * u)
        info_aa, info_ar, info_rr = ((model @ powers.t()) / fano.unsqueeze(1)).unbind(1)
        info_rr = info_rr + prior_precision
        if step < n_steps:
            # of differences: those of sums would be rounding where counts are many
            score = ((counts - model) @ powers[:2].t()) / fano.unsqueeze(1)
            score_a, score_r = score.unbind(1)
            score_r = score_r - (r - prior_mean) * prior_precision
            inv_aa, inv_ar, inv_rr = _invert(info_aa, info_ar, info_rr)
            a = a + torch.clamp(inv_aa * score_a + inv_ar * score_r, -most_a, most_a)
            r = r + torch.clamp(inv_ar * score_a + inv_rr * score_r, -most_r, most_r)
    var_a, cov, var_r = _invert(info_aa, info_ar, info_rr)
    return PowerLaw(a, r, var_a, cov, var_r, var_a, cov, var_r)


def fit_power_law(
    counts: Tensor,
    variance: Tensor,
    u: Tensor,
    n_steps: int = GAUSS_NEWTON_STEPS,
    least_counts: float = LEAST_COUNTS,
    least_start: float = LEAST_START,
    starts: tuple[float, float] = START_EXPONENTS,
    most_a: float = MOST_AMPLITUDE_STEP,
    most_r: float = MOST_EXPONENT_STEP,
) -> PowerLaw:
    """Unweighted nonlinear least squares of a power law, as ``remove_background(fast=False)``.

    Gauss-Newton from a two-window start (Egerton, EELS in the Electron Microscope, 2011, section
    4.4.2); covariance by the sandwich of the linearised fit, since the weights ignore the noise.

    Parameters
    ----------
    counts, variance : Tensor (n, B)
        Counts in the fit window, with a positive sum, and their variance.
    u : Tensor (B,)
        ``log(E / E0)`` of the channels.
    n_steps : int
        Gauss-Newton steps.
    least_counts, most_a, most_r : float
        As in `fit_shrunk`.
    least_start : float
        Mean of either half of the window that the start is taken from, at least, in units of the
        whole window's.
    starts : (low, high)
        Between which exponents the start lies.
    """
    size = torch.clamp(counts.mean(1, keepdim=True), min=least_counts)
    y = counts / size
    half = counts.shape[1] // 2
    low = torch.clamp(y[:, :half].mean(1), min=least_start)
    high = torch.clamp(y[:, half:].mean(1), min=least_start)
    r = torch.log(low / high) / (u[half:].mean() - u[:half].mean())
    r = torch.clamp(r, starts[0], starts[1])
    a = torch.zeros_like(r)
    squares = u * u
    inv_aa, inv_ar, inv_rr = a, a, a
    model = y
    for step in range(n_steps + 1):
        model = torch.exp(a.unsqueeze(1) - r.unsqueeze(1) * u)
        m2 = model * model
        inv_aa, inv_ar, inv_rr = _invert(m2.sum(1), -(m2 * u).sum(1), (m2 * squares).sum(1))
        if step < n_steps:
            residual = model * (y - model)
            score_a, score_r = residual.sum(1), -(residual * u).sum(1)
            a = a + torch.clamp(inv_aa * score_a + inv_ar * score_r, -most_a, most_a)
            r = r + torch.clamp(inv_ar * score_a + inv_rr * score_r, -most_r, most_r)
    # sandwich: H (J' V J) H with H = (J'J)^-1
    weight = model * model * variance / (size * size)
    mid_aa, mid_ar, mid_rr = weight.sum(1), -(weight * u).sum(1), (weight * squares).sum(1)
    left_aa = inv_aa * mid_aa + inv_ar * mid_ar
    left_ar = inv_aa * mid_ar + inv_ar * mid_rr
    left_ra = inv_ar * mid_aa + inv_rr * mid_ar
    left_rr = inv_ar * mid_ar + inv_rr * mid_rr
    brightness = size[:, 0]
    per_square = brightness * brightness
    return PowerLaw(
        a + torch.log(brightness),
        r,
        left_aa * inv_aa + left_ar * inv_ar,
        left_aa * inv_ar + left_ar * inv_rr,
        left_ra * inv_ar + left_rr * inv_rr,
        inv_aa / per_square,
        inv_ar / per_square,
        inv_rr / per_square,
    )


def exponent_prior(exponent: Tensor, variance: Tensor) -> tuple[float, float]:
    """Mean and sd of the exponents behind fitted ones of known variance.

    Maximum likelihood by weighted moments iterated to a fixed point (Hardy and Thompson, Stat.
    Med. 15, 619 (1996)). The spread is never taken below its own standard error: what the number
    of spectra could not have shown.

    Parameters
    ----------
    exponent, variance : Tensor (n,)
        Unshrunk fits and the variances of their errors; rows that are not finite are left out.

    Returns
    -------
    tuple of float
        Mean and sd; the sd is infinite for fewer than three spectra, which say nothing about it.
    """
    good = torch.isfinite(exponent) & torch.isfinite(variance) & (variance > 0)
    r, v = exponent[good].double(), variance[good].double()
    n = r.shape[0]
    if n < LEAST_SPECTRA:
        return (float(r.mean()) if n else USUAL_EXPONENT), float("inf")
    centre = r.median()
    # a quarter of the pixels may lie in vacuum: start from the well measured ones
    spread = torch.clamp((r - centre).abs().median() ** 2 * MAD_TO_VAR - v.median(), min=0.0)
    for _ in range(PRIOR_ITERATIONS):
        weight = 1.0 / (v + spread + LEAST_PRIOR_VARIANCE)
        centre = (weight * r).sum() / weight.sum()
        total = (weight**2).sum()
        excess = (weight**2 * ((r - centre) ** 2 - v)).sum() / total
        spread = 0.5 * (spread + torch.maximum(excess, (2.0 / total).sqrt()))
    return float(centre), float(spread.sqrt())
