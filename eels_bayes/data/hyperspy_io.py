"""HyperSpy signals in: files, energy axis, counts. HyperSpy is imported when needed."""

from __future__ import annotations

import glob as globbing
import math
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eels_bayes import tensor_file
from eels_bayes.data.detector_limits import Limits, measured_counts
from eels_bayes.data.detector_noise import Noise, stated_noise
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.quiet_imports import import_quietly

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum
    from numpy.typing import NDArray

EELS_KINDS = ("", "EELS")  # HyperSpy's types of signals that may be EELS
SEVERAL_READERS = "multiple file readers"  # of HyperSpy's error
FOLDER_FORMATS = (".zspy", ".zarr")  # whose file is a folder
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
    limits : Limits
        What is beyond what can be counted, and NaN.
    position : ndarray (n,) int64, optional
        Flat C-order indices of the pixels in the image's navigation shape, where they are not all
        of it.
    """

    counts: NDArray[np.float32]
    axis: EnergyAxis
    noise: Noise
    stated: str
    info: ImageInfo
    limits: Limits
    position: NDArray[np.int64] | None = None


class Head(NamedTuple):
    """What a signal says of its counts; the fields are those of `RawImage`."""

    axis: EnergyAxis
    noise: Noise
    stated: str
    info: ImageInfo


def load(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    lazy: bool = False,
    **reader: Any,
) -> list[EELSSpectrum]:
    """Read EELS signals from files of any format that HyperSpy reads.

    Parameters
    ----------
    path : str, path, or several of them
        File, folder, or pattern such as ``"series/*.dm4"``; the files of a folder or a pattern are
        sorted as people count (2 before 10).
    lazy : bool
        Leave the data on disk.
    **reader
        For ``hyperspy.api.load``, such as ``file_format="HSPY"`` or what a format's reader takes.

    Returns
    -------
    list of EELSSpectrum
        All EELS signals, in the order of the files. Always a list. Where some of them are low
        loss (see `is_low_loss`) and others are not, those that are not; `load_dual` gives both.

    Raises
    ------
    ValueError
        No file matches; a file cannot be read; a file holds no EELS spectra over an energy axis.

    Warns
    -----
    UserWarning
        Where low losses are left out, spectra of another kind, such as X-ray spectra, or a
        folder's files.
    """
    signals = load_all(path, lazy=lazy, **reader)
    core_loss = [signal for signal in signals if not is_low_loss(signal)]
    n_low = len(signals) - len(core_loss)
    if not core_loss or not n_low:
        return signals
    warnings.warn(
        f"{n_low} of {len(signals)} EELS signals hold the zero-loss peak and are left out; "
        "eb.load_dual, called the same way, gives both core loss and low loss",
        stacklevel=2,
    )
    return core_loss


def load_all(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    lazy: bool = False,
    **reader: Any,
) -> list[EELSSpectrum]:
    """Core losses and low losses alike, in the order of the files; see `load`."""
    patterns = _patterns(path)
    folders = [str(Path(pattern)) for pattern in patterns if _is_folder(Path(pattern))]
    signals: list[EELSSpectrum] = []
    for file in (file for pattern in patterns for file in _expand(pattern)):
        loaded = _loaded(file, {"lazy": lazy, **reader})
        spectra = [signal for signal in loaded if _is_spectrum(signal)]
        in_folder = str(Path(file).parent) in folders
        if not spectra and not in_folder:
            raise ValueError(
                f"{file} holds {', '.join(map(repr, loaded)) or 'nothing'}; EELS spectra over an "
                "energy axis in eV are needed"
            )
        others = [s for s in loaded if _kind(s) not in EELS_KINDS or not spectra]
        if others:
            warnings.warn(
                f"{file} holds {', '.join(map(repr, others))} besides, which are left out: they "
                "are no EELS spectra",
                stacklevel=3,
            )
        for signal in spectra:
            if _kind(signal) != "EELS":
                signal.set_signal_type("EELS")
            signals.append(signal)
    if not signals:
        raise ValueError(f"{', '.join(folders)} holds no EELS spectra over an energy axis in eV")
    return signals


def is_low_loss(signal: EELSSpectrum) -> bool:
    """Whether these spectra hold the zero-loss peak: 0 eV lies inside their energy axis.

    An axis that begins at 0 was not calibrated, as a rule, and says nothing.
    """
    axis = signal.axes_manager.signal_axes[0]
    return bool(axis.low_value < 0.0 < axis.high_value)


def _loaded(file: str, options: dict[str, Any]) -> list[Any]:
    """The signals of one file by HyperSpy, or ValueError with what would do."""
    import_quietly("exspy.signals")
    import hyperspy.api as hs

    if own := tensor_file.own_kind(file):
        raise ValueError(f"{file} holds no spectra but {own}")
    options = {"escape_square_brackets": True} | options  # a name is a name here, no pattern
    try:
        try:
            loaded = hs.load(file, **options)
        except ValueError as error:
            if "file_format" in options or SEVERAL_READERS not in str(error):
                raise
            # an ending that several formats share: HyperSpy's own first
            loaded = hs.load(file, **options, file_format="HSPY")
    except ImportError as error:
        raise ValueError(
            f"{file} needs a package that is not installed ({error}); install it, or "
            "'rosettasciio[all]' for those of all formats"
        ) from error
    except Exception as error:  # readers raise whatever the broken bytes lead to
        raise ValueError(
            f"{file} cannot be read ({type(error).__name__}: {error}); it may be truncated, not a "
            "file that HyperSpy reads, or of a format that load(..., file_format=...) must name"
        ) from error
    return loaded if isinstance(loaded, list) else [loaded]


def read_counts(signal: EELSSpectrum) -> RawImage:
    """Counts, energy axis and detector noise of a signal, which stays as it is.

    Parameters
    ----------
    signal : EELSSpectrum, LazyEELSSpectrum or Signal1D
        Counts over any navigation axes and one uniform, ascending energy axis in eV (keV and meV
        are converted). Lazy data are computed with all energies in one chunk; what is masked,
        saturated or wrapped becomes NaN.

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
    head = read_head(signal)
    counts, limits = flat_counts(signal.data, energy_index(signal))
    return RawImage(counts, *head, limits)


def read_head(signal: EELSSpectrum) -> Head:
    """Everything but the counts, which are not computed; errors as in `read_counts`."""
    axis, data = energy_axis(signal), signal.data
    if data.dtype.kind not in "iuf":
        raise TypeError(f"the signal's data are {data.dtype}; real counts are needed")
    if data.size == 0:
        raise ValueError(f"the signal is empty: its data have shape {data.shape}")
    noise, stated = stated_noise(signal)
    axes = navigation_axes(signal)
    info = ImageInfo(
        shape=tuple(int(size) for size in np.delete(data.shape, energy_index(signal))),
        axes=axes,
        metadata=signal.metadata.as_dictionary(),
        title=str(signal.metadata.get_item("General.title", "")),
        energy=axis,
    )
    return Head(axis, noise, stated, info)


def navigation_axes(signal: EELSSpectrum) -> tuple[dict[str, Any], ...]:
    """HyperSpy's dictionaries of the navigation axes, numpy order."""
    axes = sorted(signal.axes_manager.navigation_axes, key=lambda axis: int(axis.index_in_array))
    return tuple(_axis_dictionary(axis) for axis in axes)


def _axis_dictionary(axis: Any) -> dict[str, Any]:
    """HyperSpy's dictionary; of an axis that is a formula that of its positions."""
    given: dict[str, Any] = axis.get_axis_dictionary()
    if "expression" not in given:
        return given
    kept = {name: given[name] for name in ("name", "units", "navigate") if name in given}
    return kept | {"_type": "DataAxis", "axis": axis.axis}


def energy_index(signal: EELSSpectrum) -> int:
    """Which axis of a signal's data is that of the energy."""
    return int(signal.axes_manager.signal_axes[0].index_in_array)


def flat_counts(data: Any, energy: int) -> tuple[NDArray[np.float32], Limits]:
    """Counts (n, E) of data with their energies along the axis `energy`; see `read_counts`."""
    if hasattr(data, "dask"):
        data = data.rechunk({energy: -1}).compute()
    counts = np.moveaxis(data, energy, -1)
    flat, limits = measured_counts(counts.reshape(-1, counts.shape[-1]))
    # torch warns about read-only memory
    return flat if flat.flags.writeable else flat.copy(), limits


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


def _patterns(path: Any) -> list[str]:
    """Names and patterns, one or several, as a list of them."""
    if isinstance(path, (str, os.PathLike)):
        return [os.fspath(path)]
    if not isinstance(path, Iterable):
        raise TypeError(f"path is {path!r}; a file name, a pattern or a list of them is needed")
    patterns = [os.fspath(pattern) for pattern in path]
    if not patterns:
        raise ValueError("path is empty; name at least one file")
    return patterns


def _expand(pattern: str) -> list[str]:
    """Files that a name, a folder or a pattern stands for, sorted as people count."""
    path = Path(pattern)
    if _is_folder(path):
        files = [str(file) for file in path.iterdir() if _is_data(file)]
        if not files:
            raise ValueError(f"the folder {pattern} holds no file that HyperSpy reads")
        return sorted(files, key=_natural)
    if path.exists():  # a name with brackets in it is a name first
        return [pattern]
    matches = sorted(globbing.glob(pattern), key=_natural)
    if not matches:
        raise ValueError(f"no file matches {pattern!r}")
    return matches


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder of files, and not a file that is a folder."""
    return path.is_dir() and path.suffix.lower() not in FOLDER_FORMATS


def _is_data(file: Path) -> bool:
    """Whether a file's ending is that of a format that HyperSpy reads."""
    from rsciio import IO_PLUGINS

    ending = file.suffix.lower().removeprefix(".")
    known = {known.lower() for plugin in IO_PLUGINS for known in plugin["file_extensions"]}
    return not file.name.startswith(".") and ending in known


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
    named = re.search(r"\((\w+)\)$", units.strip())  # "Energy Loss (eV)", as ISO 22029 has it
    # "MeV" and "meV" differ by nine orders of magnitude and only one is an energy loss
    key = named[1] if named else units.strip()
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


def _kind(signal: Any) -> str:
    """HyperSpy's type of a signal, '' for plain ones."""
    return str(signal.metadata.get_item("Signal.signal_type", ""))


def _is_spectrum(signal: Any) -> bool:
    """Whether these are spectra over an energy axis in eV, and of no other kind than EELS."""
    if _kind(signal) not in EELS_KINDS:
        return False
    try:
        _require_spectrum(signal)
        _energy_factor(signal)
    except (TypeError, ValueError):
        return False
    return True
