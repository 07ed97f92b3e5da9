"""The training loop: best epoch, early stopping, interruption and resumption."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eels_bayes.training import FitState, Schedule, fit

EPOCHS, STEPS = 4, 3
CALLS = EPOCHS * (STEPS + 1)  # of both losses in one run


class Problem:
    """Noisy linear regression with dropout: random in the run's stream and in the global one."""

    def __init__(self, interrupt_at: frozenset[int] = frozenset()):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.interrupt_at, self.calls = interrupt_at, 0

    def _call(self) -> None:
        self.calls += 1
        if self.calls in self.interrupt_at:
            raise KeyboardInterrupt

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return (self.module(x)[:, 0] - x.sum(1)).square().mean()

    def training_loss(self, generator: torch.Generator) -> torch.Tensor:
        x = torch.randn(16, 3, generator=generator)
        loss = self.loss(x)
        self._call()
        return loss

    def validation_loss(self) -> torch.Tensor:
        self._call()
        return self.loss(torch.linspace(-1, 1, 30).reshape(10, 3))

    def fit(self, state: FitState, schedule: Schedule | None = None, seed: int = 0) -> FitState:
        schedule = schedule or Schedule(EPOCHS, STEPS, learning_rate=0.02)
        return fit(
            self.module,
            self.training_loss,
            self.validation_loss,
            schedule,
            state,
            seed=seed,
            show_progressbar=False,
        )

    def parameters(self) -> torch.Tensor:
        return nn.utils.parameters_to_vector(self.module.parameters()).detach().clone()


def scripted(losses: list[float], patience: int) -> tuple[nn.Module, FitState, list[float]]:
    """A run whose validation losses are given; also the module's parameter at each validation."""
    module, seen = nn.Linear(1, 1, bias=False), []

    def validation_loss() -> torch.Tensor:
        seen.append(module.weight.item())
        return torch.tensor(losses[len(seen) - 1])

    state = fit(
        module,
        lambda generator: module.weight.square().sum(),
        validation_loss,
        Schedule(len(losses), 1, learning_rate=0.01, patience=patience),
        FitState(),
        show_progressbar=False,
    )
    return module, state, seen


def test_training_lowers_both_losses() -> None:
    problem = Problem()
    state = problem.fit(FitState(), Schedule(15, 20, learning_rate=0.02))
    history = state.history()
    assert state.done
    assert history["training"][-1] < 0.3 * history["training"][0]
    assert min(history["validation"]) < 0.3 * history["validation"][0]
    assert not problem.module.training


@settings(max_examples=40)
@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=8), st.integers(1, 4))
def test_stops_by_patience_and_restores_the_best_epoch(losses: list[float], patience: int) -> None:
    module, state, seen = scripted(losses, patience)
    best = 0
    for epoch, loss in enumerate(losses):  # what the words promise, written out
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            break
    assert len(seen) == epoch + 1 == state.epoch
    assert state.best_epoch == best and state.best_loss == losses[best]
    assert module.weight.item() == seen[best]
    assert state.validation_loss == losses[: epoch + 1]
    assert len(state.training_loss) == epoch + 1


def test_learning_rate_falls_on_a_cosine_and_gradients_are_clipped() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    positions = []

    def training_loss(generator: torch.Generator) -> torch.Tensor:
        positions.append(module.weight.item())
        return 1e6 * module.weight.sum()

    schedule = Schedule(2, 4, learning_rate=0.1)
    validation = lambda: -module.weight.sum().abs()  # noqa: E731
    fit(module, training_loss, validation, schedule, FitState(), show_progressbar=False)
    positions.append(module.weight.item())
    # Adam's step under a constant gradient is the learning rate itself
    steps = -torch.tensor(positions).diff()
    wanted = [0.05 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    torch.testing.assert_close(steps, torch.tensor(wanted), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_interrupted_anywhere_and_resumed_equals_uninterrupted(call: int) -> None:
    whole = Problem()
    wanted = whole.fit(FitState())
    problem, state = Problem(frozenset({call})), FitState()
    with pytest.raises(KeyboardInterrupt):
        problem.fit(state)
    assert not problem.module.training
    assert not state.done
    resumed = problem.fit(state)
    assert resumed is state
    assert torch.equal(problem.parameters(), whole.parameters())
    assert state.history() == wanted.history()
    assert (state.best_epoch, state.best_loss) == (wanted.best_epoch, wanted.best_loss)


@settings(max_examples=20)
@given(st.frozensets(st.integers(1, 2 * CALLS), max_size=6))
def test_interrupted_again_and_again(calls: frozenset[int]) -> None:
    whole = Problem()
    wanted = whole.fit(FitState())
    problem, state = Problem(calls), FitState()
    while not state.done:
        try:
            problem.fit(state)
        except KeyboardInterrupt:
            torch.rand(3)  # whatever the user does in between
    assert torch.equal(problem.parameters(), whole.parameters())
    assert state.history() == wanted.history()


def test_resuming_a_finished_run_changes_nothing() -> None:
    problem, state = Problem(), FitState()
    problem.fit(state)
    before, calls = problem.parameters(), problem.calls
    assert problem.fit(state) is state
    assert problem.calls == calls
    assert torch.equal(problem.parameters(), before)


def test_same_seed_same_result_and_another_seed_another() -> None:
    first, second, other = Problem(), Problem(), Problem()
    first.fit(FitState(), seed=5)
    torch.rand(11)
    second.fit(FitState(), seed=5)
    other.fit(FitState(), seed=6)
    assert torch.equal(first.parameters(), second.parameters())
    assert not torch.equal(first.parameters(), other.parameters())


@pytest.mark.parametrize("interrupt_at", [frozenset(), frozenset({6})])
def test_global_generator_is_untouched(interrupt_at: frozenset[int]) -> None:
    before = torch.get_rng_state()
    problem = Problem(interrupt_at)
    try:
        problem.fit(FitState())
    except KeyboardInterrupt:
        assert interrupt_at
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_training_loss_that_is_not_finite(value: float) -> None:
    module = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match=r"training loss became (nan|inf) in epoch 0.*"):
        fit(
            module,
            lambda generator: module.weight.sum() * value,
            lambda: torch.tensor(0.0),
            Schedule(2, 2),
            FitState(),
            show_progressbar=False,
        )
    assert not module.training


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_validation_loss_that_is_not_finite(value: float) -> None:
    problem, state = Problem(), FitState()
    values = iter([1.0, value])
    problem.validation_loss = lambda: torch.tensor(next(values))  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match=r"validation loss became (nan|-inf) in epoch 1"):
        problem.fit(state)
    assert state.validation_loss == [1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"steps": -2}, "steps must be a whole number of at least 1, got -2"),
        ({"steps": 2.5}, "steps must be a whole number of at least 1, got 2.5"),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0; a finite number above zero"),
        ({"learning_rate": math.nan}, "learning_rate is nan; a finite number above zero"),
    ],
)
def test_schedules_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**({"epochs": 2, "steps": 2} | options))


def test_progress_bar_shows_the_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem()
    fit(
        problem.module,
        problem.training_loss,
        problem.validation_loss,
        Schedule(2, 1),
        FitState(),
        description="toy",
    )
    shown = capsys.readouterr().err
    assert "toy" in shown and "2/2" in shown
