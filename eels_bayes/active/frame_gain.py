"""What one more frame of a pixel is expected to tell, drawn from the forward model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.fitted import reader_of
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.pixel_posterior import next_frame

ROWS = 4096  # pixels times frames read at a time: bounds memory


def encoder_gain(
    clf: EELSClassifier,
    spectra: Spectra,
    *,
    frames: ArrayLike = 1.0,
    n_draws: int = 16,
    seed: int = 0,
) -> Array:
    """Expected drop of each pixel's total entropy from one more frame.

    Preposterior analysis (Raiffa and Schlaifer, Applied Statistical Decision Theory, 1961) under
    the forward model: what the next frame may show is drawn from the pixel's own posterior, put
    together with what is there, and read.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels as they are: where they have been measured more than once, of `combine`.
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
        If spectra do not fit, or frames are not positive.
    """
    fitted = clf.checked(spectra)
    validation.whole("n_draws", n_draws)
    validation.seed(seed)
    given = validation.numbers("frames", frames)
    if given.shape not in ((), (len(spectra),)):
        raise ValueError(
            f"frames has shape {given.shape}; a number or one for each of {len(spectra)} pixels is "
            "needed"
        )
    held = np.broadcast_to(given, len(spectra))
    if not (held > 0).all() or not np.isfinite(held).all():
        raise ValueError(f"frames must be positive and finite, got {frames!r}")
    reader = reader_of(fitted).to(clf.device)
    evidence = fitted.encoder.evidence
    generator = torch.Generator().manual_seed(seed)
    gain = np.full(len(spectra), -np.inf)
    usable = np.flatnonzero(spectra.ok)
    for rows in np.array_split(usable, max(1, -(-len(usable) * n_draws // ROWS))):
        profile, level, spike = (
            tensor(getattr(spectra, name)[rows]).to(clf.device)
            for name in ("profile", "level", "spike")
        )
        times = tensor(held[rows]).to(clf.device)
        with torch.no_grad():
            now = reader(profile, level, spike).total
            later = torch.zeros_like(now)
            for _ in range(n_draws):
                shown = next_frame(evidence, profile, level, times, generator)
                both = (times[:, None] * profile + shown) / (times + 1.0)[:, None]
                shrunk = level * times / (times + 1.0)
                later += reader(both, shrunk, spike).total
        gain[rows] = (now - later / n_draws).cpu().numpy()
    return np.nan_to_num(gain, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
