"""What pixels say of a library's misfit: one step of its fit, and what that fit climbs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.forward_model.factor_moments import MisfitMoments, ShiftMoments
from eels_bayes.forward_model.misfit import LEAST_MISFIT, MOST_MISFIT, Misfit

MOST_PIXEL = 0.1  # relative, of the pixels' own: beyond, a pixel is of no class
# Of the library's shift, in pixels that would show it exactly: keeps a move finite of which pixels
# say nothing, as where a library's variations are none.
LEAST_INFORMATION = 1e-2


class Improved(NamedTuple):
    """The misfit after an E-step, and how far the library moves with it.

    Attributes
    ----------
    misfit : Misfit
    shift : float
        Of the library, in sd of the pixels' own.
    """

    misfit: Misfit
    shift: float


def improved(
    old: Misfit,
    moments: MisfitMoments,
    shift: ShiftMoments,
    share: Array,
    amplitude: Array,
    most: float = MOST_MISFIT,
) -> Improved:
    """The misfit after an E-step, and the library's shift.

    What is shared is its posterior given the components' responsibilities; the scale of the pixels'
    own is a step of an MM algorithm (Zhou et al., J. Comput. Graph. Stat. 28, 350 (2019)), that of
    the shared one a step of expectation-maximisation. A library that stands off is missed by all
    pixels in one way: one by one, shift and misfit would follow each other in many small steps, so
    both are the maximum of one quadratic form, with the pixels' factors integrated out (Meng and
    van Dyk, J. R. Stat. Soc. B 59, 511 (1997)).

    Parameters
    ----------
    old : Misfit
    moments : MisfitMoments
    shift : ShiftMoments
    share : (C, K) array
        Of each class in each component.
    amplitude : (K,) array
    most : float
        Scales at most: of a library that is trusted it is small.

    Returns
    -------
    Improved

    Raises
    ------
    LinAlgError
        If the moments are no longer numbers that fit together.
    """
    n_classes, n_modes = old.shared.shape
    weight = share * amplitude  # (C, K)
    own = weight.sum(1) * old.pixel  # (C,) scale of a component's own misfit
    seen = own > 0
    gradient, hessian = np.zeros((n_classes, n_modes)), np.zeros((n_classes, n_modes) * 2)
    between = np.zeros((n_classes, n_modes))
    for c in np.flatnonzero(seen):
        gradient += np.outer(weight[c], moments.first[c]) / own[c]
        here = np.flatnonzero(weight[c])  # of many classes, one or two
        pairs = np.outer(weight[c, here], weight[c, here]) / own[c] ** 2
        added = np.einsum("kl,mn->klmn", pairs, moments.information[c])
        hessian[here[:, None], :, here] += added
        between += np.outer(weight[c], shift.with_misfit[c]) / own[c]
    size = n_classes * n_modes
    precision = hessian.reshape(size, size) + np.eye(size) / old.shared_sd**2
    np.linalg.cholesky(precision)  # raises where a leap has left nothing but rounding
    covariance = np.linalg.inv(precision)
    towards = gradient.ravel() - old.shared.ravel() / old.shared_sd**2
    across = covariance @ between.ravel()
    left = shift.information.sum() - between.ravel() @ across + LEAST_INFORMATION
    move = float((shift.first.sum() - across @ towards) / left)
    shared = old.shared.ravel() + covariance @ towards - move * across
    learned = float(np.trace(moments.information[seen].sum(0)))
    pixel = old.pixel
    if learned > 0:
        pixel *= float((moments.square[seen].sum() / learned) ** 0.25)
    shared_sd = float(np.sqrt((shared @ shared + np.trace(covariance)) / max(size, 1)))
    misfit = Misfit(
        float(np.clip(pixel, LEAST_MISFIT, min(most, MOST_PIXEL))),
        float(np.clip(shared_sd, LEAST_MISFIT, most)),
        shared.reshape(n_classes, n_modes),
        covariance.reshape(old.covariance.shape),
    )
    return Improved(misfit, move)


def log_density(misfit: Misfit, covariance: Array) -> float:
    """What the shared misfit adds to the fit's objective, nats.

    Its prior at the posterior's mean and the posterior's entropy, but for a constant.

    Parameters
    ----------
    misfit : Misfit
    covariance : (K, M, K, M) array
        What the pixels leave unknown of it.
    """
    shared = misfit.shared.ravel()
    _, log_det = np.linalg.slogdet(covariance.reshape(len(shared), len(shared)))
    density = float(shared @ shared) / misfit.shared_sd**2
    size = len(shared) * float(np.log(misfit.shared_sd))
    return -0.5 * density - size + 0.5 * float(log_det)
