"""Array aliases of annotations, and arrays as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Array = NDArray[Any]
Ints = NDArray[np.int64]


def tensor(array: NDArray[Any] | Tensor) -> Tensor:
    """As torch takes it, in single precision."""
    import torch

    return torch.as_tensor(array, dtype=torch.float32)
