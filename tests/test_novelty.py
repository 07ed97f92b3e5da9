"""Novelty: uniform on what it was calibrated on, high on what it was not, monotone, scriptable."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from eels_bayes.novelty import N_TABLE, NoveltyScale, calibrate, score, statistics, tail_probability

L = 60


def population(n, seed, dtype=torch.float64):
    """Residuals with channel noise and smooth, correlated misfit; surprises of a gamma law."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, L, generator=generator, dtype=dtype)
    grid = torch.arange(L, dtype=dtype) / L
    slow = torch.stack([torch.cos(torch.pi * k * grid) for k in range(4)])
    noise = noise + 0.3 * torch.randn(n, 4, generator=generator, dtype=dtype) @ slow
    surprise = torch.randn(n, 3, generator=generator, dtype=dtype).square().sum(1) + 2.0
    return noise, surprise


def scores(scale, residual, surprise):
    return score(statistics(residual, surprise, scale.whitening, scale.center), scale)


@pytest.fixture(scope="module")
def scale():
    return calibrate(*population(3000, 0))


def test_uniform_on_the_population_it_was_calibrated_on(scale):
    # not on the very pixels, which would be easy
    found = scores(scale, *population(1500, 1))
    distance = kstest(found.numpy(), "uniform").statistic
    # the 1 % point of two samples' distance: the calibration is a sample too
    assert distance < 1.63 * np.sqrt(1 / 1500 + 1 / 3000)
    assert float(found.min()) >= 0 and float(found.max()) <= 1


@pytest.mark.parametrize("n", [50, 100, 300])
def test_few_pixels_do_not_make_all_others_new(n):
    means = []
    for seed in range(5):
        scale = calibrate(*population(n, 100 + seed))
        found = scores(scale, *population(1500, 3))
        assert torch.isfinite(found).all()
        means.append(float(found.mean()))
    # the mean of n uniform ranks has an error of 0.29 / sqrt(n)
    assert abs(np.mean(means) - 0.5) < 0.08


def spiked(residual, surprise):
    residual = residual.clone()
    residual[:, 17] += 9.0
    return residual, surprise


def shifted(residual, surprise):
    x = torch.arange(L, dtype=residual.dtype)
    # the derivative-like residual of an edge that lies elsewhere: small everywhere, smooth
    return residual + 3.0 * torch.tanh((x - 30) / 4) * torch.exp(-(((x - 30) / 12) ** 2)), surprise


def surprising(residual, surprise):
    return residual, surprise + 15.0


@pytest.mark.parametrize("change", [spiked, shifted, surprising])
def test_what_is_new_scores_high(scale, change):
    residual, surprise = population(500, 4)
    usual = scores(scale, residual, surprise)
    new = scores(scale, *change(residual, surprise))
    assert float((new > 0.95).double().mean()) > 0.8
    # as a detector: the chance that a new pixel scores above a usual one
    above = (new.unsqueeze(1) > usual).double().mean()
    assert float(above) > 0.95


def test_each_statistic_sees_its_own_kind(scale):
    residual, surprise = population(500, 5)
    parts = statistics(residual, surprise, scale.whitening, scale.center)
    for column, change in enumerate((spiked, shifted, surprising)):
        changed = statistics(*change(residual, surprise), scale.whitening, scale.center)
        tails = [tail_probability(changed[:, i], scale.tables[i]).median() for i in range(3)]
        assert min(tails) == tails[column] < 0.05
    assert parts.shape == (500, 3)
    assert torch.equal(parts[:, 2], surprise)
    torch.testing.assert_close(parts[:, 0], residual.abs().max(1).values)


def test_smooth_energy_is_whitened(scale):
    parts = statistics(*population(2000, 6), scale.whitening, scale.center)
    # a whitened vector of so many modes: chi squared
    dof = scale.whitening.shape[1]
    assert float(parts[:, 1].mean()) == pytest.approx(dof, rel=0.05)
    assert float(parts[:, 1].var()) == pytest.approx(2 * dof, rel=0.25)


@given(
    st.integers(0, 2),
    st.lists(st.floats(-10, 200), min_size=2, max_size=20),
    st.integers(0, 100),
)
def test_monotone_in_each_statistic(column, values, row):
    scale = _SCALE
    parts = statistics(*population(101, 7), scale.whitening, scale.center)[row].repeat(
        len(values), 1
    )
    parts[:, column] = torch.tensor(sorted(values), dtype=parts.dtype)
    found = score(parts, scale)
    assert (found.diff() >= 0).all()
    assert (found >= 0).all() and (found <= 1).all()


_SCALE = calibrate(*population(500, 0))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_tail_probability_is_the_tables_own(values):
    table = _SCALE.tables[0]
    at = torch.tensor(values, dtype=table.dtype)
    found = tail_probability(at, table)
    share = (table >= at.unsqueeze(1)).double().mean(1)  # counted, not searched
    inside = at <= table[-1]
    assert ((found - share)[inside].abs() <= 1.0 / N_TABLE).all()
    assert (found[~inside] < 1.0 / N_TABLE).all() and (found > 0).all()


def test_order_is_kept_beyond_the_table():
    table = _SCALE.tables[0]
    values = table[-1] + 0.2 * torch.arange(1, 20, dtype=table.dtype)
    assert (tail_probability(values, table).diff() < 0).all()


def test_order_of_the_pixels_does_not_matter(scale):
    residual, surprise = population(300, 8)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    one, two = calibrate(residual, surprise), calibrate(residual[order], surprise[order])
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(
        scores(scale, residual[order], surprise[order]), scores(scale, residual, surprise)[order]
    )


def test_single_precision_is_enough(scale):
    single = NoveltyScale(*(x.float() for x in scale))
    residual, surprise = population(300, 9)
    found = scores(single, residual.float(), surprise.float())
    assert (found - scores(scale, residual, surprise)).abs().max() < 0.01


@pytest.mark.parametrize("hostile", [1e6, -1e6, 1e20])
def test_hostile_residuals_are_new_and_finite(scale, hostile):
    single = NoveltyScale(*(x.float() for x in scale))
    residual, surprise = (x.float() for x in population(4, 10))
    usual = scores(single, residual, surprise)
    residual[1, 3] = hostile
    found = scores(single, residual, surprise)
    assert torch.isfinite(found).all() and float(found[1]) > 0.95
    others = torch.tensor([0, 2, 3])
    assert torch.equal(found[others], usual[others])


def test_a_constant_statistic_is_harmless():
    residual, _ = population(200, 11)
    scale = calibrate(residual, torch.full((200,), 3.0, dtype=residual.dtype))
    found = scores(scale, residual, torch.full((200,), 3.0, dtype=residual.dtype))
    assert torch.isfinite(found).all() and float(found.std()) > 0.1


def test_fewer_channels_than_modes():
    residual, surprise = population(200, 12)
    scale = calibrate(residual[:, :10], surprise)
    assert scale.whitening.shape == (10, 10)
    assert torch.isfinite(scores(scale, residual[:, :10], surprise)).all()


def test_scripted_equals_eager(scale):
    class Score(torch.nn.Module):
        def forward(self, residual: torch.Tensor, surprise: torch.Tensor, scale: NoveltyScale):
            parts = statistics(residual, surprise, scale.whitening, scale.center)
            return score(parts, scale)

    scripted = torch.jit.script(Score())
    residual, surprise = population(50, 13)
    torch.testing.assert_close(
        scripted(residual, surprise, scale), scores(scale, residual, surprise)
    )


@pytest.mark.parametrize("n", [0, 1, 49])
def test_too_few_pixels_say_so(n):
    with pytest.raises(ValueError, match=rf"needs at least 50 held-out pixels.*got {n}: fit on"):
        calibrate(*population(n, 14))
