"""A tenth of the pixels, which the VAE does not learn from: which, and do they embed as the rest?

The check of Hollenbach et al., Sci. Rep. 14, 17881 (2024), that held-out data embed as the training
data do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.classifier.domain import DomainCheck
from eels_bayes.data.spectra import Spectra
from eels_bayes.randomness import Stream, stream

PART = 10  # one usable pixel in so many is held out, as in the paper
LEAST_PIXELS = 500  # usable ones; a tenth of fewer tells nothing, and is missed in training


@dataclass(frozen=True, eq=False, repr=False)
class HeldOut:
    """Pixels of the fit that the VAE has not seen, and how they embed beside those that it has.

    They are left out of the VAE's training and of the principal components that denoise what it is
    trained on. The forward model, which has few numbers, and the scale of novelty know all pixels;
    the reading of noisy pixels is learned from none, but from clean spectra that are put back into
    the noise. What the check tests is therefore whether the VAE has learned what is common to all
    pixels, or those that it was shown: latents, residuals of denoised spectra and densities of the
    others would differ then. It says nothing about other specimens: see `diagnostics.in_domain`.

    Attributes
    ----------
    rows : (n,) array of int
        Their rows in the spectra of the fit, ascending; none of fewer than 500 usable pixels.
    check : DomainCheck or None
        At most 400 of them beside as many others, of the fit as it ended; an update leaves it.
    """

    rows: NDArray[np.int64]
    check: DomainCheck | None

    @property
    def words(self) -> str:
        """What came out, for a line.

        Returns
        -------
        str
        """
        if not len(self.rows):
            return f"none: fewer than {LEAST_PIXELS} pixels are usable"
        if self.check is None:
            return f"{len(self.rows)} pixels, too few alike in class to be compared"
        what = f"{len(self.rows)} of the fit's pixels, unseen by its VAE, embed"
        if problems := self.check.problems:
            return f"{what} otherwise: {problems[0]}"
        return (
            f"{what} as the rest (latents p = {self.check.latents.p_value:.2g}, residuals "
            f"{self.check.ratio:.2f} times, {100 * self.check.rare:.2g} % rare, "
            f"{100 * self.check.novel:.2g} % novel)"
        )

    def __repr__(self) -> str:
        return f"<HeldOut: {self.words}>"

    def options(self) -> dict[str, Any]:
        """The check and how many rows there are, as plain values; see `restored`."""
        check = None if self.check is None else self.check.options()
        return {"n": len(self.rows), "check": check}

    @classmethod
    def restored(cls, rows: NDArray[np.int64], options: dict[str, Any]) -> HeldOut:
        """What is of these rows and of `options`; raises where it is none."""
        check = options["check"]
        return cls(rows, None if check is None else DomainCheck.restored(check))


def held_out_rows(spectra: Spectra, seed: int) -> NDArray[np.int64]:
    """Rows (n,) of usable pixels that the VAE is not to see, the same for the same seed."""
    usable = np.flatnonzero(spectra.ok)
    if len(usable) < LEAST_PIXELS:
        return usable[:0]
    chosen = stream(seed, Stream.HELD_OUT).permutation(usable)
    return np.sort(chosen[: len(usable) // PART])
