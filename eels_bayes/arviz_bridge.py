"""Draws as ArviZ's data, InferenceData or DataTree, whichever its version takes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray

from eels_bayes.arrays import Array


def inference_data(groups: Mapping[str, xarray.Dataset]) -> Any:
    """Put Datasets together as what the installed ArviZ works with.

    Parameters
    ----------
    groups : mapping of str to xarray.Dataset
        By ArviZ's names: posterior, sample_stats, prior_predictive, constant_data ...

    Returns
    -------
    arviz.InferenceData (ArviZ below 1) or xarray.DataTree (ArviZ 1 and above)
    """
    az = arviz()
    # By the version: ArviZ 1 still answers to the name InferenceData, with a warning.
    if int(az.__version__.split(".")[0]) < 1:
        return az.InferenceData(**groups)
    return xarray.DataTree.from_dict(dict(groups))


def arviz() -> Any:
    """ArviZ, without the announcement of its successor that version 0.23 makes on import."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing", FutureWarning)
        import arviz as az
    return az


def dataset(variables: dict[str, Any], **coords: Array) -> xarray.Dataset:
    """Variables {name: (dims, values, ...)} as a Dataset; coordinates not given are numbers."""
    sizes: dict[str, int] = {}
    for dims, values, *_ in variables.values():
        sizes |= dict(zip(dims, values.shape, strict=True))
    numbered = {dim: np.arange(size) for dim, size in sizes.items()}
    return xarray.Dataset(variables, coords=numbered | coords)
