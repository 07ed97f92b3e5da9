"""Where a library stands in an experiment before its fit begins: any factor, many eV off.

Expectation-maximisation finds the nearest maximum, and narrow lines have many. So the mixture of
pure classes on the continuum is tried at shifts and factors far around, with some pixels: the
continuum is integrated out as the prior has it, which leaves two numbers a pixel, class and shift.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.forward_model.continuum import Continuum
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.whitening import Whitening

PIXELS = 1000  # that registration looks at, at most: what it finds is refined by all
REACH = 15.0  # eV to either side that are tried: axes stand 8 or 12 eV off
STEPS_PER_BIN = 4  # shifts tried a bin
FACTORS = np.geomspace(0.05, 3.0, 25)  # of the factor that explains the mean edge by any one class
WEIGHT_STEPS = 4  # of expectation-maximisation of the classes' weights at each factor
FACTOR_STEPS = 2  # and of the factor itself, up to halfway to the next that is tried
NEAR = (0.5, 2.0, 1.0)  # factors and shift (eV) from which the fit gets there by itself
# By which another start must be better: nats a pixel, as the mixture tried is a rough one, and nats
# in all: where one class shows an edge, another with another factor explains few pixels as well.
SURELY, AT_ALL = 0.02, 10.0
BEGINS = 0.5  # of its maximum: an edge that high in its first channels has something under it
EMPTY = 0.02  # of the strongest class's norm: a class below has no edge


def check_background(library: FingerprintLibrary) -> None:
    """Raise ValueError where fingerprints still hold their background.

    An edge begins from nothing; a background falls from the first channel on.
    """
    highest = np.abs(library.intensity).max(1)
    seen = highest > EMPTY * highest.max()
    first = library.intensity[:, :2].mean(1)[seen] / highest[seen]
    last = library.intensity[:, -2:].mean(1)[seen] / highest[seen]
    if len(first) and (first > BEGINS).all() and (first > last).all():
        raise ValueError(
            f"the fingerprints begin at {100 * first.min():.0f} % of their maximum or more, at "
            f"{library.energy[0]:g} eV, and end lower: they seem to hold their background still; "
            "subtract it before they are made a library"
        )


def placed(library: FingerprintLibrary, energy: Array, moved: float) -> FingerprintLibrary:
    """A library with its axis moved (eV), on the channels ``energy`` (N,), eV.

    A library that is moved may leave channels of the axis uncovered; there it goes on with its
    end values.
    """
    return library.resample(energy) if moved == 0.0 else _moved(library, energy, moved)


def _moved(library: FingerprintLibrary, energy: Array, moved: float) -> FingerprintLibrary:
    """As `placed`, and an axis that the library does not cover is no error."""
    axis = library.energy + moved
    step = axis[1] - axis[0]
    before = max(0, int(np.ceil((axis[0] - energy[0]) / step)))
    behind = max(0, int(np.ceil((energy[-1] - axis[-1]) / step)))

    def wide(rows: Array) -> Array:
        """Rows (M, N) with further channels at either end."""
        return np.pad(rows, ((0, 0), (before, behind)), mode="edge")

    wider = replace(
        library,
        energy=np.concatenate(
            [
                axis[0] - step * np.arange(before, 0, -1),
                axis,
                axis[-1] + step * np.arange(1, behind + 1),
            ]
        ),
        intensity=wide(library.intensity),
        nuisances=wide(library.nuisances),
    )
    return wider.resample(energy)


def registered(
    library: FingerprintLibrary,
    axis: Array,
    continuum: Continuum,
    whitening: Whitening,
    profile: Array,
    level: Array,
) -> LibraryFit:
    """Factor and shift to begin with.

    Parameters
    ----------
    library : FingerprintLibrary
        As given, on its own axis.
    axis : (N,) array
        Channels of the edge spectra, eV.
    continuum : Continuum
    whitening : Whitening
    profile, level : (n, B) and (n,) arrays
        Pixels, in units of their norm, and their noise levels.

    Returns
    -------
    LibraryFit
        Gain 1 and nothing moved where the fit finds its way from there.
    """
    every = max(1, len(profile) // PIXELS)
    target, noise = whitening.apply(profile[::every], level[::every])
    inverse = _without_continuum(library, continuum, whitening, float(np.median(noise)))
    projected = target @ inverse
    white = 1.0 / np.sqrt(whitening.mean_profile)
    bin_width = float(continuum.energy[1] - continuum.energy[0])
    n_steps = int(np.ceil(REACH / bin_width * STEPS_PER_BIN))
    # Behind the window an edge goes on as its own course says: a line that the window's end cuts
    # would be continued as a step, and explain what lies there.
    n_behind = int(np.ceil(min(REACH, continuum.energy[-1] - axis[-1]) / (axis[1] - axis[0])))
    axis = np.append(axis, axis[-1] + (axis[1] - axis[0]) * np.arange(1, n_behind + 1))
    best = (-np.inf, 1.0, 0.0)
    usual = -np.inf
    for step in range(-n_steps, n_steps + 1):
        moved = step * bin_width / STEPS_PER_BIN
        here = _moved(library, axis, moved)
        means = mean_edges(continuum.energy, here, LibraryFit()) * white
        for likelihood, factor in _by_factor(
            projected @ means.T, np.diag(means @ inverse @ means.T)
        ):
            best = max(best, (likelihood, factor, moved))
            if NEAR[0] <= factor <= NEAR[1] and abs(moved) <= NEAR[2]:
                usual = max(usual, likelihood)
    likelihood, factor, moved = best
    if likelihood < usual + max(SURELY, AT_ALL / len(target)):
        return LibraryFit()
    near = NEAR[0] <= factor <= NEAR[1]
    return LibraryFit(gain=1.0 if near else factor, shift=moved, moved=moved)


def _without_continuum(
    library: FingerprintLibrary, continuum: Continuum, whitening: Whitening, noise: float
) -> Array:
    """Inverse covariance (B, B) of a whitened pixel without an edge."""
    energy = continuum.energy
    smooth = replace(library, nuisances=library.nuisances[:0])
    columns = continuum.columns(energy, smooth) / np.sqrt(whitening.mean_profile)[:, None]
    spread = columns * np.sqrt(continuum.prior_variances(smooth))
    inverse: Array = np.linalg.inv(noise * np.eye(len(energy)) + spread @ spread.T)
    return inverse


def _by_factor(overlap: Array, norm: Array) -> list[tuple[float, float]]:
    """Log-likelihood over that without any edge (nats a pixel), and factor, at each tried.

    Parameters
    ----------
    overlap : (n, K) array
        Pixels times classes, through the inverse covariance.
    norm : (K,) array
        Classes times themselves.
    """
    seen = norm > EMPTY**2 * norm.max()
    if not seen.any() or norm.max() <= 0:
        return [(0.0, 1.0)]
    # what would explain the mean by the class that explains it best
    gains = overlap[:, seen].mean(0) / norm[seen]
    largest = float(gains.max())
    if largest <= 0:
        return [(0.0, 1.0)]
    tried = factors = largest * FACTORS
    halfway = np.sqrt(FACTORS[1] / FACTORS[0])
    n_pixels, n_classes = overlap.shape
    overlap = np.ascontiguousarray(overlap.T)
    log_weight = np.full((len(factors), n_classes, 1), -np.log(n_classes))
    for step in range(WEIGHT_STEPS + FACTOR_STEPS):
        # all factors at once, (F, K, n): there are thousands of such small sums
        along = factors[:, None, None]
        joint = along * overlap - 0.5 * along**2 * norm[:, None] + log_weight
        highest = joint.max(1, keepdims=True)
        # in single precision an eighth of the time, and differences are small numbers
        relative = np.exp((joint - highest).astype(np.float32))
        total = relative.sum(1, keepdims=True)
        relative /= total
        share = relative.mean(2, keepdims=True)
        likelihood = (highest + np.log(total)).mean((1, 2))
        log_weight = np.log((share + 1.0 / n_pixels) / (1.0 + n_classes / n_pixels))
        if WEIGHT_STEPS - 1 <= step < WEIGHT_STEPS + FACTOR_STEPS - 1:
            # where edges are strong, a factor that is off by some per cent costs more than a class
            shown = (relative * overlap).mean((1, 2))
            expected = np.maximum(share[:, :, 0] @ norm, np.finfo(float).tiny)
            factors = np.clip(shown / expected, tried / halfway, tried * halfway)
    return list(zip(likelihood.tolist(), factors.tolist(), strict=True))
