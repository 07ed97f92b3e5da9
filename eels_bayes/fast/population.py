"""What a compiled classifier knows of the spectra it was fitted to, besides how to read one.

A compiled reader holds every component's mean and covariance, but not what of them is the
continuum's and may drift. A file keeps this beside the reader; readings do not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from eels_bayes.tensor_checks import DEFINITE, NOT_NEGATIVE, Expected, below

PREFIX = "population."  # of the names in a file

# Letters as in `prediction.stored_tensors`; P coefficients of the continuum.
TENSORS = {
    "columns": Expected("BP", torch.float64),
    "mean": Expected("P", torch.float64),
    "covariance": Expected("PP", torch.float64, DEFINITE),
    "single": Expected("?", torch.int64, NOT_NEGATIVE),
}


class Population(NamedTuple):
    """The population of the continuum's coefficients ``u``; see `forward_model.model`.

    Attributes
    ----------
    columns : Tensor (B, P)
        What a profile, in units of its norm, gains with each coefficient; the overlapping shapes'
        come last.
    mean, covariance : Tensor (P,) and (P, P)
        Of the coefficients among the spectra of the fit.
    single : Tensor (S,) of int64
        The class of each of the first components, which hold one alone.
    """

    columns: Tensor
    mean: Tensor
    covariance: Tensor
    single: Tensor


def as_stored(population: Population | None) -> dict[str, Tensor]:
    """Tensors of a population by their names in a file; none where it is not known."""
    if population is None:
        return {}
    return {f"{PREFIX}{name}": x.contiguous() for name, x in population._asdict().items()}


def stored(tensors: Mapping[str, Tensor], dominant: Tensor) -> Population | None:
    """The population that a file holds; None in files that were written without.

    Raises
    ------
    ValueError
        If its single components are not of the classes that dominate them (C, K), or not of all.
    """
    own = below(PREFIX, tensors)
    if not own:
        return None
    single, n_classes = own["single"], dominant.shape[1]
    of_classes = torch.equal(single, dominant[: len(single)].argmax(1))
    if not of_classes or not torch.equal(single.unique(), torch.arange(n_classes)):
        raise ValueError("population.single holds other classes than its components")
    return Population(**own)
