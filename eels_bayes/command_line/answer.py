"""What a command answers: words for people, values for programs, and whether to trust them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answer:
    """What a command answers.

    Attributes
    ----------
    text : str
        For people.
    values : mapping
        The same for programs: plain values and arrays.
    trusted : bool
        Whether nothing was found that speaks against what was done.
    """

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    trusted: bool = True


def as_json(values: Any) -> str:
    """Plain values, arrays and numbers as one line of JSON; what is no finite number is null."""
    return json.dumps(_plain(values), allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
