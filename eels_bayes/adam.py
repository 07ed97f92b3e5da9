"""Adam, without torch's optimisers: the first of these imports torch's compiler, for seconds.

D. P. Kingma and J. Ba, ICLR 2015, with the learning rate falling to zero along a half cosine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MEMORY = (0.9, 0.999)  # of gradients and of their squares, a step: as published
LEAST_ROOT = 1e-8  # beside the root of the mean square: as published


def falling(rate: float, progress: float) -> float:
    """The learning rate after a share ``progress`` of all steps."""
    return 0.5 * rate * (1.0 + math.cos(math.pi * progress))


class Adam:
    """Steps of parameters along their gradients, each in units of its gradient's usual size.

    Parameters
    ----------
    parameters : iterable of Tensor
        Changed in place; those without a gradient stay.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        self._parameters = list(parameters)
        self._mean = [torch.zeros_like(x) for x in self._parameters]
        self._square = [torch.zeros_like(x) for x in self._parameters]
        self._steps = 0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step at this learning rate."""
        self._steps += 1
        of_mean, of_square = (1.0 - memory**self._steps for memory in MEMORY)
        for parameter, mean, square in zip(self._parameters, self._mean, self._square, strict=True):
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 1.0 - MEMORY[0])
            square.mul_(MEMORY[1]).addcmul_(parameter.grad, parameter.grad, value=1.0 - MEMORY[1])
            root = square.sqrt().div_(math.sqrt(of_square)).add_(LEAST_ROOT)
            parameter.addcdiv_(mean, root, value=-rate / of_mean)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, by the names that torch's Adam has for it."""
        steps = torch.tensor(float(self._steps), dtype=torch.float32)
        moments = zip(self._mean, self._square, strict=True)
        state = {
            i: {"step": steps, "exp_avg": mean.clone(), "exp_avg_sq": square.clone()}
            for i, (mean, square) in enumerate(moments)
        }
        return {"state": state, "param_groups": []}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; what is not told begins anew."""
        for i, moments in state.get("state", {}).items():
            self._mean[i].copy_(moments["exp_avg"])
            self._square[i].copy_(moments["exp_avg_sq"])
            self._steps = int(moments["step"])
