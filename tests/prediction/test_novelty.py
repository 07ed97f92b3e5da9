"""Novelty: uniform on what it was calibrated on, high on what it was not, monotone, scriptable."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from eels_bayes.prediction.novelty import (
    MISFIT,
    N_TABLE,
    SPIKE_COST,
    NoveltyScale,
    evidence_ratio,
    fit_novelty_scale,
    misfit_energy,
    score,
    tail_probability,
)

L = 60


def population(n, seed, dtype=torch.float64):
    """Residuals with channel noise and smooth misfit, ratios of unlikely structures, and spikes.

    A pixel's largest excess is that of 600 channels' noise.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, L, generator=generator, dtype=dtype)
    grid = torch.arange(L, dtype=dtype) / L
    slow = torch.stack([torch.cos(torch.pi * k * grid) for k in range(4)])
    noise = noise + 0.3 * torch.randn(n, 4, generator=generator, dtype=dtype) @ slow
    unknown = -4.0 + 1.5 * torch.randn(n, generator=generator, dtype=dtype)
    spike = torch.randn(n, 600, generator=generator, dtype=dtype).amax(1)
    return noise, unknown, spike


def ratios(scale, residual, unknown, spike):
    energy = misfit_energy(residual, scale.whitening, scale.center)
    return evidence_ratio(unknown, spike, energy, scale.whitening.shape[1])


def scores(scale, residual, unknown, spike):
    component = torch.ones(len(residual), 1, dtype=residual.dtype)
    return score(ratios(scale, residual, unknown, spike), component, scale)


def scale_of(residual, unknown, spike):
    """The scale of one class."""
    label = torch.zeros(len(residual), dtype=torch.int64)
    component = torch.ones(len(residual), 1, dtype=residual.dtype)
    return fit_novelty_scale(residual, unknown, spike, component, label, torch.ones(1, 1))


@pytest.fixture(scope="module")
def scale():
    return scale_of(*population(3000, 0))


def test_uniform_on_the_population_it_was_calibrated_on(scale):
    # not on the very pixels, which would be easy
    found = scores(scale, *population(1500, 1))
    distance = kstest(found.numpy(), "uniform").statistic
    # the 1 % point of two samples' distance: the calibration is a sample too
    assert distance < 1.63 * np.sqrt(1 / 1500 + 1 / 3000)
    assert float(found.min()) >= 0 and float(found.max()) <= 1


@pytest.mark.parametrize("n", [50, 100, 300])
def test_few_pixels_do_not_make_all_others_new(n):
    # an unknown structure out of the question: the misfit has the say, whose modes n pixels know
    means = []
    for seed in range(5):
        residual, unknown, spike = population(n, 100 + seed)
        scale = scale_of(residual, unknown - 100.0, spike)
        residual, unknown, spike = population(1500, 3)
        found = scores(scale, residual, unknown - 100.0, spike)
        assert torch.isfinite(found).all()
        means.append(float(found.mean()))
    # the mean of n uniform ranks has an error of 0.29 / sqrt(n)
    assert abs(np.mean(means) - 0.5) < 0.08


def spiked(residual, unknown, spike):
    return residual, unknown, spike + 5.0


def shifted(residual, unknown, spike):
    x = torch.arange(L, dtype=residual.dtype)
    # the derivative-like residual of an edge that lies elsewhere: small everywhere, smooth
    change = 4.0 * torch.tanh((x - 30) / 4) * torch.exp(-(((x - 30) / 12) ** 2))
    return residual + change, unknown, spike


def another(residual, unknown, spike):
    return residual, unknown + 15.0, spike


@pytest.mark.parametrize("change", [spiked, shifted, another])
def test_what_is_new_scores_high(scale, change):
    pixels = population(500, 4)
    usual = scores(scale, *pixels)
    new = scores(scale, *change(*pixels))
    assert float((new > 0.95).double().mean()) > 0.8
    # as a detector: the chance that a new pixel scores above a usual one
    above = (new.unsqueeze(1) > usual).double().mean()
    assert float(above) > 0.95


def test_each_alternative_is_its_likelihood_ratio():
    nowhere = torch.full((3,), -1e6, dtype=torch.float64)
    none, quiet = torch.zeros_like(nowhere), torch.tensor([-3.0, 0.0, 9.0]).double()
    # an unknown structure is taken at its word
    torch.testing.assert_close(evidence_ratio(quiet + 60, none, none, 24), quiet + 60)
    # a spike of z sd: one normal channel against one that is z higher, and what seeking it costs
    z = torch.tensor([7.0, 12.0, 30.0]).double()
    channel = torch.distributions.Normal(torch.stack([z, none]), 1.0).log_prob(z)
    wanted = channel[0] - channel[1] - SPIKE_COST
    torch.testing.assert_close(evidence_ratio(nowhere, z, none, 24), wanted)
    # a misfit: whitened modes of a larger variance
    modes = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9
    wide, usual = (
        torch.distributions.Normal(0.0, math.sqrt(MISFIT)),
        torch.distributions.Normal(0.0, 1.0),
    )
    wanted = (wide.log_prob(modes) - usual.log_prob(modes)).sum(1)
    assert (wanted > 0).all()
    torch.testing.assert_close(
        evidence_ratio(nowhere, none, (modes**2).sum(1), 5), wanted, rtol=1e-3, atol=1e-3
    )


@given(
    st.floats(-300, 300),
    st.floats(-5, 60),
    st.floats(0, 2000),
    st.integers(1, 24),
    st.integers(0, 2),
)
def test_an_alternative_that_is_not_suggested_changes_nothing(unknown, spike, energy, n, first):
    given = [torch.tensor([x], dtype=torch.float64) for x in (unknown, spike, energy)]
    least = [torch.tensor([x], dtype=torch.float64) for x in (-1e9, 0.0, 0.0)]

    def ratio(*which):
        parts = [given[i] if i in which else least[i] for i in range(3)]
        return float(evidence_ratio(*parts, n))

    # no evidence is below what the quiet ones say, which is little
    floor = ratio()
    assert floor <= math.log(2) and floor >= -SPIKE_COST
    single = [ratio(i) for i in range(3)]
    together = ratio(0, 1, 2)
    # adding up: between the strongest and three of its like
    assert max(single) - 1e-9 <= together <= max(*single, floor) + math.log(3.0) + 1e-9
    # and one that says 30 nats less than the others together takes nothing and adds nothing
    rest = ratio(*({0, 1, 2} - {first}))
    if single[first] <= rest - 30.0 or given[first] == least[first]:
        assert together == pytest.approx(rest, abs=1e-9)


def test_smooth_energy_is_whitened(scale):
    residual, *_ = population(2000, 6)
    energy = misfit_energy(residual, scale.whitening, scale.center)
    # a whitened vector of so many modes: chi squared
    dof = scale.whitening.shape[1]
    assert float(energy.mean()) == pytest.approx(dof, rel=0.05)
    assert float(energy.var()) == pytest.approx(2 * dof, rel=0.25)


@given(
    st.integers(0, 2),
    st.lists(st.floats(-10, 200), min_size=2, max_size=20),
    st.integers(0, 100),
)
def test_monotone_in_each_of_the_three(column, values, row):
    residual, unknown, spike = population(101, 7)
    energy = misfit_energy(residual, _SCALE.whitening, _SCALE.center)
    parts = [x[row].repeat(len(values)) for x in (unknown, spike, energy)]
    parts[column] = torch.tensor(sorted(values), dtype=energy.dtype)
    found = evidence_ratio(*parts, 24)
    assert (found.diff() >= -1e-9).all()
    found = score(found, torch.ones(len(found), 1, dtype=found.dtype), _SCALE)
    assert (found.diff() >= -1e-9).all()
    assert (found >= 0).all() and (found <= 1).all()
    # where it is suggested at all, it does rise
    parts[column] = torch.tensor([20.0, 30.0], dtype=energy.dtype) * (3 if column == 2 else 1)
    assert evidence_ratio(*(x[:2] for x in parts), 24).diff() > 3.0


_SCALE = scale_of(*population(500, 0))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_tail_probability_is_the_tables_own(values):
    table = _SCALE.table[0]
    at = torch.tensor(values, dtype=table.dtype)
    found = tail_probability(at, _SCALE.table)[:, 0]
    share = (table >= at.unsqueeze(1)).double().mean(1)  # counted, not searched
    inside = at <= table[-1]
    assert ((found - share)[inside].abs() <= 1.0 / N_TABLE).all()
    assert (found[~inside] < 1.0 / N_TABLE).all() and (found > 0).all()


def test_order_is_kept_beyond_the_table():
    table = _SCALE.table
    values = table[0, -1] + 0.2 * torch.arange(1, 20, dtype=table.dtype)
    assert (tail_probability(values, table)[:, 0].diff() < 0).all()


def test_order_of_the_pixels_does_not_matter(scale):
    pixels = population(300, 8)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    mixed = [x[order] for x in pixels]
    for a, b in zip(scale_of(*pixels), scale_of(*mixed), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(scores(scale, *mixed), scores(scale, *pixels)[order])


def test_single_precision_is_enough(scale):
    single = NoveltyScale(*(x.float() for x in scale))
    pixels = population(300, 9)
    found = scores(single, *(x.float() for x in pixels))
    assert (found - scores(scale, *pixels)).abs().max() < 0.01
    assert scale_of(*(x.float() for x in pixels)).table.dtype == torch.float32


@pytest.mark.parametrize("hostile", [1e6, -1e6, 1e20, -1e20])
def test_hostile_pixels_are_finite_and_leave_the_rest_alone(scale, hostile):
    single = NoveltyScale(*(x.float() for x in scale))
    pixels = [x.float() for x in population(4, 10)]
    usual = scores(single, *pixels)
    others = torch.tensor([0, 2, 3])
    for part in range(3):
        changed = [x.clone() for x in pixels]
        changed[part][1] = hostile  # all channels of the residual
        found = scores(single, *changed)
        assert torch.isfinite(found).all()
        assert torch.equal(found[others], usual[others])
        if part == 0 or hostile > 0:
            assert float(found[1]) > 0.95
        else:  # less than no sign of one is no sign of one
            assert float(found[1]) <= float(usual[1])


def test_constant_evidence_is_harmless():
    residual, unknown, _ = population(200, 11)
    same = torch.full_like(unknown, 3.0)
    scale = scale_of(residual, unknown, same)
    found = scores(scale, residual, unknown, same)
    assert torch.isfinite(found).all() and float(found.std()) > 0.1
    # all alike: no pixel is newer than another, and what says more is
    scale = scale_of(0 * residual, same, same)
    found = scores(scale, 0 * residual, same, same)
    assert torch.isfinite(found).all() and (found.diff().abs() < 1e-6).all()
    assert (scores(scale, 0 * residual, same + 1.0, same) > found).all()


def test_fewer_channels_than_modes():
    residual, unknown, spike = population(200, 12)
    scale = scale_of(residual[:, :10], unknown, spike)
    assert scale.whitening.shape == (10, 10) and scale.table.shape == (1, N_TABLE)
    assert torch.isfinite(scores(scale, residual[:, :10], unknown, spike)).all()


def test_scripted_equals_eager(scale):
    class Score(torch.nn.Module):
        def forward(
            self,
            residual: torch.Tensor,
            unknown: torch.Tensor,
            spike: torch.Tensor,
            scale: NoveltyScale,
        ):
            energy = misfit_energy(residual, scale.whitening, scale.center)
            ratio = evidence_ratio(unknown, spike, energy, scale.whitening.size(1))
            return score(ratio, torch.ones(len(ratio), 1, dtype=ratio.dtype), scale)

    scripted = torch.jit.script(Score())
    pixels = population(50, 13)
    torch.testing.assert_close(scripted(*pixels, scale), scores(scale, *pixels))


@pytest.mark.parametrize("n", [0, 1, 49])
def test_too_few_pixels_say_so(n):
    with pytest.raises(ValueError, match=rf"needs at least 50 pixels of each class.*got {n}"):
        scale_of(*population(n, 14))


def test_uniform_within_classes_that_differ():
    """A frequent class, and one that the evidence hardly tells from an unknown structure."""
    dominant = torch.eye(2, dtype=torch.float64)[[0, 1, 1]]

    def both(seed):
        parts = [population(1500, seed + k) for k in (0, 1)]
        parts[1] = (parts[1][0], parts[1][1] + 6.0, parts[1][2])
        return [torch.cat(rows) for rows in zip(*parts, strict=True)]

    label = torch.arange(2).repeat_interleave(1500)
    component = torch.eye(3, dtype=torch.float64)[label * 2]
    scale = fit_novelty_scale(*both(20), component, label, dominant)
    pixels = both(30)
    found = score(ratios(scale, *pixels), component, scale)
    for k in (0, 1):
        assert kstest(found[label == k].numpy(), "uniform").statistic < 1.63 * np.sqrt(2 / 1500)
        assert float((found[label == k] > 0.95).double().mean()) == pytest.approx(0.05, abs=0.02)


def test_uniform_within_classes_that_are_hard_to_tell_apart():
    """Pixels that fit no class well are seldom sure, and those of one class are never sure."""
    n = 4000
    label = torch.arange(2).repeat_interleave(n)

    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        residual, unknown, spike = population(2 * n, seed)
        surely = torch.rand(2 * n, generator=generator, dtype=torch.float64)
        right = torch.where(label == 0, 0.5 + 0.5 * surely, 0.5 + 0.1 * surely)
        first = torch.where(label == 0, right, 1.0 - right)
        component = torch.stack([first, 1.0 - first], 1)
        return residual, unknown + 6.0 * component[:, 1], spike, component

    *pixels, component = drawn(40)
    scale = fit_novelty_scale(*pixels, component, label, torch.eye(2))
    *pixels, component = drawn(50)
    found = score(ratios(scale, *pixels), component, scale)
    for k in (0, 1):
        share = float((found[label == k] > 0.95).double().mean())
        assert 0.03 < share < 0.07, (k, share)
    # as what is usual of either class alone has it, one of them stands out twice too often
    plain = torch.quantile(ratios(scale, *pixels)[label == 1], 0.95)
    assert float((ratios(scale, *pixels)[label == 0] > plain).double().mean()) < 0.03


def test_what_is_usual_is_linear_in_the_class_probabilities():
    """Least squares: what is left of the drawn evidence has no trend in them."""
    generator = torch.Generator().manual_seed(60)
    residual, unknown, spike = population(3000, 61)
    component = torch.rand(3000, 3, generator=generator, dtype=torch.float64)
    component = component / component.sum(1, keepdim=True)
    pixels = (residual, unknown + 5.0 * component[:, 2], spike)
    label = component.argmax(1)
    scale = fit_novelty_scale(*pixels, component, label, torch.eye(3))
    ratio = ratios(scale, *pixels)
    left = ratio - component @ scale.usual
    # the fit takes each pixel's energy as without itself, which this mean has with it
    assert (component.T @ left).abs().max() / 3000 < 0.03
    assert (component.T @ (ratio - ratio.mean())).abs().max() / 3000 > 0.1
    assert (scale.scatter > 0).all()


def blended(n, seed):
    """Pixels of 16 classes in a row, read as those next to them as often as not, with evidence."""
    generator = torch.Generator().manual_seed(seed)
    place = 15.0 * torch.rand(n, generator=generator, dtype=torch.float64)
    component = torch.softmax(-0.5 * ((torch.arange(16) - place.unsqueeze(1)) / 3.0) ** 2, 1)
    label = torch.multinomial(component, 1, generator=generator)[:, 0]
    residual, unknown, spike = population(n, seed)
    return residual, unknown + 0.1 * place, spike, component, label


def test_classes_that_hardly_any_pixel_tells_apart_have_much_in_common():
    """Numbers of classes hang together: they neither swing, nor change with other drawn pixels."""
    scales = [fit_novelty_scale(*blended(8000, seed), torch.eye(16)) for seed in (70, 71)]
    usual = torch.stack([scale.usual for scale in scales])
    assert usual.diff(dim=0).abs().max() < 0.3
    assert (usual.amax(1) - usual.amin(1)).max() < 4.0
    assert all(float(scale.scatter.max() / scale.scatter.min()) < 4.0 for scale in scales)
    # of a pixel that is surely of one class, which none of the drawn ones is, too
    *pixels, _, label = blended(8000, 72)
    found = score(ratios(scales[0], *pixels), torch.eye(16, dtype=torch.float64)[label], scales[0])
    for k in range(16):
        assert float((found[label == k] > 0.95).double().mean()) < 0.2, k


def test_the_scale_is_the_same_whatever_lies_where_in_memory():
    *pixels, label = blended(2000, 73)
    scale = fit_novelty_scale(*pixels, label, torch.eye(16))
    moved = [torch.cat([x[:1], x])[1:] for x in pixels]  # not aligned as a new tensor is
    for a, b in zip(scale, fit_novelty_scale(*moved, label, torch.eye(16)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
