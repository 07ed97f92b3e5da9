"""Lifetimes and the instrument's resolution, put into a calculated spectrum, once.

The core hole and the excited electron live for a time that gives every transition the shape of a
Lorentzian. Its full width is that of the hole plus an arctangent that rises with the electron's
energy (Bunau and Joly, J. Phys.: Condens. Matter 21, 345501 (2009); FDMNES). The instrument adds a
Gaussian.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.single_fingerprint import FERMI, Fingerprint, check_fingerprint

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # full width at half maximum of a Gaussian of sd 1
FINEST, COARSEST = 0.02, 0.1  # eV: steps of the axis on which spectra are convolved; chosen
CHUNK = 256  # rows of a matrix at a time, some 10 MB
STEPS_A_WIDTH = 5.0  # steps that the narrowest width gets, within these
BEFORE = 20.0  # eV by which a spectrum may begin after its onset; chosen
INSTRUMENT = "instrument_fwhm"  # in what is known of a fingerprint
# FDMNES's defaults for the electron, eV: largest width, centre and width of the arctangent.
LARGEST, CENTRE, SPREAD = 15.0, 30.0, 30.0


def broaden(
    fingerprint: Fingerprint,
    *,
    core_hole: float | None = None,
    onset: float | None = None,
    electron: float = LARGEST,
    instrument: float = 0.0,
) -> Fingerprint:
    """A spectrum with the lifetimes of its states, and the resolution of an instrument.

    What is below the onset is occupied and left out. The spectrum goes on with its last value.

    Parameters
    ----------
    fingerprint : Fingerprint
        As `read_fingerprint` gives it.
    core_hole : float, optional
        Full width of the core hole's Lorentzian, eV (F K 0.2, O K 0.18, Ti L3 0.25): for a spectrum
        that was not broadened, and only for that.
    onset : float, optional
        Energy of the first unoccupied state, eV; by default the Fermi level that the file states
        (FDMNES), or where the intensity first reaches a thousandth of its maximum.
    electron : float
        Largest width of the excited electron's part, eV; 0 leaves it out.
    instrument : float
        Full width at half maximum of the instrument's Gaussian, eV; only once.

    Returns
    -------
    Fingerprint
        On a uniform axis, over the same energies.

    Raises
    ------
    ValueError
        It was broadened by lifetimes, or by an instrument, already; or lacks a core hole's width;
        or its onset lies elsewhere, or a width is more than all of it.
    """
    check_fingerprint("fingerprint", fingerprint)
    instrument = validation.not_negative("instrument", instrument)
    electron = validation.not_negative("electron", electron)
    if fingerprint.broadened and core_hole is not None:
        raise ValueError(
            "core_hole is given, but the fingerprint was broadened already; leave it out"
        )
    if not fingerprint.broadened and core_hole is None:
        raise ValueError(
            "core_hole is missing; give the full width of the core hole in eV, such as 0.2 for F K"
        )
    if instrument and INSTRUMENT in fingerprint.about:
        raise ValueError(
            f"instrument is given, but {fingerprint.about[INSTRUMENT]} are in the fingerprint "
            "already; broaden the one that was read"
        )
    hole = None if core_hole is None else validation.positive("core_hole", core_hole, "eV")
    widths = [width for width in (hole, instrument) if width]
    begin, end = float(fingerprint.energy[0]), float(fingerprint.energy[-1])
    if max(widths, default=0.0) > end - begin:
        raise ValueError(
            f"a width of {max(widths):g} eV is more than the spectrum's {end - begin:g} eV; give "
            "it in eV"
        )
    own = float(np.diff(fingerprint.energy).min())
    wanted = min([own, *(width / STEPS_A_WIDTH for width in widths)])
    step = float(np.clip(wanted, FINEST, COARSEST))
    energy = np.arange(begin, end + 1e-9, step)
    rows = fingerprint.at(energy)
    about = dict(fingerprint.about)
    if hole is not None:
        first = _onset(fingerprint) if onset is None else validation.positive("onset", onset, "eV")
        _check_onset(first, (begin, end), electron)
        rows = with_lifetimes(energy, rows, hole, first, electron)
        about |= {"core_hole_width": f"{hole:g} eV", "onset": f"{first:g} eV"}
    if instrument:
        rows = shift_and_broaden(rows[None], 0.0, instrument / FWHM / step)[0]
        about[INSTRUMENT] = f"{instrument:g} eV"
    return dataclasses.replace(
        fingerprint, energy=energy, intensity=rows, broadened=True, about=about
    )


def with_lifetimes(
    energy: Floats, intensity: Floats, core_hole: float, onset: float, electron: float
) -> Floats:
    """Each channel's intensity spread over a Lorentzian of its own width, shape (N,).

    A channel's part in another is the Lorentzian's exact integral over it. Above the axis the
    last value goes on for ever.

    Parameters
    ----------
    energy
        Uniform, eV, shape (N,).
    intensity
        Shape (N,).
    core_hole, onset, electron
        As in `broaden`.
    """
    step = energy[1] - energy[0]
    half = 0.5 * (core_hole + electron_width(energy - onset, electron))
    open_states = np.where(energy >= onset, intensity, 0.0)
    result = np.empty_like(energy)
    borders = np.append(energy - step / 2, energy[-1] + step / 2)
    for start in range(0, len(energy), CHUNK):
        angles = np.arctan((borders[start : start + CHUNK + 1, None] - energy) / half)
        result[start : start + CHUNK] = np.diff(angles, axis=0) @ open_states / np.pi
    result += open_states[-1] * (0.5 - np.arctan((borders[-1] - energy) / half[-1]) / np.pi)
    return result


def electron_width(above: Floats, largest: float) -> Floats:
    """Full width of the excited electron's part, eV, at energies above the onset, eV."""
    if not largest:
        return np.zeros_like(above)
    ratio = np.maximum(above, 1e-3) / CENTRE
    angle = np.pi / 3 * largest / SPREAD * (ratio - 1 / ratio**2)
    return np.where(above > 0, largest * (0.5 + np.arctan(angle) / np.pi), 0.0)


def _check_onset(onset: float, limits: tuple[float, float], electron: float) -> None:
    """Refuse one that no state of the spectrum begins at, such as a relative energy."""
    begin, end = limits
    low = begin - BEFORE if electron else 0.0  # the electron's width counts from there
    if not low <= onset <= end:
        raise ValueError(
            f"the onset, {onset:g} eV, lies outside the spectrum from {begin:g} to {end:g} eV; "
            "give onset as an energy loss"
        )


def _onset(fingerprint: Fingerprint) -> float:
    """The Fermi level that the file states, or where a thousandth of the maximum is reached, eV."""
    if FERMI in fingerprint.about:
        return float(fingerprint.about[FERMI].split()[0])
    high = fingerprint.intensity >= 1e-3 * fingerprint.intensity.max()
    return float(fingerprint.energy[int(high.argmax())])
