"""Raw counts to edge spectra and their standard deviation: one module for training and serving.

`Preprocessor.forward` is script-safe; `calibrate` and calling the module on HyperSpy signals are
the Python side around it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from eels_bayes import validation
from eels_bayes.data.hyperspy_io import read_counts
from eels_bayes.data.spectra import Flag, Spectra, describe
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.alignment import SEARCH, find_shift, image_shifts, series_reference
from eels_bayes.preprocessing.calibration import CALIBRATION_PIXELS, PROFILE_MARGIN, PROFILE_RANGE
from eels_bayes.preprocessing.edge_extractor import MOST_COUNTS, EdgeExtractor, Edges, Processed
from eels_bayes.preprocessing.images import CHUNK, SeriesImage, as_list, check_image
from eels_bayes.preprocessing.power_law import exponent_prior
from eels_bayes.preprocessing.rebinning import band_mean, rebin
from eels_bayes.preprocessing.spikes import largest_spike
from eels_bayes.preprocessing.windows import PROFILE_BIN


class Preprocessor(nn.Module):
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
    """

    __jit_unused_properties__ = ["energy", "canonical_energy", "profile_energy", "calibrated"]  # noqa: RUF012

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
        unit: float = 0.035,
    ) -> None:
        super().__init__()
        self.window = validation.interval("window", window)
        self.background = _optional("background", background)
        self.normalize = _optional("normalize", normalize)
        self.align = _optional("align", align)
        self.align_by = validation.choice("align_by", align_by, ("image", "row", "pixel"))
        self.background_model = validation.choice(
            "background_model", background_model, ("shrunk", "power_law")
        )
        self.unit = validation.positive("unit", unit)
        self.align_to = align_to
        if align_to is not None:
            self.align_to = validation.positive("align_to", align_to, "eV")
            if self.align is None or not self.align[0] <= self.align_to <= self.align[1]:
                raise ValueError(
                    f"align_to is {self.align_to:g} eV and align is {self.align}; align_to needs "
                    "an align window that contains it"
                )
        if self.background is not None and self.background[1] > self.window[1]:
            raise ValueError(
                f"background is {self.background} and window is {self.window}; the background is "
                "fitted before the edge: it must end before the window does"
            )
        start = self.window[0]
        if self.background is not None:
            start = min(start, self.background[0])
        self.extractor = EdgeExtractor(
            self.window, self.background, start, self.background_model == "shrunk"
        )
        self.step = 0.0  # dispersion in eV; 0 until known
        self.bin_width = 0.0  # of the profile, eV
        self._off_axis, self._radius, self._most = int(Flag.OFF_AXIS), SEARCH, MOST_COUNTS
        self.register_buffer("reference", torch.zeros(0))
        self.register_buffer("_ready", torch.tensor(False))
        self.register_buffer("profile_bins", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("typical", torch.zeros(0))
        self.register_buffer("typical_first", torch.tensor(0.0, dtype=torch.float64))
        self.reference: Tensor
        self.typical: Tensor  # shape of the series' mean spectrum, channels of the dispersion
        self.typical_first: Tensor  # centre of its first channel, eV
        self.profile_bins: Tensor  # first and last + 1, counted in bins from the window's start
        self._ready: Tensor
        if dispersion is not None:
            self._set_step(validation.positive("dispersion", dispersion, "eV"))

    def _set_step(self, step: float) -> None:
        self.extractor.set_step(step)
        if self.align is not None:
            n_align = round((self.align[1] - self.align[0]) / step)
            if n_align < 5:
                raise ValueError(
                    f"align {self.align} holds {n_align} channels of {step:g} eV; at least 5 are "
                    "needed: widen it"
                )
            self.reference = torch.zeros(n_align, device=self.reference.device)
        self.step = step
        self.bin_width = step * max(1, round(PROFILE_BIN / step))

    @property
    def energy(self) -> NDArray[np.float64]:
        """Channel centres of the edge spectra (L,), eV; empty until the dispersion is known."""
        return self.window[0] + self.step * np.arange(self.extractor.n_window, dtype=np.float64)

    @property
    def canonical_energy(self) -> NDArray[np.float64]:
        """Channel centres of the aligned counts (C,), eV; its last L channels are `energy`."""
        layout = self.extractor
        channels = np.arange(layout.n_before + layout.n_window, dtype=np.float64)
        return layout.first + self.step * channels

    @property
    def profile_energy(self) -> NDArray[np.float64]:
        """Bin centres of the profiles (B,), eV; empty before calibration.

        A bin begins where the window does.
        """
        first, last = self.profile_bins.tolist()
        bins = np.arange(first, last, dtype=np.float64)
        return self.window[0] - 0.5 * self.step + self.bin_width * (bins + 0.5)

    @property
    def calibrated(self) -> bool:
        """Whether the alignment reference and the prior of the exponent have been set."""
        return bool(self._ready)

    def rebin(
        self, counts: Tensor, offset: float, scale: float, shift: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Counts (n, E) on the canonical axis (n, C), with variance factors: `rebinning.rebin`.

        Raises
        ------
        ValueError
            The dispersion is not known yet, or finer than the data's.
        """
        if self.step <= 0.0:
            raise ValueError("the dispersion is not known yet: give dispersion= or calibrate first")
        if self.step < scale * 0.999:
            raise ValueError(
                f"dispersion is {self.step} eV, finer than the data's {scale} eV: "
                "use the data's or a coarser one"
            )
        count = self.extractor.n_before + self.extractor.n_window
        return rebin(counts, offset, scale, shift, self.extractor.first, self.step, count)

    def extract(
        self, canonical: Tensor, variance: Tensor, norm: Tensor, factor: Tensor | None = None
    ) -> Edges:
        """Edge spectra of canonical counts (n, C): `EdgeExtractor.forward` by itself.

        `variance` (n, C) is the counts' own by `noise.variance`, `norm` (n,) the counts a channel
        that make an intensity of 1, `factor` the second result of `rebin` where channels were
        mixed by a shift.
        """
        edges: Edges = self.extractor(canonical, variance, norm, factor)
        return edges

    def forward(
        self,
        counts: Tensor,
        offset: float,
        scale: float,
        shift: Tensor,
        gain: float = 1.0,
        readout: float = 0.0,
    ) -> Processed:
        """Edge spectra of raw counts. Odd counts are flagged, never raised.

        Parameters
        ----------
        counts : Tensor (n, E)
            Counts a channel.
        offset, scale : float
            Centre of the first channel and channel width, eV.
        shift : Tensor (n,)
            Energy shift to remove, eV; see `estimate_shift`.
        gain, readout : float
            Variance of a count: ``gain * counts + readout``.
        """
        if not counts.is_floating_point():
            counts = counts.to(torch.float32)
        bad_shift = ~torch.isfinite(shift)
        shift = torch.where(bad_shift, torch.zeros_like(shift), shift)
        canonical, factor = self.rebin(counts, offset, scale, shift)
        low = self.extractor.first - 0.5 * self.step
        high = low + self.step * canonical.shape[1]
        norm = torch.ones_like(shift)
        if self.normalize is not None:
            norm, error = band_mean(
                counts, offset, scale, shift, self.normalize[0], self.normalize[1]
            )
            # what does not stand out from its own scatter is no reference
            none = (norm <= 3 * error) | (torch.isfinite(norm) & (norm * scale >= self._most))
            norm = torch.where(none, torch.zeros_like(norm), norm) * (self.step * self.unit)
            low = min(low, self.normalize[0])
            high = max(high, self.normalize[1])
        profile, spike = canonical[:, :0], torch.zeros_like(shift)
        bins = int(self.profile_bins[1] - self.profile_bins[0])
        if bins > 0:
            start = self.window[0] - 0.5 * self.step + self.bin_width * float(self.profile_bins[0])
            first = start + 0.5 * self.bin_width
            profile, _ = rebin(counts, offset, scale, shift, first, self.bin_width, bins)
            low, high = min(low, start), max(high, start + self.bin_width * bins)
            first = float(self.typical_first)
            spike = largest_spike(
                counts, offset, scale, shift, self.typical, first, self.step, gain, readout
            )
        non_finite = bad_shift | ~torch.isfinite(profile).all(1)
        profile = profile * (self.step / self.bin_width) / norm.unsqueeze(1)
        slack = 1e-3 * scale
        off_axis = (low + shift < offset - 0.5 * scale - slack) | (
            high + shift > offset + (counts.shape[1] - 0.5) * scale + slack
        )
        # a canonical channel sums the readouts of several
        variance = noise.variance(canonical, gain, readout * self.step / scale)
        edges = self.extract(canonical, variance, norm, factor)
        fano = variance.sum(1) / canonical.clamp(min=0.0).sum(1).clamp(min=1e-6)
        level = fano / norm * (self.step / self.bin_width)
        flag = edges.flag + off_axis * self._off_axis
        flag = flag | (non_finite * self.extractor.non_finite)
        bad = (flag > 0).unsqueeze(1)
        nan = torch.full_like(norm, math.nan).unsqueeze(1)
        return Processed(
            torch.where(bad, nan, edges.intensity),
            torch.where(bad, nan, edges.sd),
            torch.where(bad, nan, edges.background),
            torch.where(bad, nan, profile),
            torch.where(flag > 0, nan[:, 0], level),
            torch.where(flag > 0, nan[:, 0], spike),
            norm,
            shift,
            canonical,
            torch.full_like(norm, gain),
            flag,
        )

    @torch.jit.export
    def estimate_shift(self, counts: Tensor, offset: float, scale: float) -> Tensor:
        """Shift (n,) in eV of counts (n, E) against the calibrated reference; 0 without one."""
        start = torch.zeros_like(counts[:, 0])
        if self.align is None:
            return start
        first = self.align[0] + 0.5 * self.step
        return find_shift(
            counts, offset, scale, start, self.reference, first, self.step, self._radius
        )[0]

    @torch.jit.unused
    def calibrate(self, signals: Any) -> "Preprocessor":
        """Learn the alignment reference and the distribution of the background's exponents.

        Called by the first ``pre(signals)``; later calls reuse what it found, so that training
        and serving agree. Call it yourself to start over.

        Parameters
        ----------
        signals : EELSSpectrum or list of them
            The series. The reference is the mean of its images aligned to each other (first to
            the brightest), placed at their median drift or at `align_to`. The prior of the
            exponent is the mean and spread over all images of the power laws behind the pixels'
            fits (at most about 5,000 pixels), so that a single streamed spectrum is treated as
            in training. Fewer than three usable pixels leave the exponent free.
        """
        signals = as_list(signals)
        self._forget()
        with torch.no_grad():
            # image by image, and twice: a series need not fit into memory
            if self.align is not None:
                means = [self._read(signal, k).averaged() for k, signal in enumerate(signals)]
                self.reference = series_reference(means, self.align, self.step, self.align_to)
            clear, fits, aligned = [], [], []
            for k, signal in enumerate(signals):
                image = self._read(signal, k)
                shift = self._shifts(image)
                clear.append(image.clear_range(shift, self.window))
                aligned.append((image.averaged(), shift.mean().reshape(1)))
                if self.background is not None:
                    wanted = CALIBRATION_PIXELS // len(signals)
                    fits.append(self._exponents(image, shift, wanted))
            self.profile_bins = torch.tensor(self._profile_bins(clear))
            first, self.typical = self._typical(aligned)
            self.typical_first.fill_(first)
            self.extractor.exponent = torch.tensor([3.0, math.inf])
            if fits:
                exponent, variance = (torch.cat(parts) for parts in zip(*fits, strict=True))
                self.extractor.exponent = torch.tensor(exponent_prior(exponent, variance))
            self._ready.fill_(True)
        return self

    @torch.jit.unused
    def _forget(self) -> None:
        self._ready.fill_(False)
        self.profile_bins = torch.zeros_like(self.profile_bins)

    @torch.jit.unused
    def __call__(
        self,
        data: Any,
        offset: float | None = None,
        scale: float | None = None,
        shift: Tensor | None = None,
        gain: float = 1.0,
        readout: float = 0.0,
        *,
        show_progressbar: bool | None = None,
    ) -> Any:
        """Edge spectra of HyperSpy signals, or `forward` where `data` is a tensor of counts.

        Parameters
        ----------
        data : EELSSpectrum, list of them, or Tensor (n, E)
            Raw counts. Signals are never changed.
        offset, scale, shift, gain, readout :
            For a tensor only; see `forward`.
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
            if offset is None or scale is None:
                raise TypeError("counts as a tensor need offset and scale of their axis in eV")
            if data.ndim != 2:
                raise ValueError(f"counts have shape {tuple(data.shape)}; (n, E) is needed")
            if shift is None:
                shift = torch.zeros(len(data), device=data.device)
            return super().__call__(data, offset, scale, shift, gain, readout)
        signals = as_list(data)
        first_time = not self.calibrated
        if first_time:
            self.calibrate(signals)
        bar = tqdm(
            signals,
            desc="preprocess",
            unit="image",
            disable=show_progressbar is False,
            delay=0 if show_progressbar else 3,
        )
        with torch.no_grad():
            parts = [self._process(self._read(signal, k)) for k, signal in enumerate(bar)]
        spectra = Spectra.concatenate(parts)
        if not spectra.ok.any():
            if first_time:
                self._forget()  # nothing was learned from these
            reasons = {describe(int(flag)) for flag in np.unique(spectra.flag)}
            raise ValueError(
                f"none of {len(spectra)} pixels is usable: {', or '.join(sorted(reasons))}"
                f" (background {self.background}, normalize {self.normalize}, window {self.window})"
            )
        return spectra

    @torch.jit.unused
    def options(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values, the dispersion resolved."""
        return {
            "window": list(self.window),
            "dispersion": self.step or None,
            "background": _listed(self.background),
            "normalize": _listed(self.normalize),
            "align": _listed(self.align),
            "align_by": self.align_by,
            "align_to": self.align_to,
            "background_model": self.background_model,
            "unit": self.unit,
        }

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "Preprocessor":
        """Rebuild from `options`; `load_state_dict` then restores what was calibrated."""
        main = ("window", "dispersion", "background", "normalize", "align")
        named = ("align_by", "align_to", "background_model", "unit")
        missing = [name for name in (*main, *named) if name not in options]
        if missing or len(options) != len(main) + len(named):
            raise ValueError(
                f"options holds {sorted(options)}; exactly {sorted((*main, *named))} are needed"
            )
        return cls(
            *(options[name] for name in main),
            align_by=options["align_by"],
            align_to=options["align_to"],
            background_model=options["background_model"],
            unit=options["unit"],
        )

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # as long as the range that was calibrated on
        typical = state_dict.get(f"{prefix}typical", self.typical)
        if typical.ndim == 1:
            self.typical = torch.zeros_like(typical)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @torch.jit.unused
    def _read(self, signal: Any, number: int) -> SeriesImage:
        raw = read_counts(signal)
        if self.step == 0:
            self._set_step(raw.scale)
        half, canonical = 0.5 * self.step, self.canonical_energy
        needed = {f"window {self.window}": (self.window[0] - half, canonical[-1] + half)}
        if self.background is not None:
            needed[f"background {self.background}"] = (canonical[0] - half, canonical[-1] + half)
        for name, band in (("normalize", self.normalize), ("align", self.align)):
            if band is not None:
                needed[f"{name} {band}"] = band
        if len(self.profile_energy):
            ends = self.profile_energy[[0, -1]] + self.bin_width * np.array([-0.5, 0.5])
            needed["the range calibrated on"] = (float(ends[0]), float(ends[1]))
        return check_image(raw, number, self.step, needed)

    @torch.jit.unused
    def _profile_bins(self, clear: list[tuple[float, float]]) -> tuple[int, int]:
        """Bins that lie in all images' aligned ranges (eV), not too far from the window."""
        margin = 0.0 if self.align is None else PROFILE_MARGIN
        canonical, edge = self.canonical_energy, self.window[0] - 0.5 * self.step
        low = max(PROFILE_RANGE[0] * self.window[0], *(ends[0] + margin for ends in clear))
        high = min(PROFILE_RANGE[1] * self.window[1], *(ends[1] - margin for ends in clear))
        # the window and the background before it are needed anyway
        low = min(low, canonical[0] - 0.5 * self.step)
        high = max(high, canonical[-1] + 0.5 * self.step)
        slack = 1e-6
        return (
            math.ceil((low - edge) / self.bin_width - slack),
            math.floor((high - edge) / self.bin_width + slack),
        )

    @torch.jit.unused
    def _typical(self, means: list[tuple[SeriesImage, Tensor]]) -> tuple[float, Tensor]:
        """First channel (eV) and shape of the aligned images.

        0 where none has a whole channel, and where nothing is read: there odd counts are allowed.
        """
        raws = [(mean.raw, float(shift)) for mean, shift in means]
        start = min(raw.offset - 0.5 * raw.scale - shift for raw, shift in raws)
        end = max(
            raw.offset + (raw.counts.shape[1] - 0.5) * raw.scale - shift for raw, shift in raws
        )
        first, count = start + 0.5 * self.step, math.ceil((end - start) / self.step)
        total, covered = torch.zeros(count), torch.zeros(count)
        for mean, shift in means:
            axis = (mean.raw.offset, mean.raw.scale, shift, first, self.step, count)
            whole = rebin(torch.ones_like(mean.counts), *axis)[0][0] * (mean.raw.scale / self.step)
            whole = (whole > 0.999).float()
            # images of unequal brightness: no step where the number of them changes
            bright = mean.counts.mean().clamp(min=1e-6)
            total += whole * rebin(mean.counts, *axis)[0][0] / bright
            covered += whole
        energy = first + self.step * torch.arange(count)
        half, canonical = 0.5 * self.step, self.canonical_energy
        read = [(canonical[0] - half, canonical[-1] + half)]
        ends = self.window[0] - half + self.bin_width * self.profile_bins
        read.append((float(ends[0]), float(ends[1])))
        if self.normalize is not None:
            read.append(self.normalize)
        inside = [
            (energy - half > low - 1e-6) & (energy + half < high + 1e-6) for low, high in read
        ]
        return first, torch.stack(inside).any(0) * total / covered.clamp(min=1.0)

    @torch.jit.unused
    def _exponents(self, image: SeriesImage, shift: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
        """Unshrunk exponents of about `wanted` pixels, and their variances."""
        some = slice(None, None, max(1, len(image.counts) // max(wanted, 1)))
        counts, shift, raw = image.counts[some], shift[some], image.raw
        canonical, _ = self.rebin(counts, raw.offset, raw.scale, shift)
        variance = noise.variance(canonical, raw.gain, raw.readout * self.step / raw.scale)
        return self.extractor.free_exponents(canonical, variance)

    @torch.jit.unused
    def _shifts(self, image: SeriesImage) -> Tensor:
        if self.align is None:
            return torch.zeros(len(image.counts))
        return image_shifts(image, self.reference, self.align, self.step, self.align_by)

    @torch.jit.unused
    def _process(self, image: SeriesImage) -> Spectra:
        raw = image.raw
        shift = self._shifts(image)
        parts = []
        for start in range(0, len(image.counts), CHUNK):
            chunk = slice(start, start + CHUNK)
            out = self.forward(
                image.counts[chunk], raw.offset, raw.scale, shift[chunk], raw.gain, raw.readout
            )
            if image.filled.any():
                mask = torch.from_numpy(image.filled).float().expand(len(out.flag), -1)
                share, _ = self.rebin(mask, raw.offset, raw.scale, shift[chunk])
                share = share[:, -out.sd.shape[1] :] * (raw.scale / self.step)
                out = out._replace(sd=out.sd * torch.sqrt(1 + 3 * share))
            parts.append(out)
        whole = Processed(*(torch.cat(field) for field in zip(*parts, strict=True)))
        n = len(whole.flag)
        return Spectra(
            intensity=whole.intensity.numpy(),
            sd=whole.sd.numpy(),
            energy=self.energy,
            image=np.zeros(n, np.int64),
            position=np.arange(n),
            images=(raw.info,),
            flag=whole.flag.numpy(),
            background=whole.background.numpy(),
            profile=whole.profile.numpy(),
            profile_energy=self.profile_energy,
            level=whole.level.numpy(),
            spike=whole.spike.numpy(),
            norm=whole.norm.numpy(),
            shift=whole.shift.numpy(),
            counts=whole.counts.numpy(),
            gain=whole.gain.numpy(),
            preprocessor=self,
        )


def _optional(name: str, value: Sequence[float] | None) -> tuple[float, float] | None:
    return None if value is None else validation.interval(name, value)


def _listed(band: tuple[float, float] | None) -> list[float] | None:
    return None if band is None else list(band)
