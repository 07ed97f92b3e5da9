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
from eels_bayes.quiet_imports import import_quietly
from eels_bayes.simulate.process import Process

EDGES = ("Ti L", "O K", "Cr L")
REFERENCE = 685.0  # eV, where levels are given
BACKGROUND = 0.735  # of the total at the reference energy; the rest is the tails of the edges
STEP = 0.05  # eV, of the grid: a fifth of a channel; chosen, not tuned
GRID = np.arange(300.0, 900.0, STEP)  # eV; shapes are read from it by linear interpolation
MARGIN = 10.0  # eV that a spectrum may move by on the grid
N_CHANNELS = 1600  # of the default detector
FIRST_CHANNEL = 390.0  # eV
CHANNEL = 0.25  # eV
RESOLUTION = 0.9  # eV, sigma of the Voigt profile of a white line
LIFETIME = 0.4  # eV, gamma of it
KINK = 3.0  # eV around an L1 onset over which the hydrogenic jump is smoothed away
SLOPE_CHANNELS = 400  # grid points below it from which the slope is continued
UNKNOWN_AT = (1.0, 5.0)  # eV: an unknown structure's edge is moved by 3 and split by 4
BEAM = (200.0, 10.0, 20.0)  # kV, convergence and collection semi-angle in mrad
# Subshell, continuum's maximum, L1 onset (eV), white lines (eV, height); of the total at 685 eV
EDGE_TABLE: tuple[tuple[str, float, float | None, tuple[tuple[float, float], ...]], ...] = (
    ("Ti_L3", 0.085, 564.0, ((456.0, 0.52), (462.0, 0.53))),
    ("O_K", 0.08, None, ((533.0, 0.14), (541.0, 0.07))),
    ("Cr_L3", 0.26, 695.0, ((577.0, 0.58), (585.0, 0.33))),
)
OUTSIDE = 10.0  # eV over which a fingerprint is tapered off below its own axis


class Shapes(NamedTuple):
    """The model's shapes at one drift on E channels, for unit dose and thickness.

    Attributes
    ----------
    edges : (3, E) array
        Ti L, O K and Cr L, electrons a channel.
    fingerprints : (K, E) array
        One a class, electrons a channel.
    unknown : (E,) array
        Of a structure that is not in the library, electrons a channel.
    residual : (E,) array
        The library's nuisance shapes together, electrons a channel.
    misfit : (J, E) array
        Modes of the background's smooth misfit, relative to the power law at unit coefficient.
    """

    edges: Floats
    fingerprints: Floats
    unknown: Floats
    residual: Floats
    misfit: Floats


class SpectrumModel:
    """What simulated spectra are made of: the shapes, for unit dose and thickness.

    Parameters
    ----------
    process : Process
        Its levels, energy offset, broadening and misfit length shape the model.
    library : FingerprintLibrary
        Class means of the fingerprints are the edges f_c. Outside the library's axis they are
        tapered to zero over 10 eV below and fall as the square of energy above.
    energy : (E,) array, optional
        Detector channels, eV; default 1600 channels of 0.25 eV from 390 eV.

    Attributes
    ----------
    process, library, energy
        As given.
    misfit_centres : (J,) array
        Energies of the Gaussians that the smooth misfit is made of, eV.

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
        axis = FIRST_CHANNEL + CHANNEL * np.arange(N_CHANNELS) if energy is None else energy
        self.energy = np.asarray(axis, dtype=np.float64)
        if self.energy.min() < GRID[0] + MARGIN or self.energy.max() > GRID[-1] - MARGIN:
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
        unknown = shift_and_broaden(np.stack([brightest] * 2), np.array(UNKNOWN_AT) / STEP, 0.0)
        stack = np.vstack([spectra, unknown.mean(axis=0), residual])
        stack = shift_and_broaden(stack, process.energy_offset / STEP, process.broadening / STEP)
        self._shapes = np.vstack([process.total * _edge_shapes(), process.unit * stack])

    def shapes(self, drift: float = 0.0) -> Shapes:
        """The shapes on the detector's channels when the spectrum has moved up.

        Parameters
        ----------
        drift : float
            eV, up to 10 either way.

        Returns
        -------
        Shapes

        Raises
        ------
        ValueError
            Where the drift is so large that the shapes are not known.
        """
        energy = self.energy - drift
        if energy.min() < GRID[0] or energy.max() > GRID[-1]:
            raise ValueError(f"drift is {drift:g} eV; the forward model knows 10 eV and less")
        rows = np.stack([np.interp(energy, GRID, row) for row in self._shapes])
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
    taper = np.clip((GRID - low + OUTSIDE) / OUTSIDE, 0.0, 1.0)
    envelope = taper * np.minimum(high / GRID, 1.0) ** 2
    inside = [np.interp(GRID, library.energy, row) for row in rows]
    return np.reshape(inside, (len(rows), len(GRID))) * envelope


@functools.lru_cache(maxsize=1)
def _edge_shapes() -> Floats:
    """Ti L, O K and Cr L on the model's grid in units of the total at 685 eV, shape (3, grid)."""
    import_quietly("exspy.signals")
    from exspy.components import EELSCLEdge
    from scipy.special import voigt_profile

    result = []
    for subshell, height, kink, lines in EDGE_TABLE:
        # The default generalised oscillator strengths would be downloaded
        component = EELSCLEdge(subshell, GOS="hydrogenic")
        component.fine_structure_active = False
        component.set_microscope_parameters(
            E0=BEAM[0], alpha=BEAM[1], beta=BEAM[2], energy_scale=CHANNEL
        )
        continuum = component.function(GRID)
        if kink is not None:
            # The hydrogenic L shell jumps at L1, which the library's nuisance shape already shows
            low, high = np.searchsorted(GRID, (kink - KINK, kink + KINK))
            slope = math.log(continuum[low] / continuum[low - SLOPE_CHANNELS]) / SLOPE_CHANNELS
            continuum[high:] *= continuum[low] * math.exp(slope * (high - low)) / continuum[high]
            continuum[low:high] = continuum[low] * np.exp(slope * np.arange(high - low))
        shape = height * continuum / continuum.max()
        shape = shift_and_broaden(shape[None], 0.0, RESOLUTION / STEP)[0]
        for centre, peak in lines:
            profile = voigt_profile(GRID - centre, RESOLUTION, LIFETIME)
            shape += peak * profile / voigt_profile(0.0, RESOLUTION, LIFETIME)
        result.append(shape)
    return np.stack(result)
