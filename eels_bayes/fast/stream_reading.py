"""A stream's raw counts as what is learned from: whitened, in the directions that matter.

Script-safe, for the reason that `stream_em` gives.
"""

import math

import torch
from torch import Tensor, nn

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.fast.following import Followed
from eels_bayes.fast.graph import FastGraph
from eels_bayes.fast.stream_em import Seen
from eels_bayes.forward_model.whitening import whiten_tensors
from eels_bayes.preprocessing.aligned_counts import aligned
from eels_bayes.preprocessing.preprocessor import Preprocessor


class StreamReading(nn.Module):
    """Raw counts (n, E) to `Seen`; spectra that cannot be read are left out.

    Parameters
    ----------
    graph : FastGraph
    preprocessor : Preprocessor
        Whose settings the graph holds.
    followed : Followed
    """

    axis: EnergyAxis

    def __init__(self, graph: FastGraph, preprocessor: Preprocessor, followed: Followed):
        super().__init__()
        self.preprocessor, self.axis, self.span = preprocessor, graph.axis, followed.span
        self.gain, self.readout, self.offset = graph.gain, graph.readout, graph.offset
        self.correlation_factor = graph.correlation_factor
        evidence = graph.reader.encoder.evidence
        self.center, self.white = evidence.center, evidence.white
        self.brightness = evidence.brightness  # as the detector has it

    def forward(self, counts: Tensor, shift: Tensor, middle: Tensor, spread: Tensor) -> Seen:
        """Of drifts (n,) in eV, and of what is known of the stream's bins (B,)."""
        layout = self.preprocessor._layout()
        profile = torch.full((len(counts), layout.bins.n), math.nan, dtype=torch.float32)
        level = torch.full((len(counts),), math.nan, dtype=torch.float32)
        # Of one drift together: what makes channels of it is reckoned once then.
        for one in torch.unique(shift):
            rows = torch.nonzero(shift == one)[:, 0]
            raw = aligned(
                counts[rows] - self.offset,
                self.axis,
                shift[rows],
                self.gain,
                self.readout,
                self.correlation_factor,
                layout,
            )
            odd, flag = self.preprocessor.extractor.check(raw.canonical, raw.norm)
            good = ~(odd | raw.non_finite | raw.off_axis) & (flag == 0)
            profile[rows[good]], level[rows[good]] = raw.profile[good], raw.level[good]
        deviation, noise = whiten_tensors(
            profile, level, self.center, self.white, middle, spread, self.brightness
        )
        usable = deviation.isfinite().all(1) & noise.isfinite()
        deviation, noise = deviation[usable].double(), noise[usable].double()
        along = deviation @ self.span
        beside = (deviation.square().sum(1) - along.square().sum(1)).clamp(min=0.0)
        return Seen(along, beside, self.span.shape[0] - self.span.shape[1], noise)
