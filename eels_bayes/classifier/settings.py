"""What a classifier is to be, and how it is computed: its checked options in two bundles."""

from __future__ import annotations

import operator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.effort import Effort
from eels_bayes.latent.vae import LIKELIHOODS, Likelihood

Prior = Literal["fingerprint", "standard"]


class Plan(NamedTuple):
    """What a fit is to find; the fields are those of `EELSClassifier`."""

    library: FingerprintLibrary
    prior: Prior
    latent_dim: int
    likelihood: Likelihood
    class_weights: NDArray[np.float64] | None


class Settings(NamedTuple):
    """How a classifier computes; the fields are those of `EELSClassifier` and its methods."""

    effort: Effort
    seed: int
    device: torch.device
    show_progressbar: bool


def check_options(
    library: FingerprintLibrary,
    prior: str,
    latent_dim: int,
    likelihood: str,
    effort: Effort,
    seed: int,
) -> None:
    """Raise TypeError or ValueError where an option of `EELSClassifier` cannot be."""
    if not isinstance(library, FingerprintLibrary):
        raise TypeError(
            f"library is a {type(library).__name__}; make one with "
            "FingerprintLibrary.from_arrays or FingerprintLibrary.example"
        )
    if prior not in ("fingerprint", "standard"):
        raise ValueError(f"prior must be 'fingerprint' or 'standard', got {prior!r}")
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {sorted(LIKELIHOODS)}, got {likelihood!r}")
    if operator.index(latent_dim) < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
    if operator.index(seed) < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if not isinstance(effort, Effort):
        raise TypeError(
            f"effort is a {type(effort).__name__}; give an Effort, for example Effort.quick()"
        )
