"""What a model file's tensors must be, so that they fit together.

Letters as in `prediction.stored_tensors`; besides, G classes of the GP, N = G + 1, M inducing
points, L channels, J variations of a fingerprint, E modes of the misfit, P coefficients of the
continuum, F structures that the library lacks, H classes and these, Q pixels held out, Y and Z
labelled pixels and latents.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eels_bayes.forward_model.components import LEVELS
from eels_bayes.forward_model.factor_moments import N_COMMON
from eels_bayes.prediction.stored_tensors import (
    ENCODER,
    F32,
    F64,
    INT,
    KNOWN,
    NOVELTY,
    PREPROCESSOR,
    VALUE,
    evidence_sizes,
)
from eels_bayes.tensor_checks import (
    ASCENDING,
    COUNTED,
    COVARIANCE,
    DEFINITE,
    NOT_NEGATIVE,
    POSITIVE,
    Expected,
    check_tensors,
    named,
)

# Shapes of libraries' arrays are compared where a library is made.
_LIBRARY = {
    "energy": Expected(None, F64, ASCENDING),
    "intensity": Expected(None, F64),
    "labels": Expected(None, INT, NOT_NEGATIVE),
    "nuisances": Expected(None, F64),
    "values": Expected(None, F64),
}
_VAE = {
    "scale": Expected("", F32, POSITIVE),
    "log_b": Expected("", F32),
    "fingerprints": Expected("GJL", F32),
    "class_weights": Expected("N", F32, NOT_NEGATIVE),
    "*": Expected(None, F32),  # weights of the networks
}
_GP = {
    "inducing": Expected("MA", F64),
    "lengthscale": Expected("A", F64, POSITIVE),
    "outputscale": Expected("", F64, POSITIVE),
    "variational_mean": Expected("GM", F64),
    "variational_factor": Expected("GMM", F64),
    "jitter": Expected("", F64, NOT_NEGATIVE),
}
_FORWARD = {
    "mean_profile": Expected("B", F64, POSITIVE),
    "middle": Expected("B", F64),
    "spread": Expected("B", F64, NOT_NEGATIVE),
    "mean": Expected("P", F64),
    "covariance": Expected("PP", F64, DEFINITE),
    "within": Expected("PP", F64, DEFINITE),
    "class_weights": Expected("K", F64, NOT_NEGATIVE),
    "pair_weights": Expected("KK", F64, NOT_NEGATIVE),
    "level_weights": Expected(f"K{len(LEVELS)}", F64, NOT_NEGATIVE),
    "pairs": Expected("?2", INT, NOT_NEGATIVE),
    "log_likelihood": Expected("?", F64),
}
_CONTINUUM = {
    "energy": Expected("B", F64, ASCENDING),
    "window": Expected("2", F64, ASCENDING),
    "reference": Expected("2", F64),
    "free": Expected("?B", F64),
}
_MISFIT = {
    "shape": Expected("BE", F64),
    "amplitude": Expected("K", F64, NOT_NEGATIVE),
    "shared": Expected("KE", F64),
    "covariance": Expected("KEKE", F64, COVARIANCE),
}
_FOREIGN = {
    "share": Expected("F", F64, POSITIVE),
    "middle": Expected("FB", F64),
    "common": Expected(f"FB{N_COMMON}", F64),
    "shared": Expected("FE", F64),
    "covariance": Expected("FEE", F64, DEFINITE),
}
_REPORT = {
    "n_pixels": Expected("", INT, NOT_NEGATIVE),
    **dict.fromkeys(("dim", "brightness"), Expected("", F64, NOT_NEGATIVE)),
    "library_error": Expected("3", F64, NOT_NEGATIVE),
    **dict.fromkeys(("chi_square", "chi_square_error"), Expected("", F64)),
    "energy": Expected("U", F64, ASCENDING),
    **dict.fromkeys(("class_pixels", "share_error"), Expected("H", F64, NOT_NEGATIVE)),
    **dict.fromkeys(("class_chi_square", "class_chi_square_error"), Expected("H", F64)),
    **dict.fromkeys(("edge_scatter", "edge_scatter_error"), Expected("H", F64, NOT_NEGATIVE)),
    "band": Expected("HU", F64, NOT_NEGATIVE),
    **dict.fromkeys(("residual", "edge", "edge_fit", "fingerprint"), Expected("HU", F64)),
}
_PARTS = {
    "library": _LIBRARY,
    "shown": _LIBRARY | {"energy": Expected("L", F64, ASCENDING)},
    "vae": _VAE,
    "gp": _GP,
    "forward": _FORWARD,
    "continuum": _CONTINUUM,
    "misfit": _MISFIT,
    "foreign": _FOREIGN,
    "report": _REPORT,
    "learned": {
        "class_weights": Expected("G", F64, NOT_NEGATIVE),
        "profile": Expected("YB", F32),
        "level": Expected("Y", F32, NOT_NEGATIVE),
        "latent": Expected("ZD", F32),
    },
    "encoder": ENCODER,
    "novelty": NOVELTY,
    "preprocessor": PREPROCESSOR,
    "value": VALUE
    | {"noise_var": Expected("", F64, NOT_NEGATIVE)}
    | dict.fromkeys(("reach", "reach_of_mixed"), Expected("?", F64, COUNTED)),
}
TENSORS = {
    "energy": Expected("L", F64, ASCENDING),
    "class_weights": Expected("K", F64, POSITIVE),
    "held_out": Expected("Q", INT, COUNTED),
    **KNOWN,
}
for _part, _table in _PARTS.items():
    TENSORS |= named(f"{_part}.", _table)


# Of a fit under way, besides what of the rest there is already.
_CHECKPOINT = {
    **TENSORS,
    "training.generator": Expected("?", torch.uint8),
    "training.*": Expected(None, F32),
}


def checked(tensors: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors of a model that are what they must be, before anything is built from them.

    Raises KeyError, TypeError or ValueError where they disagree, or what they are compared with is
    missing.
    """
    learned = config["learned"]
    n_library, n_classes = len(config["class_names"]), len(learned["class_names"])
    sizes = {"K": n_library, "G": n_classes, "N": n_classes + 1, "D": config["latent_dim"]}
    sizes["Q"] = config["classifier"]["held_out"]["n"]
    sizes |= {"Y": len(learned["pixel_names"]), "Z": len(learned["latent_names"])}
    return check_tensors(tensors, TENSORS, sizes | evidence_sizes(config["evidence"]))


def checked_checkpoint(
    tensors: dict[str, Tensor], config: dict[str, Any], n_classes: int, latent_dim: int
) -> dict[str, Tensor]:
    """Tensors of a fit under way that are what they must be; raises as `checked` does."""
    sizes = {"K": n_classes, "G": n_classes, "N": n_classes + 1, "D": latent_dim}
    if "evidence" in config:  # it has its encoder
        sizes |= evidence_sizes(config["evidence"])
    return check_tensors(tensors, _CHECKPOINT, sizes)
