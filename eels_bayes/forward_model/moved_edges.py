"""What the variations of a library make of its edges: mean, linear terms, and what is beyond them.

A pixel's edge is moved by a normal shift ``d = s x`` and broadened by a half-normal ``sigma = w z``
of variance ``w^2 z^2``. Its mean over both, and its regression on ``x`` and on ``(z^2 - 1) /
sqrt(2)``, which are uncorrelated and of unit variance, are the linear-Gaussian model that comes
nearest; what these leave has a covariance of its own. On lines as narrow as their shifts are wide
that is what matters at high dose. All are sums over Gauss-Hermite nodes (Golub and Welsch, Math.
Comput. 23, 221 (1969)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from eels_bayes.arrays import Array
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.variations import Variations

SHIFTS = 5  # nodes; exact to the ninth power of a shift
WIDTHS = 4  # nodes of the broadening; exact to its seventh


class Nodes(NamedTuple):
    """Shifts and broadenings (V of them) that an edge is averaged over.

    Attributes
    ----------
    shift, variance : (V,) arrays
        eV, and eV^2 of the Gaussian that broadens.
    linear : (2, V) array
        Standardised factors of shift and of squared broadening.
    weight : (V,) array
        Sums to one.
    """

    shift: Array
    variance: Array
    linear: Array
    weight: Array


class MovedEdge(NamedTuple):
    """An edge (N,) under its variations.

    Attributes
    ----------
    mean : (N,) array
    linear : (2, N) array
        By one sd of the shift and of the squared broadening.
    beyond : (V, N) array
        Rows whose sum of outer products is the covariance of what is left.
    """

    mean: Array
    linear: Array
    beyond: Array


def nodes(vary: Variations) -> Nodes:
    """What a library's variations are averaged over."""
    x, of_x = hermegauss(SHIFTS)
    z, of_z = hermegauss(2 * WIDTHS)
    z, of_z = z[WIDTHS:], of_z[WIDTHS:]
    x, z = (each.ravel() for each in np.meshgrid(x, z, indexing="ij"))
    weight = np.outer(of_x, of_z).ravel()
    linear = np.array([x, (z**2 - 1.0) / np.sqrt(2.0)])
    return Nodes(vary.shift * x, (vary.broadening * z) ** 2, linear, weight / weight.sum())


def moved_edge(edge: Array, step: float, shift: float, variance: float, over: Nodes) -> MovedEdge:
    """An edge (N,) under its variations.

    Parameters
    ----------
    edge : (N,) array
    step : float
        Channels, eV.
    shift, variance : float
        Of all pixels alike: eV, and eV^2 of the Gaussian that broadens.
    over : Nodes
    """
    rows = shift_and_broaden(
        edge[None],
        (shift + over.shift) / step,
        np.sqrt(np.maximum(variance, 0.0) + over.variance) / step,
        np.zeros(len(over.weight), dtype=int),
    )
    mean = over.weight @ rows
    linear = (over.linear * over.weight) @ rows
    left = rows - mean - over.linear.T @ linear
    return MovedEdge(mean, linear, np.sqrt(over.weight)[:, None] * left)
