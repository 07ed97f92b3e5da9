"""What one more frame of a pixel is expected to tell, drawn from the forward model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.digest import digest
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.pixel_posterior import next_frame
from eels_bayes.prediction.map_posterior import MapPosterior, said_by_others
from eels_bayes.prediction.prediction import Prediction

ROWS = 4096  # pixels times frames read at a time: bounds memory


def encoder_gain(
    clf: EELSClassifier,
    spectra: Spectra,
    *,
    pred: Prediction | None = None,
    frames: ArrayLike = 1.0,
    n_draws: int = 16,
    seed: int = 0,
) -> Array:
    """Expected drop of each pixel's total entropy from one more frame.

    Preposterior analysis (Raiffa and Schlaifer, Applied Statistical Decision Theory, 1961) under
    the forward model: what the next frame may show is drawn from the pixel's posterior, put
    together with what is there, and read.

    Of pixels that were read with their neighbours, what all others say of a pixel's class is its
    prior, in the draws as in the reading: a frame is worth little where they are sure. What it
    would tell of the pixels around is not counted.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels as they are: where they have been measured more than once, of `combine`.
    pred : Prediction, optional
        Of the same pixels by the same model, with ``context="neighbours"`` or ``"series"``. Without
        it every pixel stands by itself.
    frames : float or (n,) array_like
        Frames that each pixel's spectrum holds; one more of the same dose is to follow.
    n_draws : int
        Next frames drawn for a pixel.
    seed : int
        Of the frames.

    Returns
    -------
    (n,) array
        Nats; -inf where flagged, and where the model has no finite answer.

    Raises
    ------
    RuntimeError
        Before ``fit``.
    ValueError
        If spectra do not fit, or frames are not positive; or if ``pred`` is of other pixels or of
        another model, or does not know of neighbours.
    """
    fitted = clf.checked(spectra)
    validation.whole("n_draws", n_draws)
    validation.seed(seed)
    held = _held(frames, len(spectra))
    known = None if pred is None else _neighbours(pred, fitted, spectra)
    others = None if known is None else said_by_others(known)
    reader = reader_of(fitted).to(clf.device)
    evidence = fitted.encoder.evidence
    generator = torch.Generator().manual_seed(seed)
    gain = np.full(len(spectra), -np.inf)
    usable = np.flatnonzero(spectra.ok if pred is None else spectra.ok & pred.ok)
    for rows in np.array_split(usable, max(1, -(-len(usable) * n_draws // ROWS))):
        profile, level, spike = (
            tensor(getattr(spectra, name)[rows]).to(clf.device)
            for name in ("profile", "level", "spike")
        )
        times = tensor(held[rows]).to(clf.device)
        prior = None
        if known is not None and others is not None:
            prior = tensor(known.states.ratio(others[rows])).to(clf.device)
        with torch.no_grad():
            reading = reader(profile, level, spike, prior)
            now, weight = reading.total, None if prior is None else reading.component_weight
            later = torch.zeros_like(now)
            for _ in range(n_draws):
                shown = next_frame(evidence, profile, level, times, generator, weight)
                both = (times[:, None] * profile + shown) / (times + 1.0)[:, None]
                shrunk = level * times / (times + 1.0)
                later += reader(both, shrunk, spike, prior).total
        gain[rows] = (now - later / n_draws).cpu().numpy()
    return np.nan_to_num(gain, nan=-np.inf, posinf=np.inf, neginf=-np.inf)


def _held(frames: ArrayLike, n: int) -> Array:
    """Frames that each of n pixels holds."""
    given = validation.numbers("frames", frames)
    if given.shape not in ((), (n,)):
        raise ValueError(
            f"frames has shape {given.shape}; a number or one for each of {n} pixels is needed"
        )
    held: Array = np.broadcast_to(given, n)
    if not (held > 0).all() or not np.isfinite(held).all():
        raise ValueError(f"frames must be positive and finite, got {frames!r}")
    return held


def _neighbours(pred: Prediction, fitted: Fitted, spectra: Spectra) -> MapPosterior:
    """What a prediction knows of the spectra's neighbours."""
    if not isinstance(pred, Prediction):
        raise TypeError(f"pred is a {type(pred).__name__}; give a Prediction of the spectra")
    places = [(pixels.image, pixels.position) for pixels in (pred, spectra)]
    if not all(np.array_equal(*pair) for pair in zip(*places, strict=True)):
        raise ValueError("pred is of other pixels than spectra; predict these and give that")
    if pred.model != digest(fitted):
        raise ValueError("pred is by another model than clf; predict spectra with clf")
    if pred.map_posterior is None:
        raise ValueError(
            "pred does not know of neighbours; predict with context='neighbours' or 'series', or "
            "leave pred out"
        )
    return pred.map_posterior
