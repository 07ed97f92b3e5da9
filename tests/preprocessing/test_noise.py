"""Detector noise has the mean and variance it says."""

import pytest
import torch

from eels_bayes.preprocessing import noise


def test_variance_is_linear_and_never_zero() -> None:
    counts = torch.tensor([100.0, 1.0, 0.0, -5.0])
    expected = torch.tensor([202.0, 4.0, 2.04, 2.04])
    torch.testing.assert_close(noise.variance(counts, 2.0, 2.0), expected)
    assert bool((noise.variance(counts, 0.1, 0.0) > 0).all())


@pytest.mark.parametrize("gain", [0.13, 1.0, 4.0])
def test_draws_have_the_mean_and_the_variance(gain: float) -> None:
    generator = torch.Generator().manual_seed(0)
    rate = torch.full((200_000,), 20.0)
    draws = noise.draw_counts(rate, gain, generator)
    assert float(draws.mean()) == pytest.approx(20.0, rel=0.01)
    wanted = float(noise.variance(rate[:1], gain, 0.0))
    assert float(draws.var()) == pytest.approx(wanted, rel=0.02)


def test_draws_repeat_with_their_generator_and_leave_the_global_one_alone() -> None:
    state = torch.random.get_rng_state()
    rate = torch.tensor([5.0, 0.0, -3.0])
    first = noise.draw_counts(rate, 2.0, torch.Generator().manual_seed(3))
    second = noise.draw_counts(rate, 2.0, torch.Generator().manual_seed(3))
    assert torch.equal(first, second)
    assert first[1:].tolist() == [0.0, 0.0]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_scripted_is_eager() -> None:
    counts = torch.linspace(-5, 50, 12)
    scripted = torch.jit.script(noise.variance)
    assert torch.equal(scripted(counts, 0.5, 1.0), noise.variance(counts, 0.5, 1.0))
