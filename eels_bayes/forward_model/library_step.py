"""How the library stands, and how much it varies, after an E-step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.acceleration import VARIED
from eels_bayes.forward_model.components import absent
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.factor_mixture import Expectation

VARIATION_PIXELS = 10.0  # weight of the library's own variations, in pixels; chosen, not tuned


def moved(
    fit: LibraryFit, common: Array, shift: float, old: FingerprintLibrary, new: FingerprintLibrary
) -> LibraryFit:
    """The library's standing after an E-step that found the common factors' means.

    It moves by ``shift``, in sd of the pixels' own, which was found with what all pixels miss
    (`misfit_step.improved`). The mean pixel is broadened by what pixels vary as well: what ``new``
    varies less than ``old`` broadens all of them.
    """
    vary = old.variations
    broadening = fit.broadening + np.sqrt(2.0) * vary.broadening**2 * common[2]
    broadening += _spread(old) - _spread(new)
    return replace(
        fit,
        gain=float(fit.gain * (1.0 + vary.intensity * common[0])),
        shift=float(fit.shift + vary.shift * shift),
        broadening=float(max(0.0, broadening)),
    )


def varied(
    given: FingerprintLibrary, old: FingerprintLibrary, step: Expectation
) -> FingerprintLibrary:
    """The library with the variations that an E-step found, the given ones weighing a little.

    A step of an MM algorithm (Zhou et al., J. Comput. Graph. Stat. 28, 350 (2019)) where the given
    ones are an inverse-gamma prior: a step of expectation-maximisation is the shorter, the less
    single pixels say of their own factors.
    """
    n, prior = float(step.n), VARIATION_PIXELS
    # the broadening's factor is the square's: its sd goes as the broadening squared
    powers = (2.0, 2.0, 4.0)
    variations = {}
    centred = step.common.square - step.common.mean**2
    for name, power, square, information in zip(
        VARIED, powers, centred, step.common.information, strict=True
    ):
        now, first = getattr(old.variations, name), getattr(given.variations, name)
        if now == 0.0:  # as given
            variations[name] = now
            continue
        # information u^2 + prior u = square + prior (first / now)^power, of the variance's factor u
        towards = n * square + prior * (first / now) ** power
        root = np.sqrt(prior**2 + 4.0 * n * information * towards)
        factor = 2.0 * towards / (prior + root)
        variations[name] = float(now * factor ** (1.0 / power))
    return replace(old, variations=Variations(**variations))


def by_levels(given: FingerprintLibrary, old: FingerprintLibrary) -> FingerprintLibrary:
    """The library whose intensity varies as given, where levels of it take the rest.

    A Gaussian as wide as edges that come and go would hold negative ones, and pixels without any.
    """
    if absent(given) is None:
        return old
    known = replace(old.variations, intensity=given.variations.intensity)
    return replace(old, variations=known)


def _spread(library: FingerprintLibrary) -> float:
    """Variance by which the library's variations broaden the mean pixel, eV^2."""
    return library.variations.shift**2 + library.variations.broadening**2
