"""A linear-Gaussian continuum and a mixture of fingerprints, fitted to the unlabelled pixels by EM.

Gross counts over norm, in bins of 2 eV, of a pixel of class k:

    y = p + W u + (1 + e) f_k + noise,      u ~ N(m, S),  e ~ N(0, t^2)

``p`` is a power law and W a fixed physical basis: the background's amplitude and exponent, smooth
modes times the background, the overlapping shapes, and the derivative of the mean spectrum (drift).
The noise is Poisson, of a variance taken as known. Expectation-maximisation over all pixels learns
m, S and the class weights, overall or image by image, and its responsibilities are the class
posterior: a mixture of factor analysers with known loadings (Ghahramani and Hinton, CRG-TR-96-1,
1996). Pixels are of one class, and the library is taken as it is.

It reads 600 to 788 eV, where a power law holds, or the whole spectrum. There ``p`` is the mean
spectrum below the window, for the other edges' sake; how they vary is not in the basis but for
what smooth modes and the derivative of the mean make of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from tqdm.auto import trange

import eels_bayes as eb
from eels_bayes.forward_model.continuum import extended
from eels_bayes.forward_model.edge_shapes import onto_bins, wide_axis

from .shared import Array, all_rows

RANGE = (600.0, 788.0)  # eV, behind the other elements' edges
MODE_LENGTH = 25.0  # eV, correlation length of the smooth modes
SMALLEST_MODE = 1e-3  # of the smooth modes' variance; those below are left out
ITERATIONS = 500  # most steps; the tolerance ends it sooner
TOLERANCE = 1e-5  # nats a pixel and iteration
DOUBT = 1.0  # pixels of each class that a set of weights starts from


@dataclass(frozen=True, eq=False)
class Mixture:
    """The fitted mixture.

    Attributes
    ----------
    mean, covariance : (P,) and (P, P) arrays
        Of the continuum's coefficients u.
    weights : (G, K) array
        Class weights of each group of pixels: one group, or one an image.
    probabilities : (m, K) array
        Class posterior of the usable pixels.
    objective : (iterations,) array
        Mean log-likelihood with the weights' log-prior before each step, nats a pixel; it never
        falls.
    """

    mean: Array
    covariance: Array
    weights: Array
    probabilities: Array
    objective: Array


class Binned(NamedTuple):
    """Profiles of m usable pixels in B bins, and their noise.

    The variance of ``intensity[i, b]`` is ``level[i] * shape[b]``: Poisson noise of a spectrum
    whose shape is close to the mean's.
    """

    intensity: Array  # (m, B), edge units
    level: Array  # (m,)
    shape: Array  # (B,)
    energy: Array  # (B,), centres, eV


def binned(spectra: eb.Spectra, limits: tuple[float, float] = (-np.inf, np.inf)) -> Binned:
    """The bins of the usable pixels' profiles that lie between two energies, eV."""
    energy = spectra.profile_energy
    half = 0.5 * (energy[1] - energy[0])
    inside = (energy - half >= limits[0]) & (energy + half <= limits[1])
    rows = spectra.profile[spectra.ok][:, inside].astype(np.float64)
    shape = rows.mean(0)
    # A bin's own count would bias: a low one would pass for a precise one.
    brightness = rows.mean(1) / shape.mean()
    return Binned(rows, brightness * spectra.level[spectra.ok], shape, energy[inside])


def basis(
    data: Binned, reference: Array, nuisances: Array, start: float
) -> tuple[Array, Array, Array]:
    """Power law (B,), columns W (B, P) and the prior sds (P,) that EM starts from.

    Parameters
    ----------
    data : Binned
    reference : (2,) array
        Amplitude at ``start`` (eV) and exponent of the power law.
    nuisances : (Q, B) array
    start : float
    """
    energy = data.energy
    power = reference[0] * (energy / start) ** -reference[1]
    kernel = np.exp(-0.5 * ((energy[:, None] - energy) / MODE_LENGTH) ** 2)
    value, vector = np.linalg.eigh(kernel)
    kept = value > SMALLEST_MODE * value.sum()
    modes = (vector[:, kept] * np.sqrt(value[kept])).T
    drift = -np.gradient(data.shape, energy)
    relative = [np.ones_like(energy), -np.log(energy / start), *modes]
    columns = np.stack([*(power * row for row in relative), *nuisances, drift], axis=1)
    # 5 % of amplitude, 0.1 of exponent, 0.3 % of misfit, 0.3 of an overlapping edge, 0.2 eV
    sd = np.array([0.05, 0.1, *[0.003] * len(modes), *[0.3] * len(nuisances), 0.2])
    return power, columns, sd


def fit(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    whole: bool = False,
    by_image: bool = False,
    iterations: int = ITERATIONS,
    show_progressbar: bool = True,
) -> Mixture:
    """Fit the mixture to all usable pixels.

    Parameters
    ----------
    spectra : Spectra
    library : FingerprintLibrary
    whole : bool
        Read the whole spectrum instead of 600 to 788 eV.
    by_image : bool
        Learn the class weights of each image instead of one set for all.
    iterations : int
        Most steps of expectation-maximisation.
    show_progressbar : bool
    """
    known = library.resample(spectra.energy)
    data = binned(spectra) if whole else binned(spectra, RANGE)
    fine = wide_axis(data.energy, known.energy)
    shown = extended(known, fine)
    classes, nuisances = (
        onto_bins(data.energy, fine, rows) for rows in (shown.class_spectra, shown.nuisances)
    )
    reference = np.median(spectra.background[spectra.ok], axis=0).astype(np.float64)
    start = float(spectra.energy[0])
    center, columns, sd = basis(data, reference, nuisances, start)
    if whole:  # other edges have no place in the basis, but here is no fluorine
        center = np.where(data.energy < start, data.shape, center)
    white = 1.0 / np.sqrt(data.shape)
    pixels = _Pixels.of(
        (data.intensity - center) * white, data.level, np.vstack([columns.T, classes]) * white
    )
    jitter = known.variations.intensity

    image = spectra.image[spectra.ok]
    group = np.unique(image, return_inverse=True)[1] if by_image else np.zeros_like(image)
    sizes = np.bincount(group)
    n, n_basis, n_classes = len(image), len(sd), known.n_classes
    mean, covariance = np.zeros(n_basis), np.diag(sd**2)
    weights = np.full((len(sizes), n_classes), 1.0 / n_classes)
    objective: list[float] = []
    bar = trange(iterations, desc="EM mixture", disable=not show_progressbar)
    for _ in bar:
        root = np.linalg.cholesky(covariance)
        posts = []
        for one in np.eye(n_classes):
            loadings = np.zeros((n_basis + 1, n_basis + n_classes))
            loadings[:n_basis, :n_basis] = root.T
            loadings[n_basis, n_basis:] = jitter * one
            posts.append(pixels.factors(np.concatenate([mean, one]), loadings))
        joint = np.stack([p.log_likelihood for p in posts], axis=1) + np.log(weights)[group]
        evidence = logsumexp(joint, axis=1)
        gamma = np.exp(joint - evidence[:, None])
        objective.append(float(evidence.sum() + DOUBT * np.log(weights).sum()) / n)
        bar.set_postfix(objective=f"{objective[-1]:.4f}", refresh=False)
        if len(objective) > 1 and objective[-1] - objective[-2] < TOLERANCE:
            break
        # Moments of the standardised coefficients a, where u = mean + root a
        first, second = np.zeros(n_basis), np.zeros((n_basis, n_basis))
        for post, g in zip(posts, gamma.T, strict=True):
            of_mean, of_square = post.moments(g)
            first += of_mean[:n_basis] / n
            second += of_square[:n_basis, :n_basis] / n
        mean = mean + root @ first
        covariance = root @ (second - np.outer(first, first)) @ root.T
        totals = np.zeros_like(weights)
        np.add.at(totals, group, gamma)
        weights = (totals + DOUBT) / (sizes[:, None] + DOUBT * n_classes)
    bar.close()
    return Mixture(mean, covariance, weights, gamma, np.array(objective))


class _Factors(NamedTuple):
    """Posterior of standard-normal factors a of pixels, in the basis that makes it diagonal."""

    log_likelihood: Array  # (n,)
    mean: Array  # (n, q)
    var: Array  # (n, q)
    basis: Array  # (q, q)

    def moments(self, weight: Array) -> tuple[Array, Array]:
        """Weighted sums of E[a] (q,) and E[a a'] (q, q) over pixels with weights (n,)."""
        first = self.basis @ (weight @ self.mean)
        inner = (self.mean * weight[:, None]).T @ self.mean + np.diag(weight @ self.var)
        return first, self.basis @ inner @ self.basis.T


class _Pixels(NamedTuple):
    """All that the fit needs of whitened pixels x (n, B): everything happens in a few shapes."""

    n_bins: int
    level: Array  # (n,), noise variance of a whitened bin
    square: Array  # (n,), x x'
    product: Array  # (n, R), x with each of the shapes C (R, B)
    gram: Array  # (R, R), C C'

    @classmethod
    def of(cls, rows: Array, level: Array, shapes: Array) -> _Pixels:
        square = (rows**2).sum(1)
        return cls(rows.shape[1], level, square, rows @ shapes.T, shapes @ shapes.T)

    def factors(self, mean: Array, loadings: Array) -> _Factors:
        """Factor analysis x = (mean + a loadings) C + noise, a ~ N(0, I), noise ~ N(0, level I).

        With A = loadings C and A A' = V diag(e) V', all pixels share V whatever their noise level
        v: the posterior of V'a is diagonal, of variances v / (v + e). ``mean`` (R,) and
        ``loadings`` (q, R) are coefficients of the shapes C.
        """
        value, vector = np.linalg.eigh(loadings @ self.gram @ loadings.T)
        value = np.maximum(value, 0.0)
        projected = (self.product - mean @ self.gram) @ loadings.T @ vector
        square = self.square - 2.0 * self.product @ mean + mean @ self.gram @ mean
        total = self.level[:, None] + value
        distance = (square - (projected**2 / total).sum(1)) / self.level
        log_det = np.log(total).sum(1) + (self.n_bins - len(value)) * np.log(self.level)
        log_likelihood = -0.5 * (distance + log_det + self.n_bins * np.log(2.0 * np.pi))
        return _Factors(log_likelihood, projected / total, self.level[:, None] / total, vector)


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    whole: bool = False,
    by_image: bool = False,
    iterations: int = ITERATIONS,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) of the mixture that `fit` finds; NaN where flagged.

    Nothing here is random: ``seed`` is not needed.
    """
    mixture = fit(
        spectra,
        library,
        whole=whole,
        by_image=by_image,
        iterations=iterations,
        show_progressbar=show_progressbar,
    )
    return all_rows(mixture.probabilities, spectra)
