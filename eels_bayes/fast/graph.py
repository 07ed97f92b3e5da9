"""Raw counts to a decision as one module of plain tensors: script-safe, and exportable.

What depends on the energy axis and its drift alone is a *plan* (see `plan`); what depends on the
fitted model alone is computed once and for all (see `packed_gp.pack`).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.flags import Flag
from eels_bayes.fast.plan import Plan, Planner
from eels_bayes.prediction.pixel_reader import Reader, unanswered
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.reference import planned_norm
from eels_bayes.preprocessing.spikes import (
    BLOCK,
    Expected,
    excess,
    in_blocks,
    neighbours,
)

N_COLUMNS = 7  # beside the K probabilities
CHUNK = 128  # spectra at a time: enough to pay for the calls, and few enough for the caches
# Of counts (n, E): columns, labels and flags.
Run = Callable[[NDArray[np.float32], Plan], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]


class FastGraph(nn.Module):
    """Raw counts (n, E) and a plan -> columns (n, K + 7), labels (n,) and flags (n,).

    Columns are the K class probabilities, then total, aleatoric, encoder, classifier, novelty,
    value and value_sd as in `Prediction`; rows that are flagged are NaN, their label is -1.

    Parameters
    ----------
    preprocessor : Preprocessor
        Calibrated.
    reader : Reader
    axis : EnergyAxis
        The detector's E channels.
    detector_noise : Noise
        Of the counts.
    """

    axis: EnergyAxis  # scripting would take it for a plain tuple otherwise
    bins: EnergyAxis

    def __init__(
        self,
        preprocessor: Preprocessor,
        reader: Reader,
        axis: EnergyAxis,
        detector_noise: Noise,
    ):
        super().__init__()
        pre = preprocessor
        self.reader, self.extractor = reader, pre.extractor
        self.plan = Planner(pre, axis)
        self.axis = axis
        # plain numbers, which TorchScript can read
        self.gain, self.readout, self.offset, self.correlation_factor = map(float, detector_noise)
        self.step, self.unit = pre.step, pre.unit
        self.bins = pre.profile_axis()
        self.normalized = pre.normalize is not None
        low, high = pre.normalize or (0.0, 0.0)
        self.width = high - low  # of the normalize window, eV
        self.non_finite, self.no_answer = int(Flag.NON_FINITE), int(Flag.NO_ANSWER)
        self.has_value = bool(reader.heads.has_value)
        near = neighbours(math.ceil(axis.n / BLOCK))
        self.register_buffer("near", near, persistent=False)
        self.near: Tensor
        # tensors, as scalars would be made tensors at each call
        self.register_buffer(
            "nothing", torch.tensor(math.nan, dtype=torch.float32), persistent=False
        )
        self.register_buffer("none", torch.tensor(0.0, dtype=torch.float32), persistent=False)
        self.register_buffer("no_class", torch.tensor(-1), persistent=False)
        self.nothing: Tensor
        self.none: Tensor
        self.no_class: Tensor

    def forward(
        self,
        counts: Tensor,
        read: Tensor,
        sums: Tensor,
        index: Tensor,
        bins: Tensor,
        canonical_weight: Tensor,
        band: Tensor,
        some: Tensor,
        root: Tensor,
        per_root: Tensor,
        plan_flag: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, labels and flags of counts (n, E) float32; the rest is a `Plan`."""
        # Spectra last from here on, so that channels are picked for many at once.
        if self.offset != 0.0:
            counts = counts - self.offset
        shown = torch.where(read, counts.t().contiguous(), self.none)
        # As a product of all of it: compilers then keep what is shown, instead of turning the
        # counts round anew for each channel that is picked.
        added = sums @ shown
        mean, whole = added[0], added[1]
        picked = shown.index_select(0, index)
        of_bins, of_canonical = bins.numel(), canonical_weight.numel()
        profile = picked.narrow(0, 0, of_bins).view(bins.size(0), bins.size(1), -1)
        profile = (profile * bins).sum(0)
        canonical = picked.narrow(0, of_bins, of_canonical)
        canonical = canonical.view(canonical_weight.size(0), canonical_weight.size(1), -1)
        canonical = (canonical * canonical_weight).sum(0).t()
        if self.normalized:
            reference = picked[of_bins + of_canonical :]
            n = self.width / self.axis.scale
            width = self.step * self.unit / self.axis.scale
            norm = planned_norm(mean, reference, band, n, width)
        else:
            norm = torch.ones_like(whole)
        non_finite, flag = self.extractor.check(canonical, norm)
        non_finite = non_finite | (whole - whole != 0)
        flag = flag + non_finite * self.non_finite + plan_flag
        variance = noise.variance(canonical, self.gain, self.readout * self.step / self.axis.scale)
        fano = noise.fano_factor(variance, canonical)
        usual = Expected(some, root, per_root)
        alone = self.correlation_factor
        spike = excess(in_blocks(shown), self.near, usual, self.gain * alone, self.readout * alone)
        # with the profile's factor at hand: `noise.noise_level` but for rounding
        per_channel = (self.step / self.bins.scale) / norm
        profile = (profile * per_channel).t()
        level = fano * per_channel
        if self.correlation_factor < 1.0:
            width = self.bins.scale / self.axis.scale
            level = level * noise.channel_share(self.correlation_factor, width)
        reading = self.reader(profile, level, spike)
        silent = unanswered(reading, self.has_value) & (flag == 0)
        flag = flag + silent * self.no_answer
        bad = flag > 0
        scalars = torch.stack(
            (
                reading.total,
                reading.aleatoric,
                reading.encoder,
                reading.classifier,
                reading.novelty,
                reading.value,
                reading.value_sd,
            ),
            1,
        )
        columns = torch.cat((reading.probabilities, scalars), 1)
        columns = torch.where(bad.unsqueeze(1), self.nothing, columns)
        labels = torch.where(bad, self.no_class, reading.probabilities.argmax(1))
        return columns, labels, flag


class Program(nn.Module):
    """The graph with its plan, as TorchScript runs it: ``set_shift`` once a drift, then counts."""

    def __init__(self, graph: FastGraph):
        super().__init__()
        self.graph = graph
        for name, tensor in graph.plan(0.0)._asdict().items():
            self.register_buffer(f"plan_{name}", tensor)
        self.plan_read: Tensor
        self.plan_sums: Tensor
        self.plan_picked: Tensor
        self.plan_bins: Tensor
        self.plan_canonical: Tensor
        self.plan_band: Tensor
        self.plan_some: Tensor
        self.plan_root: Tensor
        self.plan_per_root: Tensor
        self.plan_flag: Tensor

    @torch.jit.export
    def set_shift(self, shift: float) -> None:
        """Remove another drift (eV) from the spectra that follow."""
        plan = self.graph.plan(shift)
        self.plan_read = plan.read
        self.plan_sums = plan.sums
        self.plan_picked = plan.picked
        self.plan_bins = plan.bins
        self.plan_canonical = plan.canonical
        self.plan_band = plan.band
        self.plan_some = plan.some
        self.plan_root = plan.root
        self.plan_per_root = plan.per_root
        self.plan_flag = plan.flag

    def forward(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, labels and flags of counts (n, E); see `FastGraph`."""
        return self.graph(
            counts,
            self.plan_read,
            self.plan_sums,
            self.plan_picked,
            self.plan_bins,
            self.plan_canonical,
            self.plan_band,
            self.plan_some,
            self.plan_root,
            self.plan_per_root,
            self.plan_flag,
        )
