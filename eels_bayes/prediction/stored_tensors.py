"""What the tensors of files must be that model files and compiled ones have in common.

Letters, one a dimension: B bins of a profile, U of them in the window, C components, O of unknown
structures and S directions of the evidence, T = C + O, X = T S, R = C (S + 1); D latent dimensions,
A of them that the Gaussian processes read; K classes of the library, W modes of the novelty.
"""

from __future__ import annotations

from typing import Any

import torch

from eels_bayes.preprocessing.counts_reader import N_NOISES
from eels_bayes.tensor_checks import (
    ABOVE_ZERO,
    ANY,
    ASCENDING,
    COUNTED,
    NOT_NEGATIVE,
    POSITIVE,
    SHARES,
    Expected,
    named,
)

F32, F64, INT, BOOL = torch.float32, torch.float64, torch.int64, torch.bool

PREPROCESSOR = {
    "reference": Expected("?", F32),
    "_ready": Expected("", BOOL),
    "noises": Expected(f"?{N_NOISES}", F64, ANY),
    "profile_bins": Expected("3", INT),
    "typical": Expected("?", F32),
    "typical_first": Expected("", F64),
    "ceiling": Expected("", F64, ABOVE_ZERO),
    "extractor.exponent": Expected("2", F32, ANY),
}
ENCODER = {
    "axes": Expected("DD", F32),
    "offset": Expected("CD", F32),
    "slope": Expected("CSD", F32),
    "spread": Expected("CD", F32, POSITIVE),
    "evidence.center": Expected("B", F32),
    "evidence.white": Expected("B", F32, POSITIVE),
    "evidence.middle": Expected("B", F32),
    "evidence.spread": Expected("B", F32, NOT_NEGATIVE),
    "evidence.log_weight": Expected("C", F32),
    "evidence.span": Expected("BS", F32),
    "evidence.axes": Expected("SX", F32),
    "evidence.offset": Expected("X", F32),
    "evidence.variance": Expected("TS", F32, NOT_NEGATIVE),
    "evidence.shown": Expected("RU", F32),
    "evidence.inside": Expected("U", INT, COUNTED),
    "evidence.brightness": Expected("", F32, POSITIVE),
}
NOVELTY = {
    "whitening": Expected("UW", F32),
    "center": Expected("W", F32),
    "usual": Expected("K", F32),
    "scatter": Expected("K", F32, POSITIVE),
    "table": Expected("K?", F32, ASCENDING),
    "dominant": Expected("CK", F32, SHARES),
}
VALUE = {  # GPConstants of one function
    "inducing": Expected("VA", F64),
    "lengthscale": Expected("A", F64, POSITIVE),
    "outputscale": Expected("", F64, POSITIVE),
    "mean": Expected("1", F64),
    "A": Expected("V1", F64),
    "B": Expected("1VV", F64),
}
KNOWN = named("known.", {"counts": Expected(None, F32), "columns": Expected(None, F32, ANY)})


def evidence_sizes(given: Any) -> dict[str, int]:
    """Sizes by their letters of B, S, C, O and U as settings hold them; ValueError where none."""
    sizes = [size for size in given if type(size) is int and size >= 0]
    if len(sizes) != 5 or len(given) != 5:
        raise ValueError(f"evidence is {given!r}; five sizes are needed")
    n_bins, n_span, n_components, n_unknown, n_window = sizes
    n_all = n_components + n_unknown
    return {
        **{"B": n_bins, "S": n_span, "C": n_components, "U": n_window},
        **{"T": n_all, "X": n_all * n_span, "R": n_components * (n_span + 1)},
    }
