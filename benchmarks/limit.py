"""The physical limit: the exact class posterior given the raw counts of one pixel.

    python benchmarks/limit.py [--pixels 2000] [--seed 11] [--json FILE]

Where the simulator's process is known, nobody can do better than its posterior. For a class mix w
(a node of the quadrature over the composition) and nuisances u, all written as standard normal,
the counts y are Poisson with mean lambda(w, u) of `eels_bayes.simulate`, so that

    p(y | w) = int Poisson(y | lambda(w, u)) N(u | 0, 1) du

over log thickness, drift, background amplitude and exponent, three edges, the fingerprint's
intensity (normal or log-normal), the gamma-distributed or log-normal residual (through its quantile
function) and the modes of the smooth misfit. The integral is Laplace's approximation around the
maximum found by Fisher scoring (Tierney and Kadane, J. Am. Stat. Assoc. 81, 82 (1986)); with draws
from that Gaussian it becomes importance sampling, which is exact but for its Monte Carlo error, and
the check on the former.
Defects (spikes, dead channels, fixed pattern, unknown structures) are not part of it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr
from scipy.stats import gamma, lognorm
from tqdm import tqdm

from eels_bayes import metrics, validation
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.simulate import (
    TEMPERATURES,
    Process,
    Series,
    SpectrumModel,
    annealing_series,
    draw_truth,
    mean_counts,
)
from eels_bayes.simulate.shapes import BACKGROUND, REFERENCE
from eels_bayes.simulate.truth import class_fractions, mean_composition

Floats = NDArray[np.float64]

DOSES = (0.1, 0.3, 1.0, 3.0, 10.0)
WINDOW = (567.5, 737.0)  # eV, from the first to the last that the usual preprocessing reads

_DRIFT_STEP = 0.1  # eV, of the table of shapes; in between, parabolas through three entries
_DRIFT_REACH = 5.0  # standard deviations of the drift that the table covers
_RAMP_NODES = 2  # Gauss-Legendre nodes on each side of a half step
_LOST_MISFIT = 1e-5  # fraction of the misfit's variance left out with its smallest modes
_FIT_STEPS, _NODE_STEPS = 5, 3  # Fisher scoring of a pixel, and of each node from there
_LOOSE = 0.01  # precision of the intensity's prior while the class is not yet known
_BATCH = 384  # spectra worked on at once
# Where the parameters are in u; the misfit's modes follow
_THICKNESS, _DRIFT, _AMPLITUDE, _EXPONENT, _EDGES = 0, 1, 2, 3, slice(4, 7)
_INTENSITY, _RESIDUAL, _MISFIT = 7, 8, 9


@dataclass(frozen=True, eq=False)
class Nodes:
    """Quadrature over the composition: one node a pure class, some on each half of a ramp.

    Attributes
    ----------
    fractions : ndarray
        Class fractions of the m nodes, (m, K).
    label : ndarray
        Their dominant class, (m,).
    cell : ndarray
        The cell of the composition that a node stands for, (m,); several share a half ramp.
    share : ndarray
        A node's share of its cell, (m,).
    borders : ndarray
        Borders of the cells in class steps, (number of cells + 1,), from -inf to inf.
    """

    fractions: Floats
    label: NDArray[np.int64]
    cell: NDArray[np.int64]
    share: Floats
    borders: Floats

    def prior(self, cells: Floats) -> Floats:
        """Return the nodes' probabilities (..., m) from those of the cells (..., cells)."""
        return cells[..., self.cell] * self.share

    def class_sums(self, probabilities: Floats) -> Floats:
        """Return probabilities of the dominant class (..., K) from those of the nodes (..., m)."""
        return probabilities @ np.eye(self.fractions.shape[1])[self.label]


class Evidence(NamedTuple):
    """What the counts say of every node.

    Attributes
    ----------
    nodes : Nodes
        The m nodes.
    log_evidence : ndarray
        log p(counts | node) but for a constant of the pixel, (n, m), nats.
    effective : ndarray or None
        Effective sample size divided by the number of draws, (n, m); None without draws.
    """

    nodes: Nodes
    log_evidence: Floats
    effective: Floats | None


def composition_nodes(model: SpectrumModel, *, ramp_nodes: int = _RAMP_NODES) -> Nodes:
    """Return the quadrature over the composition, with Gauss-Legendre nodes on half ramps."""
    n_classes, width = model.library.n_classes, model.process.mixture
    middles = np.arange(n_classes - 1) + 0.5
    inner = (middles[:, None] + width * np.array([-0.5, 0.0, 0.5])).ravel()
    borders = np.concatenate([[-np.inf], inner, [np.inf]])
    points, shares = np.polynomial.legendre.leggauss(ramp_nodes)
    composition: list[float] = []
    cell: list[int] = []
    share: list[float] = []
    for index in range(len(borders) - 1):
        if index % 3 == 0:
            composition, cell, share = [*composition, index // 3], [*cell, index], [*share, 1.0]
        elif width > 0:
            low, high = borders[index : index + 2]
            composition.extend(low + (high - low) * (points + 1) / 2)
            cell.extend([index] * ramp_nodes)
            share.extend(shares / 2)
    fractions = class_fractions(np.array(composition, dtype=np.float64), width, model.library)
    return Nodes(fractions, fractions.argmax(axis=1), np.array(cell), np.array(share), borders)


def cell_probabilities(
    nodes: Nodes, model: SpectrumModel, temperatures: ArrayLike = TEMPERATURES
) -> Floats:
    """Return the process' probability of each cell, averaged over images of the temperatures.

    The composition of a pixel is Gaussian around the mean of its temperature, with the spreads
    within and between images added in squares.
    """
    sd = math.hypot(model.process.composition_sd, model.process.composition_image)
    n_classes = model.library.n_classes
    means = np.array([mean_composition(int(t), n_classes) for t in np.ravel(temperatures)])
    distance = nodes.borders - means[:, None]
    passed = ndtr(distance / sd) if sd > 0 else (distance > 0).astype(np.float64)
    return np.diff(passed, axis=1).mean(axis=0)


class _Spectra:
    """Mean electrons and their derivatives for n pixels and q sets of parameters u, on C bins."""

    def __init__(
        self, model: SpectrumModel, dose: float, inside: NDArray[np.bool_], bin_width: float
    ) -> None:
        process, energy = model.process, model.energy[inside]
        self.inside = inside
        bins = np.floor((energy - energy[0]) / bin_width + 1e-6)
        self.starts = np.flatnonzero(np.diff(bins, prepend=-1.0))
        self.size = np.diff(self.starts, append=len(energy)).astype(np.float64)
        self.energy = self.sum_bins(model.energy) / self.size  # (C,)
        self.dose = dose
        width = math.sqrt(12) * process.thickness_image
        self.mean_log_thickness = (
            -math.log(math.sinh(width / 2) / (width / 2)) if width > 0 else 0.0
        )
        self.level = process.total * BACKGROUND
        self.exponent = process.exponent
        # A single pixel cannot tell what belongs to its image from its own: squares add up. The
        # thickness is known so well from the counts that a Gaussian serves for its uniform part.
        self.sd_thickness = math.hypot(process.thickness_image, process.thickness_pixel)
        self.sd_drift = math.hypot(process.drift_image, process.drift_row)
        self.sd_amplitude = math.hypot(process.amplitude_image, process.amplitude_pixel)
        self.sd_exponent = math.hypot(process.exponent_image, process.exponent_pixel)
        self.lognormal = process.intensity_law == "lognormal"
        self.sd_edges, self.sd_intensity = process.edge_jitter, process.intensity_jitter
        reach = math.ceil(_DRIFT_REACH * self.sd_drift / _DRIFT_STEP) + 1
        self.drifts = _DRIFT_STEP * np.arange(-reach, reach + 1)
        self.table = np.stack([self._rows(model, drift) for drift in self.drifts])
        # The misfit is stationary, so that its distribution does not move with the drift
        misfit = self.sum_bins(model.shapes().misfit) / self.size
        _, values, modes = np.linalg.svd(misfit, full_matrices=False)
        lost = 1 - np.cumsum(values**2) / np.sum(values**2)
        kept = 1 + int(np.argmax(lost < _LOST_MISFIT))
        sd = process.misfit * process.misfit_sd
        self.misfit = (sd * values[:kept, None] * modes[:kept])[: kept if sd > 0 else 0]
        self.size_u = _MISFIT + len(self.misfit)
        self.normal = np.linspace(-8.0, 8.0, 4001)
        self.residual = np.full_like(self.normal, process.residual_mean)
        if process.residual_sd > 0:
            shape = (process.residual_mean / process.residual_sd) ** 2
            draws = gamma(shape, scale=process.residual_mean / shape)
            if self.lognormal:
                sd_log = self.sd_log(process.residual_sd / process.residual_mean)
                draws = lognorm(sd_log, scale=process.residual_mean * math.exp(-(sd_log**2) / 2))
            self.residual = np.where(
                self.normal < 0, draws.ppf(ndtr(self.normal)), draws.isf(ndtr(-self.normal))
            )
        self.residual_slope = np.gradient(self.residual, self.normal)
        self.residual_bend = np.gradient(self.residual_slope, self.normal)

    def sd_log(self, sd: float) -> float:
        """Standard deviation of a log-normal intensity's logarithm; 0 for a normal intensity."""
        return math.sqrt(math.log1p(sd**2)) if self.lognormal else 0.0

    def intensities(self, u: Floats, sd: float) -> tuple[Floats, Floats | float]:
        """Return intensities of mean 1 and standard deviation sd, and their derivatives by u."""
        if not self.lognormal:
            return 1 + sd * u, sd
        sd_log = self.sd_log(sd)
        values = np.exp(sd_log * u - sd_log**2 / 2)
        return values, sd_log * values

    def sum_bins(self, values: ArrayLike) -> Floats:
        """Return sums over the channels of each bin, (..., E) to (..., C)."""
        return np.add.reduceat(np.asarray(values)[..., self.inside], self.starts, axis=-1)

    def _rows(self, model: SpectrumModel, drift: float) -> Floats:
        shapes = model.shapes(float(drift))
        return self.sum_bins(np.vstack([shapes.edges, shapes.residual, shapes.fingerprints]))

    def local(self, drift: Floats) -> tuple[Floats, Floats]:
        """Return the nearest drifts of the table (n,), and shapes with two derivatives there.

        Shapes are (n, 3, 4 + K, C): order of the derivative, then edges, residual, fingerprints.
        """
        index = np.rint((drift - self.drifts[0]) / _DRIFT_STEP).astype(int)
        index = np.clip(index, 1, len(self.drifts) - 2)
        below, here, above = (self.table[index + step] for step in (-1, 0, 1))
        slope = (above - below) / (2 * _DRIFT_STEP)
        bend = (above - 2 * here + below) / _DRIFT_STEP**2
        return self.drifts[index], np.stack([here, slope, bend], axis=1)

    def scan_drift(self, electrons: Floats, fractions: Floats) -> Floats:
        """Return the drifts (n,) of the table at which free shapes fit best, by least squares."""
        weight = 1 / np.sqrt(electrons.mean(axis=0) + 1)
        target = electrons * weight
        best, result = np.full(len(electrons), -np.inf), np.zeros(len(electrons))
        for drift, rows in zip(self.drifts, self.table, strict=True):
            log_energy = np.log((self.energy - drift) / REFERENCE)
            power = np.exp(-self.exponent * log_energy) * self.size
            shapes = np.vstack([power, power * log_energy, rows[:4], fractions @ rows[4:]])
            basis, _ = np.linalg.qr((shapes * weight).T)
            explained = np.square(target @ basis).sum(axis=1)
            better = explained > best
            best[better], result[better] = explained[better], drift
        return result

    def mean(
        self, u: Floats, fractions: Floats, drift: Floats, shapes: Floats, *, jacobian: bool
    ) -> tuple[Floats, Floats | None]:
        """Return mean electrons (n, q, C) and their derivatives by u (n, q, size_u, C).

        Parameters
        ----------
        u
            Parameters as standard normal variables, (n, q, size_u).
        fractions
            Class fractions, (q, K).
        drift, shapes
            What `local` returned for the n pixels.
        jacobian
            Whether derivatives are wanted.
        """
        factor = self.dose * np.exp(self.mean_log_thickness + self.sd_thickness * u[..., :1])
        moved = self.sd_drift * u[..., _DRIFT, None]  # (n, q, 1)
        energy = self.energy - moved
        log_energy = np.log(energy / REFERENCE)
        exponent = self.exponent + self.sd_exponent * u[..., _EXPONENT, None]
        unit = factor * self.level * self.size * np.exp(-exponent * log_energy)
        amplitude = 1 + self.sd_amplitude * u[..., _AMPLITUDE, None]
        misfit = 1 + u[..., _MISFIT:] @ self.misfit
        background = amplitude * unit * misfit
        edges, edges_slope = self.intensities(u[..., _EDGES], self.sd_edges)
        intensity, intensity_slope = self.intensities(u[..., _INTENSITY, None], self.sd_intensity)
        residual = np.interp(u[..., _RESIDUAL], self.normal, self.residual)[..., None]
        # Structure and edges at this drift, and their derivative by it
        weights = np.concatenate([edges, residual, intensity * fractions], axis=-1)
        orders = np.stack([weights @ shapes[:, order] for order in range(3)])
        step = moved - drift[:, None, None]
        electrons = background + factor * (orders[0] + step * (orders[1] + step / 2 * orders[2]))
        electrons = np.maximum(electrons, 1e-9)
        if not jacobian:
            return electrons, None
        result = np.empty((*u.shape, len(self.energy)))
        result[..., _THICKNESS, :] = self.sd_thickness * electrons
        slope = background * exponent / energy + factor * (orders[1] + step * orders[2])
        result[..., _DRIFT, :] = self.sd_drift * slope
        result[..., _AMPLITUDE, :] = self.sd_amplitude * unit * misfit
        result[..., _EXPONENT, :] = -self.sd_exponent * log_energy * background
        step, factor = step[..., None], factor[..., None]
        moved_shapes = (
            shapes[:, None, 0] + step * (shapes[:, None, 1] + step / 2 * shapes[:, None, 2])
        ) * factor
        result[..., _EDGES, :] = np.asarray(edges_slope)[..., None] * moved_shapes[..., :3, :]
        mixed = (fractions[:, None, :] @ moved_shapes[..., 4:, :])[..., 0, :]
        result[..., _INTENSITY, :] = intensity_slope * mixed
        slope = np.interp(u[..., _RESIDUAL], self.normal, self.residual_slope)
        result[..., _RESIDUAL, :] = slope[..., None] * moved_shapes[..., 3, :]
        result[..., _MISFIT:, :] = (amplitude * unit)[..., None, :] * self.misfit
        return electrons, result


class _Peak(NamedTuple):
    """Gaussian approximation of the posterior of u: maximum, Cholesky factor, log evidence."""

    u: Floats  # (n, q, size_u)
    root: Floats  # (n, q, size_u, size_u), lower, of the posterior's precision
    log_evidence: Floats  # (n, q)


def _log_joint(electrons: Floats, mean: Floats, u: Floats) -> Floats:
    """log p(electrons, u) but for log y! and the normalisation of the standard normal, (n, q)."""
    likelihood = (electrons[:, None] * np.log(mean) - mean).sum(axis=-1)
    return likelihood - 0.5 * np.square(u).sum(axis=-1)


def _score(
    model: _Spectra,
    electrons: Floats,
    u: Floats,
    fractions: Floats,
    local: tuple[Floats, Floats],
    *,
    loose: bool = False,
) -> _Peak:
    """One step of Fisher scoring from u, and Laplace's evidence of the quadratic around u.

    `loose` weakens the prior of the intensity, for a fit whose class is not yet known.
    """
    mean, jacobian = model.mean(u, fractions, *local, jacobian=True)
    assert jacobian is not None
    by_u = (jacobian @ (electrons[:, None] / mean - 1)[..., None])[..., 0]
    jacobian /= np.sqrt(mean)[..., None, :]
    precision = jacobian @ np.swapaxes(jacobian, -1, -2)
    prior = np.ones(model.size_u)
    if loose:
        prior[_INTENSITY] = _LOOSE
    diagonal = np.arange(model.size_u)
    precision[..., diagonal, diagonal] += prior
    # Quantile functions of intensities are the parametrisations that bend on the prior's own scale
    slope, bend = (
        np.interp(u[..., _RESIDUAL], model.normal, values)
        for values in (model.residual_slope, model.residual_bend)
    )
    bent = -by_u[..., _RESIDUAL] * bend / np.where(slope > 0, slope, 1.0)
    precision[..., _RESIDUAL, _RESIDUAL] += np.maximum(bent, -0.5)
    for sd, which in ((model.sd_edges, _EDGES), (model.sd_intensity, _INTENSITY)):
        index = diagonal[which]
        bent = -by_u[..., index] * model.sd_log(sd)
        precision[..., index, index] += np.maximum(bent, -0.5 * prior[index])
    gradient = by_u - prior * u
    root = np.linalg.cholesky(precision).astype(np.float64, copy=False)
    step = np.linalg.solve(precision, gradient[..., None])[..., 0]
    evidence = _log_joint(electrons, mean, u) + 0.5 * (gradient * step).sum(axis=-1)
    evidence -= np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    return _Peak(u + step, root, evidence)


def _batches(n: int, size: int, *, label: str, show: bool) -> Iterator[slice]:
    with tqdm(total=n, desc=label, unit="pixel", disable=not show, leave=False) as bar:
        for start in range(0, n, size):
            yield slice(start, min(start + size, n))
            bar.update(min(size, n - start))


def _fit_pixels(model: _Spectra, electrons: Floats, fractions: Floats) -> Floats:
    """Return parameters (n, size_u) that fit each pixel by one mix (K,) of free intensity."""
    u = np.zeros((len(electrons), 1, model.size_u))
    if model.sd_drift > 0:
        u[..., _DRIFT] = model.scan_drift(electrons, fractions)[:, None] / model.sd_drift
    if model.sd_thickness > 0:
        local = model.local(model.sd_drift * u[:, 0, _DRIFT])
        mean, _ = model.mean(u, fractions[None], *local, jacobian=False)
        ratio = electrons.sum(axis=1, keepdims=True).clip(1.0) / mean.sum(axis=-1)
        u[..., _THICKNESS] = np.log(ratio) / model.sd_thickness
    for _ in range(_FIT_STEPS):
        local = model.local(model.sd_drift * u[:, 0, _DRIFT])
        u = _score(model, electrons, u, fractions[None], local, loose=True).u
    u[..., _INTENSITY] = 0.0
    return u[:, 0]


def _sample(
    model: _Spectra,
    electrons: Floats,
    peak: _Peak,
    fractions: Floats,
    local: tuple[Floats, Floats],
    normal: Floats,
) -> tuple[Floats, Floats]:
    """Return log evidence and relative effective sample size (n, q) by importance sampling.

    `normal` are the draws (S, size_u), the same for all nodes: what they have in common cancels.
    """
    n, q = peak.log_evidence.shape
    offsets = np.linalg.solve(np.swapaxes(peak.root, -1, -2), normal.T[None, None])
    u = peak.u[:, :, None] + np.swapaxes(offsets, -1, -2)  # (n, q, S, size_u)
    flat, mixes = u.reshape(n, -1, u.shape[-1]), np.repeat(fractions, len(normal), axis=0)
    mean, _ = model.mean(flat, mixes, *local, jacobian=False)
    weight = _log_joint(electrons, mean, flat).reshape(n, q, -1)
    weight += 0.5 * np.square(normal).sum(axis=-1)
    total = logsumexp(weight, axis=-1)
    effective = np.exp(2 * total - logsumexp(2 * weight, axis=-1)) / len(normal)
    root = np.log(np.diagonal(peak.root, axis1=-2, axis2=-1)).sum(axis=-1)
    return total - math.log(len(normal)) - root, effective


def evidence(
    counts: ArrayLike,
    model: SpectrumModel,
    *,
    dose: float,
    nodes: Nodes | None = None,
    window: tuple[float, float] | None = None,
    draws: int = 0,
    bin_width: float = 1.0,
    seed: int = 0,
    show_progressbar: bool = False,
) -> Evidence:
    """Return log p(counts | node) of single pixels, all nuisances integrated out.

    Parameters
    ----------
    counts
        Raw counts of n pixels, (n, E), on the model's channels.
    model
        Forward model; its process gives every hyperparameter.
    dose
        Relative dose of the counts.
    nodes
        Class mixes; default `composition_nodes(model)`.
    window
        Energies from and to which counts are read, eV; default all.
    draws
        Draws of importance sampling a node; 0 is Laplace's approximation.
    bin_width
        Width of the bins into which channels are summed first, eV.
    seed
        Of the draws.
    show_progressbar
        Whether to show one.

    Raises
    ------
    ValueError
        Where counts do not fit the model's channels or are not finite and >= 0, the dose is not
        positive, or the window holds no channel.
    """
    dose = validation.positive("dose", dose)
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(model.energy):
        raise ValueError(f"counts have shape {values.shape}; give (n, {len(model.energy)})")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("counts hold negative, NaN or infinite values; give raw counts")
    low, high = window or (-np.inf, np.inf)
    inside = (model.energy >= low) & (model.energy <= high)
    if not inside.any():
        raise ValueError(f"window is {window}; give energies within the model's channels, in eV")
    nodes = nodes or composition_nodes(model)
    spectra = _Spectra(model, dose, inside, bin_width)
    electrons = spectra.sum_bins(values / model.process.gain)
    mix = nodes.fractions.mean(axis=0)
    rng = np.random.default_rng(seed)
    q = len(nodes.fractions)
    log_evidence = np.empty((len(values), q))
    effective = np.ones_like(log_evidence) if draws else None
    size = max(1, _BATCH // (q * max(1, draws // 8)))
    for rows in _batches(len(values), size, label=f"dose {dose:g}", show=show_progressbar):
        here = electrons[rows]
        start = _fit_pixels(spectra, here, mix)
        local = spectra.local(spectra.sd_drift * start[:, _DRIFT])
        peak = _score(spectra, here, np.repeat(start[:, None], q, axis=1), nodes.fractions, local)
        for _ in range(_NODE_STEPS - 1):
            peak = _score(spectra, here, peak.u, nodes.fractions, local)
        log_evidence[rows] = peak.log_evidence
        if effective is not None:
            normal = rng.standard_normal((draws, spectra.size_u))
            log_evidence[rows], effective[rows] = _sample(
                spectra, here, peak, nodes.fractions, local, normal
            )
    return Evidence(nodes, log_evidence, effective)


def node_posterior(found: Evidence, prior: Floats) -> Floats:
    """Return probabilities of the nodes (n, m) under their prior (m,) or (n, m)."""
    with np.errstate(divide="ignore"):
        log_joint = found.log_evidence + np.log(prior)
    result = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return result / result.sum(axis=1, keepdims=True)


def class_posterior(
    counts: ArrayLike,
    model: SpectrumModel,
    *,
    dose: float,
    weights: ArrayLike | None = None,
    **options: Any,
) -> Floats:
    """Return probabilities of the dominant class given raw counts of single pixels.

    Parameters
    ----------
    counts, model, dose
        As for `evidence`.
    weights
        Prior probabilities of the dominant class, (K,) or (n, K), each class with the process' own
        share of mixed pixels; default the process' over all temperatures.
    **options
        `window`, `draws`, `bin_width`, `seed` and `show_progressbar` of `evidence`.

    Returns
    -------
    ndarray
        Probabilities, (n, K), classes in the library's order; rows sum to one.

    Raises
    ------
    ValueError
        Where counts or weights do not fit the model, or weights are negative or all zero.
    """
    nodes = composition_nodes(model)
    prior = nodes.prior(cell_probabilities(nodes, model))
    if weights is not None:
        given = np.asarray(weights, dtype=np.float64)
        n_classes = model.library.n_classes
        if given.shape not in ((n_classes,), (len(np.asarray(counts)), n_classes)):
            raise ValueError(f"weights have shape {given.shape}; give ({n_classes},) or (n, K)")
        if not (given >= 0).all() or not (given.sum(axis=-1) > 0).all():
            raise ValueError("weights must be >= 0, and not all zero")
        prior = given[..., nodes.label] * (prior / nodes.class_sums(prior)[nodes.label])
    found = evidence(counts, model, dose=dose, nodes=nodes, **options)
    return nodes.class_sums(node_posterior(found, prior))


def series_counts(series: Series, rows: ArrayLike | None = None) -> Floats:
    """Return raw counts of a series' pixels, (n, E), in the order image, y, x."""
    counts = np.concatenate(
        [np.asarray(signal.data).reshape(-1, len(series.model.energy)) for signal in series.signals]
    )
    return (counts if rows is None else counts[np.asarray(rows)]).astype(np.float64)


def series_prior(series: Series, nodes: Nodes, context: str = "pixel") -> Floats:
    """Return the nodes' prior for every pixel of a series, (n, m), in the order image, y, x.

    Parameters
    ----------
    series
        The series.
    nodes
        Quadrature over its composition.
    context
        "pixel" knows which temperatures the series has, "image" the mix of compositions that the
        pixel's own image really has.

    Raises
    ------
    ValueError
        Where the context is another.
    """
    truth = series.truth
    n_images, n_pixels = truth.sizes["image"], truth.sizes["y"] * truth.sizes["x"]
    if context == "pixel":
        cells = cell_probabilities(nodes, series.model, truth["temperature"].to_numpy())
        return np.tile(nodes.prior(cells), (n_images * n_pixels, 1))
    if context != "image":
        raise ValueError(f"context is {context!r}; give 'pixel' or 'image'")
    composition = truth["composition"].to_numpy().reshape(n_images, n_pixels)
    known = ~truth["unknown"].to_numpy().reshape(n_images, n_pixels)
    which = np.searchsorted(nodes.borders, composition, side="right") - 1
    n_cells = len(nodes.borders) - 1
    found = [
        np.bincount(here[keep], minlength=n_cells) / max(keep.sum(), 1)
        for here, keep in zip(which, known, strict=True)
    ]
    return np.repeat(nodes.prior(np.array(found)), n_pixels, axis=0)


def series_posterior(
    series: Series, rows: ArrayLike | None = None, *, context: str = "pixel", **options: Any
) -> Floats:
    """Return probabilities of the dominant class for the pixels of a series.

    Parameters
    ----------
    series
        Simulated series, without defects.
    rows
        Indices of the pixels in the order image, y, x; default all.
    context
        What is known beforehand: see `series_prior`.
    **options
        `window`, `draws`, `bin_width`, `seed` and `show_progressbar` of `evidence`.

    Returns
    -------
    ndarray
        Probabilities, (len(rows), K), classes in the library's order.

    Raises
    ------
    ValueError
        Where the context is neither "pixel" nor "image".
    """
    nodes = composition_nodes(series.model)
    prior = series_prior(series, nodes, context)
    counts = series_counts(series, rows)
    prior = prior if rows is None else prior[np.asarray(rows)]
    found = evidence(counts, series.model, dose=series.dose, nodes=nodes, **options)
    return nodes.class_sums(node_posterior(found, prior))


def _mean_and_error(values: Floats, groups: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and its standard error where values of one group (image) are not independent."""
    sums = np.bincount(groups, weights=values - values.mean())
    n_groups = len(np.unique(groups))
    spread = math.sqrt(float(np.square(sums).sum()) * n_groups / max(n_groups - 1, 1))
    return float(values.mean()), spread / len(values)


def scores(
    probabilities: Floats, labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> dict[str, float]:
    """Return accuracy, NLL, Brier and ECE, with standard errors over groups, and checks.

    In the mean over all pixels a posterior's confidence is its accuracy and its entropy its NLL;
    both differences are given in standard errors (`z_`).
    """
    correct = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    loss = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-16, 1))
    entropy = -(probabilities * np.log(np.clip(probabilities, 1e-300, 1))).sum(axis=1)
    result: dict[str, float] = {"n": len(labels)}
    result["accuracy"], result["accuracy_se"] = _mean_and_error(correct, groups)
    result["nll"], result["nll_se"] = _mean_and_error(loss, groups)
    result["brier"] = metrics.brier(probabilities, labels)
    result["ece"] = metrics.ece(probabilities, labels)
    result["confidence"] = float(probabilities.max(axis=1).mean())
    result["entropy"] = float(entropy.mean())
    for name, difference in {
        "z_confidence": probabilities.max(axis=1) - correct,
        "z_entropy": entropy - loss,
    }.items():
        mean, error = _mean_and_error(difference, groups)
        result[name] = mean / max(error, 1e-300)
    return result


def compare(
    laplace: Floats, sampled: Evidence, prior: Floats, labels: NDArray[np.int64]
) -> dict[str, float]:
    """Compare Laplace's class probabilities (n, K) with those of importance sampling.

    Effective sample sizes are relative to the number of draws, at nodes of more than 1 %.
    """
    by_node = node_posterior(sampled, prior)
    exact = sampled.nodes.class_sums(by_node)
    rows = np.arange(len(labels))
    difference = np.log(exact[rows, labels]) - np.log(laplace[rows, labels])
    assert sampled.effective is not None
    effective = sampled.effective[by_node > 0.01]
    return {
        "n": len(labels),
        "mean_dnll": float(difference.mean()),
        "mean_abs_dnll": float(np.abs(difference).mean()),
        "max_abs_dp": float(np.abs(exact - laplace).max()),
        "effective_mean": float(effective.mean()),
        "effective_1_percent": float(np.quantile(effective, 0.01)),
    }


def independent_check(model: SpectrumModel, n: int, seed: int, *, dose: float) -> dict[str, Any]:
    """Return scores where every pixel is an image of its own, and so independent of all others.

    Averaged over them, the posterior must be the classes' frequencies: `z_frequency` are the
    differences in standard errors.
    """
    truth = draw_truth(model, n, (1, 1), seed)
    gain = model.process.gain
    mean = mean_counts(truth, model, dose=dose).to_numpy().reshape(n, -1).astype(np.float64)
    counts = gain * np.random.default_rng(seed).poisson(mean / gain)
    labels = truth["label"].to_numpy().ravel()
    probabilities = class_posterior(counts, model, dose=dose, show_progressbar=True)
    difference = probabilities - np.eye(probabilities.shape[1])[labels]
    error = np.maximum(difference.std(axis=0), 1e-300) / math.sqrt(n)
    return {
        "dose": dose,
        **scores(probabilities, labels, np.arange(n)),
        "mean_posterior": probabilities.mean(axis=0).tolist(),
        "frequency": (np.bincount(labels, minlength=len(error)) / n).tolist(),
        "z_frequency": (difference.mean(axis=0) / error).tolist(),
    }


def series_check(
    dose: float, *, n_pixels: int, seed: int, n_sampled: int, n_draws: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return scores of a series in each context, and Laplace against importance sampling."""
    series = annealing_series(dose=dose, seed=seed)
    truth = series.truth.transpose("image", "y", "x", ...)
    n_all = truth["label"].size
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(n_all, min(n_pixels, n_all), replace=False))
    labels = truth["label"].to_numpy().ravel()[rows]
    pure = truth["fractions"].to_numpy().reshape(n_all, -1)[rows].max(axis=1) == 1
    images = rows // (n_all // truth.sizes["image"])
    counts = series_counts(series, rows)
    nodes = composition_nodes(series.model)
    options: dict[str, Any] = {"dose": dose, "nodes": nodes, "show_progressbar": True}
    priors = {name: series_prior(series, nodes, name)[rows] for name in ("pixel", "image")}
    found, seconds = {}, {}
    for name, window in {"all": None, "window": WINDOW}.items():
        start = time.perf_counter()
        found[name] = evidence(counts, series.model, window=window, **options)
        seconds[name] = time.perf_counter() - start
    table = []
    for read, what in found.items():
        for context, prior in priors.items():
            p = nodes.class_sums(node_posterior(what, prior))
            row = {"dose": dose, "energies": read, "context": context}
            row |= scores(p, labels, images)
            of_pure = scores(p[pure], labels[pure], images[pure])
            row |= {f"pure_{name}": of_pure[name] for name in ("n", "accuracy", "nll", "nll_se")}
            table.append(row)
    some = rng.choice(len(rows), min(n_sampled, len(rows)), replace=False)
    laplace = nodes.class_sums(node_posterior(found["all"], priors["pixel"]))[some]
    sampled = evidence(counts[some], series.model, draws=n_draws, seed=seed, **options)
    compared = compare(laplace, sampled, priors["pixel"][some], labels[some])
    return table, {"dose": dose, "laplace_seconds": seconds["all"], **compared}


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows of the same columns, aligned."""
    columns = {name: max(len(name), 8) for name in rows[0]}
    print(f"\n{title}\n" + " ".join(f"{name:>{width}s}" for name, width in columns.items()))
    for row in rows:
        cells = []
        for name, width in columns.items():
            value = row[name]
            if isinstance(value, list):
                text = "/".join(f"{part:.3g}" for part in value)
            else:
                text = value if isinstance(value, str) else f"{value:.4g}"
            cells.append(f"{text:>{width}s}")
        print(" ".join(cells))


def main() -> None:
    """Run all, print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=2000, help="random pixels of the series")
    parser.add_argument("--seed", type=int, default=11, help="of the series")
    parser.add_argument("--sampled", type=int, default=100, help="pixels of importance sampling")
    parser.add_argument("--draws", type=int, default=200, help="its draws, a node")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    options = parser.parse_args()
    model = SpectrumModel(Process(), FingerprintLibrary.example())
    result: dict[str, Any] = {"seed": options.seed, "scores": [], "sampling": [], "independent": []}
    for dose in DOSES:
        table, sampling = series_check(
            dose,
            n_pixels=options.pixels,
            seed=options.seed,
            n_sampled=options.sampled,
            n_draws=options.draws,
        )
        result["scores"] += table
        result["sampling"].append(sampling)
    for dose in (DOSES[0], 1.0, DOSES[-1]):
        check = independent_check(model, options.pixels, options.seed, dose=dose)
        result["independent"].append(check)
    print_table(f"posterior; window is {WINDOW[0]:g} to {WINDOW[1]:g} eV", result["scores"])
    print_table("Laplace against importance sampling, all energies", result["sampling"])
    print_table("independent pixels, all energies", result["independent"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
