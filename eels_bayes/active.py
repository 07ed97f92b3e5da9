"""Active learning: which pixel to label, and which to measure again."""

from eels_bayes.acquisition import (
    bald,
    batch_bald,
    best,
    encoder_gain,
    entropy,
    epig,
    margin,
    random,
)
from eels_bayes.active_loop import ActiveLoop
from eels_bayes.journal import Query

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
