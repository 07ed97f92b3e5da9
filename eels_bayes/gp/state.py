"""The state of a trained classifier: a plain dictionary of tensors, checked before it is read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# Tensors of a classifier's state and how many dimensions each has.
STATE_NDIM = {
    "inducing": 2,
    "lengthscale": 1,
    "outputscale": 0,
    "variational_mean": 2,
    "variational_factor": 3,
    "jitter": 0,
}


def checked_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of `STATE_NDIM` in float64.

    Parameters
    ----------
    state : mapping of str to Tensor
        As `GPClassifier.state` gives it, of any floating-point dtype.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    ValueError
        If a tensor is missing or shapes do not belong together.
    """
    tensors: dict[str, Tensor] = {}
    for name, ndim in STATE_NDIM.items():
        if name not in state:
            raise ValueError(f"state lacks {name!r}; it has {sorted(state)}")
        tensors[name] = state[name].detach().to(torch.float64)
        if tensors[name].ndim != ndim:
            raise ValueError(
                f"state[{name!r}] must have {ndim} dimensions, got shape {tuple(state[name].shape)}"
            )
    n_inducing, dim = tensors["inducing"].shape
    n_classes = tensors["variational_mean"].shape[0]
    expected = {
        "lengthscale": (dim,),
        "variational_mean": (n_classes, n_inducing),
        "variational_factor": (n_classes, n_inducing, n_inducing),
    }
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ValueError(
                f"state[{name!r}] must have shape {shape} to go with inducing "
                f"{(n_inducing, dim)}, got {tuple(tensors[name].shape)}"
            )
    return tensors
