"""One generic training loop: progress, early stopping, history, interruption and resumption."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from eels_bayes import validation
from eels_bayes.adam import Adam, falling
from eels_bayes.randomness import alone, own_randomness

GRADIENT_LIMIT = 10.0  # norm of a step's gradient: usual ones are smaller; chosen, not tuned


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Parameters
    ----------
    epochs : int
        Largest number of epochs; the learning rate falls to zero over them on a cosine.
    steps : int
        Optimiser steps an epoch.
    learning_rate : float
        Adam's initial learning rate.
    patience : int
        Epochs without a better validation loss after which training stops.

    Raises
    ------
    TypeError, ValueError
        If a number is not whole and at least 1, or the learning rate not positive and finite.

    Examples
    --------
    >>> import eels_bayes as eb
    >>> schedule = eb.Schedule(epochs=20, steps=64, patience=8)
    >>> schedule.epochs * schedule.steps, schedule.learning_rate
    (1280, 0.001)
    """

    epochs: int
    steps: int
    learning_rate: float = 1e-3
    patience: int = 10

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "patience"):
            object.__setattr__(self, name, validation.whole(name, getattr(self, name)))
        rate = validation.positive("learning_rate", self.learning_rate)
        object.__setattr__(self, "learning_rate", rate)


@dataclass(eq=False)
class FitState:
    """Where a training run stands; hand it back to :func:`fit` to go on from there.

    Attributes
    ----------
    epoch : int
        Epochs finished.
    training_loss, validation_loss : list of float
        Mean loss of each, in nats a spectrum.
    best_loss : float
        Least validation loss so far.
    best_epoch : int
        When it was; -1 before the first.
    best, current : dict of str to Tensor, optional
        The module's state at the best epoch and at the last.
    optimizer : dict, optional
        Adam's state at the last epoch; None once the run is over.
    generator : Tensor, optional
        State of the run's random stream.
    done : bool
        Whether the run is over.
    """

    epoch: int = 0
    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = -1
    best: dict[str, Tensor] | None = None
    current: dict[str, Tensor] | None = None
    optimizer: dict[str, Any] | None = None
    generator: Tensor | None = None
    done: bool = False

    def history(self) -> dict[str, list[float]]:
        """Mean training and validation loss of each epoch, in nats a spectrum.

        Returns
        -------
        dict
            {"training": list, "validation": list}.
        """
        return {"training": list(self.training_loss), "validation": list(self.validation_loss)}


@contextlib.contextmanager
def learning() -> Iterator[None]:
    """One thread at a time, with gradients whether or not the caller has switched them off.

    Pyro's stack, GPyTorch's settings and torch's random stream belong to the process; fits that run
    at once would mix them up.
    """
    with alone(), torch.inference_mode(False), torch.enable_grad():
        yield


@learning()
def fit(
    module: nn.Module,
    training_loss: Callable[[torch.Generator], Tensor],
    validation_loss: Callable[[], Tensor],
    schedule: Schedule,
    state: FitState,
    *,
    seed: int = 0,
    description: str = "",
    after_each: Callable[[], None] = lambda: None,
    show_progressbar: bool = True,
) -> FitState:
    """Train ``module`` in place and leave it at its best epoch.

    The random stream belongs to the run, not to the process: it is seeded here, and an interrupted
    run that is resumed from its ``state`` continues the very stream it left, so it ends where an
    uninterrupted one would.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters are trained.
    training_loss : callable
        Takes the run's generator, returns the loss of one fresh batch (nats a spectrum).
    validation_loss : callable
        Returns the loss on data that never train.
    schedule : Schedule
    state : FitState
        A new one to begin, an interrupted one to resume. Updated in place at each epoch's end, so
        that a ``KeyboardInterrupt`` loses no finished epoch.
    seed : int
        Of the run's random stream, where the state is new.
    description : str
        Left of the progress bar.
    after_each : callable
        Called after each epoch, when the state holds it.
    show_progressbar : bool

    Returns
    -------
    FitState
        ``state`` itself.

    Raises
    ------
    FloatingPointError
        If a loss is not finite.
    """
    if state.done and state.best is not None:
        module.load_state_dict(state.best)
        return state
    optimizer = Adam(module.parameters())
    generator = torch.Generator().manual_seed(seed)
    _begin_or_resume(module, optimizer, generator, state)
    shown: dict[str, Any] = {"desc": description, "unit": "epoch", "disable": not show_progressbar}
    bar = tqdm(total=schedule.epochs, initial=state.epoch, **shown)
    try:
        # Dropout and Pyro draw from the global stream; forking keeps the user's untouched.
        with bar, own_randomness():
            while not state.done:
                torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
                trained = _epoch(module, training_loss, schedule, optimizer, generator, state.epoch)
                validated = _validate(module, validation_loss, state.epoch)
                # Only now, so that an interrupted epoch leaves no trace.
                current, moments = _copy(module), optimizer.state_dict()
                state.current, state.optimizer = current, moments
                state.generator = generator.get_state()
                _record(module, trained, validated, schedule, state)
                after_each()
                bar.update()
                bar.set_postfix(loss=f"{state.validation_loss[-1]:.3f}", refresh=False)
    finally:
        module.eval()
    assert state.best is not None
    module.load_state_dict(state.best)
    state.current = state.best
    state.optimizer = None
    return state


def _begin_or_resume(
    module: nn.Module, optimizer: Adam, generator: torch.Generator, state: FitState
) -> None:
    """Put everything where the state says that the run stands."""
    if state.current is None:  # where an interruption of the first epoch goes back to
        state.current, state.optimizer = _copy(module), optimizer.state_dict()
        state.generator = generator.get_state()
    else:
        module.load_state_dict(state.current)
        optimizer.load_state_dict(state.optimizer or {})
        assert state.generator is not None
        generator.set_state(state.generator)


def _epoch(
    module: nn.Module,
    training_loss: Callable[[torch.Generator], Tensor],
    schedule: Schedule,
    optimizer: Adam,
    generator: torch.Generator,
    epoch: int,
) -> float:
    """Train for one epoch at a learning rate that falls on a cosine; its mean loss."""
    module.train()
    total = 0.0
    for step in range(schedule.steps):
        progress = (epoch + step / schedule.steps) / schedule.epochs
        loss = training_loss(generator)
        optimizer.zero_grad()
        loss.backward()
        # A rare hard batch must not throw away what was learnt so far.
        nn.utils.clip_grad_norm_(module.parameters(), GRADIENT_LIMIT)
        optimizer.step(falling(schedule.learning_rate, progress))
        total += float(loss.detach())
    if not math.isfinite(total):
        raise FloatingPointError(
            f"the training loss became {total} in epoch {epoch}; a smaller learning_rate "
            "or input without extreme values would help"
        )
    return total / schedule.steps


def _validate(module: nn.Module, validation_loss: Callable[[], Tensor], epoch: int) -> float:
    """The loss on data that never train."""
    module.eval()
    with torch.no_grad():
        loss = float(validation_loss())
    if not math.isfinite(loss):
        raise FloatingPointError(f"the validation loss became {loss} in epoch {epoch}")
    return loss


def _record(
    module: nn.Module, trained: float, validated: float, schedule: Schedule, state: FitState
) -> None:
    """Enter one finished epoch into the state, and say there whether it was the last."""
    state.training_loss.append(trained)
    state.validation_loss.append(validated)
    if validated < state.best_loss:
        state.best_loss, state.best_epoch, state.best = validated, state.epoch, _copy(module)
    state.epoch += 1
    stale = state.epoch - 1 - state.best_epoch
    state.done = state.epoch >= schedule.epochs or stale >= schedule.patience


def _copy(module: nn.Module) -> dict[str, Tensor]:
    """The module's state, which further training leaves as it is."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
