"""Do new data lie where a classifier was taught?"""

from __future__ import annotations

from eels_bayes import validation
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.domain import DomainCheck as DomainCheck
from eels_bayes.classifier.domain_comparison import FEWEST, Sample, compared
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.drawn_pixels import known_pixels
from eels_bayes.diagnostics.latent_posterior import fitted_parts


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
    training data do. `fit` makes it of a tenth of its own pixels, which its VAE has not seen (see
    `EELSClassifier.held_out`); here spectra of another day or specimen are asked about. Compared
    are latent means (a kernel two-sample test), how well denoised spectra describe measured ones,
    how dense latents are under the prior, and novelty. Both samples have as many pixels of each
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
    fitted = fitted_parts(clf)
    new = spectra[spectra.ok]
    if reference is None:
        reference = known_pixels(clf, spectra, n=4 * n, dose=1.0, seed=seed).spectra
    known = reference[reference.ok]
    samples = []
    for pixels in (new, known):
        pred = clf.predict(pixels, joint=False, show_progressbar=False)
        samples.append(Sample(pixels, pred.labels, pred.latent_mean, pred.novelty))
    first, second = samples
    return compared(fitted, clf.device, first, second, n=n, seed=seed)
