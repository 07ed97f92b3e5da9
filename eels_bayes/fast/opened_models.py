"""Models that a process has opened, by the bytes of their files: each is compiled once.

PyTorch keeps what it compiles until the process ends, and compiling takes a second: tasks that
bring a model along must not open it again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

MOST = 4  # that are kept: a process reads with one, or compares a few

_turn = threading.Lock()
_known: OrderedDict[str, Any] = OrderedDict()


def opened(data: bytes, open_bytes: Callable[[bytes], Any]) -> Any:
    """The model of a file's bytes; opened only where this process has not yet."""
    return _kept(data, lambda: open_bytes(data))


def keep(data: bytes, model: Any) -> None:
    """Remember that these bytes are this model's, which is open already."""
    _kept(data, lambda: model)


def _kept(data: bytes, make: Callable[[], Any]) -> Any:
    key = hashlib.sha256(data).hexdigest()
    with _turn:  # others wait: compiling twice would take as long
        if key not in _known:
            _known[key] = make()
        _known.move_to_end(key)
        while len(_known) > MOST:
            _known.popitem(last=False)
        return _known[key]
