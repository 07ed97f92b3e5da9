"""One spectrum of one structure, as a file states it, and what is known of its axis and width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.energy_resampling import check_energy, check_rows, interpolate

FERMI = "fermi_level"  # in what a file says, in eV: below, states are occupied
BEFORE_THE_EDGE = 0.05  # of the maximum: what may be there where an edge has not begun; chosen


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One simulated or measured edge spectrum.

    Parameters
    ----------
    energy : (N,) array
        Energy losses, ascending, eV; the steps may differ.
    intensity : (N,) array
        In `unit`.
    broadened : bool
        Whether lifetimes (of the core hole, of the excited electron) or an instrument have
        broadened it already.
    unit : str
        Of the intensity, as far as the file says: "Mbarn"; '' where it does not.
    source : str
        The file.
    format : str
        What it was read as.
    about : mapping of str to str
        What else the file says, such as the absorber, the edge and the widths of a broadening.

    Raises
    ------
    ValueError
        Energies do not ascend, a number is not finite, or shapes differ.
    """

    energy: Floats
    intensity: Floats
    broadened: bool
    unit: str = ""
    source: str = ""
    format: str = ""
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        axis = validation.numbers("energy", self.energy)
        check_energy(axis)
        rows = np.atleast_2d(validation.numbers("intensity", self.intensity))
        check_rows("intensity", rows, len(axis))
        object.__setattr__(self, "energy", axis)
        object.__setattr__(self, "intensity", rows[0])

    @property
    def begins_before_the_edge(self) -> bool:
        """Whether next to nothing is there at its first energy, so that nothing is below."""
        return bool(self.intensity[0] <= BEFORE_THE_EDGE * self.intensity.max())

    def at(self, energy: Floats) -> Floats:
        """The intensity at other energies (N',), eV; channels much wider than its own are means.

        Simulations begin a few eV below the onset. Further below, a spectrum that begins before
        the edge goes on with its first value.

        Raises
        ------
        ValueError
            They are not covered.
        """
        axis, rows = self.energy, self.intensity
        if energy[-1] < axis[0] or energy[0] > axis[-1]:
            raise ValueError(
                f"the fingerprint covers {axis[0]:g} to {axis[-1]:g} eV, but the axis asked for "
                f"runs from {energy[0]:g} to {energy[-1]:g} eV; give an axis in common"
            )
        if energy[0] < axis[0] and self.begins_before_the_edge:
            step = float(np.diff(axis).max())
            count = int(np.ceil((axis[0] - energy[0]) / step))
            below = axis[0] - step * np.arange(count, 0, -1)
            axis = np.concatenate([below, axis])
            rows = np.concatenate([np.full(count, rows[0]), rows])
        return interpolate(energy, axis, rows[None])[0]


def check_fingerprint(name: str, value: object) -> None:
    """TypeError where something is no fingerprint, such as a file's name."""
    if not isinstance(value, Fingerprint):
        raise TypeError(
            f"{name} is a {type(value).__name__}; give a Fingerprint, as read_fingerprint gives it"
        )
