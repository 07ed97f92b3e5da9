"""What an E-step says of components' factors: sums over the pixels, and what these amount to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array

N_COMMON = 3  # leading loadings that mean the same in every component
SHIFT = 1  # of these, which one is the shift
NO_PIXELS = 1e-9  # pixels: keeps the mean over none finite


class MisfitMoments(NamedTuple):
    """What an E-step says of the pixels' misfits ``c / S``, by component (C of them).

    Attributes
    ----------
    first : (C, M) array
        Sums of their means.
    square : (C,) array
        Sums of their means' squares.
    information : (C, M, M) array
        Sums of what was learned of them: prior less posterior covariance.
    """

    first: Array
    square: Array
    information: Array


class ShiftMoments(NamedTuple):
    """What an E-step says of the pixels' shifts, in their sd, by component (C of them).

    Attributes
    ----------
    first : (C,) array
        Sums of their means.
    information : (C,) array
        Sums of what was learned of them: prior less posterior variance.
    with_misfit : (C, M) array
        The same between them and the pixels' misfits.
    """

    first: Array
    information: Array
    with_misfit: Array


class CommonMoments(NamedTuple):
    """What an E-step says of the factors that components have in common, a mean over the pixels.

    Attributes
    ----------
    mean, square : (N_COMMON,) arrays
        Of their posterior means, and of the squares of these.
    information : (N_COMMON,) array
        Of what was learned of them: prior less posterior variance.
    """

    mean: Array
    square: Array
    information: Array


@dataclass
class FactorSums:
    """Over pixels, weighted by how likely each is of a component.

    Attributes
    ----------
    weight : float
        Sum of the weights.
    mean : (F,) array
        Of the factors' posterior means.
    moment : (F, F) array
        Of these means' outer products.
    left : (F,) or (F, F) array
        Of the factors' posterior variances, along the basis that makes them independent, or of
        their covariances.
    """

    weight: float
    mean: Array
    moment: Array
    left: Array

    @classmethod
    def of_none(cls, n_factors: int) -> FactorSums:
        """Over no pixel."""
        return cls(0.0, np.zeros(n_factors), np.zeros((n_factors, n_factors)), np.zeros(n_factors))

    def add(self, mean: Array, weight: Array, variance: Array) -> None:
        """Further pixels: means (F, n), weights (n,), variances (F, n)."""
        self.weight += float(weight.sum(dtype=float))
        self.mean += mean @ weight
        self.moment += (mean * weight) @ mean.T
        self.left += variance @ weight

    def turned(self, basis: Array) -> FactorSums:
        """The same of the factors themselves, of which ``basis`` (F, F) holds the directions."""
        return FactorSums(
            self.weight,
            basis @ self.mean,
            basis @ self.moment @ basis.T,
            (basis * self.left) @ basis.T,
        )


def common_moments(moments: list[FactorSums], means: list[Array], p: int) -> CommonMoments:
    """What is said of the common factors, which follow the ``p`` of the continuum.

    ``means`` are the components' own.
    """
    common, n_common, own = np.zeros((3, N_COMMON)), NO_PIXELS, slice(p, p + N_COMMON)
    for each, mean in zip(moments, means, strict=True):
        if np.abs(mean).max() > 0:  # a class without an edge says nothing of the library
            information = each.weight - np.diag(each.left)[own]
            common += [each.mean[own], np.diag(each.moment)[own], information]
            n_common += each.weight
    return CommonMoments(*(common / n_common))


def misfit_moments(moments: list[FactorSums], n_misfit: int) -> MisfitMoments:
    """What is said of the last factors, which are the pixels' misfits."""
    own = [slice(len(each.mean) - n_misfit, None) for each in moments]
    known = list(zip(moments, own, strict=True))
    n = len(known)
    return MisfitMoments(
        np.reshape([each.mean[m] for each, m in known], (n, n_misfit)),
        np.array([np.trace(each.moment[m, m]) for each, m in known]),
        np.reshape(
            [each.weight * np.eye(n_misfit) - each.left[m, m] for each, m in known],
            (n, n_misfit, n_misfit),
        ),
    )


def shift_moments(moments: list[FactorSums], p: int, n_misfit: int) -> ShiftMoments:
    """What is said of the shifts; the common factors follow the ``p`` of the continuum."""
    own = p + SHIFT
    misfits = [slice(len(each.mean) - n_misfit, None) for each in moments]
    return ShiftMoments(
        np.array([each.mean[own] for each in moments]),
        np.array([each.weight - each.left[own, own] for each in moments]),
        np.array([-each.left[own, m] for each, m in zip(moments, misfits, strict=True)]),
    )
