"""Shapes of the simulated spectra: edges, background and fingerprints."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.arrays import Floats
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.simulate.process import Process

EDGES = ("Ti L", "O K", "Cr L")
REFERENCE = 685.0  # eV, where levels are given
BACKGROUND = 0.735  # of the total at the reference energy; the rest is the tails of the edges
_STEP = 0.05  # eV
_GRID = np.arange(300.0, 900.0, _STEP)  # eV; shapes are read from it by linear interpolation
BEAM = (200.0, 10.0, 20.0)  # kV, convergence and collection semi-angle in mrad
# Subshell, continuum's maximum, L1 onset (eV), white lines (eV, height); of the total at 685 eV
_EDGE_TABLE: tuple[tuple[str, float, float | None, tuple[tuple[float, float], ...]], ...] = (
    ("Ti_L3", 0.085, 564.0, ((456.0, 0.52), (462.0, 0.53))),
    ("O_K", 0.08, None, ((533.0, 0.14), (541.0, 0.07))),
    ("Cr_L3", 0.26, 695.0, ((577.0, 0.58), (585.0, 0.33))),
)
_OUTSIDE = 10.0  # eV over which a fingerprint is tapered off below its own axis


class Shapes(NamedTuple):
    """The model's shapes at one drift, E channels; electrons a channel at unit thickness."""

    edges: Floats  # (3, E), Ti L, O K, Cr L
    fingerprints: Floats  # (K, E)
    unknown: Floats  # (E,)
    residual: Floats  # (E,)
    misfit: Floats  # (J, E), relative to the power law, a unit coefficient


class ForwardModel:
    """Shapes of everything that makes a spectrum, for unit dose and thickness.

    Parameters
    ----------
    process
        Its levels, energy offset, broadening and misfit length shape the model.
    library
        Class means of the fingerprints are the edges f_c. Outside the library's axis they are
        tapered to zero over 10 eV below and fall as the square of energy above.
    energy
        Detector channels, eV, shape (E,); default 1600 channels of 0.25 eV from 390 eV.

    Attributes
    ----------
    process, library, energy
        As given.
    misfit_centres
        Energies of the J Gaussians that the smooth misfit is made of, eV, shape (J,).

    Raises
    ------
    ValueError
        Where the energy axis is not within 310 to 889 eV, or the library is outside of it.
    """

    def __init__(
        self, process: Process, library: FingerprintLibrary, energy: ArrayLike | None = None
    ) -> None:
        self.process = process
        self.library = library
        axis = 390.0 + 0.25 * np.arange(1600) if energy is None else energy
        self.energy = np.asarray(axis, dtype=np.float64)
        if self.energy.min() < _GRID[0] + 10 or self.energy.max() > _GRID[-1] - 10:
            raise ValueError(
                f"energy runs from {self.energy.min():g} to {self.energy.max():g} eV; "
                "the forward model knows 310 to 889 eV"
            )
        if library.energy[0] > self.energy.max() or library.energy[-1] < self.energy.min():
            raise ValueError(
                f"the library covers {library.energy[0]:g} to {library.energy[-1]:g} eV, "
                f"outside the detector's {self.energy.min():g} to {self.energy.max():g} eV"
            )
        # Such a curve is white noise smoothed by exp(-(E/length)^2). At this spacing of the
        # centres the sum equals the integral to 1e-4.
        spacing = process.misfit_length / math.sqrt(2)
        self.misfit_centres = np.arange(
            self.energy.min() - 4 * spacing, self.energy.max() + 5 * spacing, spacing
        )
        spectra = _on_grid(library, library.class_spectra)
        residual = _on_grid(library, library.nuisances).sum(axis=0)
        brightest = spectra[int(np.argmax(spectra.sum(axis=1)))]
        unknown = shift_and_broaden(np.stack([brightest] * 2), np.array([1.0, 5.0]) / _STEP, 0.0)
        stack = np.vstack([spectra, unknown.mean(axis=0), residual])
        stack = shift_and_broaden(stack, process.energy_offset / _STEP, process.broadening / _STEP)
        self._shapes = np.vstack([process.total * _edge_shapes(), process.unit * stack])

    def shapes(self, drift: float = 0.0) -> Shapes:
        """The shapes on the detector's channels when the spectrum has moved up by `drift` (eV)."""
        energy = self.energy - drift
        if energy.min() < _GRID[0] or energy.max() > _GRID[-1]:
            raise ValueError(f"drift is {drift:g} eV; the forward model knows 10 eV and less")
        rows = np.stack([np.interp(energy, _GRID, row) for row in self._shapes])
        n_edges = len(EDGES)
        spacing = self.misfit_centres[1] - self.misfit_centres[0]
        # Unit variance at every energy: the squares of the Gaussians sum to one
        norm = math.sqrt(self.process.misfit_length * math.sqrt(math.pi / 2) / spacing)
        distance = (energy - self.misfit_centres[:, None]) / self.process.misfit_length
        return Shapes(
            rows[:n_edges], rows[n_edges:-2], rows[-2], rows[-1], np.exp(-(distance**2)) / norm
        )


def _on_grid(library: FingerprintLibrary, rows: Floats) -> Floats:
    """Shapes on the model's grid, continued beyond the library's axis. Shape (len(rows), grid)."""
    low, high = library.energy[0], library.energy[-1]
    taper = np.clip((_GRID - low + _OUTSIDE) / _OUTSIDE, 0.0, 1.0)
    envelope = taper * np.minimum(high / _GRID, 1.0) ** 2
    inside = [np.interp(_GRID, library.energy, row) for row in rows]
    return np.reshape(inside, (len(rows), len(_GRID))) * envelope


@functools.lru_cache(maxsize=1)
def _edge_shapes() -> Floats:
    """Ti L, O K and Cr L on the model's grid in units of the total at 685 eV, shape (3, grid)."""
    from exspy.components import EELSCLEdge
    from scipy.special import voigt_profile

    result = []
    for subshell, height, kink, lines in _EDGE_TABLE:
        # The default generalised oscillator strengths would be downloaded
        component = EELSCLEdge(subshell, GOS="hydrogenic")
        component.fine_structure_active = False
        component.set_microscope_parameters(
            E0=BEAM[0], alpha=BEAM[1], beta=BEAM[2], energy_scale=0.25
        )
        continuum = component.function(_GRID)
        if kink is not None:
            # The hydrogenic L shell jumps at L1, which the library's nuisance shape already shows
            low, high = np.searchsorted(_GRID, (kink - 3, kink + 3))
            slope = math.log(continuum[low] / continuum[low - 400]) / 400
            continuum[high:] *= continuum[low] * math.exp(slope * (high - low)) / continuum[high]
            continuum[low:high] = continuum[low] * np.exp(slope * np.arange(high - low))
        shape = height * continuum / continuum.max()
        sigma, gamma = 0.9, 0.4  # eV: resolution and lifetime
        shape = shift_and_broaden(shape[None], 0.0, sigma / _STEP)[0]
        for centre, peak in lines:
            profile = voigt_profile(_GRID - centre, sigma, gamma)
            shape += peak * profile / voigt_profile(0.0, sigma, gamma)
        result.append(shape)
    return np.stack(result)
