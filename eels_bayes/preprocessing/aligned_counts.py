"""Raw counts on the axes that everything is read from, with their drift removed.

Script-safe: plain tensors only.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.data.energy_axis import EnergyAxis, common_limits, limits
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.edge_extractor import Edges, Processed, filled
from eels_bayes.preprocessing.rebinning import rebin
from eels_bayes.preprocessing.reference import reference_norm
from eels_bayes.preprocessing.spikes import largest_spike
from eels_bayes.preprocessing.windows import FINEST


class Layout(NamedTuple):
    """What is read of a spectrum.

    Attributes
    ----------
    canonical : EnergyAxis
        Channels of the aligned counts.
    bins : EnergyAxis
        Bins of the profile; none before calibration.
    band : (low, high)
        The normalize window, eV; empty where intensities are in counts.
    width : float
        What makes a norm of the mean counts per eV in that window, eV.
    typical : Tensor (N,)
        Shape of the series' mean spectrum.
    typical_axis : EnergyAxis
    """

    canonical: EnergyAxis
    bins: EnergyAxis
    band: tuple[float, float]
    width: float
    typical: Tensor
    typical_axis: EnergyAxis


class Aligned(NamedTuple):
    """Counts of n pixels on the axes of a `Layout`.

    Attributes
    ----------
    canonical, variance : Tensor (n, C)
        Counts and their variance, as if no channels were mixed.
    factor : Tensor (n, C) or (1, C)
        See `rebin`; with what neighbouring channels share, see `noise.mixed_share`.
    norm : Tensor (n,)
        Counts a channel that make an intensity of 1; 0 where there is no reference.
    profile : Tensor (n, B)
        In units of the norm.
    level, spike : Tensor (n,)
        As in `Spectra`.
    shift : Tensor (n,)
        What was removed, eV.
    non_finite, off_axis : Tensor (n,) of bool
        Whether what is read is not finite, or leaves the axis.
    """

    canonical: Tensor
    variance: Tensor
    factor: Tensor
    norm: Tensor
    profile: Tensor
    level: Tensor
    spike: Tensor
    shift: Tensor
    non_finite: Tensor
    off_axis: Tensor


def canonical_counts(
    counts: Tensor, axis: EnergyAxis, shift: Tensor, canonical: EnergyAxis, finest: float = FINEST
) -> tuple[Tensor, Tensor]:
    """`rebin` onto the canonical axis.

    Raises
    ------
    ValueError
        The dispersion is not known yet, or finer than the data's; another number of channels than
        the axis has.
    """
    step = canonical.scale
    if step <= 0.0:
        raise ValueError("the dispersion is not known yet: give dispersion= or calibrate first")
    if step < axis.scale * finest:
        raise ValueError(
            f"dispersion is {step} eV, finer than the data's {axis.scale} eV: "
            "use the data's or a coarser one"
        )
    if counts.shape[1] != axis.n:
        raise ValueError(
            f"counts have {counts.shape[1]} channels, and their axis {axis.n}; give the axis "
            "they were recorded on"
        )
    return rebin(counts, axis, shift, canonical)


def aligned(
    counts: Tensor,
    axis: EnergyAxis,
    shift: Tensor,
    gain: float,
    readout: float,
    correlation_factor: float,
    layout: Layout,
) -> Aligned:
    """Everything that is read of raw counts (n, E); arguments as in `Preprocessor.forward`."""
    bad_shift = ~torch.isfinite(shift)
    shift = torch.where(bad_shift, torch.zeros_like(shift), shift)
    step, bins = layout.canonical.scale, layout.bins
    counts = counts.t().contiguous().t()  # channel by channel, as they are picked
    canonical, factor = canonical_counts(counts, axis, shift, layout.canonical)
    canonical = canonical.contiguous()
    low, high = common_limits(layout.canonical, bins)
    norm, spike = torch.ones_like(shift), torch.zeros_like(shift)
    if layout.band[1] > layout.band[0]:
        norm = reference_norm(counts, axis, shift, layout.band[0], layout.band[1], layout.width)
        low, high = min(low, layout.band[0]), max(high, layout.band[1])
    profile, _ = rebin(counts, axis, shift, bins)
    if bins.n > 0:
        spike = largest_spike(
            counts,
            axis,
            shift,
            layout.typical,
            layout.typical_axis,
            gain * correlation_factor,
            readout * correlation_factor,
        )
    # a sum, as that is what overflows first
    non_finite = bad_shift | ~torch.isfinite(profile.sum(1))
    profile = profile * (step / bins.scale) / norm.unsqueeze(1)
    lowest, highest = limits(axis)
    off_axis = (low + shift < lowest) | (high + shift > highest)
    # a canonical channel sums the readouts of several
    variance = noise.variance(canonical, gain, readout * step / axis.scale)
    fano = noise.fano_factor(variance, canonical)
    level = noise.noise_level(fano, norm, step, bins.scale)
    if correlation_factor < 1.0:
        level = level * noise.channel_share(correlation_factor, bins.scale / axis.scale)
        factor = noise.mixed_share(factor, correlation_factor, step / axis.scale)
    return Aligned(
        canonical, variance, factor, norm, profile, level, spike, shift, non_finite, off_axis
    )


def flagged(counts: Aligned, edges: Edges, flag: Tensor, gain: float) -> Processed:
    """Edge spectra with what they were made of; NaN where there is a flag (n,)."""
    bad = flag > 0
    return Processed(
        filled(bad, edges.intensity, math.nan),
        filled(bad, edges.sd, math.nan),
        filled(bad, edges.background, math.nan),
        filled(bad, counts.profile.contiguous(), math.nan),
        counts.level.masked_fill(bad, math.nan),
        counts.spike.masked_fill(bad, math.nan),
        counts.norm,
        counts.shift,
        counts.canonical,
        torch.full_like(counts.norm, gain),
        flag,
    )
