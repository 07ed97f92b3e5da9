"""What a comparison of new pixels with a reference found, and what is wrong by it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from scipy.stats import hypergeom

from eels_bayes.metrics.two_sample import TwoSample

LEAST_P = 0.01  # of a test, below which samples are of two distributions
MOST_RATIO = 1.1  # of chi-squares: a tenth more is misfit that noise does not make
RARE = 0.01  # share of the reference that lies where it is rare, and whose novelty is beyond
MOST_RARE = 0.05  # share of the new pixels that may: chosen, not tuned


@dataclass(frozen=True)
class DomainCheck:
    """How new pixels compare with a reference of the same mix of predicted classes.

    Attributes
    ----------
    n : int
        Pixels of each sample.
    latents : TwoSample
        Test between their latent means.
    chi_square, reference_chi_square : float
        Median over pixels of the mean squared residual of the denoised spectrum, in sd.
    rare, novel : float
        Share of the new pixels with a latent less dense under the prior, or a novelty higher, than
        of all but one in a hundred of the reference.
    """

    n: int
    latents: TwoSample
    chi_square: float
    reference_chi_square: float
    rare: float
    novel: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What says that the new pixels are not of the reference's domain.

        Returns
        -------
        tuple of str
        """
        found = []
        if self.latents.p_value < LEAST_P:
            found.append(f"latents are of another distribution (p = {self.latents.p_value:.3g})")
        if self.ratio > MOST_RATIO:
            found.append(
                f"denoised spectra miss measured ones by {self.ratio:.2f} times the reference's"
            )
        for share, what in ((self.rare, "lie where the prior is thin"), (self.novel, "are novel")):
            if share > MOST_RARE and _by_chance(share, self.n) < LEAST_P:
                found.append(f"{share:.0%} of the pixels {what}, of the reference {RARE:.0%}")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether nothing says that the new pixels lie elsewhere.

        Returns
        -------
        bool
        """
        return not self.problems

    @property
    def ratio(self) -> float:
        """Chi-square of the new pixels over the reference's.

        Returns
        -------
        float
        """
        return self.chi_square / self.reference_chi_square

    def options(self) -> dict[str, Any]:
        """As plain values, which `restored` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, options: dict[str, Any]) -> DomainCheck:
        """The check of `options`; raises where it is none."""
        latents = TwoSample(**options["latents"])
        check = cls(**{**options, "latents": latents})
        numbers = {**dataclasses.asdict(latents), **dataclasses.asdict(check)}
        del numbers["latents"]
        if bad := [name for name, x in numbers.items() if type(x) not in (int, float)]:
            raise TypeError(f"{bad[0]} is {numbers[bad[0]]!r}; a number is needed")
        if check.reference_chi_square <= 0:
            raise ValueError(f"reference_chi_square is {check.reference_chi_square}; not positive")
        return check


def _by_chance(share: float, n: int) -> float:
    """Probability that so many of n pixels or more lie beyond `RARE` of n like them.

    In the common order of both, all that comes before the k-th of the reference is beyond.
    """
    beyond, k = round(share * n), int(RARE * (n - 1)) + 1
    return float(hypergeom.sf(beyond - 1, 2 * n, n, beyond + k - 1))
