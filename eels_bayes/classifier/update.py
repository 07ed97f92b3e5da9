"""What a fitted model learns later, in seconds: labels, and fingerprints of further structures.

The VAE stays as it is. Labels enter the GP and the explicit prior. A fingerprint enters the forward
model, and so everything that follows from it in closed form, the noisy encoder included.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eels_bayes.arrays import tensor
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.fitting import fit_classes, fit_novelty, fit_values
from eels_bayes.classifier.labels import Labelled, nothing_labelled
from eels_bayes.classifier.training_latents import class_shares, prior_spectra, prior_weights
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import Effort
from eels_bayes.forward_model.class_weights import fit_weights
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.reinsertion import Reinsertion, clean_source, reinsertion
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.latent.noisy_encoder_fit import fit_noisy_encoder
from eels_bayes.randomness import Stream, stream


def learn_labels(
    fitted: Fitted,
    new: Spectra | ArrayLike,
    labels: ArrayLike | None,
    *,
    effort: Effort,
    seed: int,
    show_progressbar: bool,
) -> Fitted:
    """A model that knows further labels; see `EELSClassifier.update`."""
    more = _labelled(fitted, new, labels)
    labelled = fitted.labelled.joined(more)
    names = tuple(dict.fromkeys([*fitted.class_names, *sorted(set(more.names))]))
    source = clean_source(fitted.forward, fitted.preprocessor)
    gp = fit_classes(
        source,
        fitted.vae,
        fitted.encoder,
        names,
        labelled,
        start=fitted.gp,
        effort=effort,
        seed=seed,
    )
    return _with_classes(fitted, source, gp, names, labelled, effort, seed)


def learn_fingerprints(
    fitted: Fitted,
    library: FingerprintLibrary,
    spectra: Spectra,
    class_weights: NDArray[np.float64] | None,
    device: torch.device,
    *,
    recalibrate: bool,
    effort: Effort,
    seed: int,
    show_progressbar: bool,
) -> Fitted:
    """A model that knows further fingerprints; see `EELSClassifier.update`."""
    known = fitted.forward.library.class_names
    if library.class_names[: len(known)] != known:
        raise ValueError(
            f"library has the classes {library.class_names}; it must begin with the known ones, "
            f"{known}: see FingerprintLibrary.with_fingerprints"
        )
    rest = tuple(name for name in fitted.class_names if name not in library.class_names)
    names = library.class_names + rest
    rows = stream(seed, Stream.UPDATE_PIXELS).permutation(np.flatnonzero(spectra.ok))
    if len(rows) < 2:
        raise ValueError(f"only {len(rows)} of {len(spectra)} pixels are usable; 2 are needed")
    pixels = spectra[np.sort(rows[: effort.update_pixels])]
    if recalibrate:
        forward = fit_forward_model(
            pixels,
            library,
            class_weights=class_weights,
            start=fitted.forward,
            effort=effort,
            seed=seed,
            show_progressbar=show_progressbar,
        )
    else:
        forward = fit_weights(fitted.forward, pixels, library, class_weights=class_weights)
    source = reinsertion(forward, spectra)
    # along the axes that the GP knows
    encoder = fit_noisy_encoder(
        fitted.vae, source, axes=fitted.encoder.axes.cpu(), n_draws=effort.encoder_draws, seed=seed
    )
    encoder = encoder.to(device)
    gp = fit_classes(
        source,
        fitted.vae,
        encoder,
        names,
        fitted.labelled,
        start=fitted.gp,
        effort=effort,
        seed=seed,
    )
    scale = fitted.novelty
    if recalibrate:
        held_out = spectra[np.sort(rows[: effort.novelty_pixels])]
        scale = fit_novelty(source, encoder, held_out, device, effort=effort, seed=seed)
    found = replace(
        fitted,
        forward=forward,
        encoder=encoder,
        value=fit_values(source, fitted.vae, encoder, device, effort=effort, seed=seed),
        novelty=scale,
    )
    return _with_classes(found, source, gp, names, fitted.labelled, effort, seed)


def _with_classes(
    fitted: Fitted,
    source: Reinsertion,
    gp: GPClassifier,
    names: tuple[str, ...],
    labelled: Labelled,
    effort: Effort,
    seed: int,
) -> Fitted:
    """With the GP that was found, and what the explicit prior makes of the classes."""
    weights = fitted.forward.dominant_weights
    if len(names) > len(weights):
        weights = class_shares(
            gp, source, fitted.vae, fitted.encoder.axes.cpu(), effort=effort, seed=seed
        )
    vae = fitted.vae
    if vae.fingerprints is not None:
        vae = copy.deepcopy(vae)
        device = vae.log_b.device
        spectra = prior_spectra(source, vae, fitted.encoder, names, labelled, seed=seed)
        vae.fingerprints = spectra.to(device)
        vae.class_weights = prior_weights(weights).to(device)
    return replace(
        fitted, vae=vae, gp=gp, class_names=names, class_weights=weights, labelled=labelled
    )


def _labelled(fitted: Fitted, new: Spectra | ArrayLike, labels: ArrayLike | None) -> Labelled:
    """Checked labels of usable pixels or of latents."""
    if labels is None:
        raise ValueError("labels is missing; give one class for each pixel or latent")
    names = _names(labels, fitted.class_names)
    latent_dim = fitted.vae.latent_dim
    nothing = nothing_labelled(len(fitted.forward.continuum.energy), latent_dim)
    if isinstance(new, Spectra):
        _same_number(names, len(new))
        rows = np.flatnonzero(new.ok)
        if len(rows) == 0:
            raise ValueError("no labelled pixel is usable: see spectra.reasons()")
        return nothing._replace(
            profile=tensor(new.profile[rows]),
            level=tensor(new.level[rows]),
            pixel_names=tuple(names[i] for i in rows),
        )
    latent: Tensor = torch.as_tensor(np.asarray(new, dtype=np.float32))
    if latent.ndim != 2 or latent.shape[1] != latent_dim or not len(latent):
        raise ValueError(
            f"latents have shape {tuple(latent.shape)}; (n, {latent_dim}) is needed, n at least 1"
        )
    if not torch.isfinite(latent).all():
        raise ValueError("latents hold NaN or infinity; drop these rows")
    _same_number(names, len(latent))
    return nothing._replace(latent=latent, latent_names=names)


def _same_number(names: tuple[str, ...], n: int) -> None:
    if len(names) != n:
        raise ValueError(f"labels has {len(names)} entries; {n} are needed, one for each row")


def _names(labels: ArrayLike, known: tuple[str, ...]) -> tuple[str, ...]:
    """Class names of labels that are names or indices."""
    given = np.atleast_1d(np.asarray(labels, dtype=object))  # names and indices stay what they are
    listed: list[Any] = given.tolist() if given.ndim == 1 else [None]
    whole = [x for x in listed if isinstance(x, int | np.integer) and not isinstance(x, bool)]
    if whole and (min(whole) < 0 or max(whole) >= len(known)):
        raise ValueError(
            f"labels run from {min(whole)} to {max(whole)}; indices are 0..{len(known) - 1}: "
            "name new classes by words"
        )
    words = [x for x in listed if isinstance(x, str) and x]
    if len(whole) + len(words) != len(listed):
        raise TypeError(f"labels must be class names or indices (n,), got {labels!r}")
    return tuple(x if isinstance(x, str) else known[x] for x in listed)
