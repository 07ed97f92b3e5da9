"""Counts on the canonical axis to edge spectra: background fit, subtraction, normalisation, sd.

Script-safe: plain tensors only.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.flags import Flag
from eels_bayes.preprocessing.noise import fano_factor
from eels_bayes.preprocessing.power_law import (
    USUAL_EXPONENT,
    fit_power_law,
    fit_shrunk,
    log_energies,
)
from eels_bayes.preprocessing.reference import stands_out
from eels_bayes.preprocessing.windows import background_channels, canonical_axis, edge_channels

VARIANCE_SPAN = 2.0  # eV over which the variance is averaged; chosen, not tuned
FLAT = 1e-6  # of the largest counts: a spectrum that spreads no wider is dead
LEAST_VARIANCE_KEPT = 0.05  # of a channel's own: what a fit that follows its noise must leave
MOST_RATE = 1e6  # counts squared: guards single precision where nothing at all was counted


class Edges(NamedTuple):
    """Edge spectra of n pixels; shapes and units as in `Spectra`."""

    intensity: Tensor
    sd: Tensor
    background: Tensor
    flag: Tensor


class Processed(NamedTuple):
    """Edge spectra of n pixels and what was done to them; shapes and units as in `Spectra`."""

    intensity: Tensor
    sd: Tensor
    background: Tensor
    profile: Tensor
    level: Tensor
    spike: Tensor
    norm: Tensor
    shift: Tensor
    counts: Tensor
    gain: Tensor
    flag: Tensor


class Background(NamedTuple):
    """The background fitted to n pixels, in the L channels of the window.

    Attributes
    ----------
    model : Tensor (n, L)
        Counts.
    exponent : Tensor (n,)
    error : Tensor (n, L)
        Variance that subtracting it adds to that of the counts.
    own : Tensor (n, L)
        Variance of the counts themselves, no less than the background's.
    """

    model: Tensor
    exponent: Tensor
    error: Tensor
    own: Tensor


class EdgeExtractor(nn.Module):
    """The canonical axis and the step from its counts to edge spectra.

    The axis holds C channels: L of the window, preceded by those of the background.

    Parameters
    ----------
    window : (low, high)
        The edge, eV.
    background : (low, high) or None
        Where the power law is fitted, eV; nothing is subtracted without.
    shrunk : bool
        Poisson weights and a prior on the exponent, or plain least squares.
    """

    def __init__(
        self,
        window: tuple[float, float],
        background: tuple[float, float] | None,
        shrunk: bool,
    ) -> None:
        super().__init__()
        self.window, self.background, self.shrunk = window, background, shrunk
        # plain numbers, which TorchScript can read
        self.non_finite, self.dead = int(Flag.NON_FINITE), int(Flag.DEAD)
        self.no_background, self.no_reference = int(Flag.NO_BACKGROUND), int(Flag.NO_REFERENCE)
        self._flat, self._kept, self._most_rate = FLAT, LEAST_VARIANCE_KEPT, MOST_RATE
        self.step = 0.0  # dispersion in eV; 0 until known
        self.first = 0.0  # centre of the first channel, eV
        self.n_window = self.n_before = 0
        self._first_fit = self._last_fit = 0
        self._smooth = 1
        self.register_buffer(
            "exponent", torch.tensor([USUAL_EXPONENT, math.inf], dtype=torch.float32)
        )
        self.register_buffer("_u", torch.zeros(0, dtype=torch.float32), persistent=False)
        self.exponent: Tensor  # mean and sd of its prior
        self._u: Tensor  # log(E / E0)

    def set_step(self, step: float) -> None:
        """Lay out the axis for a channel width in eV.

        Raises
        ------
        ValueError
            Too few channels in a window, or a background at energies that are not above zero.
        """
        axis = canonical_axis(self.window, self.background, step)
        u = torch.zeros(axis.n, dtype=torch.float32)
        if self.background is not None:
            fitted = background_channels(self.background, self.window, axis)
            self._first_fit, self._last_fit = fitted
            u = torch.from_numpy(log_energies(axis, fitted)).float()
        self.step, self.first = step, axis.offset
        self.n_window = edge_channels(self.window, step)
        self.n_before = axis.n - self.n_window
        self._smooth = max(1, round(0.5 * (VARIANCE_SPAN / step - 1))) * 2 + 1
        self._u = u.to(self._u.device)

    def axis(self) -> EnergyAxis:
        """The canonical axis."""
        return EnergyAxis(self.first, self.step, self.n_before + self.n_window)

    def free_exponents(self, canonical: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Exponents by the Poisson fit without prior and the variances of their errors; (n,).

        NaN where the fit window has no positive counts. Arguments as in `forward`.
        """
        y = canonical[:, self._first_fit : self._last_fit]
        v = variance[:, self._first_fit : self._last_fit]
        total = y.sum(1)
        good = stands_out(y)
        fano = v.sum(1) / total
        none = torch.zeros_like(self.exponent[0])
        fit = fit_shrunk(
            torch.where(good[:, None], y, torch.ones_like(y)),
            torch.where(good, fano, torch.ones_like(fano)),
            self._u[self._first_fit : self._last_fit],
            none + USUAL_EXPONENT,
            none,
        )
        nan = torch.full_like(total, math.nan)
        return torch.where(good, fit.exponent, nan), torch.where(good, fit.var_exponent, nan)

    def check(self, canonical: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Why pixels cannot be read: not finite (n,), and the other `Flag` values (n,) besides.

        Arguments as in `forward`.
        """
        high, low = canonical.amax(1), canonical.amin(1)
        # a sum, as extremes need not show NaN: those of ONNX Runtime do not
        total = canonical.sum(1) + norm
        is_finite = total - total == 0
        dead = high - low <= torch.maximum(high, -low) * self._flat
        flag = dead * self.dead + (norm <= 0) * self.no_reference
        if self._last_fit > self._first_fit:
            n_fit = self._last_fit - self._first_fit
            good = stands_out(canonical.narrow(1, self._first_fit, n_fit))
            flag = flag + ~(dead | good) * self.no_background
        return ~is_finite, flag * is_finite

    def forward(
        self, canonical: Tensor, variance: Tensor, norm: Tensor, factor: Tensor | None = None
    ) -> Edges:
        """Fit and subtract the background, normalise and cut out the window.

        Parameters
        ----------
        canonical : Tensor (n, C)
            Counts on the canonical axis.
        variance : Tensor (n, C)
            Their variance by `noise.variance`, as if no channels were mixed.
        norm : Tensor (n,)
            Counts a channel that make an intensity of 1.
        factor : Tensor (n, C) or (1, C), optional
            Second result of `rebin`: the part of the variance that a fractional shift leaves in
            the channel itself. The background, a mean over many channels, feels the whole.

        Returns
        -------
        Edges
            Never raises for odd counts: such rows are NaN and flagged.
        """
        cut = canonical.shape[1] - self.n_window
        non_finite, flag = self.check(canonical, norm)
        flag = flag + non_finite * self.non_finite
        unknown = flag > 0
        y, v = filled(unknown, canonical, 1.0), filled(unknown, variance, 1.0)
        scale = filled(unknown, norm.unsqueeze(1), 1.0)
        fit = self._fit(y, v)
        if self._last_fit > self._first_fit:
            whole = fit.model.sum(1) + fit.error.sum(1)
            broken = ~unknown & (whole - whole != 0)
            flag = torch.where(broken, self.no_background, flag)
        own = fit.own
        if factor is not None:
            own = own * factor[:, cut:]
        # the background's gain from the fit window cannot be more than nearly all of the noise
        var = torch.maximum(own + fit.error, self._kept * own)
        above = (y[:, cut:] - fit.model).div_(scale)
        bad = flag > 0
        background = torch.cat([fit.model[:, :1] / scale, fit.exponent.unsqueeze(1)], dim=1)
        return Edges(
            filled(bad, above, math.nan),
            filled(bad, var.sqrt_().div_(scale), math.nan),
            filled(bad, background, math.nan),
            flag,
        )

    def _fit(self, y: Tensor, v: Tensor) -> Background:
        """The background of counts (n, C) of variance (n, C); none without a fit window."""
        cut, reach = y.shape[1] - self.n_window, self._smooth // 2
        beside = min(cut, reach)  # channels before the window that its smoothing takes in
        own = _running_mean(v[:, cut - beside :], reach)[:, beside:]
        first, last = self._first_fit, self._last_fit
        if last <= first:
            # with no count in the smoothing window the rate may still be one in it
            rate = fano_factor(v, y) / self._smooth
            own = torch.maximum(own, rate.clamp(max=self._most_rate).unsqueeze(1))
            none = torch.zeros_like(own)
            return Background(none, torch.zeros_like(y[:, 0]), none, own)
        y_fit, v_fit, u_fit = y[:, first:last], v[:, first:last], self._u[first:last]
        fano = v_fit.sum(1) / y_fit.sum(1)
        shrunk = self.shrunk
        if shrunk:
            precision = 1.0 / (self.exponent[1] * self.exponent[1])
            fit = fit_shrunk(y_fit, fano, u_fit, self.exponent[0], precision)
        else:
            fit = fit_power_law(y_fit, v_fit, u_fit)
        u = self._u[cut:]
        powers = torch.stack([torch.ones_like(u), -2 * u, u * u]).to(y.dtype)
        model = torch.exp(fit.log_amplitude.unsqueeze(1) - fit.exponent.unsqueeze(1) * u)
        square = model * model
        error = torch.stack([fit.var_amplitude, fit.covariance, fit.var_exponent], 1) @ powers
        error = error.mul_(square)
        own = torch.maximum(own, fano.unsqueeze(1) * model)
        # noise inside the fit window moves the fit along: it counts once, not twice
        first, last = max(first - cut, 0), last - cut
        if last > first:
            rows = [fit.reach_amplitude, fit.reach_covariance, fit.reach_exponent]
            moved = (torch.stack(rows, 1) @ powers[:, first:last]) * square[:, first:last]
            if not shrunk:
                moved = moved * own[:, first:last]
            error[:, first:last] -= 2 * moved
        return Background(model, fit.exponent, error, own)


def filled(bad: Tensor, rows: Tensor, value: float) -> Tensor:
    """Rows (n, C) with a value in the place of bad ones (n,); the same where there are none."""
    if not bool(bad.any()):  # as nearly always
        return rows
    return rows.masked_fill(bad.unsqueeze(1), value)


def _running_mean(rows: Tensor, reach: int) -> Tensor:
    """Mean over so many channels on either side, of rows (n, C); fewer at the ends."""
    n, width = rows.size(1), 2 * reach + 1
    if n < width:
        return nn.functional.avg_pool1d(
            rows.unsqueeze(1), width, stride=1, padding=reach, count_include_pad=False
        )[:, 0]
    # differences of sums, ten times faster; in double precision, as they grow
    sums = nn.functional.pad(rows.to(torch.float64).cumsum(1), [1, 0])
    fewer = torch.arange(reach + 1, width, dtype=torch.float64, device=rows.device)
    first = sums[:, reach + 1 : width] / fewer
    last = (sums[:, n:] - sums[:, n - width + 1 : n - reach]) / fewer.flip(0)
    inner = (sums[:, width:] - sums[:, : n - width + 1]) / width
    return torch.cat((first, inner, last), 1).to(rows.dtype)
