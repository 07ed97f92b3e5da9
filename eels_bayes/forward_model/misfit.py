"""What fingerprints miss of the real edge: the same in all pixels, and another in each.

References of another laboratory or another simulation are never quite right. The edge of class k is

    f_k(E) + a_k g(E) sum_m phi_m(E) (b_km + c_m),    b_km ~ N(0, T^2),  c_m ~ N(0, S^2)

with the library's local intensity ``g``, the class's own over it ``a_k``, and smooth modes ``phi``.
All pixels of a class share ``b``; each has a ``c`` of its own. ``T`` and ``S`` are relative and are
learned, so that a library which is right costs nothing, and one which is not makes no pixel surer
than its misfit allows, whatever the dose. The modes are those of a squared-exponential Gaussian
process (Kennedy and O'Hagan, J. R. Stat. Soc. B 63, 425 (2001), on the discrepancy of a model).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d

from eels_bayes.arrays import Array
from eels_bayes.forward_model.directions import negligible_out
from eels_bayes.forward_model.factor_mixture import Shape

LENGTH = 1.0  # bins that a misfit is correlated over: bins are as fine as the edge is sharp
SMEARED = 2.0  # correlation lengths that the local intensity is taken over
LEAST_MODE = 0.02  # of the largest mode's variance: what is finer is noise
START = 0.03  # relative, of both misfits where the fit begins
LEAST_MISFIT = 1e-3  # relative: none is quite ruled out, or it could not come back
MOST_MISFIT = 0.5  # relative: a library further off describes nothing
LEAST_NORM = 1e-12  # edge units: keeps a library without any edge finite


@dataclass(frozen=True, eq=False)
class Directions:
    """Where and how fingerprints may miss the edge.

    Attributes
    ----------
    shape : (B, M) array
        Misfit of 1 along each mode, in the bins of a profile, edge units.
    amplitude : (K,) array
        Intensity of each class over that of the library.
    norm : float
        That of the library, edge units.
    """

    shape: Array
    amplitude: Array
    norm: float

    def of_classes(self, known: list[int | None], edges: Array) -> Directions:
        """For other classes: which of these each one is, None for a new one of mean edge (B,)."""
        amplitude = _norms(edges, self.shape) / self.norm
        for row, k in enumerate(known):
            if k is not None:
                amplitude[row] = self.amplitude[k]
        return replace(self, amplitude=amplitude)

    def on(self, energy: Array, axis: Array) -> Array:
        """The modes (M, N), which bins (B,) show, on another axis (N,), both in eV."""
        rows = [np.interp(axis, energy, mode, left=0.0, right=0.0) for mode in self.shape.T]
        return np.reshape(rows, (self.shape.shape[1], len(axis)))


@dataclass(frozen=True, eq=False)
class Misfit:
    """Relative misfit of a library of K classes along M modes.

    Attributes
    ----------
    pixel, shared_sd : float
        Relative sd of each pixel's own misfit, and of what all pixels share, before it is known.
    shared : (K, M) array
        What they share: posterior mean of ``b``.
    covariance : (K, M, K, M) array
        Its posterior covariance.
    """

    pixel: float
    shared_sd: float
    shared: Array
    covariance: Array

    @classmethod
    def unknown(cls, n_classes: int, n_modes: int) -> Misfit:
        """Before anything is known of it."""
        return cls(START, START, np.zeros((n_classes, n_modes)), _alone(START, n_classes, n_modes))

    @property
    def of_class(self) -> Array:
        """Relative size (K,) of what all pixels of a class share: the modes' sum has variance 1."""
        if not self.shared.size:
            return np.zeros(len(self.shared))
        return np.sqrt((self.shared**2).mean(1))

    def of_classes(self, known: list[int | None]) -> Misfit:
        """For other classes: which of these each one is, None for a new one."""
        n_modes = self.shared.shape[1]
        shared = np.zeros((len(known), n_modes))
        covariance = _alone(self.shared_sd, len(known), n_modes)
        new = [row for row, k in enumerate(known) if k is not None]
        old = [k for k in known if k is not None]
        shared[new] = self.shared[old]
        for row, k in zip(new, old, strict=True):
            covariance[row, :, new] = self.covariance[k, :, old]
        return replace(self, shared=shared, covariance=covariance)

    def spread(self, weight: Array) -> Array:
        """Root (M, M) of the covariance of one pixel's whole misfit about ``shared``.

        ``weight`` (K,) is the share of each class in it times the class's amplitude.
        """
        covariance = np.einsum("k,kmln,l->mn", weight, self.covariance, weight)
        covariance += (weight.sum() * self.pixel) ** 2 * np.eye(len(covariance))
        value, vector = np.linalg.eigh(covariance)
        root: Array = vector * np.sqrt(np.maximum(value, 0.0))
        return root

    def draw(self, weight: Array, rng: np.random.Generator) -> Array:
        """Misfits (n, M) about ``shared`` of pixels whose classes weigh (n, K)."""
        n_classes, n_modes = self.shared.shape
        value, vector = self._principal
        doubt = rng.standard_normal((len(weight), len(value))) * np.sqrt(np.maximum(value, 0.0))
        of_class = (doubt @ vector.T).reshape(len(weight), n_classes, n_modes)
        own = weight.sum(1, keepdims=True) * self.pixel
        drawn: Array = np.einsum("nk,nkm->nm", weight, of_class)
        return drawn + own * rng.standard_normal((len(weight), n_modes))

    @cached_property
    def _principal(self) -> tuple[Array, Array]:
        """Variances and axes of the doubt about ``shared``: of many classes these take long."""
        size = self.shared.size
        value, vector = np.linalg.eigh(self.covariance.reshape(size, size))
        return value, vector


def directions(energy: Array, edges: Array, window: tuple[float, float]) -> Directions:
    """Where and how fingerprints may miss the edge.

    Parameters
    ----------
    energy : (B,) array
        Bin centres, eV.
    edges : (K, B) array
        Mean edge of each class in the bins.
    window : (low, high)
        eV.

    Returns
    -------
    Directions
    """
    width = energy[1] - energy[0]
    inside = (energy > window[0]) & (energy < window[1])
    here = energy[inside]
    local = np.sqrt(gaussian_filter1d((edges**2).mean(0), SMEARED * LENGTH))[inside]
    # a misfit ends where the window does
    local *= np.minimum(np.minimum(here - window[0], window[1] - here) / (LENGTH * width), 1.0)
    kernel = np.exp(-0.5 * ((here[:, None] - here) / (LENGTH * width)) ** 2)
    value, vector = np.linalg.eigh(kernel)
    kept = value > LEAST_MODE * value[-1]
    shape = np.zeros((len(energy), int(kept.sum())))
    shape[inside] = vector[:, kept] * np.sqrt(value[kept]) * local[:, None]
    norms = _norms(edges, shape)
    norm = max(float(np.sqrt((norms**2).mean())), LEAST_NORM)
    return Directions(shape, norms / norm, norm)


def shared_on(along: Directions, misfit: Misfit, energy: Array, axis: Array) -> Array:
    """What all pixels of each class miss (K, N) on an axis (N,); ``energy`` (B,) is the bins'."""
    missed: Array = (misfit.shared * along.amplitude[:, None]) @ along.on(energy, axis)
    return missed


def with_misfit(
    shapes: list[Shape], share: Array, along: Directions, misfit: Misfit
) -> list[Shape]:
    """Components whose pixels miss them: moved by what is shared, and with a pixel's own factors.

    Parameters
    ----------
    shapes : list of Shape
        C of them, in R dimensions.
    share : (C, K) array
        Of each class in each component.
    along : Directions
        In these dimensions.
    misfit : Misfit
    """
    return [
        Shape(
            shape.mean + along.shape @ (row @ misfit.shared),
            np.concatenate([shape.loadings, row.sum() * misfit.pixel * along.shape], axis=1),
        )
        for shape, row in zip(shapes, share * along.amplitude, strict=True)
    ]


def spread_by_misfit(
    shapes: list[Shape], share: Array, along: Directions, misfit: Misfit, noise: float
) -> list[Shape]:
    """Components about means that the shared misfit is part of, with all that is not known of it.

    Parameters
    ----------
    shapes, share, along, misfit :
        As in `with_misfit`.
    noise : float
        Variance of the noise along any direction: what hardly adds to it is left out.
    """
    wider = []
    for shape, row in zip(shapes, share * along.amplitude, strict=True):
        spread = negligible_out(along.shape @ misfit.spread(row), noise)
        loadings = np.concatenate([shape.loadings, spread], axis=1)
        wider.append(Shape(shape.mean, loadings))
    return wider


def _norms(edges: Array, shape: Array) -> Array:
    """Norms (K,) of edges (K, B) where misfits (B, M) can be."""
    inside = np.abs(shape).max(1, initial=0.0) > 0
    norms: Array = np.sqrt((edges[:, inside] ** 2).sum(1))
    return norms


def _alone(sd: float, n_classes: int, n_modes: int) -> Array:
    """Covariance (K, M, K, M) of which nothing is known but the sd."""
    size = n_classes * n_modes
    return (sd**2 * np.eye(size)).reshape(n_classes, n_modes, n_classes, n_modes)
