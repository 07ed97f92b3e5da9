"""How well pixels show where the library stands: errors of its factor, shift and broadening.

They are those of a maximum of the posterior, by the information of the n pixels as their scores
scatter (McLachlan and Peel, Finite Mixture Models, Wiley, 2000, section 2.15). A pixel's score is
the posterior mean of that of the complete data (Fisher's identity),

    s_i = sum_c gamma_ic D_c' C_ic^-1 (y_i - mean_c)

with the derivatives D_c of the component's mean and its covariance C_ic. What may stand for a move
of the library is asked along with it, and takes from what is known: what all pixels of a class
share of misfit, the continuum's mean, and the components' weights.
"""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.factor_mixture import Rotated, factors
from eels_bayes.forward_model.model import ForwardModel

MOVED = 0.1  # of a bin, and of its square: steps of the numerical derivatives
# Precision beforehand of what nothing is expected of, so that no pixels make no error infinite: of
# the factor's logarithm, the shift in eV, the broadening in eV^2, and the continuum's coefficients.
KNOWN = 1e-6


def standing_error(
    model: ForwardModel, target: Array, noise: Array, parts: list[Rotated], share: Array
) -> Array:
    """Standard errors of the library's factor (relative), shift and broadening (eV); (3,).

    Parameters
    ----------
    model : ForwardModel
    target : (n, B) array
        Whitened pixels.
    noise : (n,) array
        Noise variance of their bins.
    parts : list of Rotated
        The model's C components.
    share : (n, C) array
        How likely each pixel is of each.
    """
    score = scores(model, target, noise, parts, share)
    information = score.T @ score + np.diag(_prior(model, score.shape[1]))
    gain, shift, variance = np.sqrt(np.diag(np.linalg.inv(information))[:3])
    before = model.library_fit.broadening
    return np.array([gain, shift, np.sqrt(before + variance) - np.sqrt(before)])


def scores(
    model: ForwardModel, target: Array, noise: Array, parts: list[Rotated], share: Array
) -> Array:
    """Derivatives (n, D) of each pixel's log-likelihood; arguments as of `standing_error`.

    By the logarithm of the factor, the shift (eV), the broadening (eV^2), the shared misfits (K M),
    the continuum's mean (P), and the logarithms of the components' weights (C), of which only
    differences matter.
    """
    energy, white = model.continuum.energy, model.white
    columns = model.continuum.columns(energy, model.library) * white[:, None]
    moves, modes = _moves(model) * white, model.along.shape * white[:, None]
    n, n_misfit = len(target), model.misfit.shared.size
    of_library, of_misfit = np.zeros((n, 3)), np.zeros((n, n_misfit))
    of_continuum = np.zeros((n, columns.shape[1]))
    for c, (part, classes) in enumerate(zip(parts, model.shares(), strict=True)):
        factor, _ = factors(target, noise, part)
        left = (target - part.center - (part.loadings @ factor).T) * (share[:, c] / noise)[:, None]
        of_library += left @ np.einsum("k,jkb->bj", classes, moves)
        of_misfit += np.kron(classes * model.along.amplitude, left @ modes)
        of_continuum += left @ columns
    weight = model.components()[1]
    of_weights = share - share.sum(1, keepdims=True) * weight
    return np.concatenate([of_library, of_misfit, of_continuum, of_weights], axis=1)


def _moves(model: ForwardModel) -> Array:
    """What a move of the library makes of each class's mean edge: (3, K, B), edge units."""
    energy = model.continuum.energy
    width = float(energy[1] - energy[0])
    step, variance = MOVED * width, MOVED * width**2

    def edges(fit: LibraryFit) -> Array:
        return mean_edges(energy, model.library, fit)

    here = edges(LibraryFit())
    return np.stack(
        [
            here,
            (edges(LibraryFit(shift=step)) - edges(LibraryFit(shift=-step))) / (2.0 * step),
            (edges(LibraryFit(broadening=variance)) - here) / variance,
        ]
    )


def _prior(model: ForwardModel, size: int) -> Array:
    """Precisions (D,) of the same beforehand."""
    n_misfit, n_weights = model.misfit.shared.size, len(model.components()[1])
    return np.repeat(
        [KNOWN, 1.0 / model.misfit.shared_sd**2, KNOWN, 1.0],
        [3, n_misfit, size - 3 - n_misfit - n_weights, n_weights],
    )
