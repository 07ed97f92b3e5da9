"""Adam is that of torch, and goes on from where it stood."""

import pytest
import torch

from eels_bayes.adam import Adam, falling

RATE, STEPS = 0.01, 30


def network():
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))


def loss_of(module, inputs):
    return module(inputs).square().sum()


@pytest.fixture
def problem():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return network(), torch.randn(7, 3)


def descend(module, inputs, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        loss_of(module, inputs).backward()
        optimizer.step(falling(RATE, step / STEPS))


def test_steps_are_those_of_torch(problem):
    module, inputs = problem
    other = network()
    other.load_state_dict(module.state_dict())
    descend(module, inputs, Adam(module.parameters()), range(STEPS))
    optimizer = torch.optim.Adam(other.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(other, inputs).backward()
        optimizer.step()
        schedule.step()
    for mine, torchs in zip(module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-5, atol=1e-7)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(problem):
    module, inputs = problem
    first = Adam(module.parameters())
    descend(module, inputs, first, range(10))
    resumed = network()
    resumed.load_state_dict(module.state_dict())
    second = Adam(resumed.parameters())
    second.load_state_dict(first.state_dict())
    descend(module, inputs, first, range(10, STEPS))  # leaves what was handed over as it was
    descend(resumed, inputs, second, range(10, STEPS))
    for mine, other in zip(module.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_parameters_without_a_gradient_stay():
    moved, still = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = Adam([moved, still])
    moved.sum().backward()
    optimizer.step(RATE)
    assert torch.equal(still, torch.ones(2))
    torch.testing.assert_close(moved, torch.full((2,), 1.0 - RATE))


def test_the_rate_falls_to_nothing():
    rates = [falling(RATE, i / STEPS) for i in range(STEPS + 1)]
    assert rates[0] == RATE
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
