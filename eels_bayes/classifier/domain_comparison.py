"""New pixels beside a reference: latents, residuals, density and novelty, classes alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.denoising import decoded_bands
from eels_bayes.classifier.domain import RARE, DomainCheck
from eels_bayes.classifier.fitted import Fitted, evidence_of
from eels_bayes.classifier.held_out import HeldOut
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import Spectra
from eels_bayes.latent.mixtures import moments
from eels_bayes.latent.prior import log_prior
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.metrics.two_sample import mmd
from eels_bayes.prediction.novelty import NoveltyScale, of_pixels
from eels_bayes.randomness import Stream, stream

FEWEST = 20  # pixels of each sample, with which nothing is told
N_DRAWS = 20  # decoded draws of a pixel, whose mean is wanted alone
BATCH = 128  # pixels decoded at a time
N_HELD_OUT = 400  # of a fit that are compared at most: half a second's work
MORE = 2  # times as many others are read, so that as many of each class are among them


class Sample(NamedTuple):
    """Usable pixels and what is predicted of them.

    Attributes
    ----------
    spectra : Spectra
        n pixels.
    labels : (n,) array
        Classes; -1 where there is none.
    latent : (n, D) array
        Means.
    novelty : (n,) array
    """

    spectra: Spectra
    labels: Array
    latent: Array
    novelty: Array

    def of_rows(self, rows: Array) -> Sample:
        """Some of the pixels."""
        spectra, labels, latent, novelty = self
        return Sample(spectra[rows], labels[rows], latent[rows], novelty[rows])


def compared(
    fitted: Fitted, device: torch.device, new: Sample, known: Sample, *, n: int, seed: int
) -> DomainCheck:
    """Compare at most n new pixels with as many known ones of the same classes.

    Raises
    ------
    ValueError
        If fewer than 20 pixels of a class are in both.
    """
    rows = alike(new.labels, known.labels, n, np.random.default_rng(seed))
    if len(rows[0]) < FEWEST:
        raise ValueError(
            f"{len(rows[0])} pixels have a predicted class that the reference has too; at least "
            f"{FEWEST} are needed"
        )
    both = [sample.of_rows(mine) for sample, mine in zip((new, known), rows, strict=True)]
    first, second = both
    chi, usual = (_chi_square(fitted, sample.spectra, device, seed) for sample in both)
    density = [_log_density(fitted.vae, sample.latent) for sample in both]
    # order statistics, so that chance is known: see `domain`
    thin = np.quantile(density[1], RARE, method="lower")
    usual_novelty = np.quantile(second.novelty, 1.0 - RARE, method="higher")
    return DomainCheck(
        n=len(rows[0]),
        latents=mmd(first.latent, second.latent, seed=seed),
        chi_square=chi,
        reference_chi_square=usual,
        rare=float(np.mean(density[0] < thin)),
        novel=float(np.mean(first.novelty > usual_novelty)),
    )


def checked(fitted: Fitted, spectra: Spectra, rows: Array, settings: Settings) -> HeldOut:
    """Held-out rows of the fit's spectra and how they embed beside the others; see `HeldOut`."""
    if not len(rows):
        return HeldOut(rows, None)
    rng = stream(settings.seed, Stream.HELD_OUT)
    others = np.setdiff1d(np.flatnonzero(spectra.ok), rows)
    first, second = (
        _embedded(fitted, spectra[np.sort(rng.permutation(mine)[:n])], settings.device)
        for mine, n in ((rows, N_HELD_OUT), (others, MORE * N_HELD_OUT))
    )
    try:
        how = {"n": N_HELD_OUT, "seed": settings.seed}
        check = compared(fitted, settings.device, first, second, **how)
    except ValueError:  # classes that are in one of both alone
        check = None
    return HeldOut(rows, check)


def _embedded(fitted: Fitted, spectra: Spectra, device: torch.device) -> Sample:
    """Pixels and their latents; classes are the forward model's, as no head is needed for them."""
    encoder = fitted.encoder
    with torch.no_grad():
        evidence = evidence_of(encoder, spectra, device)
        latent, _ = moments(encoder.read(evidence))
        component = evidence.log_probability.exp()
        scale = NoveltyScale(*(x.to(component) for x in fitted.novelty))
        spike = tensor(spectra.spike).to(device)
        new = of_pixels(evidence.residual, evidence.unknown, spike, component, scale)
        labels = (component @ scale.dominant).argmax(1).cpu()
    return Sample(spectra, labels.numpy(), latent.cpu().numpy(), new.cpu().numpy())


def alike(new: Array, known: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
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


def _chi_square(fitted: Fitted, spectra: Spectra, device: torch.device, seed: int) -> float:
    """Median over pixels of the mean squared residual, in sd."""
    mean, _, _ = decoded_bands(
        fitted,
        spectra,
        device,
        level=0.5,
        n_draws=N_DRAWS,
        batch_size=BATCH,
        generator=torch.Generator().manual_seed(seed),
    )
    residual = (spectra.intensity - mean) / spectra.sd
    return float(np.median((residual**2).mean(1)))


def _log_density(vae: SpectrumVAE, latent: Array) -> Array:
    """Log density (n,) of latents under the prior, nats."""
    with torch.no_grad():
        density = log_prior(vae.prior(), tensor(latent).to(vae.log_b).double())
    return np.asarray(density.cpu().numpy())
