"""Spectra: edge spectra with their standard deviation, where they come from, and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data import spectra_exports, spectra_views
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.flags import describe
from eels_bayes.data.pixel_index import checked_index, per_pixel_fields, rows_of
from eels_bayes.data.stacks import Frame
from eels_bayes.validation import same_axis

if TYPE_CHECKING:
    import xarray
    from exspy.signals import EELSSpectrum
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImageInfo:
    """Where pixels come from.

    Attributes
    ----------
    shape : tuple of int
        Navigation shape in numpy order; () for a single spectrum.
    axes : tuple of dict
        HyperSpy's dictionaries of the navigation axes, numpy order.
    metadata : dict
        HyperSpy's metadata as a plain dictionary; of a frame, those of its stack.
    title : str
        Title of the signal; of a frame, with its place along the stack's outer axes.
    energy : EnergyAxis
        The detector's channels.
    readout : float
        Variance of a channel's counts that does not depend on them, counts squared.
    frame : Frame, optional
        Which frame of which stack the image is, where a signal was read as a series of frames.
    """

    shape: tuple[int, ...]
    axes: tuple[dict[str, Any], ...]
    metadata: dict[str, Any]
    title: str
    energy: EnergyAxis
    readout: float = 0.0
    frame: Frame | None = None


@dataclass(frozen=True, eq=False)
class Spectra:
    """Edge spectra of n pixels, of one or of many images.

    Attributes
    ----------
    intensity, sd : ndarray (n, L) float32
        Aligned, normalised, background-free intensity and its standard deviation, in units of
        `norm`; NaN rows where a pixel is flagged.
    energy : ndarray (L,) float64
        Channel centres, eV.
    image, position : ndarray (n,) int64
        Index into `images`, and flat C-order index in that image's navigation shape.
    images : tuple of ImageInfo
        One for each spectrum image, or frame of a stack.
    flag : ndarray (n,) int64
        `Flag` values; 0 is OK.
    background : ndarray (n, 2) float32
        Background at the window's start in units of `norm`, and its exponent.
    profile : ndarray (n, B) float32
        The whole aligned spectrum, background and all: mean counts a channel in bins as fine
        as the edge, units of `norm`. What lies beside the window tells the background beneath it.
    profile_energy : ndarray (B,) float64
        Centres of these bins, eV.
    level : ndarray (n,) float32
        Noise: variance of an intensity of 1 in one bin of the profile.
    spike : ndarray (n,) float32
        Largest excess of a detector channel over what the series and its neighbours make expected,
        in units of its sd.
    norm : ndarray (n,) float32
        Counts per channel that make an intensity of 1.
    shift : ndarray (n,) float32
        Energy shift removed, eV.
    counts : ndarray (n, C) float32
        Aligned, rebinned counts on the preprocessor's canonical axis; (n, 0) where they are not
        kept.
    gain : ndarray (n,) float32
        Variance per detector count in the profile's bins; a single channel has less where
        detectors spread electrons.
    preprocessor : Preprocessor
        What made the spectra.

    Examples
    --------
    >>> import numpy as np
    >>> from exspy.signals import EELSSpectrum
    >>> import eels_bayes as eb
    >>> energy = 600 + 0.5 * np.arange(400)
    >>> signal = EELSSpectrum(np.tile(2000 * (energy / 600) ** -3.0, (2, 3, 1)))
    >>> axis = signal.axes_manager[-1]
    >>> axis.offset, axis.scale, axis.units = 600.0, 0.5, "eV"
    >>> spectra = eb.Preprocessor((677, 737), background=(610, 675))(signal)
    >>> spectra
    <Spectra: 6 pixels (6 usable) of 1 images, 120 channels, 677-736.5 eV>
    >>> spectra[spectra.position < 2].intensity.shape
    (2, 120)
    """

    intensity: NDArray[np.float32]
    sd: NDArray[np.float32]
    energy: NDArray[np.float64]
    image: NDArray[np.int64]
    position: NDArray[np.int64]
    images: tuple[ImageInfo, ...]
    flag: NDArray[np.int64]
    background: NDArray[np.float32]
    profile: NDArray[np.float32]
    profile_energy: NDArray[np.float64]
    level: NDArray[np.float32]
    spike: NDArray[np.float32]
    norm: NDArray[np.float32]
    shift: NDArray[np.float32]
    counts: NDArray[np.float32]
    gain: NDArray[np.float32]
    preprocessor: Any

    def __post_init__(self) -> None:
        n, n_window = len(self.flag), len(self.energy)
        for name in _PER_PIXEL:
            if len(getattr(self, name)) != n:
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} rows; {n} are needed, as in flag"
                )
        axes = {"intensity": n_window, "sd": n_window, "profile": len(self.profile_energy)}
        for name, size in axes.items():
            if getattr(self, name).shape != (n, size):
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}; {(n, size)} is needed: "
                    "pixels and energies"
                )

    def __len__(self) -> int:
        return len(self.flag)

    def __repr__(self) -> str:
        span = f"{self.energy[0]:g}-{self.energy[-1]:g} eV" if len(self.energy) else "no energies"
        return (
            f"<Spectra: {len(self)} pixels ({int(self.ok.sum())} usable) of {len(self.images)} "
            f"images, {len(self.energy)} channels, {span}>"
        )

    @property
    def canonical_energy(self) -> NDArray[np.float64]:
        """Channel centres (C,) of aligned counts, eV; the last L are `energy`."""
        step = float(self.energy[1] - self.energy[0])
        n = self.counts.shape[1] if self.has_counts else len(self.preprocessor.canonical_energy)
        before = n - len(self.energy)
        energy: NDArray[np.float64] = self.energy[0] + step * np.arange(-before, len(self.energy))
        return energy

    @property
    def has_counts(self) -> bool:
        """Whether `counts` were kept."""
        return self.counts.shape[1] > 0

    @property
    def ok(self) -> NDArray[np.bool_]:
        """True where a pixel is usable; (n,)."""
        return np.asarray(self.flag == 0)

    def __getitem__(self, index: slice | NDArray[Any] | Sequence[int]) -> Spectra:
        """Some of the pixels; `images` stays whole, so that maps keep their shape.

        Parameters
        ----------
        index : slice, 1-D array of int or 1-D mask

        Returns
        -------
        Spectra

        Raises
        ------
        TypeError
            Anything else.
        """
        return replace(self, **rows_of(self, _PER_PIXEL, checked_index(index)))

    def reasons(self) -> list[str]:
        """Why each pixel is flagged, in words; '' where it is OK.

        Returns
        -------
        list of str
            One a pixel.
        """
        return [describe(int(flag)) for flag in self.flag]

    @classmethod
    def concatenate(cls, parts: Sequence[Spectra]) -> Spectra:
        """Join spectra made by one preprocessor; images that parts share stay one image.

        Parameters
        ----------
        parts : sequence of Spectra

        Returns
        -------
        Spectra
            Pixels in the order of the parts.

        Raises
        ------
        ValueError
            Nothing to join, or parts that differ in their energy axes.
        """
        parts = list(parts)
        check_alike("parts", parts)
        images: list[ImageInfo] = []
        numbers: list[NDArray[np.int64]] = []
        for part in parts:
            renumbered = []
            for info in part.images:
                known = [i for i, seen in enumerate(images) if seen is info]
                if not known:
                    images.append(info)
                renumbered.append(known[0] if known else len(images) - 1)
            numbers.append(np.asarray(renumbered, np.int64)[part.image])
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _PER_PIXEL
        }
        joined["image"] = np.concatenate(numbers)
        return replace(parts[0], images=tuple(images), **joined)

    plot = spectra_views.plot
    _repr_html_ = spectra_views.html

    def to_signals(self) -> list[EELSSpectrum]:
        """One HyperSpy signal of edge spectra per signal given, NaN where there is no usable pixel.

        Frames of a stack come back as the stack. Navigation axes and metadata are the given
        signal's own, without the noise of its counts, which is not that of edge spectra (`sd` is);
        what was done is in ``metadata.eels_bayes``.

        Returns
        -------
        list of EELSSpectrum
        """
        return spectra_exports.to_signals(self)

    def to_xarray(self) -> xarray.Dataset:
        """Everything per pixel as a Dataset over ``pixel``, ``energy`` and ``bin``.

        Returns
        -------
        xarray.Dataset
        """
        return spectra_exports.to_xarray(self)


def check_alike(name: str, parts: Sequence[Spectra]) -> None:
    """Raise ValueError unless there are parts, on one axis and by one preprocessor."""
    if not parts:
        raise ValueError(f"{name} is empty; at least one Spectra is needed")
    first = parts[0]
    for k, part in enumerate(parts):
        if part.has_counts != first.has_counts:
            raise ValueError(
                f"one of {name}[0] and {name}[{k}] holds counts and the other does not; make both "
                "with counts=True, or both without"
            )
        if (
            not same_axis(first.energy, part.energy)
            or not same_axis(first.profile_energy, part.profile_energy)
            or part.counts.shape[1] != first.counts.shape[1]
        ):
            raise ValueError(
                f"{name}[{k}] lies on another energy axis than {name}[0]; "
                "use one Preprocessor for all of them"
            )
        if not _same_settings(part.preprocessor, first.preprocessor):
            raise ValueError(
                f"{name}[{k}] was made by a Preprocessor with other settings than {name}[0]; "
                "use one Preprocessor for all of them"
            )


def without_counts(spectra: Spectra) -> Spectra:
    """The same spectra, whose counts are not kept."""
    return replace(spectra, counts=np.zeros((len(spectra), 0), dtype=np.float32))


def _same_settings(first: Any, second: Any) -> bool:
    """Whether two preprocessors have the same settings."""
    if first is second:
        return True
    if not (hasattr(first, "options") and hasattr(second, "options")):
        return False
    return bool(first.options() == second.options())


_PER_PIXEL = per_pixel_fields(
    Spectra, shared=("energy", "profile_energy", "images", "preprocessor")
)
