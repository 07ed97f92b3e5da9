"""What lies under and beside the edge: a pixel's continuum as a linear model.

    continuum = center + columns u,        u ~ N(mean, covariance)

in units of the norm. The columns are a power law's amplitude and exponent, smooth modes times it,
a few free shapes beside the window that the data themselves show (other edges, drift), and the
library's overlapping nuisance shapes. Bins far from the edge say where the background lies beneath
it; how far that reaches is the covariance's matter, which is learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.directions import spanned

N_FREE = 4  # shapes beside the window that are learned from the data; chosen, not tuned
SPARE_BINS = 8  # beside the window that no shape may take up; chosen, not tuned
MIN_SMOOTH = 4  # smooth modes of a short profile; chosen, not tuned
MAX_SMOOTH = 48  # smooth modes of a long one; chosen, not tuned
GRID_PER_MODE = 6  # points of the grid that the modes are computed on, each
LENGTHS_PER_WINDOW = 2.4  # the smooth modes' correlation length is the window's width over this
MODES_PER_LENGTH = 1.5  # beyond these the eigenvalues of a squared exponential have died away
TAIL = 2.0  # an edge falls as E^-TAIL above the window; the fit hardly depends on it
# Standard deviations of ``u`` beforehand, as weak as a pixel or two; the data decide.
AMPLITUDE_SD = 0.05  # relative
EXPONENT_SD = 0.1
SMOOTH_SD = 0.003  # relative, of the smooth misfit
OVERLAP_SD = 0.15  # of the largest edge
LEAST_PEAK = 1e-12  # edge units: keeps the variance of a nuisance shape of zeros finite
LEAST_MEAN = 1e-6  # units of the norm: keeps the noise of an empty bin finite
LEAST_STRENGTH = 1e-12  # variance of a free shape that noise alone explains
RCOND = 1e-6  # of least squares: smaller singular values are directions of rounding alone


@dataclass(frozen=True, eq=False)
class Continuum:
    """A linear model of the continuum; evaluate it on any axis with `center` and `columns`.

    Attributes
    ----------
    energy : (B,) array
        Bin centres it was learned on, eV.
    window : (low, high)
        Lower and upper end of the edge's window, eV.
    reference : (2,) array
        Amplitude at the window's start and exponent of the reference power law.
    free : (1 + Q, B) array
        What is learned freely beside the window: offset of the center from the power law, then
        the free shapes; zero inside.
    """

    energy: Array
    window: tuple[float, float]
    reference: Array
    free: Array

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which of the bins (B,) lie in the window."""
        low, high = self.window
        return (self.energy > low) & (self.energy < high)

    def power_law(self, energy: Array) -> Array:
        """The reference power law (C,) on an axis (C,) in eV."""
        power: Array = self.reference[0] * (energy / self.window[0]) ** -self.reference[1]
        return power

    def center(self, energy: Array) -> Array:
        """Center (C,) of the continuum."""
        return self.power_law(energy) + self._beside(energy, self.free[:1])[0]

    def columns(self, energy: Array, library: FingerprintLibrary) -> Array:
        """Columns (C, P) that multiply ``u``; the nuisances' come last."""
        power = self.power_law(energy)
        smooth = [np.ones_like(energy), -np.log(energy / self.window[0]), *self._modes(energy)]
        free, nuisances = self._beside(energy, self.free[1:]), extended(library, energy).nuisances
        return np.concatenate([power * np.array(smooth), free, nuisances]).T

    def prior_variances(self, library: FingerprintLibrary, gain: float = 1.0) -> Array:
        """Rough variances (P,) of ``u`` to begin with, as weak as a pixel or two.

        ``gain`` is what the library's unit is multiplied with.

        Those of amplitude, exponent, smooth misfit and overlap are the constants of this module;
        free shapes are as the data show them.
        """
        peak = float(np.abs(library.intensity).max())
        overlap = [
            (OVERLAP_SD * gain * peak / max(np.abs(row).max(), LEAST_PEAK)) ** 2
            for row in library.nuisances
        ]
        n_free = len(self.free) - 1
        n_smooth = len(self._modes(self.energy[:1]))
        return np.array(
            [AMPLITUDE_SD**2, EXPONENT_SD**2, *[SMOOTH_SD**2] * n_smooth, *[1.0] * n_free, *overlap]
        )

    def _modes(self, energy: Array) -> Array:
        """Leading modes (N, C) of a random curve of unit variance."""
        length = (self.window[1] - self.window[0]) / LENGTHS_PER_WINDOW
        span = self.energy[-1] - self.energy[0]
        n_modes = int(np.clip(np.ceil(MODES_PER_LENGTH * span / length), MIN_SMOOTH, MAX_SMOOTH))
        grid = np.linspace(self.energy[0], self.energy[-1], GRID_PER_MODE * n_modes)
        value, vector = np.linalg.eigh(np.exp(-0.5 * ((grid[:, None] - grid) / length) ** 2))
        modes = (vector * np.sqrt(np.maximum(value, 0.0)))[:, ::-1][:, :n_modes]
        # Eigenvectors' signs are arbitrary: fix them, so that every run gives the same u.
        modes = modes * np.where(modes[-1] < 0, -1.0, 1.0)
        return np.array([np.interp(energy, grid, mode) for mode in modes.T])

    def _beside(self, energy: Array, rows: Array) -> Array:
        """Free rows (Q, B) on another axis; never interpolated across the window's ends."""
        out = np.zeros((len(rows), len(energy)))
        for side, here in (
            (self.energy < self.window[0], energy < self.window[0]),
            (self.energy > self.window[1], energy > self.window[1]),
        ):
            if side.any() and here.any():
                for row, given in zip(out, rows, strict=True):
                    row[here] = np.interp(energy[here], self.energy[side], given[side])
        return out


def extended(library: FingerprintLibrary, energy: Array) -> FingerprintLibrary:
    """The library on an axis wider than its own: nothing before, a tail E^-TAIL behind."""
    envelope = tail(library, energy)

    def wide(rows: Array) -> Array:
        """Rows (M, N) on the wider axis."""
        at = [np.interp(energy, library.energy, row, left=0.0) for row in rows]
        return np.reshape(at, (len(rows), len(energy))) * envelope

    intensity, nuisances = wide(library.intensity), wide(library.nuisances)
    return replace(library, energy=energy, intensity=intensity, nuisances=nuisances)


def tail(library: FingerprintLibrary, energy: Array) -> Array:
    """What an edge's last value is multiplied with on an axis (C,) that goes on behind it."""
    last = library.energy[-1]
    envelope: Array = np.where(energy > last, (last / energy) ** TAIL, 1.0)
    return envelope


def learn_continuum(
    energy: Array,
    profile: Array,
    level: Array,
    window: tuple[float, float],
    reference: Array,
    library: FingerprintLibrary,
    rng: np.random.Generator,
    *,
    n_pixels: int = 6000,
) -> Continuum:
    """Learn what the spectra show beside the window.

    Below it the center is the mean spectrum. Above, where edges have their tails, only what is
    neither smooth nor such a tail is free. The free shapes are the principal components of what
    the smooth columns leave, noise subtracted.

    Parameters
    ----------
    energy : (B,) array
        Bin centres, eV.
    profile : (n, B) array
        Spectra in units of their norm.
    level : (n,) array
        Noise variance of a bin over its mean intensity.
    window : (low, high)
        eV.
    reference : (2,) array
        Amplitude at the window's start and exponent of the background.
    library : FingerprintLibrary
    rng : numpy.random.Generator
        Chooses the pixels where there are more than are needed.
    n_pixels : int
        Pixels that the free shapes are learned from, at most.

    Returns
    -------
    Continuum
    """
    n_bins = len(energy)
    empty = Continuum(energy, window, reference, np.zeros((1, n_bins)))
    mean = profile.mean(0)
    below, above = energy < window[0], energy > window[1]
    offset = np.where(below, mean - empty.power_law(energy), 0.0)
    white = 1.0 / np.sqrt(np.maximum(mean, LEAST_MEAN))
    smooth = empty.columns(energy, library) * white[:, None]
    tails = (extended(library, energy).intensity * white).T
    if above.sum() > smooth.shape[1] + tails.shape[1]:
        design = np.concatenate([smooth, tails], axis=1)[above]
        excess = ((mean - empty.power_law(energy)) * white)[above]
        fitted, *_ = np.linalg.lstsq(design, excess, rcond=RCOND)
        offset[above] = (excess - design @ fitted) / white[above]
    beside = below | above
    n_free = min(N_FREE, max(0, int(beside.sum()) - smooth.shape[1] - SPARE_BINS))
    free = np.zeros((n_free, n_bins))
    if n_free:
        rows = rng.choice(len(profile), min(len(profile), n_pixels), replace=False)
        deviation = ((profile[rows] - mean) * white)[:, beside]
        # many are alike beside the window: what only rounding tells apart is no direction
        span = spanned(np.concatenate([smooth, tails], axis=1)[beside])
        deviation = deviation - (deviation @ span) @ span.T
        variance, shapes = np.linalg.eigh(deviation.T @ deviation / len(rows))
        strength = np.maximum(variance[::-1][:n_free] - level.mean(), LEAST_STRENGTH)
        free[:, beside] = (shapes[:, ::-1][:, :n_free] * np.sqrt(strength)).T / white[beside]
    return Continuum(energy, window, reference, np.concatenate([offset[None], free]))
