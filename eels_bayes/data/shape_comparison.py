"""How alike two edges are in shape, beside what an edge without any structure would reach.

All edges rise and stay high, so all are alike: against simulated F K edges an arctangent reaches a
cosine of 0.987. What a fingerprint is worth is what it reaches beyond that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.single_fingerprint import Fingerprint, check_fingerprint

STEP = 0.05  # eV between the shifts that are tried: a twentieth of a sharp line
ONSETS = 200  # places of a step that are tried, over the window
WIDTHS = np.geomspace(0.1, 30.0, 40)  # eV, full widths of a step that are tried


@dataclass(frozen=True)
class ShapeComparison:
    """Two edges in the window of the second; the best over shifts of the first.

    Parameters
    ----------
    pearson, cosine : float
        Correlation, and cosine of the angle between the spectra as vectors, at the shift.
    step_pearson, step_cosine : float
        The highest that any arctangent step reaches against the second.
    shift : float
        By which the first is moved, eV: where the correlation is highest.
    at_limit : bool
        Whether that is the end of what was tried, so that a better one may lie beyond.
    """

    pearson: float
    cosine: float
    step_pearson: float
    step_cosine: float
    shift: float
    at_limit: bool

    @property
    def beats_a_step(self) -> bool:
        """Whether it tells more of the shape than a step does."""
        return self.pearson > self.step_pearson

    def __str__(self) -> str:
        limit = ", the end of what was tried" if self.at_limit else ""
        verdict = "" if self.beats_a_step else "; a step without structure does as well"
        return (
            f"Pearson {self.pearson:.3f} (best step {self.step_pearson:.3f}), "
            f"cosine {self.cosine:.3f} (best step {self.step_cosine:.3f}), "
            f"moved by {self.shift:+.2f} eV{limit}{verdict}"
        )


def compare_shapes(
    one: Fingerprint,
    other: Fingerprint,
    *,
    window: Sequence[float] | None = None,
    reach: float = 15.0,
) -> ShapeComparison:
    """Compare the shapes of two edges, and both with the best featureless step.

    Parameters
    ----------
    one : Fingerprint
        The one that is moved, such as a simulated edge.
    other : Fingerprint
        The one that it is compared with, such as a measured edge.
    window : (low, high), optional
        What of `other` counts, eV; by default all of it.
    reach : float
        Largest shift either way, eV; only shifts at which `one` covers the window count. Below its
        first energy it goes on with its first value where it begins before the edge.

    Returns
    -------
    ShapeComparison
        Print it: it says both numbers.

    Raises
    ------
    ValueError
        Fewer than three channels lie in the window, `one` does not cover it at any shift, or one of
        them is flat.
    """
    check_fingerprint("one", one)
    check_fingerprint("other", other)
    reach = validation.not_negative("reach", reach)
    whole = (float(other.energy[0]), float(other.energy[-1]))
    low, high = validation.interval("window", whole if window is None else window)
    inside = (other.energy >= low) & (other.energy <= high)
    if inside.sum() < 3:
        raise ValueError(f"window holds {inside.sum()} channels of other; give a wider one")
    energy, wanted = other.energy[inside], other.intensity[inside]
    # further away they have nothing in common
    reach = min(reach, max(abs(energy[-1] - one.energy[0]), abs(one.energy[-1] - energy[0])))
    shifts = np.arange(-round(reach / STEP), round(reach / STEP) + 1) * STEP
    covered = one.energy[-1] + shifts >= energy[-1]
    if not one.begins_before_the_edge:
        covered &= one.energy[0] + shifts <= energy[0]
    if not covered.any():
        raise ValueError(
            f"one covers {one.energy[0]:g} to {one.energy[-1]:g} eV, which no shift of up to "
            f"{reach:g} eV brings over the window from {energy[0]:g} to {energy[-1]:g} eV; "
            "give a narrower window"
        )
    shifts = shifts[covered]
    rows = np.stack([np.interp(energy - s, one.energy, one.intensity) for s in shifts])
    for name, given in (("one", rows), ("other", wanted)):
        if np.ptp(given) == 0.0:
            raise ValueError(f"{name} is flat in the window; there is no shape to compare")
    agreement = _pearson(rows, wanted)
    best = int(agreement.argmax())
    steps = _steps(energy)
    return ShapeComparison(
        pearson=float(agreement[best]),
        cosine=float(_cosine(rows[best : best + 1], wanted)[0]),
        step_pearson=float(_pearson(steps, wanted).max()),
        step_cosine=float(_cosine(steps, wanted).max()),
        shift=float(shifts[best]),
        at_limit=len(shifts) > 1 and best in (0, len(shifts) - 1),
    )


def _steps(energy: Floats) -> Floats:
    """Arctangent steps of many onsets and widths, one a row."""
    onsets = np.linspace(energy[0], energy[-1], ONSETS)
    scaled = (energy - onsets[:, None, None]) / (0.5 * WIDTHS[None, :, None])
    steps: Floats = (0.5 + np.arctan(scaled) / np.pi).reshape(-1, len(energy))
    return steps


def _pearson(rows: Floats, wanted: Floats) -> Floats:
    """Correlation of each row with a spectrum; -1 where a row is flat."""
    return _cosine(rows - rows.mean(axis=1, keepdims=True), wanted - wanted.mean())


def _cosine(rows: Floats, wanted: Floats) -> Floats:
    """Cosine of the angle between each row and a spectrum; -1 where a row is zero."""
    length = np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted)
    product = rows @ wanted
    angle: Floats = np.divide(product, length, out=np.full(len(rows), -1.0), where=length > 0)
    return angle
