"""Counts on the canonical axis to edge spectra: background fit, subtraction, normalisation, sd.

Script-safe: plain tensors only.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eels_bayes.data.spectra import Flag
from eels_bayes.preprocessing.power_law import fit_power_law, fit_shrunk

MOST_COUNTS = 1e15  # a channel: beyond any detector's, where single precision would fail later
VARIANCE_SPAN = 2.0  # eV over which the variance is averaged


class Edges(NamedTuple):
    """Edge spectra of n pixels; shapes and units as in `Spectra`."""

    intensity: Tensor
    sd: Tensor
    background: Tensor
    flag: Tensor


def _stands_out(counts: Tensor, most: float = MOST_COUNTS) -> Tensor:
    """Whether the mean of the channels (n, B) is above zero by three errors of the mean; (n,).

    The noise is taken from neighbours' differences: dark-corrected counts without a signal
    scatter far more than their mean, or any Poisson model of it, would say.
    """
    steps = counts[:, 1:] - counts[:, :-1]
    mean = counts.mean(1)
    # nine times the squared error of the mean, times the number of channels
    scatter = (steps * steps).mean(1) * 4.5
    return (counts.sum(1) * mean.abs() > scatter) & (mean < most)


class EdgeExtractor(nn.Module):
    """The canonical axis and the step from its counts to edge spectra.

    The axis holds C channels: L of the window, preceded by those from `start` on.

    Parameters
    ----------
    window : (low, high)
        The edge, eV.
    background : (low, high) or None
        Where the power law is fitted, eV; nothing is subtracted without.
    start : float
        Lowest energy wanted, eV.
    shrunk : bool
        Poisson weights and a prior on the exponent, or plain least squares.
    """

    def __init__(
        self,
        window: tuple[float, float],
        background: tuple[float, float] | None,
        start: float,
        shrunk: bool,
    ) -> None:
        super().__init__()
        self.window, self.background, self.start, self.shrunk = window, background, start, shrunk
        # plain integers, which TorchScript can read
        self.non_finite, self.dead = int(Flag.NON_FINITE), int(Flag.DEAD)
        self.no_background, self.no_reference = int(Flag.NO_BACKGROUND), int(Flag.NO_REFERENCE)
        self.step = 0.0  # dispersion in eV; 0 until known
        self.first = 0.0  # centre of the first channel, eV
        self.n_window = self.n_before = 0
        self._first_fit = self._last_fit = 0
        self._smooth = 1
        self.register_buffer("exponent", torch.tensor([3.0, math.inf]))
        self.register_buffer("_u", torch.zeros(0), persistent=False)
        self.exponent: Tensor  # mean and sd of its prior
        self._u: Tensor  # log(E / E0)

    def set_step(self, step: float) -> None:
        """Lay out the axis for a channel width in eV."""
        low, high = self.window
        n_window = round((high - low) / step)
        if n_window < 2:
            raise ValueError(
                f"window {self.window} holds {n_window} channels of {step:g} eV; at least 2 are "
                "needed: widen the window or use a smaller dispersion"
            )
        n_before = max(0, math.ceil((low - self.start) / step - 1e-6))
        first = low - n_before * step
        energy = first + step * np.arange(n_before + n_window)
        u = torch.zeros(len(energy))
        if self.background is not None:
            # the channels nearest to both ends, both included, as HyperSpy does
            ends = [math.floor((value - first) / step + 0.5) for value in self.background]
            self._first_fit, self._last_fit = ends[0], min(ends[1] + 1, len(energy))
            count = self._last_fit - self._first_fit
            if count < 4:
                raise ValueError(
                    f"background {self.background} holds {count} channels of {step:g} eV; at "
                    "least 4 are needed: widen it"
                )
            if energy[0] <= 0:
                raise ValueError(
                    f"background {self.background} with window {self.window} starts at "
                    f"{energy[0]:g} eV; a power law needs energies above zero"
                )
            centre = energy[self._first_fit : self._last_fit].mean()
            u = torch.from_numpy(np.log(energy / centre)).float()
        self.step, self.first = step, first
        self.n_window, self.n_before = n_window, n_before
        self._smooth = max(1, round(0.5 * (VARIANCE_SPAN / step - 1))) * 2 + 1
        self._u = u.to(self._u.device)

    def free_exponents(self, canonical: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Exponents by the Poisson fit without prior and the variances of their errors; (n,).

        NaN where the fit window has no positive counts.
        """
        y = canonical[:, self._first_fit : self._last_fit]
        v = variance[:, self._first_fit : self._last_fit]
        total = y.sum(1)
        good = _stands_out(y)
        fano = v.sum(1) / total
        none = torch.zeros_like(self.exponent[0])
        fit = fit_shrunk(
            torch.where(good[:, None], y, torch.ones_like(y)),
            torch.where(good, fano, torch.ones_like(fano)),
            self._u[self._first_fit : self._last_fit],
            none + 3.0,
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
        all_of_it = canonical.sum(1) + norm
        is_finite = all_of_it - all_of_it == 0
        dead = high - low <= torch.maximum(high, -low) * 1e-6
        flag = dead * self.dead + (norm <= 0) * self.no_reference
        if self._last_fit > self._first_fit:
            n_fit = self._last_fit - self._first_fit
            good = _stands_out(canonical.narrow(1, self._first_fit, n_fit))
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
        known = flag == 0
        safe = known.unsqueeze(1)
        y = torch.where(safe, canonical, torch.ones_like(canonical))
        v = torch.where(safe, variance, torch.ones_like(variance))
        safe_norm = torch.where(known, norm, torch.ones_like(norm))
        own = nn.functional.avg_pool1d(
            v.unsqueeze(1),
            self._smooth,
            stride=1,
            padding=self._smooth // 2,
            count_include_pad=False,
        )[:, 0]
        model = torch.zeros_like(y)
        exponent = torch.zeros_like(norm)
        error = torch.zeros_like(y)
        first, last = self._first_fit, self._last_fit
        if last > first:
            y_fit, v_fit, u_fit = y[:, first:last], v[:, first:last], self._u[first:last]
            fano = v_fit.sum(1) / y_fit.sum(1)
            shrunk = self.shrunk
            if shrunk:
                precision = 1.0 / (self.exponent[1] * self.exponent[1])
                fit = fit_shrunk(y_fit, fano, u_fit, self.exponent[0], precision)
            else:
                fit = fit_power_law(y_fit, v_fit, u_fit)
            exponent = fit.exponent
            u = self._u.unsqueeze(0)
            model = torch.exp(fit.log_amplitude.unsqueeze(1) - exponent.unsqueeze(1) * u)
            square = model * model
            error = square * (
                fit.var_amplitude.unsqueeze(1)
                - 2 * u * fit.covariance.unsqueeze(1)
                + u * u * fit.var_exponent.unsqueeze(1)
            )
            own = torch.maximum(own, fano.unsqueeze(1) * model)
            # noise inside the fit window moves the fit along: it counts once, not twice
            reach = square[:, first:last] * (
                fit.reach_amplitude.unsqueeze(1)
                - 2 * u_fit * fit.reach_covariance.unsqueeze(1)
                + u_fit * u_fit * fit.reach_exponent.unsqueeze(1)
            )
            if not shrunk:
                reach = reach * own[:, first:last]
            error = torch.cat(
                [error[:, :first], error[:, first:last] - 2 * reach, error[:, last:]], dim=1
            )
            broken = ~(torch.isfinite(model).all(1) & torch.isfinite(error).all(1))
            flag = torch.where(known & broken, self.no_background, flag)
        else:
            # with no count in the smoothing window the rate may still be one in it
            one = v.sum(1) / torch.clamp(y.clamp(min=0).sum(1), min=1e-6)
            own = torch.maximum(own, (one / self._smooth).clamp(max=1e6).unsqueeze(1))
        if factor is not None:
            own = own * factor
        # the background's gain from the fit window cannot be more than nearly all of the noise
        var = torch.maximum(own + error, 0.05 * own)
        scale = safe_norm.unsqueeze(1)
        rest = (y - model) / scale
        bad = (flag > 0).unsqueeze(1)
        nan = torch.full_like(norm, math.nan).unsqueeze(1)
        intensity = torch.where(bad, nan, rest[:, cut:])
        sd = torch.where(bad, nan, torch.sqrt(var[:, cut:]) / scale)
        background = torch.stack([model[:, cut] / safe_norm, exponent], dim=1)
        background = torch.where(bad, nan, background)
        return Edges(intensity, sd, background, flag)


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
