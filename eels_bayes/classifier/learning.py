"""The order in which everything behind the VAE is learned; a fit and an update both follow it.

forward model -> noisy encoder -> value -> GP classifier -> novelty -> explicit prior
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.classifier.fit_record import FitRecord
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.heads import fit_classes, fit_novelty, fit_values
from eels_bayes.classifier.held_out import HeldOut
from eels_bayes.classifier.labels import Labelled
from eels_bayes.classifier.run import Learned
from eels_bayes.classifier.settings import Settings
from eels_bayes.classifier.training_latents import class_shares, prior_spectra, prior_weights
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.reinsertion import Reinsertion
from eels_bayes.forward_model.window_fit import WindowFit
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.noisy_encoder_fit import fit_noisy_encoder
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.preprocessing.preprocessor import Preprocessor


def learn(
    preprocessor: Preprocessor,
    energy: NDArray[np.float64],
    source: Reinsertion,
    vae: SpectrumVAE,
    class_names: tuple[str, ...],
    labelled: Labelled,
    settings: Settings,
    *,
    measured: tuple[WindowFit, HeldOut],
    record: Callable[[], FitRecord],
    known: Fitted | None = None,
    spectra: Spectra | None = None,
    learned: Learned | None = None,
    after_each: Callable[[], None] = lambda: None,
) -> Fitted:
    """Learn what follows from a forward model, a VAE and labels.

    Parameters
    ----------
    preprocessor : Preprocessor
        The fit's own.
    energy : (L,) array
        Channel centres of the window, eV.
    source : Reinsertion
        Of the forward model; it draws the training data.
    vae : SpectrumVAE
        Trained; it stays as it is but for its explicit prior.
    class_names : tuple of str
        The library's classes, then those that labels alone tell of.
    labelled : Labelled
        Measured pixels and latents that have a label.
    settings : Settings
    measured, record : pair and callable
        What is kept of the fit; the record holds a date, and is asked for when all is learned.
    known : Fitted, optional
        An earlier model. The GP goes on from its own, a new encoder keeps its axes; where the
        forward model is still the same, encoder and value are kept, which follow from it.
    spectra : Spectra, optional
        Pixels whose spikes the scale of novelty takes in; without them that of ``known`` is kept.
    learned : Learned, optional
        What an interrupted call has learned; what is learned here is entered.
    after_each : callable
        Called when something is entered there.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        If there are neither spectra nor an earlier model.
    """
    options: dict[str, Any] = {"effort": settings.effort, "seed": settings.seed}
    learned = _known(known, source, spectra) if learned is None else learned
    if learned.encoder is None:
        learned.encoder = _new_encoder(vae, source, known, settings)
        after_each()
    encoder = learned.encoder
    if learned.value is None and source.model.library.values is not None:
        learned.value = fit_values(source, vae, encoder, settings.device, **options)
        after_each()
    if learned.gp is None:
        start = None if known is None else known.gp
        what = (source, vae, encoder, class_names, labelled)
        shown = settings.show_progressbar
        learned.gp = fit_classes(*what, start=start, show_progressbar=shown, **options)
        after_each()
    if learned.novelty is None:
        if spectra is None:
            raise ValueError("spectra are missing: there is no earlier scale of novelty to keep")
        learned.novelty = fit_novelty(source, encoder, spectra, settings.device, **options)
        after_each()
    heads = (encoder, learned.gp, learned.value, learned.novelty)
    shares = _class_shares(class_names, learned.gp, source, vae, encoder, **options)
    names = (class_names, shares, labelled)
    if known is not None and vae.fingerprints is not None:  # a new VAE was trained with its prior
        vae = _with_prior(vae, source, encoder, *names, settings.seed)
    return Fitted(preprocessor, energy, source.model, vae, *heads, *names, record(), *measured)


def _known(known: Fitted | None, source: Reinsertion, spectra: Spectra | None) -> Learned:
    """What an earlier model has learned that is still right."""
    if known is None:
        return Learned()
    same = known.forward is source.model
    return Learned(
        encoder=known.encoder if same else None,
        value=known.value if same else None,
        novelty=known.novelty if spectra is None else None,
    )


def _new_encoder(
    vae: SpectrumVAE, source: Reinsertion, known: Fitted | None, settings: Settings
) -> NoisyEncoder:
    """The noisy encoder, along the axes that an earlier model's GP knows."""
    axes = None if known is None else known.encoder.axes.cpu()
    n_draws, seed = settings.effort.encoder_draws, settings.seed
    encoder = fit_noisy_encoder(vae, source, axes=axes, n_draws=n_draws, seed=seed)
    return encoder.to(settings.device)


def _class_shares(
    class_names: tuple[str, ...],
    gp: GPClassifier,
    source: Reinsertion,
    vae: SpectrumVAE,
    encoder: NoisyEncoder,
    **options: Any,
) -> NDArray[np.float64]:
    """How frequent each class is; only where labels name more does the GP have to say."""
    weights = source.model.dominant_weights
    if len(class_names) == len(weights):
        return weights
    return class_shares(gp, source, vae, encoder.axes.cpu(), **options)


def _with_prior(
    vae: SpectrumVAE,
    source: Reinsertion,
    encoder: NoisyEncoder,
    class_names: tuple[str, ...],
    class_weights: NDArray[np.float64],
    labelled: Labelled,
    seed: int,
) -> SpectrumVAE:
    """A copy of the VAE with the explicit prior that classes and labels make."""
    vae = copy.deepcopy(vae)
    device = vae.log_b.device
    spectra = prior_spectra(source, vae, encoder, class_names, labelled, seed=seed)
    vae.fingerprints = spectra.to(device)
    vae.class_weights = prior_weights(class_weights).to(device)
    return vae
