"""What a fitted model learns later, in seconds: labels, and fingerprints of further structures.

The VAE stays as it is. Labels enter the GP and the explicit prior. A fingerprint enters the forward
model, and so everything that follows from it in closed form, the noisy encoder included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eels_bayes.arrays import tensor
from eels_bayes.classifier.compatibility import check_spectra
from eels_bayes.classifier.finite_model import check_finite, check_latents
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.fitting import training_of
from eels_bayes.classifier.labels import Labelled, nothing_labelled
from eels_bayes.classifier.learning import learn
from eels_bayes.classifier.reporting import measured_fit
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.class_weights import fit_weights
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.reinsertion import clean_source, reinsertion
from eels_bayes.randomness import Stream, stream
from eels_bayes.validation import numbers


class Updated(NamedTuple):
    """What an update finds, and the library and class weights that it is of."""

    fitted: Fitted
    library: FingerprintLibrary
    class_weights: NDArray[np.float64] | None


def updated(
    before: Updated,
    new: FingerprintLibrary | Spectra | ArrayLike,
    labels: ArrayLike | None,
    settings: Settings,
    *,
    spectra: Spectra | None,
    recalibrate: bool,
) -> Updated:
    """A model that knows more, from what a model was before; see `EELSClassifier.update`."""
    fitted = before.fitted
    if not isinstance(new, FingerprintLibrary):
        if isinstance(new, Spectra):
            check_spectra(fitted, new)
        return before._replace(fitted=_finite(learn_labels(fitted, new, labels, settings)))
    if labels is not None or spectra is None:
        raise ValueError(
            "with a library, which holds its own labels, give the spectra that say how "
            "frequent its structures are: update(library, spectra=spectra)"
        )
    check_spectra(fitted, spectra)
    weights = before.class_weights if new.n_classes == before.library.n_classes else None
    after = learn_fingerprints(fitted, new, spectra, weights, settings, recalibrate=recalibrate)
    return Updated(_finite(after), new, weights)


def _finite(after: Fitted) -> Fitted:
    """The model itself, if the update came to something."""
    check_finite(after)
    return after


def learn_labels(
    fitted: Fitted, new: Spectra | ArrayLike, labels: ArrayLike | None, settings: Settings
) -> Fitted:
    """A model that knows further labels."""
    added = _labelled(fitted, new, labels)
    names = tuple(dict.fromkeys([*fitted.class_names, *sorted(set(added.names))]))
    return learn(
        fitted.preprocessor,
        fitted.energy,
        clean_source(fitted.forward, fitted.preprocessor),
        fitted.vae,
        names,
        fitted.labelled.joined(added),
        settings,
        measured=(fitted.window_fit, fitted.held_out),
        record=fitted.record.after_update,
        known=fitted,
    )


def learn_fingerprints(
    fitted: Fitted,
    library: FingerprintLibrary,
    spectra: Spectra,
    class_weights: NDArray[np.float64] | None,
    settings: Settings,
    *,
    recalibrate: bool,
) -> Fitted:
    """A model that knows further fingerprints."""
    effort, seed = settings.effort, settings.seed
    known = fitted.forward.library.class_names
    if library.class_names[: len(known)] != known:
        raise ValueError(
            f"library has the classes {library.class_names}; it must begin with the known ones, "
            f"{known}: see FingerprintLibrary.with_fingerprints"
        )
    by_labels_alone = tuple(name for name in fitted.class_names if name not in library.class_names)
    training = training_of(spectra)
    rows = stream(seed, Stream.UPDATE_PIXELS).permutation(np.flatnonzero(training.ok))
    pixels = training[np.sort(rows[: effort.update_pixels])]
    if recalibrate:
        forward = fit_forward_model(
            pixels,
            library,
            class_weights=class_weights,
            start=fitted.forward,
            effort=effort,
            seed=seed,
            show_progressbar=settings.show_progressbar,
        )
    else:
        forward = fit_weights(fitted.forward, pixels, library, class_weights=class_weights)
    return learn(
        fitted.preprocessor,
        fitted.energy,
        reinsertion(forward, training),
        fitted.vae,
        library.class_names + by_labels_alone,
        fitted.labelled,
        settings,
        measured=(measured_fit(forward, spectra), fitted.held_out),
        record=fitted.record.after_update,
        known=fitted,
        spectra=pixels,
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
    latent: Tensor = torch.from_numpy(numbers("latents", new).astype(np.float32))
    if latent.ndim != 2 or latent.shape[1] != latent_dim or not len(latent):
        raise ValueError(
            f"latents have shape {tuple(latent.shape)}; (n, {latent_dim}) is needed, n at least 1"
        )
    if not torch.isfinite(latent).all():
        raise ValueError("latents hold NaN or infinity; drop these rows")
    _same_number(names, len(latent))
    check_latents(fitted, latent)
    return nothing._replace(latent=latent, latent_names=names)


def _same_number(names: tuple[str, ...], n: int) -> None:
    """Raise unless there is one label for each of n rows."""
    if len(names) != n:
        raise ValueError(f"labels has {len(names)} entries; {n} are needed, one for each row")


def _names(labels: ArrayLike, known: tuple[str, ...]) -> tuple[str, ...]:
    """Class names of labels that are names or indices."""
    given = np.atleast_1d(np.asarray(labels, dtype=object))  # names and indices stay what they are
    listed: list[Any] = given.tolist() if given.ndim == 1 else [None]
    indices = [x for x in listed if isinstance(x, int | np.integer) and not isinstance(x, bool)]
    if indices and (min(indices) < 0 or max(indices) >= len(known)):
        raise ValueError(
            f"labels run from {min(indices)} to {max(indices)}; indices are 0..{len(known) - 1}: "
            "name new classes by words"
        )
    words = [x for x in listed if isinstance(x, str) and x]
    if len(indices) + len(words) != len(listed):
        raise TypeError(f"labels must be class names or indices (n,), got {labels!r}")
    return tuple(x if isinstance(x, str) else known[x] for x in listed)
