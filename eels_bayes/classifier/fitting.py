"""The whole fit to unlabelled spectra: forward model, VAE, and what is learned behind them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from eels_bayes.classifier.domain_comparison import checked
from eels_bayes.classifier.fit_record import record_of
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.held_out import HeldOut, held_out_rows
from eels_bayes.classifier.labels import nothing_labelled
from eels_bayes.classifier.learning import learn
from eels_bayes.classifier.reading_loss import (
    BEARABLE,
    LENGTHS,
    reading_loss,
    warn_of_loss,
)
from eels_bayes.classifier.reporting import measured_fit, warn_of_problems
from eels_bayes.classifier.run import Run
from eels_bayes.classifier.settings import Plan, Settings
from eels_bayes.classifier.training_latents import class_variations, prior_weights
from eels_bayes.data.dim_pixels import without_dim
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.reinsertion import Reinsertion, reinsertion
from eels_bayes.forward_model.window_fit import WindowFit
from eels_bayes.latent.principal_components import fit_denoiser
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.latent.vae_fit import fit_vae
from eels_bayes.randomness import Stream, own_randomness, stream

VALIDATION = 10  # one clean spectrum in so many stops the VAE's training: chosen, not tuned
LEAST_PIXELS = 2  # a variance needs two


def check_training_spectra(spectra: Spectra) -> None:
    """Raise unless a classifier can be fitted to these spectra.

    Raises
    ------
    TypeError, ValueError
        If spectra are none, still hold their background, or too few pixels are usable.
    """
    if not isinstance(spectra, Spectra):
        raise TypeError(
            f"spectra is a {type(spectra).__name__}; make Spectra with a Preprocessor: "
            "Preprocessor(window=...)(signals)"
        )
    if spectra.preprocessor.background is None:
        raise ValueError(
            "spectra still hold their background; the fingerprints have none: give the "
            "Preprocessor a background window before the edge"
        )
    training_of(spectra)


def training_of(spectra: Spectra) -> Spectra:
    """What a fit learns from: spectra of which pixels with next to no counts are flagged, too.

    Raises
    ------
    ValueError
        If too few are left.
    """
    training = without_dim(spectra)
    n_usable, n_left = int(spectra.ok.sum()), int(training.ok.sum())
    if n_left < LEAST_PIXELS:
        dim = f"; {n_usable - n_left} more have next to no counts" if n_usable > n_left else ""
        raise ValueError(
            f"only {n_left} of {len(spectra)} pixels are usable{dim}; "
            f"at least {LEAST_PIXELS} are needed: see spectra.reasons()"
        )
    return training


def fit_run(run: Run, plan: Plan, settings: Settings, keep: Callable[[], None]) -> Fitted:
    """Bring a fit to its end; what the run holds already is not done again.

    ``keep`` is called whenever it holds more.
    """
    spectra = run.training
    if run.forward is None:
        run.forward = fit_forward_model(
            spectra,
            plan.library,
            class_weights=plan.class_weights,
            effort=settings.effort,
            seed=settings.seed,
            show_progressbar=settings.show_progressbar,
        )
        keep()
    source = reinsertion(run.forward, spectra)
    left_out = held_out_rows(spectra, settings.seed)
    measured = measured_fit(run.forward, run.spectra), HeldOut(left_out, None)
    most = min(settings.effort.vae_rounds, len(LENGTHS))
    while True:
        fitted = _beyond_forward(run, plan, settings, source, measured, keep)
        lost = reading_loss(fitted, spectra, settings)
        if lost <= BEARABLE or run.rounds + 1 >= most:
            break
        run.go_further()
        keep()
    if most == len(LENGTHS):  # of less that was asked for, it is no surprise
        warn_of_loss(lost)
    fitted = replace(fitted, held_out=checked(fitted, spectra, left_out, settings))
    warn_of_problems(fitted, plan.library, settings.effort)
    return fitted


def _beyond_forward(
    run: Run,
    plan: Plan,
    settings: Settings,
    source: Reinsertion,
    measured: tuple[WindowFit, HeldOut],
    keep: Callable[[], None],
) -> Fitted:
    """What is behind the forward model, as far as the run does not hold it."""
    spectra = run.training
    if run.vae is None:
        seen = spectra[np.setdiff1d(np.flatnonzero(spectra.ok), measured[1].rows)]
        run.vae = _fit_clean_vae(run, plan, settings, source, seen, keep)
        keep()
    return learn(
        # A copy: calibrating the user's anew must not change the fitted model.
        copy.deepcopy(spectra.preprocessor),
        spectra.energy,
        source,
        run.vae,
        plan.library.class_names,
        nothing_labelled(len(spectra.profile_energy), plan.latent_dim),
        settings,
        measured=measured,
        record=partial(record_of, spectra),
        spectra=spectra,
        learned=run.learned,
        after_each=keep,
    )


def _fit_clean_vae(
    run: Run,
    plan: Plan,
    settings: Settings,
    source: Reinsertion,
    training: Spectra,
    after_each: Callable[[], None],
) -> SpectrumVAE:
    """The VAE of clean spectra, the library's and denoised ones; goes on from the run's state."""
    rng, schedule = stream(settings.seed, Stream.VAE), settings.effort.vae
    # first, as `training_latents.prior_spectra` does
    fingerprints = class_variations(source, rng)
    weights = prior_weights(source.model.class_weights)
    drawn, denoised, denoised_sd = _clean_spectra(settings, source, training, rng)
    clean = torch.cat([drawn, denoised])
    sd = torch.cat([torch.zeros_like(drawn), denoised_sd])
    rows = torch.as_tensor(rng.permutation(len(clean)))
    n_validation = len(clean) // VALIDATION
    training_rows, validation_rows = rows[n_validation:], rows[:n_validation]
    explicit = plan.prior == "fingerprint"
    with own_randomness(settings.seed):
        vae = SpectrumVAE(
            clean.shape[1],
            plan.latent_dim,
            fingerprints if explicit else None,
            weights if explicit else None,
            likelihood=plan.likelihood,
            scale=float(drawn.square().mean().sqrt()),
        ).to(settings.device)
    fit_vae(
        vae,
        clean[training_rows],
        clean[validation_rows],
        replace(schedule, epochs=schedule.epochs * LENGTHS[run.rounds]),
        run.vae_state,
        sd=(sd[training_rows], sd[validation_rows]),
        batch_size=settings.effort.vae_batch,
        seed=settings.seed,
        after_each=after_each,
        show_progressbar=settings.show_progressbar,
    )
    return vae


def _clean_spectra(
    settings: Settings, source: Reinsertion, training: Spectra, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Drawn spectra (N, L), denoised ones (M, L) and the sd (M, L) of what these still carry."""
    n = settings.effort.clean_spectra
    drawn = torch.from_numpy(source.draw_clean(n, rng).spectra).float()
    pixels = np.sort(rng.permutation(len(training))[:n])
    pairs, edges = source.draw_edges(settings.effort.clean_pairs, rng)
    denoiser = fit_denoiser(training)
    denoised = torch.from_numpy(denoiser.rebuild(training.intensity[pixels]))
    # What denoising leaves of noise and of the background's error, seen where truth is known.
    residual = torch.from_numpy(denoiser.rebuild(edges.intensity.numpy())) - pairs.clean
    sd = residual[edges.flag == 0].std(0, correction=0).expand_as(denoised)
    return drawn, denoised, sd
