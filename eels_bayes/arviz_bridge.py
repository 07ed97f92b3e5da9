"""Draws as ArviZ's data, and what changed with its version 1: containers and Pareto smoothing."""

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
    if _before_1(az):
        return az.InferenceData(**groups)
    return xarray.DataTree.from_dict(dict(groups))


def pareto_smoothed(log_weight: Array) -> tuple[Array, Array]:
    """Smooth the largest importance weights by the Pareto distribution that fits them.

    Vehtari et al., JMLR 25 (72), 2024.

    Parameters
    ----------
    log_weight : (n, S) array
        Of S draws for each of n targets, nats.

    Returns
    -------
    smoothed : (n, S) array
        The smaller ones as they are, and none larger than the largest was.
    k : (n,) array
        The shape of each tail.
    """
    az = arviz()
    with np.errstate(over="ignore"):  # a tail too long to smooth: its k says so
        if _before_1(az):
            smoothed, k = az.psislw(log_weight, normalize=False)
            return smoothed, np.asarray(k)
        from arviz_stats.base import array_stats

        # It takes log-likelihoods, whose negatives are log weights, and normalises these.
        normalised, k = array_stats.psislw(-log_weight)
    smallest = log_weight.argmin(1, keepdims=True)  # which is in no tail
    norm = np.take_along_axis(log_weight - normalised, smallest, 1)
    return normalised + norm, np.asarray(k)


def _before_1(az: Any) -> bool:
    """By the version: ArviZ 1 still answers to the name InferenceData, with a warning."""
    return int(az.__version__.split(".")[0]) < 1


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
