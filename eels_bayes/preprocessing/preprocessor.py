"""Raw counts to edge spectra and their standard deviation: one module for training and serving.

`counts_reader.CountsReader` is the scripted half; `calibrate` and calling the module on HyperSpy
signals are the Python side around it.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.hyperspy_io import RawImage, energy_axis
from eels_bayes.data.spectra import Spectra, without_counts
from eels_bayes.data.unread_images import sampled_images, unread_images
from eels_bayes.preprocessing.calibration import calibration
from eels_bayes.preprocessing.counts_reader import CountsReader
from eels_bayes.preprocessing.image_parts import image_parts
from eels_bayes.preprocessing.images import (
    SeriesImage,
    all_reasons,
    as_list,
    read_image,
    shown_images,
)
from eels_bayes.preprocessing.inspection import plot, summary
from eels_bayes.preprocessing.options import UNIT, arguments, check_options
from eels_bayes.preprocessing.series_noise import believed_noises, believed_of, main_noise
from eels_bayes.preprocessing.windows import Windows, bin_channels, centers
from eels_bayes.validation import whole


class Preprocessor(CountsReader):
    """Raw counts to aligned, normalised, background-free edge spectra with their sd.

    Parameters
    ----------
    window : (low, high)
        The edge, eV. Channel centres are low, low + dispersion, ... below high.
    dispersion : float, optional
        Channel width of the edge spectra, eV, no finer than the data's; the first signal's if
        left out.
    background : (low, high), optional
        Where the power law is fitted, eV, the channels nearest to both ends included, as HyperSpy
        does; nothing is subtracted if left out.
    normalize : (low, high), optional
        Reference window for intensities, eV; intensities are in counts if left out.
    align : (low, high), optional
        Window of a reference edge to align on, eV; no alignment if left out.
    align_by : {"image", "row", "pixel"}
        What shares one shift. A row is all pixels that differ in the last navigation axis only.
    align_to : float, optional
        Energy of the reference edge's maximum, eV; the median of the series stays where it is if
        left out.
    background_model : {"shrunk", "power_law"}
        "power_law" fits every pixel by itself with equal weights, as HyperSpy's
        ``remove_background(fast=False)``. "shrunk" weights by Poisson noise and shrinks the
        exponent towards the series' own distribution of exponents (see `calibrate`).
    unit : float
        Share of the mean gross counts a channel in `normalize` that makes an intensity of 1.
    noise : {"auto", "measured", "metadata"}, Noise or (gain, readout)
        Of the counts. "auto" measures it (see `calibrate`) and believes the metadata where the
        counts agree with them; else the counts, with a warning. The others overrule.
    frames : "auto", str, sequence of str or None
        Which navigation axes number the frames of a stack, such as the time of an in-situ series.
        Frames are images of the series, each with a drift of its own. "auto": all axes but the two
        innermost, so that (t, y, x) is a series of maps; else the axis of this name, wherever it
        stands, or axes; None: a signal is one image.

    Raises
    ------
    TypeError, ValueError
        Windows, names or numbers that cannot be.

    Notes
    -----
    The sd holds the channel's Poisson and readout noise and the error of the background, with the
    prior's spread of the exponent where that is in use. The error of the normalisation (the noise
    of some hundred channels' sum, below 1 %) is left out. Channels that a shift by a fraction of
    a channel mixes have a smaller sd and correlated errors.

    Examples
    --------
    A spectrum image of 2 x 3 pixels, a power law with an edge at 690 eV:

    >>> import numpy as np
    >>> from exspy.signals import EELSSpectrum
    >>> import eels_bayes as eb
    >>> energy = 550 + 0.5 * np.arange(450)
    >>> counts = 2000 * (energy / 600) ** -3.0 * (1 + 0.3 * (energy > 690))
    >>> signal = EELSSpectrum(np.tile(counts, (2, 3, 1)))
    >>> axis = signal.axes_manager[-1]
    >>> axis.offset, axis.scale, axis.units = 550.0, 0.5, "eV"
    >>> pre = eb.Preprocessor((677, 737), background=(600, 675), normalize=(570, 592.5))
    >>> spectra = pre(signal, show_progressbar=False)
    >>> spectra.intensity.shape, spectra.ok.all().item(), pre.step
    ((6, 120), True, 0.5)
    """

    __jit_unused_properties__ = [  # noqa: RUF012
        "energy",
        "canonical_energy",
        "profile_energy",
        "bin_width",
        "calibrated",
        "detector_noise",
    ]

    def __init__(
        self,
        window: Sequence[float],
        dispersion: float | None = None,
        background: Sequence[float] | None = None,
        normalize: Sequence[float] | None = None,
        align: Sequence[float] | None = None,
        *,
        align_by: str = "image",
        align_to: float | None = None,
        background_model: str = "shrunk",
        unit: float = UNIT,
        noise: str | Sequence[float] = "auto",
        frames: str | Sequence[str] | None = "auto",
    ) -> None:
        options = check_options(
            (window, dispersion, background, normalize, align),
            (align_by, align_to, background_model, unit, noise, frames),
        )
        super().__init__(options)

    @torch.jit.unused
    def _windows(self) -> Windows:
        """What is read of a spectrum, once the dispersion is known."""
        first, last, n = (int(edge) for edge in self.profile_bins)
        known = (self.window, self.background, self.normalize, self.align, self.step)
        return Windows(*known, (first, last), n)

    @property
    def energy(self) -> NDArray[np.float64]:
        """Channel centres of the edge spectra (L,), eV; empty until the dispersion is known."""
        return self._windows().energy if self.step else np.zeros(0)

    @property
    def canonical_energy(self) -> NDArray[np.float64]:
        """Channel centres of the aligned counts (C,), eV; its last L channels are `energy`."""
        return centers(self._windows().canonical) if self.step else np.zeros(0)

    @property
    def profile_energy(self) -> NDArray[np.float64]:
        """Bin centres of the profiles (B,), eV; empty before calibration.

        A bin begins where the window does.
        """
        return self._windows().profile_energy if self.step else np.zeros(0)

    @property
    def bin_width(self) -> float:
        """Width of the profiles' bins, eV: what shows the edge, known after calibration."""
        return self._windows().bin_width

    @property
    def calibrated(self) -> bool:
        """Whether the alignment reference and the prior of the exponent have been set."""
        return bool(self._ready)

    @torch.jit.unused
    def calibrate(self, signals: Any) -> "Preprocessor":
        """Learn the noise, the alignment reference and the distribution of background exponents.

        Called by the first ``pre(signals)``; later calls reuse what it found, so that training
        and serving agree. Call it yourself to start over.

        Parameters
        ----------
        signals : EELSSpectrum or list of them
            The series. The reference is the mean of its images aligned to each other (first to
            the brightest), placed at their median drift or at `align_to`. The prior of the
            exponent is the mean and spread over all images of the power laws behind the pixels'
            fits (at most about 5,000 pixels), so that a single streamed spectrum is treated as
            in training. Fewer than three usable pixels leave the exponent free. The noise is
            measured from what pixels scatter about their image's mean spectrum, so far as it is
            not given (see `noise_measurement`); two pixels at least are needed. Of a lazy image of
            more than 20,000 pixels a seeded sample of its chunks is read, 8,000 pixels of a series.

        Returns
        -------
        Preprocessor
            Itself.

        Raises
        ------
        TypeError, ValueError
            Signals that cannot be read, as in a call.

        Warns
        -----
        UserWarning
            Where counts contradict the noise that metadata state or a power law in the background
            window, or are too large to be counted.
        """
        signals = as_list(signals)
        images = unread_images(signals, self.frames)
        self._forget()
        if self.step == 0:
            self._set_step(energy_axis(signals[0]).scale)
        windows = self._windows()
        read_all = sampled_images(images, rows=self.align_by == "row")
        if isinstance(self.noise, str):
            believed = believed_noises(read_all(), len(images), self.window, self.noise)
            self.noises = torch.tensor(believed, dtype=torch.float64)

        def read() -> Iterator[SeriesImage]:
            return (
                read_image(raw, k, windows, self._believed, math.inf)
                for k, raw in enumerate(read_all())
            )

        with torch.inference_mode(False), torch.no_grad():
            learned = calibration(
                read, len(images), windows, self.extractor, self.align_to, self.align_by
            )
        if self.align is not None:
            self.reference = learned.reference
        self.profile_bins = torch.tensor(learned.profile_bins)
        self.typical = learned.typical
        self.typical_first.fill_(learned.typical_first)
        self.ceiling.fill_(learned.ceiling)
        self.extractor.exponent = learned.exponent
        self._ready.fill_(True)
        return self

    @torch.jit.unused
    def _forget(self) -> None:
        """Nothing is calibrated, and nothing needed of an axis but the windows."""
        self._ready.fill_(False)
        self.ceiling.fill_(math.inf)
        self.profile_bins = torch.tensor([0, 0, bin_channels(self.step) if self.step else 0])
        self.noises = self.noises[:0]

    @property
    def detector_noise(self) -> Noise:
        """The noise that is believed, of most images; plain Poisson noise before calibration."""
        given = self.noise
        return given if isinstance(given, Noise) else main_noise(self.noises.tolist())

    @torch.jit.unused
    def _believed(self, raw: RawImage) -> Noise:
        """The noise of an image: its metadata's where the counts that were calibrated on agreed."""
        given, rows = self.noise, self.noises.tolist()
        return given if isinstance(given, Noise) else believed_of(rows, raw.noise)

    @torch.jit.unused
    def __call__(
        self,
        data: Any,
        axis: EnergyAxis | None = None,
        shift: Tensor | None = None,
        gain: float = 1.0,
        readout: float = 0.0,
        correlation_factor: float = 1.0,
        *,
        sample: int | None = None,
        counts: bool = True,
        show_progressbar: bool | None = None,
    ) -> Any:
        """Edge spectra of HyperSpy signals, or `forward` where `data` is a tensor of counts.

        Parameters
        ----------
        data : EELSSpectrum, list of them, or Tensor (n, E)
            Raw counts. Signals are never changed.
        axis, shift, gain, readout, correlation_factor :
            For a tensor only; see `forward`.
        sample : int, optional
            Of signals: so many pixels, shared out evenly to the images, a seeded choice of each;
            of a large lazy image a seeded choice of its chunks is read. To fit to more than memory
            holds: a fit needs some 10,000 pixels. All of them by default.
        counts : bool
            Whether `Spectra.counts`, a third of their memory, are kept. Neither a fit nor a
            prediction reads them, but one with ``context="series"`` that is to find how far
            structures moved.
        show_progressbar : bool, optional
            By default a bar appears when it takes more than three seconds.

        Returns
        -------
        Spectra or Processed
            Pixels that cannot be used are NaN rows with a flag. Channels dead in every pixel of
            an image are interpolated, with twice the sd.

        Raises
        ------
        TypeError
            Neither signals nor a tensor.
        ValueError
            An axis that does not cover the windows, a dispersion finer than the data's, long dead
            stretches in a window, or not a single usable pixel.
        """
        if isinstance(data, Tensor):
            if not isinstance(axis, EnergyAxis):
                raise TypeError(f"counts as a tensor need their axis, an EnergyAxis, got {axis!r}")
            if data.ndim != 2:
                raise ValueError(f"counts have shape {tuple(data.shape)}; (n, E) is needed")
            if shift is None:
                shift = torch.zeros(len(data), device=data.device, dtype=torch.float32)
            return super().__call__(data, axis, shift, gain, readout, correlation_factor)
        signals = as_list(data)
        first_time = not self.calibrated
        if first_time:
            self.calibrate(signals)
        # a model of a stack reads single images too
        images = unread_images(signals, self.frames, needed=first_time)
        most = None if sample is None else -(-whole("sample", sample) // len(images))
        shown = shown_images(images, show_progressbar)
        found = (part for k, one in enumerate(shown) for part in image_parts(self, one, k, most))
        parts = [part if counts else without_counts(part) for part in found]
        spectra = Spectra.concatenate(parts) if len(parts) > 1 else parts[0]
        if not spectra.ok.any():
            if first_time:
                self._forget()  # nothing was learned from these
            raise ValueError(
                f"none of {len(spectra)} pixels is usable: {all_reasons(spectra)}"
                f" (background {self.background}, normalize {self.normalize}, window {self.window})"
            )
        return spectra

    @torch.jit.unused
    def parts(self, signals: Any) -> Iterator[Spectra]:
        """Edge spectra as a call gives them, some at a time: for more than memory holds.

        Parameters
        ----------
        signals : EELSSpectrum or list of them
            Not changed.

        Yields
        ------
        Spectra
            An image, or a part of a large lazy one, each with its own `Spectra.images` alone.

        Raises
        ------
        TypeError, ValueError
            As in a call.
        """
        signals = as_list(signals)
        first_time = not self.calibrated
        if first_time:
            self.calibrate(signals)
        images = unread_images(signals, self.frames, needed=first_time)
        for number, image in enumerate(images):
            yield from image_parts(self, image, number)

    summary = torch.jit.unused(summary)
    plot = torch.jit.unused(plot)

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "Preprocessor":
        """Rebuild from `options`; `load_state_dict` then restores what was calibrated.

        Parameters
        ----------
        options : dict
            From `options`.

        Raises
        ------
        ValueError
            Options are missing, too many, or cannot be.
        """
        positional, named = arguments(options)
        return cls(*positional, **named)

    @classmethod
    def restored(cls, options: dict[str, Any], state: dict[str, Tensor]) -> "Preprocessor":
        """The preprocessor of `options` and a ``state_dict``, as files hold them."""
        preprocessor = cls.from_options(options)
        preprocessor.load_state_dict(state)
        return preprocessor
