"""Random streams: each use has one of its own, and the process's are left as they were.

Torch's stream and Pyro's stack belong to the process: what uses them takes turns.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import torch

POLL = 0.1  # s between looks at Ctrl-C while waiting, which on Windows gets through there only

_turn = threading.RLock()


class Stream(IntEnum):
    """What a classifier's seed is used for; streams of one seed are independent.

    The numbers are part of what a seed means: another number is another result.
    """

    VAE = 1
    GP_LATENTS = 2
    HELD_OUT = 3
    NOVELTY = 4
    VALUE_CALIBRATION = 5
    VALUE_LATENTS = 6
    UPDATE_PIXELS = 7
    CLASS_SHARES = 8
    READING_LOSS = 9


class DiagnosticStream(IntEnum):
    """What a diagnostic's seed is used for, beside its own first draws.

    A diagnostic has a seed of its own, not the classifier's: numbers may be those of `Stream`.
    """

    RANKS = 1
    REPLICATES = 2


def stream(seed: int, use: Stream | DiagnosticStream) -> np.random.Generator:
    """The generator of one use of a seed.

    Parameters
    ----------
    seed : int
        Not negative.
    use : Stream or DiagnosticStream

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng([seed, use])


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let no other thread in meanwhile that says `alone` too; a thread may say it again inside."""
    held = False
    try:
        while not held:
            held = _turn.acquire(timeout=POLL)
        yield
    finally:
        if held:
            _turn.release()


@contextlib.contextmanager
def own_randomness(seed: int | None = None) -> Iterator[None]:
    """Leave the process's random streams, CUDA's included, as they were; seed them inside.

    One thread at a time: streams of the process are common to all.
    """
    with alone(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if seed is not None:
            torch.manual_seed(seed)
        yield
