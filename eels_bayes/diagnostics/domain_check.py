"""Do new data lie where a classifier was taught?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from eels_bayes import validation
from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.drawn_pixels import known_pixels
from eels_bayes.diagnostics.latent_posterior import fitted_parts, log_prior
from eels_bayes.diagnostics.two_sample import TwoSample, mmd
from eels_bayes.prediction.prediction import Prediction

LEAST_P = 0.01  # of the two-sample test, below which samples are of two distributions
MOST_RATIO = 1.1  # of chi-squares: a tenth more is misfit that noise does not make
RARE = 0.01  # share of the reference that lies where it is rare, and whose novelty is beyond
MOST_RARE = 0.05  # share of the new pixels that may: chosen, not tuned
FEWEST = 20  # pixels of each sample, with which nothing is told
N_DRAWS = 20  # decoded draws of a pixel, whose mean is wanted alone


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
    problems : tuple of str
        What says that the new pixels are not of the reference's domain.
    """

    n: int
    latents: TwoSample
    chi_square: float
    reference_chi_square: float
    rare: float
    novel: float
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing says that the new pixels lie elsewhere.

        Returns
        -------
        bool
        """
        return not self.problems


def in_domain(
    clf: EELSClassifier,
    spectra: Spectra,
    reference: Spectra | None = None,
    *,
    n: int = 400,
    seed: int = 0,
) -> DomainCheck:
    """Compare new spectra with those a classifier was fitted to, or with what its model draws.

    The check of Hollenbach et al., Sci. Rep. 14, 17881 (2024), that held-out data embed as the
    training data do: leave out a tenth, fit to the rest, and give both. Three things are compared:
    latent means (a kernel two-sample test), how well denoised spectra describe measured ones, and
    how dense latents are under the prior; and novelty. Both samples have as many pixels of each
    predicted class, so that another mix of known classes is no other domain. Another dose is one,
    where the reference is measured; pixels that the model draws have the doses of the new ones, and
    differ from them by all that the model misses.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        New pixels; flagged ones are left out.
    reference : Spectra, optional
        Pixels that are in the domain, such as those of the fit; by default drawn from the model.
    n : int
        Largest size of a sample.
    seed : int
        Of the choice of pixels, of draws and of permutations.

    Returns
    -------
    DomainCheck

    Raises
    ------
    RuntimeError, TypeError
        Before ``fit``; if spectra are none.
    ValueError
        If spectra are not like those of the fit, or fewer than 20 pixels of a class are in both.

    Warns
    -----
    UserWarning
        As `EELSClassifier.predict`, of spectra that are unlike the model.
    """
    n, seed = validation.whole("n", n, FEWEST), validation.seed(seed)
    fitted_parts(clf)
    new = spectra[spectra.ok]
    if reference is None:
        reference = known_pixels(clf, spectra, n=4 * n, dose=1.0, seed=seed).spectra
    known = reference[reference.ok]
    both = [clf.predict(x, joint=False, show_progressbar=False) for x in (new, known)]
    rng = np.random.default_rng(seed)
    rows = _alike(both[0].labels, both[1].labels, n, rng)
    if len(rows[0]) < FEWEST:
        raise ValueError(
            f"{len(rows[0])} pixels have a predicted class that the reference has too; at least "
            f"{FEWEST} are needed"
        )
    first, second = (pred[mine] for pred, mine in zip(both, rows, strict=True))
    latents = mmd(first.latent_mean, second.latent_mean, seed=seed)
    chi, usual = (
        _chi_square(clf, x[mine], seed) for x, mine in zip((new, known), rows, strict=True)
    )
    density = [_log_density(clf, pred) for pred in (first, second)]
    rare = float(np.mean(density[0] < np.quantile(density[1], RARE)))
    novel = float(np.mean(first.novelty > np.quantile(second.novelty, 1.0 - RARE)))
    problems = _problems(latents, chi / usual, rare, novel)
    return DomainCheck(len(rows[0]), latents, chi, usual, rare, novel, problems)


def _alike(new: Array, known: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows of both, as many of each class, n at most; classes as frequent as in the new ones."""
    rows = tuple(rng.permutation(len(labels)) for labels in (new, known))
    wanted = rows[0][:n]
    chosen: list[list[Array]] = [[], []]
    for k in np.unique(new[wanted]):
        mine = wanted[new[wanted] == k], rows[1][known[rows[1]] == k]
        size = min(map(len, mine)) if k >= 0 else 0
        for side, part in zip(chosen, mine, strict=True):
            side.append(part[:size])
    first, second = (np.sort(np.concatenate(side)) for side in chosen)
    return first, second


def _chi_square(clf: EELSClassifier, spectra: Spectra, seed: int) -> float:
    """Median over pixels of the mean squared residual, in sd."""
    decoded = clf.denoise(spectra, n_draws=N_DRAWS, seed=seed)
    residual = (spectra.intensity - decoded.mean) / spectra.sd
    return float(np.median((residual**2).mean(1)))


def _log_density(clf: EELSClassifier, pred: Prediction) -> Array:
    """Log density (n,) of latent means under the prior, nats."""
    vae = fitted_parts(clf).vae
    with torch.no_grad():
        density = log_prior(vae.prior(), tensor(pred.latent_mean).to(vae.log_b).double())
    return np.asarray(density.cpu().numpy())


def _problems(latents: TwoSample, ratio: float, rare: float, novel: float) -> tuple[str, ...]:
    found = []
    if latents.p_value < LEAST_P:
        found.append(f"latents are of another distribution (p = {latents.p_value:.3g})")
    if ratio > MOST_RATIO:
        found.append(f"denoised spectra miss measured ones by {ratio:.2f} times the reference's")
    for share, what in ((rare, "lie where the prior is thin"), (novel, "are novel")):
        if share > MOST_RARE:
            found.append(f"{share:.0%} of the pixels {what}, of the reference {RARE:.0%}")
    return tuple(found)
