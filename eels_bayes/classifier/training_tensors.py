"""Where a training run stands, as tensors and plain values, and back."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from eels_bayes.tensor_checks import below
from eels_bayes.training import FitState

_PLAIN = ("epoch", "training_loss", "validation_loss", "best_epoch", "done")


def state_tensors(state: FitState) -> dict[str, Tensor]:
    """Networks, Adam's moments and the random stream, as far as there are any."""
    tensors = {f"training.best.{k}": v for k, v in (state.best or {}).items()}
    if state.generator is not None:
        tensors["training.generator"] = state.generator
    if state.done:  # a longer training goes on from the best epoch
        return tensors
    tensors |= {f"training.current.{k}": v for k, v in (state.current or {}).items()}
    for number, moments in (state.optimizer or {}).get("state", {}).items():
        tensors |= {f"training.adam.{number}.{k}": v for k, v in moments.items()}
    return tensors


def state_words(state: FitState) -> dict[str, Any]:
    """The rest of it, as plain values."""
    words = {name: getattr(state, name) for name in _PLAIN}
    groups = None if state.done or state.optimizer is None else state.optimizer["param_groups"]
    best = state.best_loss if math.isfinite(state.best_loss) else None
    return words | {"best_loss": best, "groups": groups}


def state_from(tensors: dict[str, Tensor], words: dict[str, Any]) -> FitState:
    """The state of `state_tensors` and `state_words`."""
    words = dict(words)
    groups, best_loss = words.pop("groups"), words.pop("best_loss")
    best = below("training.best.", tensors) or None
    state = FitState(**words, best_loss=math.inf if best_loss is None else best_loss, best=best)
    state.generator = tensors.get("training.generator")
    if state.done:
        state.current = best
        return state
    state.current = below("training.current.", tensors) or None
    if groups is not None:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in below("training.adam.", tensors).items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = value
        state.optimizer = {"state": moments, "param_groups": groups}
    return state
