"""The generative model of an experiment's pixels, fitted without labels.

A pixel's counts over its norm are, in bins of about 1.5 eV,

    y = p + B u + (1 + e) f_k(E - d) + noise,     u ~ N(mean, S),  e ~ N(0, t^2),  d ~ N(0, s^2)

``p`` is a reference power law, ``B`` a fixed physical basis (amplitude and exponent of the power
law, smooth modes times it, the library's overlapping nuisance shapes), ``f_k`` a fingerprint or a
mixture of two, and the noise Poisson. The mean and covariance of ``u``, the class weights and the
library's overall gain, shift and broadening come from the unlabelled pixels by
expectation-maximisation: a mixture of factor analysers with known loadings (Ghahramani and Hinton,
CRG-TR-96-1, 1996).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from tqdm.auto import trange

from eels_bayes.fingerprints import FingerprintLibrary, shift_and_broaden
from eels_bayes.spectra import Spectra

Array = NDArray[Any]

BIN_WIDTH = 1.5  # eV: finer than a core-loss feature, coarse enough for counts to be near Gaussian
MIXING = (0.2, 0.4, 0.6, 0.8)  # share of the first partner in a two-class pixel
FIT_PIXELS = 6000  # more do not sharpen the population's parameters noticeably
N_SMOOTH = 8  # smooth modes of the continuum
PRIOR_PIXELS = 2.0  # weight of the initial covariance, in pixels (inverse-Wishart)
TOLERANCE = 1e-4  # nats a pixel between iterations
LONGEST_LEAP = 30.0  # of an extrapolation, in steps


@dataclass(frozen=True)
class LibraryFit:
    """How the library stands in this experiment: one gain, shift and broadening for all spectra.

    ``gain`` is measured over simulated intensity, ``shift`` is in eV, and ``broadening`` is the
    variance of a Gaussian in eV^2.
    """

    gain: float = 1.0
    shift: float = 0.0
    broadening: float = 0.0

    def apply(self, energy: Array, intensity: Array) -> Array:
        """Fingerprints (M, N) on ``energy`` (N,) as this experiment shows them."""
        step = energy[1] - energy[0]
        sigma = np.sqrt(max(self.broadening, 0.0)) / step
        return self.gain * shift_and_broaden(intensity, self.shift / step, sigma)


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """The fitted population of an experiment's pixels; all intensities in edge units.

    Attributes
    ----------
    library : FingerprintLibrary
        On the window's axis, as this experiment shows it (``library_fit`` applied).
    library_fit : LibraryFit
    reference : (2,) array
        Amplitude at the window's start and exponent of the reference power law ``p``.
    mean, covariance : (P,) and (P, P) arrays
        Population of the coefficients ``u``.
    class_weights : (K,) array
        Share of each class, its part in mixed pixels included.
    pair_weights : (K, K) array
        Upper triangle: weight of pixels that mix two classes (see `mixing_pairs`); diagonal:
        weight of pure pixels.
    log_likelihood : tuple of float
        Mean log-likelihood of each iteration, nats a pixel.
    """

    library: FingerprintLibrary
    library_fit: LibraryFit
    reference: Array
    mean: Array
    covariance: Array
    class_weights: Array
    pair_weights: Array
    log_likelihood: tuple[float, ...]


def basis(energy: Array, reference: Array, library: FingerprintLibrary) -> tuple[Array, Array]:
    """Reference power law (C,) and the columns ``B`` (C, P) on the canonical axis (C,) in eV.

    The columns are the reference times 1, minus ``log(E / E0)`` and the leading eigenvectors of a
    squared-exponential kernel, then the nuisance shapes. ``E0`` is the window's start.
    """
    e0 = library.energy[0]
    power = reference[0] * (energy / e0) ** -reference[1]
    nuisances = [np.interp(energy, library.energy, row, left=0.0) for row in library.nuisances]
    columns = [np.ones_like(energy), -np.log(energy / e0), *_smooth_modes(energy)]
    return power, np.stack([power * c for c in columns] + nuisances, axis=1)


def _smooth_modes(energy: Array) -> Array:
    """Leading modes (N_SMOOTH, N) of a random curve of unit variance; correlation span / 5.5."""
    grid = np.linspace(energy[0], energy[-1], 80)
    length = (grid[-1] - grid[0]) / 5.5
    kernel = np.exp(-0.5 * ((grid[:, None] - grid) / length) ** 2)
    value, vector = np.linalg.eigh(kernel)
    modes = (vector * np.sqrt(np.maximum(value, 0.0)))[:, ::-1][:, :N_SMOOTH]
    # Eigenvectors' signs are arbitrary: fix them, so that every grid gives the same coefficients.
    modes = modes * np.where(modes[-1] < 0, -1.0, 1.0)
    return np.array([np.interp(energy, grid, mode) for mode in modes.T])


def _initial_covariance(library: FingerprintLibrary) -> Array:
    """Prior variances: 5 % amplitude, 0.1 exponent, 0.3 % misfit, 15 % of an edge of overlap."""
    peak = float(np.abs(library.intensity).max())
    overlap = [(0.15 * peak / max(np.abs(row).max(), 1e-12)) ** 2 for row in library.nuisances]
    return np.diag([0.05**2, 0.1**2, *[0.003**2] * N_SMOOTH, *overlap])


@dataclass(frozen=True, eq=False)
class _Binned:
    """Pixels in coarse bins: intensity (n, B) in edge units, noise variance ``v_i rho_b``."""

    intensity: Array
    level: Array  # v, (n,)
    shape: Array  # rho, (B,)
    n_per_bin: int
    n_channels: int  # C, before binning

    def bin(self, rows: Array) -> Array:
        """Rows (..., C) on the canonical axis -> means (..., B) over bins."""
        return _bin(rows, self.n_per_bin)


def _bin(rows: Array, n_per_bin: int) -> Array:
    skip = rows.shape[-1] % n_per_bin
    return rows[..., skip:].reshape(*rows.shape[:-1], -1, n_per_bin).mean(-1)


def detector_step(spectra: Spectra) -> float:
    """Width of a detector channel, eV; the median where images differ."""
    return float(np.median([info.energy[1] for info in spectra.images]))


def _binned(spectra: Spectra, rng: np.random.Generator) -> _Binned:
    ok = np.flatnonzero(spectra.ok)
    if len(ok) > FIT_PIXELS:
        ok = np.sort(rng.choice(ok, FIT_PIXELS, replace=False))
    energy = spectra.canonical_energy
    n_per_bin = max(1, min(round(BIN_WIDTH / (energy[1] - energy[0])), len(energy) // 12))
    if len(energy) < 8:
        raise ValueError(
            f"window and background hold {len(energy)} channels from {energy[0]:g} to "
            f"{energy[-1]:g} eV; at least 8 are needed to tell an edge from its continuum"
        )
    norm = spectra.norm[ok].astype(float)
    intensity = _bin(spectra.counts[ok].astype(float), n_per_bin) / norm[:, None]
    shape = np.maximum(intensity.mean(0), 1e-6)
    # Poisson noise follows the pixel's own brightness, which a norm already holds.
    brightness = np.clip(intensity.mean(1) / shape.mean(), 0.05, 20.0)
    level = brightness * spectra.gain[ok].astype(float) / (norm * n_per_bin)
    readout = np.array([info.readout for info in spectra.images])[spectra.image[ok]]
    summed = (energy[1] - energy[0]) / detector_step(spectra)
    level += np.mean(1.0 / shape) * readout * summed / (norm**2 * n_per_bin)
    return _Binned(intensity, level, shape, n_per_bin, len(energy))


def mixing_pairs(library: FingerprintLibrary) -> list[tuple[int, int]]:
    """Classes that may share a pixel, the smaller index first.

    Where classes have values, only neighbours in value: spectra that scale with the value make a
    mixture of the outer two the very spectrum of a class between them, and a composition that
    varies continuously passes through that class. Without values, any two.
    """
    values = library.class_values
    if values is None:
        return list(combinations(range(library.n_classes), 2))
    order = np.argsort(values, kind="stable").tolist()
    return [(min(a, b), max(a, b)) for a, b in pairwise(order)]


def _components(library: FingerprintLibrary) -> list[tuple[int, int, float]]:
    """Every class pure, then every pair that may mix at the shares of ``MIXING``."""
    pure = [(k, k, 1.0) for k in range(library.n_classes)]
    return pure + [(a, b, share) for a, b in mixing_pairs(library) for share in MIXING]


def fit_forward_model(
    spectra: Spectra,
    library: FingerprintLibrary,
    *,
    class_weights: Array | None = None,
    iterations: int = 25,
    seed: int = 0,
    show_progressbar: bool = True,
) -> ForwardModel:
    """Fit the population of continua, nuisances and classes to unlabelled pixels.

    Parameters
    ----------
    spectra : Spectra
        Flagged pixels are left out.
    library : FingerprintLibrary
        Resampled to the spectra's axis here.
    class_weights : (K,) array, optional
        Weights of the pure classes where they are known; learned if left out. Those of mixed
        pixels are always learned.
    iterations : int
        Most rounds of three expectation-maximisation steps.
    seed : int
        Of the choice of pixels where there are more than are needed.

    Returns
    -------
    ForwardModel
    """
    library = library.resample(spectra.energy)
    data = _binned(spectra, np.random.default_rng(seed))
    ok = spectra.ok
    reference = np.median(spectra.background[ok], axis=0).astype(float)
    if not np.isfinite(reference).all() or reference[0] <= 0:
        reference = np.array([float(data.shape.mean()), 0.0])
    power, columns = basis(spectra.canonical_energy, reference, library)
    power, columns = data.bin(power), data.bin(columns.T).T
    white = 1.0 / np.sqrt(data.shape)
    target = (data.intensity - power) * white
    columns = columns * white[:, None]

    components = _components(library)
    weight = np.array([0.9 / library.n_classes if a == b else 0.0 for a, b, _ in components])
    weight[library.n_classes :] = 0.1 / max(1, len(components) - library.n_classes)
    prior_covariance = _initial_covariance(library)
    now = _Parameters(weight, np.zeros(len(prior_covariance)), prior_covariance, LibraryFit())
    width = np.sqrt(np.diag(prior_covariance))

    def improve(old: _Parameters) -> tuple[_Parameters, float]:
        """One step of expectation-maximisation, and the log-likelihood before it."""
        shapes = _shapes(data, library, old.library_fit, components, white)
        step = _expectation(target, data.level, columns, old, shapes)
        new = _maximisation(step, old, prior_covariance, library)
        if class_weights is not None:
            pure = new.weight[: library.n_classes]
            new.weight[: library.n_classes] = class_weights * pure.sum()
        return new, step.log_likelihood

    history: list[float] = []
    bar = trange(iterations, desc="forward model", disable=not show_progressbar)
    for _ in bar:
        first, likelihood = improve(now)
        second, _ = improve(first)
        history.append(likelihood)
        far, now = _extrapolated(now, first, second, width), second
        # A leap may go too far, where it is worse or no covariance at all.
        with contextlib.suppress(np.linalg.LinAlgError):
            leap, leap_likelihood = improve(far)
            if leap_likelihood >= likelihood:
                now = leap
        bar.set_postfix(loglik=f"{likelihood:.4f}", refresh=False)
        if len(history) > 5 and history[-1] - history[-4] < 3 * TOLERANCE:
            break
    bar.close()
    weight, mean, covariance, fit = now.weight, now.mean, now.covariance, now.library_fit
    pair_weights = np.zeros((library.n_classes, library.n_classes))
    class_weights = np.zeros(library.n_classes)
    for (a, b, share), w in zip(components, weight, strict=True):
        pair_weights[a, b] += w
        class_weights[a] += share * w
        class_weights[b] += (1.0 - share) * w
    shown = replace(library, intensity=fit.apply(library.energy, library.intensity))
    return ForwardModel(
        shown, fit, reference, mean, covariance, class_weights, pair_weights, tuple(history)
    )


@dataclass(frozen=True, eq=False)
class _Parameters:
    """What is fitted: weights of the components, population of ``u``, the library's standing."""

    weight: Array
    mean: Array
    covariance: Array
    library_fit: LibraryFit

    def vector(self, width: Array) -> Array:
        """As free numbers of comparable size; ``width`` (P,) is the prior sd of ``u``."""
        root = np.linalg.cholesky(self.covariance) / width[:, None]
        lower = np.tril_indices(len(root), -1)
        fit = self.library_fit
        return np.concatenate(
            [
                np.log(np.maximum(self.weight, 1e-10)),
                self.mean / width,
                np.log(np.diag(root)),
                root[lower],
                [np.log(fit.gain), fit.shift, fit.broadening],
            ]
        )

    def replaced(self, vector: Array, width: Array) -> _Parameters:
        """The parameters of such a vector."""
        n, p = len(self.weight), len(self.mean)
        weight = np.exp(vector[:n] - vector[:n].max())
        root = np.diag(np.exp(np.clip(vector[n + p : n + 2 * p], -20.0, 20.0)))
        root[np.tril_indices(p, -1)] = vector[n + 2 * p : -3]
        root = root * width[:, None]
        gain, shift, broadening = np.clip(vector[-3:], [-2.0, -10.0, 0.0], [2.0, 10.0, 100.0])
        return _Parameters(
            weight / weight.sum(),
            vector[n : n + p] * width,
            root @ root.T,
            LibraryFit(float(np.exp(gain)), float(shift), float(broadening)),
        )


def _extrapolated(
    start: _Parameters, first: _Parameters, second: _Parameters, width: Array
) -> _Parameters:
    """Where two steps of a slow fixed-point iteration lead to.

    The squared extrapolation (scheme S3) of Varadhan and Roland, Scand. J. Stat. 35, 335 (2008).
    """
    begin, middle, end = (one.vector(width) for one in (start, first, second))
    step, bend = middle - begin, (end - middle) - (middle - begin)
    ratio = np.linalg.norm(step) / max(float(np.linalg.norm(bend)), 1e-12)
    length = float(np.clip(ratio, 1.0, LONGEST_LEAP))
    return start.replaced(begin + 2 * length * step + length**2 * bend, width)


@dataclass(frozen=True, eq=False)
class _Shape:
    """One component in whitened bins: mean (B,) and loadings (B, q) of standard-normal factors.

    The first three factors are intensity, shift and squared broadening; the rest is the spread of
    the class's own fingerprints.
    """

    mean: Array
    loadings: Array


def _shapes(
    data: _Binned,
    library: FingerprintLibrary,
    fit: LibraryFit,
    components: list[tuple[int, int, float]],
    white: Array,
) -> list[_Shape]:
    vary = library.variations
    # The population's mean broadening belongs to the mean; its spread is a factor.
    intensity = replace(fit, broadening=fit.broadening + vary.broadening**2).apply(
        library.energy, library.intensity
    )
    step = library.energy[1] - library.energy[0]
    below = data.n_channels - len(library.energy)

    def whitened(rows: Array) -> Array:
        return data.bin(np.pad(rows, ((0, 0), (below, 0)))) * white

    per_class = []
    for k in range(library.n_classes):
        rows = intensity[library.labels == k]
        mean = rows.mean(0)
        slope = np.gradient(mean, step)
        loadings = [
            vary.intensity * mean,
            -vary.shift * slope,
            # sd of sigma^2 for a half-normal sigma is sqrt(2) times its mean square.
            0.5 * np.sqrt(2.0) * vary.broadening**2 * np.gradient(slope, step),
            *((rows - mean) / np.sqrt(len(rows))),
        ]
        per_class.append((whitened(mean[None])[0], whitened(np.array(loadings))))
    shapes = []
    for a, b, share in components:
        (mean_a, load_a), (mean_b, load_b) = per_class[a], per_class[b]
        if a == b:
            shapes.append(_Shape(mean_a, load_a.T))
            continue
        common = share * load_a[:3] + (1 - share) * load_b[:3]
        spread = [share * load_a[3:], (1 - share) * load_b[3:]]
        mean = share * mean_a + (1 - share) * mean_b
        shapes.append(_Shape(mean, np.concatenate([common, *spread]).T))
    return shapes


@dataclass(frozen=True, eq=False)
class _Expectation:
    """Sufficient statistics over pixels and components."""

    responsibility: Array  # (components,) sums over pixels
    first: Array  # (P,) sum of E[a]
    second: Array  # (P, P) sum of E[a a']
    library: Array  # (3,) mean of the library's common factors
    n: int
    log_likelihood: float


def component_log_likelihood(
    target: Array, level: Array, columns: Array, root: Array, mean: Array, shape: _Shape
) -> tuple[Array, Array, Array, Array]:
    """Log-likelihood (n,) of whitened pixels (n, B) under a component; its factors' posterior.

    The covariance is ``v I + A A'`` with ``A = [columns root, loadings]``: in the singular basis of
    ``A`` it is diagonal for every pixel's own noise level ``v``.

    Returns
    -------
    log_likelihood (n,), posterior mean (n, P + q), posterior variances (n, P + q) in the singular
    basis, and that basis (P + q, P + q).
    """
    loadings = np.concatenate([columns @ root, shape.loadings], axis=1)
    # Through the small Gram matrix: its null directions simply keep their prior.
    value, basis_v = np.linalg.eigh(loadings.T @ loadings)
    value = np.maximum(value, 0.0)
    residual = target - columns @ mean - shape.mean
    projected = residual @ loadings @ basis_v  # sqrt(value) times coordinates
    shrink = 1.0 / (level[:, None] + value)
    quadratic = ((residual**2).sum(1) - (projected**2 * shrink).sum(1)) / level
    log_det = np.log(level[:, None] + value).sum(1) + (target.shape[1] - len(value)) * np.log(level)
    log_likelihood = -0.5 * (quadratic + log_det + target.shape[1] * np.log(2 * np.pi))
    return log_likelihood, projected * shrink, level[:, None] * shrink, basis_v


def _expectation(
    target: Array,
    level: Array,
    columns: Array,
    now: _Parameters,
    shapes: list[_Shape],
) -> _Expectation:
    mean, weight = now.mean, now.weight
    root = np.linalg.cholesky(now.covariance)
    p = len(mean)
    posts = [component_log_likelihood(target, level, columns, root, mean, s) for s in shapes]
    joint = np.stack([post[0] for post in posts], axis=1) + np.log(np.maximum(weight, 1e-12))
    total = logsumexp(joint, axis=1)
    gamma = np.exp(joint - total[:, None])
    first, second = np.zeros(p), np.zeros((p, p))
    library, library_n = np.zeros(3), 1e-9
    for (_, a, var, basis_v), g, shape in zip(posts, gamma.T, shapes, strict=True):
        mean_a = g @ a @ basis_v.T
        moment = basis_v @ ((a * g[:, None]).T @ a + np.diag(g @ var)) @ basis_v.T
        first += mean_a[:p]
        second += moment[:p, :p]
        if np.abs(shape.mean).max() > 0:  # a class without an edge says nothing of the library
            library += mean_a[p : p + 3]
            library_n += g.sum()
    return _Expectation(
        gamma.sum(0), first, second, library / library_n, len(target), float(total.mean())
    )


def _maximisation(
    step: _Expectation, old: _Parameters, prior_covariance: Array, library: FingerprintLibrary
) -> _Parameters:
    mean, covariance, fit = old.mean, old.covariance, old.library_fit
    root = np.linalg.cholesky(covariance)
    # The mean's own prior has the initial covariance: a smooth mean misfit is possible, not likely.
    precision, prior_precision = np.linalg.inv(covariance), np.linalg.inv(prior_covariance)
    target = step.n * mean + root @ step.first
    new_mean = np.linalg.solve(step.n * precision + prior_precision, precision @ target)
    shift = new_mean - mean
    sums = root @ step.second @ root.T
    cross = np.outer(root @ step.first, shift)
    scatter = sums - cross - cross.T + step.n * np.outer(shift, shift)
    new_covariance = (scatter + PRIOR_PIXELS * prior_covariance) / (step.n + PRIOR_PIXELS)
    vary = library.variations
    new_fit = LibraryFit(
        fit.gain * (1.0 + vary.intensity * step.library[0]),
        fit.shift + vary.shift * step.library[1],
        max(0.0, fit.broadening + np.sqrt(2.0) * vary.broadening**2 * step.library[2]),
    )
    # One pixel's worth of doubt a component: a class that these pixels lack may be in the next.
    weight = (step.responsibility + 1.0) / (step.n + len(step.responsibility))
    return _Parameters(weight, new_mean, new_covariance, new_fit)
