"""HyperSpy signals in: files, energy axis, counts. HyperSpy is imported when needed."""

from __future__ import annotations

import glob as globbing
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data.detector_noise import Noise, stated_noise
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.spectra import ImageInfo

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum
    from numpy.typing import NDArray

_TO_EV = {"ev": 1.0, "kev": 1e3, "mev": 1e-3}


@dataclass(frozen=True, eq=False)
class RawImage:
    """Counts of one spectrum image.

    Attributes
    ----------
    counts : ndarray (n, E) float32
        Counts, pixels in C order. May share memory with the signal: never write to it.
    axis : EnergyAxis
        Of the counts.
    noise : Noise
        Of the counts; their offset is subtracted where they are read, not here.
    stated : str
        What in the signal's metadata says so; '' where nothing does.
    info : ImageInfo
        Navigation shape, axes and metadata.
    """

    counts: NDArray[np.float32]
    axis: EnergyAxis
    noise: Noise
    stated: str
    info: ImageInfo


def load(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, lazy: bool = False
) -> list[EELSSpectrum]:
    """Read EELS signals from files of any format that HyperSpy reads.

    Parameters
    ----------
    path : str, path, or several of them
        File, or pattern such as ``"series/*.dm4"``, whose matches are sorted as people count
        (2 before 10).
    lazy : bool
        Leave the data on disk.

    Returns
    -------
    list of EELSSpectrum
        All EELS signals, in the order of the files. Always a list.

    Raises
    ------
    ValueError
        No file matches; a file cannot be read; a file holds no spectra over an energy axis.
    """
    import hyperspy.api as hs

    if isinstance(path, (str, os.PathLike)):
        files = _expand(os.fspath(path))
    elif isinstance(path, Iterable):
        files = [file for pattern in path for file in _expand(os.fspath(pattern))]
        if not files:
            raise ValueError("path is empty; name at least one file")
    else:
        raise TypeError(f"path is {path!r}; a file name, a pattern or a list of them is needed")
    signals: list[EELSSpectrum] = []
    for file in files:
        try:
            loaded = hs.load(file, lazy=lazy)
        except Exception as error:  # readers raise whatever the broken bytes lead to
            raise ValueError(
                f"{file} cannot be read ({type(error).__name__}: {error}); it may be truncated "
                "or not a file that HyperSpy reads"
            ) from error
        loaded = loaded if isinstance(loaded, list) else [loaded]
        spectra = [signal for signal in loaded if _is_spectrum(signal)]
        if not spectra:
            raise ValueError(
                f"{file} holds {', '.join(map(repr, loaded)) or 'nothing'}; spectra over an "
                "energy axis in eV are needed"
            )
        for signal in spectra:
            if signal.metadata.Signal.signal_type != "EELS":
                signal.set_signal_type("EELS")
            signals.append(signal)
    return signals


def read_counts(signal: EELSSpectrum) -> RawImage:
    """Counts, energy axis and detector noise of a signal, which stays as it is.

    Parameters
    ----------
    signal : EELSSpectrum, LazyEELSSpectrum or Signal1D
        Counts over any navigation axes and one uniform, ascending energy axis in eV (keV and meV
        are converted). Lazy data are computed with all energies in one chunk.

    Returns
    -------
    RawImage
        Its noise is what the metadata state, see `detector_noise.stated_noise`.

    Raises
    ------
    TypeError
        Not a HyperSpy signal, or data that are no real numbers.
    ValueError
        Not one-dimensional spectra; no energy axis in eV; axis not uniform or not ascending.
    """
    axis = energy_axis(signal)
    data = signal.data
    if data.dtype.kind not in "iuf":
        raise TypeError(f"the signal's data are {data.dtype}; real counts are needed")
    if data.size == 0:
        raise ValueError(f"the signal is empty: its data have shape {data.shape}")
    where = signal.axes_manager.signal_axes[0].index_in_array
    if signal._lazy:
        data = data.rechunk({where: -1}).compute()
    counts = np.moveaxis(np.asarray(data), where, -1)
    shape = counts.shape[:-1]
    flat = np.ascontiguousarray(counts.reshape(-1, counts.shape[-1]), dtype=np.float32)
    if not flat.flags.writeable:
        flat = flat.copy()  # torch warns about read-only memory
    noise, stated = stated_noise(signal)
    nav = sorted(
        signal.axes_manager.navigation_axes, key=lambda nav_axis: int(nav_axis.index_in_array)
    )
    info = ImageInfo(
        shape=tuple(int(n) for n in shape),
        axes=tuple(nav_axis.get_axis_dictionary() for nav_axis in nav),
        metadata=signal.metadata.as_dictionary(),
        title=str(signal.metadata.get_item("General.title", "")),
        energy=axis,
        readout=noise.readout,
    )
    return RawImage(flat, axis, noise, stated, info)


def energy_axis(signal: EELSSpectrum) -> EnergyAxis:
    """The energy axis of a signal in eV, without reading its data.

    Raises
    ------
    TypeError
        Not a HyperSpy signal.
    ValueError
        Not one-dimensional spectra; no energy axis in eV; axis not uniform or not ascending.
    """
    _require_spectrum(signal)
    axis = signal.axes_manager.signal_axes[0]
    if not axis.is_uniform:
        raise ValueError(
            "the energy axis is not uniform; interpolate the signal to a uniform one first "
            "(signal.interpolate_on_axis or axis.convert_to_uniform_axis)"
        )
    factor = _energy_factor(signal)
    offset, scale = float(axis.offset) * factor, float(axis.scale) * factor
    if not (math.isfinite(offset) and math.isfinite(scale)) or scale <= 0:
        raise ValueError(
            f"the energy axis starts at {offset:g} eV with a step of {scale:g} eV; an ascending "
            "axis is needed: reverse data and axis first"
        )
    return EnergyAxis(offset, scale, int(axis.size))


def _expand(pattern: str) -> list[str]:
    """Files that a name or a pattern stands for, sorted as people count."""
    if Path(pattern).exists():  # a name with brackets in it is a name first
        return [pattern]
    matches = sorted(globbing.glob(pattern), key=_natural)
    if not matches:
        raise ValueError(f"no file matches {pattern!r}")
    return matches


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in parts]


def _energy_factor(signal: Any) -> float:
    """Units of the energy axis in eV, or ValueError."""
    axis = signal.axes_manager.signal_axes[0]
    units = axis.units
    if not isinstance(units, str) or not units.strip() or units == "<undefined>":
        if signal.metadata.get_item("Signal.signal_type", "") == "EELS":
            return 1.0  # EELS signals built by hand often leave the units out
        raise ValueError("the signal axis has no units; an energy axis in eV is needed")
    # "MeV" and "meV" differ by nine orders of magnitude and only one is an energy loss
    key = units.strip()
    if key.lower() not in _TO_EV or key.startswith("M"):
        raise ValueError(f"the signal axis is in {units!r}; an energy axis in eV is needed")
    return _TO_EV[key.lower()]


def _require_spectrum(signal: Any) -> None:
    """Raise TypeError or ValueError unless these are one-dimensional HyperSpy spectra."""
    manager = getattr(signal, "axes_manager", None)
    if manager is None or not hasattr(signal, "metadata"):
        raise TypeError(
            f"signal is a {type(signal).__name__}; an EELSSpectrum or another HyperSpy Signal1D "
            "is needed"
        )
    if manager.signal_dimension != 1:
        raise ValueError(
            f"the signal has {manager.signal_dimension} signal axes; spectra over one energy "
            "axis are needed (signal.as_signal1D)"
        )


def _is_spectrum(signal: Any) -> bool:
    """Whether these are spectra over an energy axis in eV."""
    try:
        _require_spectrum(signal)
        _energy_factor(signal)
    except (TypeError, ValueError):
        return False
    return True
