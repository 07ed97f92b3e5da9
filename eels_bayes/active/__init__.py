"""Active learning: which pixel to label, and which to measure again."""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOME)
