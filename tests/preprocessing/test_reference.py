"""A reference stands out from its own scatter; the planned form says the same as the plain one."""

import math

import numpy as np
import pytest
import torch

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing import noise
from eels_bayes.preprocessing.rebinning import overlap
from eels_bayes.preprocessing.reference import (
    MOST_COUNTS,
    N_ERRORS,
    planned_norm,
    reference_norm,
    stands_out,
)

AXIS = EnergyAxis(560.0, 0.5, 100)
LOW, HIGH = 570.0, 592.5


def band_mean(counts: torch.Tensor, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean counts per eV of the window and its error, from what lies in it of every channel."""
    lower = AXIS.offset + AXIS.scale * (torch.arange(AXIS.n, dtype=torch.float64) - 0.5) - shift
    inside = (lower + AXIS.scale).clamp(max=HIGH) - lower.clamp(min=LOW)
    weight = inside.clamp(min=0.0) / (HIGH - LOW)
    shown = torch.where(weight > 0, counts.double(), 0.0)
    mean = (weight * shown).sum(1)
    square = (weight * (shown - mean.unsqueeze(1)) ** 2).sum(1)
    error = (square * AXIS.scale / (HIGH - LOW)).sqrt()
    return mean / AXIS.scale, error / AXIS.scale


def planned(counts: torch.Tensor, shift: float, width: float) -> torch.Tensor:
    """The norm as a plan of the window's channels makes it."""
    window = EnergyAxis(0.5 * (LOW + HIGH), HIGH - LOW, 1)
    channels, parts = overlap(AXIS, torch.full((1,), shift, dtype=torch.float64), window)
    inside = parts.flatten() > 0
    n = (HIGH - LOW) / AXIS.scale
    weights = (parts.flatten()[inside] / n).to(counts).unsqueeze(1)
    read = counts.t()[channels.flatten()[inside]]
    return planned_norm((read * weights).sum(0), read, weights, n, width / AXIS.scale)


@pytest.mark.parametrize("shift", [0.0, 0.13, -3.2])
def test_the_planned_norm_is_the_plain_one(shift: float) -> None:
    generator = torch.Generator().manual_seed(0)
    level = torch.logspace(-3, 4, 2000, dtype=torch.float64).unsqueeze(1)
    counts = torch.poisson(level.expand(-1, AXIS.n), generator=generator)
    counts[1000:] -= level[1000:]  # dark-corrected: no signal is left
    counts[10] *= 1e16
    counts[20, 40] = math.nan
    counts = counts.float()
    shifts = torch.full((len(counts),), shift)
    plain = reference_norm(counts, AXIS, shifts, LOW, HIGH, 0.7)
    fused = planned(counts, shift, 0.7)
    assert 300 < int((plain == 0).sum()) < 1700  # both cases occur
    mean, error = band_mean(counts, shift)
    stands = (mean > N_ERRORS * error) & (mean * AXIS.scale < MOST_COUNTS)
    by_formula = torch.where(stands | mean.isnan(), 0.7 * mean, 0.0).float()
    tie = (mean > 0) & ((mean - N_ERRORS * error).abs() <= 1e-5 * mean)  # rounding decides
    assert int(tie.sum()) < 10
    close = {"rtol": 1e-5, "atol": 0.0, "equal_nan": True}
    for norm in (plain, fused):
        torch.testing.assert_close(norm[~tie], by_formula[~tie], **close)


def test_each_pixel_has_a_shift_of_its_own() -> None:
    rate = torch.linspace(50.0, 5.0, AXIS.n).repeat(3, 1)
    counts = torch.poisson(rate, generator=torch.Generator().manual_seed(2))
    shifts = torch.tensor([0.0, 2.0, -0.13])
    norm = reference_norm(counts, AXIS, shifts, LOW, HIGH, 1.0)
    for row, shift, found in zip(counts, shifts.tolist(), norm, strict=True):
        torch.testing.assert_close(found, band_mean(row[None], shift)[0][0].float())


def test_a_reference_stands_out_by_three_errors() -> None:
    rows = torch.arange(AXIS.n) % 2
    counts = torch.stack([10.0 * rows - 5.0 + shift for shift in np.linspace(0.0, 5.0, 400)])
    shift = torch.zeros(len(counts))
    mean, error = band_mean(counts, 0.0)
    norm = reference_norm(counts, AXIS, shift, LOW, HIGH, 1.0)
    assert torch.equal(norm > 0, mean > N_ERRORS * error)
    assert 0 < int((norm > 0).sum()) < 400
    beyond = torch.full((1, AXIS.n), 2 * MOST_COUNTS)
    assert float(reference_norm(beyond, AXIS, torch.zeros(1), LOW, HIGH, 1.0)) == 0.0


def test_what_stands_out_of_neighbours_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(40_000, 50, generator=generator, dtype=torch.float64)
    passed = stands_out(draws).double().mean()  # above three errors that are themselves estimated
    assert 0.0005 < float(passed) < 0.006
    assert bool(stands_out(draws + 2.0).all())


def test_fused_noise_level_is_the_plain_one() -> None:
    fano, norm = torch.rand(50) + 0.5, 100 * torch.rand(50) + 1.0
    level = noise.noise_level(fano, norm, 0.25, 2.0)
    torch.testing.assert_close(fano * ((0.25 / 2.0) / norm), level, rtol=1e-6, atol=0.0)


def test_variance_with_a_gain_of_every_pixel() -> None:
    counts = torch.tensor([[0.0, 3.0], [0.0, 3.0]])
    gains = torch.tensor([0.5, 2.0])
    rows = noise.variance_by_pixel(counts, gains, 1.5)
    for row, row_counts, gain in zip(rows, counts, gains, strict=True):
        torch.testing.assert_close(row, noise.variance(row_counts, float(gain), 1.5))
