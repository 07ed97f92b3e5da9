"""Raw counts as tensors to edge spectra: the part of a preprocessor that is scripted.

Script-safe: plain tensors only.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from eels_bayes.data.detector_noise import Noise, checked_noise
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.flags import Flag
from eels_bayes.preprocessing.aligned_counts import Layout, aligned, canonical_counts, flagged
from eels_bayes.preprocessing.alignment import SEARCH, align_axis, find_shift
from eels_bayes.preprocessing.edge_extractor import EdgeExtractor, Edges, Processed
from eels_bayes.preprocessing.noise import channel_share
from eels_bayes.preprocessing.options import Options
from eels_bayes.preprocessing.windows import MOST_CHANNELS, bin_channels

N_NOISES = 2 * len(Noise._fields)  # numbers of a stated noise, and of the believed one
LEAST_ALIGN = 5  # channels of an align window: a line, an amplitude and a shift are fitted in it


class CountsReader(nn.Module):
    """Tensors of raw counts to edge spectra; `Preprocessor` calibrates it and reads signals.

    Parameters
    ----------
    options : Options
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.window, self.background = options.window, options.background
        self.normalize, self.align = options.normalize, options.align
        self.align_by, self.align_to = options.align_by, options.align_to
        self.background_model, self.unit = options.background_model, options.unit
        self.noise, self.frames = options.noise, options.frames
        shrunk = self.background_model == "shrunk"
        self.extractor = EdgeExtractor(self.window, self.background, shrunk)
        self.step = 0.0  # dispersion in eV; 0 until known
        # plain numbers, which TorchScript can read
        self._off_axis, self._radius = int(Flag.OFF_AXIS), SEARCH
        self.register_buffer("reference", torch.zeros(0, dtype=torch.float32))
        self.register_buffer("_ready", torch.tensor(False))
        self.register_buffer("noises", torch.zeros((0, N_NOISES), dtype=torch.float64))
        self.register_buffer("profile_bins", torch.zeros(3, dtype=torch.int64))
        self.register_buffer("typical", torch.zeros(0, dtype=torch.float32))
        self.register_buffer("typical_first", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("ceiling", torch.tensor(math.inf, dtype=torch.float64))
        self.reference: Tensor
        self.typical: Tensor  # shape of the series' mean spectrum, channels of the dispersion
        self.typical_first: Tensor  # centre of its first channel, eV
        # first and last + 1, counted in bins from the window's start, and channels of a bin
        self.profile_bins: Tensor
        self._ready: Tensor
        self.ceiling: Tensor  # counts at which the series' channels saturate; infinite if none does
        self.noises: Tensor  # rows of what metadata state and what is believed instead
        if options.dispersion is not None:
            self._set_step(options.dispersion)

    def _set_step(self, step: float) -> None:
        """Lay out all windows for a channel width in eV."""
        given = [w for w in (self.window, self.background, self.normalize, self.align) if w]
        low, high = min(w[0] for w in given), max(w[1] for w in given)
        if (high - low) / step > MOST_CHANNELS:
            raise ValueError(
                f"dispersion is {step:g} eV, and {low:g} to {high:g} eV hold "
                f"{(high - low) / step:.3g} such channels; at most {MOST_CHANNELS:g} are possible"
            )
        self.extractor.set_step(step)
        if self.align is not None:
            n_align = align_axis(self.align, step).n
            if n_align < LEAST_ALIGN:
                raise ValueError(
                    f"align {self.align} holds {n_align} channels of {step:g} eV; at least "
                    f"{LEAST_ALIGN} are needed: widen it"
                )
            self.reference = torch.zeros(n_align, device=self.reference.device, dtype=torch.float32)
        self.step = step
        self.profile_bins[2] = bin_channels(step)

    def rebin(self, counts: Tensor, axis: EnergyAxis, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Counts on the canonical axis, with variance factors: `rebinning.rebin`.

        Parameters
        ----------
        counts : Tensor (n, E)
            Counts per channel of `axis`.
        axis : EnergyAxis
        shift : Tensor (n,)
            Shift to remove, eV.

        Returns
        -------
        counts : Tensor (n, C)
        factor : Tensor (n, C) or (1, C)
            What the shift leaves of a channel's Poisson variance.

        Raises
        ------
        ValueError
            The dispersion is not known yet, or finer than the data's; another number of channels
            than the axis has.
        """
        return canonical_counts(counts, axis, shift, self.extractor.axis())

    def extract(
        self, canonical: Tensor, variance: Tensor, norm: Tensor, factor: Tensor | None = None
    ) -> Edges:
        """Edge spectra of canonical counts: `EdgeExtractor.forward` by itself.

        Parameters
        ----------
        canonical, variance : Tensor (n, C)
            Counts, and their own variance by `noise.variance`.
        norm : Tensor (n,)
            Counts a channel that make an intensity of 1.
        factor : Tensor (n, C) or (1, C), optional
            The second result of `rebin` where channels were mixed by a shift.

        Returns
        -------
        Edges
            Rows that cannot be read are NaN and flagged.
        """
        edges: Edges = self.extractor(canonical, variance, norm, factor)
        return edges

    def forward(
        self,
        counts: Tensor,
        axis: EnergyAxis,
        shift: Tensor,
        gain: float = 1.0,
        readout: float = 0.0,
        correlation_factor: float = 1.0,
    ) -> Processed:
        """Edge spectra of raw counts. Odd counts are flagged, never raised.

        Parameters
        ----------
        counts : Tensor (n, E)
            Counts per channel of `axis`.
        axis : EnergyAxis
        shift : Tensor (n,)
            Energy shift to remove, eV; see `estimate_shift`.
        gain, readout : float
            Variance of a count: ``gain * counts + readout``.
        correlation_factor : float
            Of that, what a single channel shows; see `Noise`.

        Returns
        -------
        Processed
            Rows that cannot be read are NaN and flagged.

        Raises
        ------
        ValueError
            As `rebin` does.
        """
        if not counts.is_floating_point():
            counts = counts.to(torch.float32)
        raw = aligned(counts, axis, shift, gain, readout, correlation_factor, self._layout())
        edges = self.extract(raw.canonical, raw.variance, raw.norm, raw.factor)
        flag = edges.flag + raw.off_axis * self._off_axis
        flag = flag | (raw.non_finite * self.extractor.non_finite)
        in_bins = channel_share(correlation_factor, self.profile_axis().scale / axis.scale)
        return flagged(raw, edges, flag, gain * in_bins)

    def _layout(self) -> Layout:
        """What is read of a spectrum, for `aligned`."""
        band = (0.0, 0.0)
        if self.normalize is not None:
            band = (self.normalize[0], self.normalize[1])
        typical_first = float(self.typical_first)
        return Layout(
            self.extractor.axis(),
            self.profile_axis(),
            band,
            self.step * self.unit,
            self.typical,
            EnergyAxis(typical_first, self.step, self.typical.shape[0]),
        )

    def profile_axis(self) -> EnergyAxis:
        """The profile's bins; none before calibration."""
        width = self.step * float(self.profile_bins[2])
        first = self.window[0] - 0.5 * self.step + width * float(self.profile_bins[0])
        bins = int(self.profile_bins[1] - self.profile_bins[0])
        return EnergyAxis(first + 0.5 * width, width, bins)

    @torch.jit.export
    def estimate_shift(self, counts: Tensor, axis: EnergyAxis) -> Tensor:
        """Shift of counts against the calibrated reference.

        Parameters
        ----------
        counts : Tensor (n, E)
            Counts per channel of `axis`.
        axis : EnergyAxis

        Returns
        -------
        Tensor (n,)
            In eV; 0 where there is no reference.
        """
        start = torch.zeros_like(counts[:, 0])
        if self.align is None:
            return start
        aligned = EnergyAxis(self.align[0] + 0.5 * self.step, self.step, self.reference.shape[0])
        return find_shift(counts, axis, start, self.reference, aligned, self._radius)[0]

    @torch.jit.unused
    def options(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values, the dispersion resolved.

        Returns
        -------
        dict
            By the arguments' names.
        """
        given = {name: getattr(self, name) for name in Options._fields if name != "dispersion"}
        return Options(dispersion=self.step or None, **given).as_json()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *how: Any) -> None:
        # as long as what was calibrated on
        for name in ("typical", "noises"):
            given, own = state_dict.get(f"{prefix}{name}"), getattr(self, name)
            if given is not None and given.shape[1:] == own.shape[1:] and given.ndim == own.ndim:
                setattr(self, name, torch.zeros_like(given))
        super()._load_from_state_dict(state_dict, prefix, *how)
        if self.step and int(self.profile_bins[2]) < 1:
            raise ValueError(f"profile_bins are {self.profile_bins.tolist()}; a bin has a channel")
        for row in self.noises.reshape(-1, len(Noise._fields)).tolist():
            checked_noise(Noise(*row))
