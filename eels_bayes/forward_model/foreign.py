"""Structures that the library lacks, told by pixels that look alike and like no class.

A pixel that no class describes may be anything. Many of them that look alike are one structure, and
what it looks like can be learned with the rest: an edge between those of the classes, which differs
from these by a misfit along the same modes as a fingerprint's own (`misfit`),

    f(E) = middle(E) + g(E) sum_m phi_m(E) b_m,    b_m ~ N(0, U^2)

with a wide ``U``, as a structure may be unlike all. Its pixels vary as those of a class do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.forward_model.factor_mixture import Shape
from eels_bayes.forward_model.factor_moments import N_COMMON, MisfitMoments
from eels_bayes.forward_model.misfit import Directions, Misfit

UNLIKE = 0.3  # of the library's local intensity that an unknown edge differs by; chosen, not tuned
LEAST_SHARE = 0.005  # of the pixels: a structure of fewer is none that was found
GAIN = 10.0  # nats by which it explains the pixels better: odds of e^10 leave no doubt
DOUBT = 1.0  # pixels that speak for each beforehand, foreign or not: a share is never 0 or 1


@dataclass(frozen=True, eq=False)
class Foreign:
    """F structures that the library lacks, in the B bins of a profile, M modes of misfit.

    Attributes
    ----------
    share : (F,) array
        Of all pixels.
    middle : (F, B) array
        Edge between those of the classes, edge units.
    common : (F, B, N_COMMON) array
        What a pixel's intensity, shift and broadening make of it.
    shared : (F, M) array
        By which each one differs from that: posterior mean of ``b``.
    covariance : (F, M, M) array
        Its posterior covariance.
    """

    share: Array
    middle: Array
    common: Array
    shared: Array
    covariance: Array

    @classmethod
    def none(cls, n_bins: int, n_modes: int) -> Foreign:
        """No such structure."""
        sizes = (0,), (0, n_bins), (0, n_bins, N_COMMON), (0, n_modes), (0, n_modes, n_modes)
        return cls(*(np.zeros(size) for size in sizes))

    def __len__(self) -> int:
        return len(self.share)

    def left(self, share: Array) -> Foreign:
        """Those that have a share (F,) of the pixels worth speaking of."""
        kept = share > LEAST_SHARE
        parts = (self.middle, self.common, self.shared, self.covariance)
        return Foreign(share[kept], *(part[kept] for part in parts))

    def edges(self, along: Directions) -> Array:
        """Their edges (F, B) in the bins, edge units."""
        edges: Array = self.middle + self.shared @ along.shape.T
        return edges


class Projection(NamedTuple):
    """From bins (B,) to whitened ones, and on to a basis (B, R) of these."""

    white: Array
    basis: Array

    def __call__(self, columns: Array) -> Array:
        """Columns (B, ...) as (R, ...)."""
        projected: Array = (self.basis * self.white[:, None]).T @ columns
        return projected


def foreign_shapes(
    foreign: Foreign, along: Directions, misfit: Misfit, to: Projection
) -> list[Shape]:
    """Components of these structures, the pixel's own misfit last; ``along`` is in the bins."""
    own = to(misfit.pixel * along.shape)
    return [
        Shape(to(edge), np.concatenate([to(common), own], axis=1))
        for edge, common in zip(foreign.edges(along), foreign.common, strict=True)
    ]


def learned(old: Foreign, pixels: Array, n: int, moments: MisfitMoments, own: float) -> Foreign:
    """These structures after an E-step.

    Parameters
    ----------
    old : Foreign
    pixels : (F,) array
        Of each, by their responsibilities.
    n : int
        Pixels in all.
    moments : MisfitMoments
        Of each one's pixels.
    own : float
        Relative sd of a pixel's own misfit.
    """
    precision = moments.information / own**2 + np.eye(old.shared.shape[1]) / UNLIKE**2
    covariance = np.linalg.inv(precision)
    towards = moments.first / own - old.shared / UNLIKE**2
    shared = old.shared + np.einsum("fmn,fn->fm", covariance, towards)
    share = (pixels + DOUBT) / (n + DOUBT * (1 + len(pixels)))
    return Foreign(share, old.middle, old.common, shared, covariance)


def log_density(foreign: Foreign, covariance: Array) -> float:
    """What such structures add to the fit's objective, nats.

    The shapes' prior at the posterior's mean and the posterior's entropy, whose constants cancel,
    and the prior of the shares: with it the objectives of fits with and without them compare.

    Parameters
    ----------
    foreign : Foreign
    covariance : (F, M, M) array
        What the pixels leave unknown of their shapes.
    """
    if not len(foreign):
        return 0.0
    _, log_det = np.linalg.slogdet(covariance)
    shapes = -0.5 * (foreign.shared**2).sum() / UNLIKE**2 + 0.5 * log_det.sum()
    shapes -= foreign.shared.size * np.log(UNLIKE)
    shares = np.log(foreign.share).sum() + np.log1p(-foreign.share.sum())
    return float(shapes + DOUBT * shares)
