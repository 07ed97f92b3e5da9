"""Power-law background of many spectra at once: fit, extrapolation and its error.

The model is ``exp(a - r u)`` with ``u = log(E / E0)`` and E0 the centre of the fit window, which
makes amplitude and exponent nearly independent. Script-safe: plain tensors only.
"""

from typing import NamedTuple

import torch
from torch import Tensor


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


def _invert(aa: Tensor, ar: Tensor, rr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    determinant = torch.clamp(aa * rr - ar * ar, min=1e-30)
    return rr / determinant, -ar / determinant, aa / determinant


def fit_shrunk(
    counts: Tensor, fano: Tensor, u: Tensor, prior_mean: Tensor, prior_precision: Tensor
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
    """
    tiny = 1e-6
    a = torch.log(torch.clamp(counts.mean(1), min=tiny))
    r = prior_mean.expand(counts.shape[0])
    squares = u * u
    info_aa, info_ar, info_rr = a, a, a
    for step in range(7):
        model = torch.exp(a.unsqueeze(1) - r.unsqueeze(1) * u)
        info_aa = model.sum(1) / fano
        info_ar = -(model * u).sum(1) / fano
        info_rr = (model * squares).sum(1) / fano + prior_precision
        if step < 6:
            rest = counts - model
            score_a = rest.sum(1) / fano
            score_r = -(rest * u).sum(1) / fano - (r - prior_mean) * prior_precision
            inv_aa, inv_ar, inv_rr = _invert(info_aa, info_ar, info_rr)
            a = a + torch.clamp(inv_aa * score_a + inv_ar * score_r, -1.0, 1.0)
            r = r + torch.clamp(inv_ar * score_a + inv_rr * score_r, -5.0, 5.0)
    var_a, cov, var_r = _invert(info_aa, info_ar, info_rr)
    return PowerLaw(a, r, var_a, cov, var_r, var_a, cov, var_r)


def fit_power_law(counts: Tensor, variance: Tensor, u: Tensor) -> PowerLaw:
    """Unweighted nonlinear least squares of a power law, as ``remove_background(fast=False)``.

    Gauss-Newton from a two-window start (Egerton, EELS in the Electron Microscope, 2011, section
    4.4.2); covariance by the sandwich of the linearised fit, since the weights ignore the noise.

    Parameters
    ----------
    counts, variance : Tensor (n, B)
        Counts in the fit window, with a positive sum, and their variance.
    u : Tensor (B,)
        ``log(E / E0)`` of the channels.
    """
    size = torch.clamp(counts.mean(1, keepdim=True), min=1e-6)
    y = counts / size
    half = counts.shape[1] // 2
    low = torch.clamp(y[:, :half].mean(1), min=1e-3)
    high = torch.clamp(y[:, half:].mean(1), min=1e-3)
    r = torch.clamp(torch.log(low / high) / (u[half:].mean() - u[:half].mean()), -10.0, 20.0)
    a = torch.zeros_like(r)
    squares = u * u
    inv_aa, inv_ar, inv_rr = a, a, a
    model = y
    for step in range(13):
        model = torch.exp(a.unsqueeze(1) - r.unsqueeze(1) * u)
        m2 = model * model
        inv_aa, inv_ar, inv_rr = _invert(m2.sum(1), -(m2 * u).sum(1), (m2 * squares).sum(1))
        if step < 12:
            rest = model * (y - model)
            score_a, score_r = rest.sum(1), -(rest * u).sum(1)
            a = a + torch.clamp(inv_aa * score_a + inv_ar * score_r, -1.0, 1.0)
            r = r + torch.clamp(inv_ar * score_a + inv_rr * score_r, -5.0, 5.0)
    # sandwich: H (J' V J) H with H = (J'J)^-1
    weight = model * model * variance / (size * size)
    mid_aa, mid_ar, mid_rr = weight.sum(1), -(weight * u).sum(1), (weight * squares).sum(1)
    left_aa = inv_aa * mid_aa + inv_ar * mid_ar
    left_ar = inv_aa * mid_ar + inv_ar * mid_rr
    left_ra = inv_ar * mid_aa + inv_rr * mid_ar
    left_rr = inv_ar * mid_ar + inv_rr * mid_rr
    one = size[:, 0]
    return PowerLaw(
        a + torch.log(one),
        r,
        left_aa * inv_aa + left_ar * inv_ar,
        left_aa * inv_ar + left_ar * inv_rr,
        left_ra * inv_ar + left_rr * inv_rr,
        inv_aa / (one * one),
        inv_ar / (one * one),
        inv_rr / (one * one),
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
    if n < 3:
        return (float(r.mean()) if n else 3.0), float("inf")
    centre = r.median()
    # a quarter of the pixels may lie in vacuum: start from the well measured ones
    spread = torch.clamp((r - centre).abs().median() ** 2 * 2.2 - v.median(), min=0.0)
    for _ in range(100):
        weight = 1.0 / (v + spread + 1e-12)
        centre = (weight * r).sum() / weight.sum()
        total = (weight**2).sum()
        excess = (weight**2 * ((r - centre) ** 2 - v)).sum() / total
        spread = 0.5 * (spread + torch.maximum(excess, (2.0 / total).sqrt()))
    return float(centre), float(spread.sqrt())
