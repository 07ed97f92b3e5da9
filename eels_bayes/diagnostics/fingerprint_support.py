"""Do the fingerprints lie where the data do?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from eels_bayes import validation
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import posterior
from eels_bayes.data.spectra import Spectra
from eels_bayes.diagnostics.latent_posterior import fitted_parts
from eels_bayes.forward_model.reinsertion import reinsertion
from eels_bayes.latent import mixtures
from eels_bayes.latent.principal_components import principal_components
from eels_bayes.latent.vae_fit import encoded_draws
from eels_bayes.metrics.two_sample import TwoSample as TwoSample
from eels_bayes.metrics.two_sample import mmd as mmd


@dataclass(frozen=True)
class SupportDistance:
    """Two-sample distances of fingerprints from data, by one kernel in each space.

    Attributes
    ----------
    before, after : dict of str to TwoSample
        Fingerprints as the library gives them, and as this experiment shows them, with overlapping
        shapes. Spaces: "spectrum", "clean latent", "noisy latent".
    """

    before: dict[str, TwoSample]
    after: dict[str, TwoSample]


def support_distance(
    clf: EELSClassifier,
    spectra: Spectra,
    *,
    n: int = 400,
    n_permutations: int = 500,
    seed: int = 0,
) -> SupportDistance:
    """Do the fingerprints lie where the data do, before and after the forward model?

    The kernel two-sample test of Gretton et al., JMLR 13, 723 (2012), between n pixels and n
    spectra of the library under its variations, in the mixture of classes learned from the data:
    "before" as the library gives them, "after" with the experiment's gain, shift and broadening
    and its overlapping shapes. In the "spectrum" space and in the "clean latent" space (draws of
    q(z | x)) the pixels are their denoised principal components; in the "noisy latent" space they
    are draws of r(z | x), against the same latents of the fingerprints as in the clean one. The
    bandwidth is one for both columns, that of "after".

    Compare statistics, or z at one n; a p-value falls with n for any real difference, and the
    denoised pixels still carry some noise that no fingerprint has.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        Flagged pixels are left out.
    n : int
        Largest size of a sample.
    n_permutations : int
        Of each test's null.
    seed : int

    Returns
    -------
    SupportDistance

    Raises
    ------
    RuntimeError
        If ``clf`` is not fitted.
    """
    validation.whole("n", n)
    validation.whole("n_permutations", n_permutations)
    validation.seed(seed)
    fitted = fitted_parts(clf)
    rng = np.random.default_rng(seed)
    spectra = spectra[spectra.ok]
    rows = rng.permutation(len(spectra))[:n]
    clean = principal_components(spectra)[rows]
    mixture = posterior(fitted.encoder, spectra[rows], torch.device(clf.device))
    generator = torch.Generator().manual_seed(seed)
    data = {
        "spectrum": clean,
        "clean latent": encoded_draws(fitted.vae, clean, rng).numpy(),
        "noisy latent": mixtures.draw(mixture, 1, generator)[:, 0].cpu().numpy(),
    }
    source = reinsertion(fitted.forward, spectra)
    unshown = replace(
        source, model=replace(source.model, library=clf.library.resample(fitted.energy))
    )
    edges = {
        "before": unshown.edges(len(rows), rng).spectra,
        "after": source.draw_clean(len(rows), rng).spectra,
    }
    options: dict[str, Any] = {"n_permutations": n_permutations, "seed": seed}
    before, after = {}, {}
    latent = {when: encoded_draws(fitted.vae, edge, rng).numpy() for when, edge in edges.items()}
    for space, sample in data.items():
        library = edges if space == "spectrum" else latent
        after[space] = mmd(library["after"], sample, **options)
        width = after[space].bandwidth
        before[space] = mmd(library["before"], sample, bandwidth=width, **options)
    return SupportDistance(before, after)
