"""Rebinning conserves counts; shifts are found to a small fraction of a channel."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.preprocessing.alignment import find_shift, make_reference
from eels_bayes.preprocessing.rebinning import rebin

FINE = EnergyAxis(567.625, 0.25, 240)  # of the reference


def shape(energy: Tensor) -> Tensor:
    """Two white lines on a falling background."""
    lines = torch.exp(-0.5 * ((energy - 577) / 1.6) ** 2) + 0.6 * torch.exp(
        -0.5 * ((energy - 585) / 1.8) ** 2
    )
    return 600 * (energy / 570) ** -2.5 + 250 * lines


@given(
    ratio=st.floats(1.0, 7.0),
    shift=st.floats(-4.0, 4.0),
    scale=st.floats(0.05, 3.0),
    seed=st.integers(0, 1000),
)
def test_rebin_conserves_counts(ratio: float, shift: float, scale: float, seed: int) -> None:
    counts = torch.rand(2, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    step, margin = ratio * scale, 5 * scale
    n_out = int((30 * scale + 2 * margin) / step) + 2
    out, factor = rebin(
        counts,
        EnergyAxis(100.0, scale, 30),
        torch.full((2,), shift * scale, dtype=torch.float64),
        EnergyAxis(100.0 - 0.5 * scale - margin + 0.5 * step, step, n_out),
    )
    torch.testing.assert_close(out.sum(1), counts.sum(1), rtol=1e-6, atol=1e-6)
    assert bool((out >= 0).all())
    assert float(factor.max()) <= 1 + 1e-6


def test_rebin_without_change_returns_the_very_counts() -> None:
    counts = torch.rand(3, 20)
    out, factor = rebin(
        counts, EnergyAxis(10.0, 0.25, 20), torch.zeros(3), EnergyAxis(11.0, 0.25, 8)
    )
    assert torch.equal(out, counts[:, 4:12])
    assert torch.equal(factor, torch.ones(1, 8))


def test_rebin_by_whole_channels_sums_them() -> None:
    counts = torch.arange(24.0).reshape(1, 24)
    out, _ = rebin(counts, EnergyAxis(0.5, 1.0, 24), torch.tensor([2.0]), EnergyAxis(2.0, 4.0, 5))
    assert out[0].tolist() == [sum(range(4 * k + 2, 4 * k + 6)) for k in range(5)]


def test_rebin_treats_rows_with_their_own_shift_as_alone() -> None:
    counts = torch.rand(4, 50)
    shift = torch.tensor([0.1, -0.7, 2.0, 0.0])
    axis, new = EnergyAxis(0.0, 0.5, 50), EnergyAxis(5.0, 0.8, 12)
    together, factor = rebin(counts, axis, shift, new)
    for k in range(4):
        alone, its = rebin(counts[k : k + 1], axis, shift[k : k + 1], new)
        assert torch.equal(alone[0], together[k])
        assert torch.equal(its[0], factor[k])


def test_a_bad_channel_stays_where_it_is() -> None:
    counts = torch.ones(1, 20)
    counts[0, 10] = torch.nan
    axis = EnergyAxis(0.0, 1.0, 20)
    out, _ = rebin(counts, axis, torch.zeros(1), axis)
    assert torch.isnan(out[0]).nonzero().tolist() == [[10]]


def test_rebin_factor_is_the_variance_left_in_a_channel() -> None:
    draws = torch.poisson(
        torch.full((40_000, 12), 50.0), generator=torch.Generator().manual_seed(0)
    )
    shift = torch.full((40_000,), 0.3)
    out, factor = rebin(draws, EnergyAxis(0.0, 1.0, 12), shift, EnergyAxis(3.0, 1.6, 4))
    ratio = out.var(0) / (50.0 * 1.6)
    torch.testing.assert_close(ratio, factor[0], rtol=0.03, atol=0.0)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0])
def test_shift_is_found_to_a_small_fraction_of_a_channel(scale: float) -> None:
    energy = torch.arange(530.0, 660.0, scale)
    true = torch.tensor([0.0, 0.037, -0.11, 1.3, -4.21, 12.6])
    counts = shape(energy - true[:, None])
    reference = make_reference(shape(567.5 + scale * (torch.arange(60 / scale) + 0.5)))
    axis = EnergyAxis(530.0, scale, counts.shape[1])
    reference_axis = EnergyAxis(567.5 + scale / 2, scale, len(reference))
    found, seen = find_shift(counts, axis, torch.zeros(6), reference, reference_axis, 15.0)
    assert float((found - true).abs().max()) < 0.04 * scale
    assert float(seen.min()) > 0.95


def test_shift_of_noisy_pixels_is_as_good_as_their_counts_allow() -> None:
    generator = torch.Generator().manual_seed(0)
    energy = torch.arange(530.0, 660.0, 0.25)
    true = 1.5 * torch.randn(300, generator=generator)
    rate = shape(energy - true[:, None])
    counts = torch.poisson(rate, generator=generator)
    reference = make_reference(shape(567.5 + 0.25 * (torch.arange(240) + 0.5)))
    axis = EnergyAxis(530.0, 0.25, counts.shape[1])
    found, _ = find_shift(counts, axis, torch.zeros(300), reference, FINE, 15.0)
    slope = (shape(energy + 0.01) - shape(energy - 0.01)) / 0.02
    inside = (energy > 567.5) & (energy < 627.5)
    bound = float((slope**2 / shape(energy))[inside].sum() ** -0.5)  # Cramer and Rao
    error = (found - true).double()
    assert float(error.mean().abs()) < 4 * bound / 300**0.5
    assert float(error.std()) < 1.5 * bound


def test_shift_stays_on_the_axis_and_survives_bad_spectra() -> None:
    energy = torch.arange(566.0, 629.0, 0.25)
    counts = shape(energy - 1.0).repeat(4, 1)
    counts[1], counts[2, 5], counts[3] = 0.0, torch.nan, torch.nan
    reference = make_reference(shape(567.5 + 0.25 * (torch.arange(240) + 0.5)))
    axis = EnergyAxis(566.0, 0.25, counts.shape[1])
    found, seen = find_shift(counts, axis, torch.zeros(4), reference, FINE, 15.0)
    assert float(found[0]) == pytest.approx(1.0, abs=0.02)
    assert float(found[2]) == pytest.approx(1.0, abs=0.3)
    assert found[[1, 3]].tolist() == [0.0, 0.0]
    assert float(seen[1]) <= 0.0


def test_make_reference_has_no_line_and_unit_norm() -> None:
    energy = torch.linspace(0, 10, 50)
    spectrum = torch.exp(-((energy - 4) ** 2))
    reference = make_reference(spectrum)
    assert float(torch.linalg.vector_norm(reference)) == pytest.approx(1.0)
    torch.testing.assert_close(
        make_reference(3 * spectrum + 7 - 2 * energy), reference, rtol=1e-3, atol=1e-5
    )


def test_scripted_is_eager() -> None:
    scripted = torch.jit.script(find_shift)
    energy = torch.arange(540.0, 650.0, 0.5)
    counts = shape(energy - torch.tensor([[0.3], [-2.0]]))
    reference = make_reference(shape(567.5 + 0.5 * (torch.arange(120) + 0.5)))
    axis, reference_axis = EnergyAxis(540.0, 0.5, 220), EnergyAxis(567.75, 0.5, 120)
    given = (counts, axis, torch.zeros(2), reference, reference_axis, 15.0)
    for one, other in zip(scripted(*given), find_shift(*given), strict=True):
        assert torch.equal(one, other)
    assert bool(torch.isfinite(find_shift(*given)[0]).all())
