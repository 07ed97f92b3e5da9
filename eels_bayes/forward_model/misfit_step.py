"""What pixels say of a library's misfit: one step of its fit, and what that fit climbs."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.forward_model.factor_moments import MisfitMoments
from eels_bayes.forward_model.misfit import LEAST_MISFIT, MOST_MISFIT, Misfit

MOST_PIXEL = 0.1  # relative, of the pixels' own: beyond, a pixel is of no class


def improved(
    old: Misfit,
    moments: MisfitMoments,
    share: Array,
    amplitude: Array,
    most: float = MOST_MISFIT,
) -> Misfit:
    """The misfit after an E-step.

    What is shared is its posterior given the components' responsibilities; the scale of the pixels'
    own is a step of an MM algorithm (Zhou et al., J. Comput. Graph. Stat. 28, 350 (2019)), that of
    the shared one a step of expectation-maximisation.

    Parameters
    ----------
    old : Misfit
    moments : MisfitMoments
    share : (C, K) array
        Of each class in each component.
    amplitude : (K,) array
    most : float
        Scales at most: of a library that is trusted it is small.

    Returns
    -------
    Misfit

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
    for c in np.flatnonzero(seen):
        gradient += np.outer(weight[c], moments.first[c]) / own[c]
        here = np.flatnonzero(weight[c])  # of many classes, one or two
        pairs = np.outer(weight[c, here], weight[c, here]) / own[c] ** 2
        added = np.einsum("kl,mn->klmn", pairs, moments.information[c])
        hessian[here[:, None], :, here] += added
    size = n_classes * n_modes
    precision = hessian.reshape(size, size) + np.eye(size) / old.shared_sd**2
    np.linalg.cholesky(precision)  # raises where a leap has left nothing but rounding
    covariance = np.linalg.inv(precision)
    towards = gradient.ravel() - old.shared.ravel() / old.shared_sd**2
    shared = old.shared.ravel() + covariance @ towards
    learned = float(np.trace(moments.information[seen].sum(0)))
    pixel = old.pixel
    if learned > 0:
        pixel *= float((moments.square[seen].sum() / learned) ** 0.25)
    shared_sd = float(np.sqrt((shared @ shared + np.trace(covariance)) / max(size, 1)))
    return Misfit(
        float(np.clip(pixel, LEAST_MISFIT, min(most, MOST_PIXEL))),
        float(np.clip(shared_sd, LEAST_MISFIT, most)),
        shared.reshape(n_classes, n_modes),
        covariance.reshape(old.covariance.shape),
    )


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
