"""Active learning: which pixel to label, and which to measure again."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eels_bayes.active.acquisition import (
        bald,
        batch_bald,
        best,
        entropy,
        epig,
        margin,
        random,
    )
    from eels_bayes.active.frame_gain import encoder_gain
    from eels_bayes.active.journal import Query
    from eels_bayes.active.loop import ActiveLoop

# Public name -> the module that defines it, and its name there.
_HOME = {
    "ActiveLoop": "loop:ActiveLoop",
    "Query": "journal:Query",
    "bald": "acquisition:bald",
    "batch_bald": "acquisition:batch_bald",
    "best": "acquisition:best",
    "encoder_gain": "frame_gain:encoder_gain",
    "entropy": "acquisition:entropy",
    "epig": "acquisition:epig",
    "margin": "acquisition:margin",
    "random": "acquisition:random",
}

__all__ = [
    "ActiveLoop",
    "Query",
    "bald",
    "batch_bald",
    "best",
    "encoder_gain",
    "entropy",
    "epig",
    "margin",
    "random",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value: object = import_module(f"{__name__}.{module}")
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
