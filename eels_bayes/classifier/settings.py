"""What a classifier is to be, and how it is computed: its checked options in two bundles."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes import validation
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
    validation.choice("prior", prior, ("fingerprint", "standard"))
    validation.choice("likelihood", likelihood, sorted(LIKELIHOODS))
    validation.whole("latent_dim", latent_dim)
    validation.seed(seed)
    if not isinstance(effort, Effort):
        raise TypeError(
            f"effort is a {type(effort).__name__}; give an Effort, for example Effort.quick()"
        )


def checked_device(device: str | torch.device) -> torch.device:
    """A device that torch knows and that is there.

    Raises
    ------
    TypeError, ValueError
        If it is none, or none like it is there.
    """
    try:
        found = torch.device(device)
        torch.empty(0, dtype=torch.float32, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        cards = torch.cuda.device_count()
        raise kind(
            f"device is {device!r}; one that torch has here is needed: 'cpu'"
            + (f" or 'cuda:0' to 'cuda:{cards - 1}'" if cards else ", as no graphics card is seen")
        ) from error
    return found
