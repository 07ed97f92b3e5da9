"""Denoised spectra and their bands: decoded draws of the latent posterior."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.classifier.fitted import Fitted, posterior
from eels_bayes.classifier.pixel_columns import scatter
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import Effort
from eels_bayes.latent import mixtures


class Denoised(NamedTuple):
    """Decoded spectra of n pixels with a credible band.

    Attributes
    ----------
    energy : (L,) array
        Channel centres, eV.
    mean, lower, upper : (n, L) arrays
        Edge units; NaN where flagged.
    """

    energy: NDArray[np.float64]
    mean: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]


class _Classifier(Protocol):
    """What decodes: an `EELSClassifier`."""

    effort: Effort
    device: torch.device

    def checked(self, spectra: Spectra) -> Fitted: ...


def denoise(
    self: _Classifier,
    spectra: Spectra,
    *,
    level: float = 0.9,
    n_draws: int = 100,
    seed: int = 0,
) -> Denoised:
    """Decoded spectra with a credible band: draws of the latent posterior through the decoder.

    Parameters
    ----------
    spectra : Spectra
        n pixels on the energy axis of the fit.
    level : float
        Probability that the band holds, channel by channel.
    n_draws, seed : int
        Latents drawn for each pixel, and the seed of these draws.

    Returns
    -------
    Denoised
        Mean, lower and upper end of the band, (n, L) each, edge units; NaN where flagged.

    Raises
    ------
    RuntimeError, TypeError, ValueError
        Before ``fit``; if spectra are not like those of the fit, or an option cannot be.
    """
    fitted = self.checked(spectra)
    level, n_draws = validation.share("level", level), validation.whole("n_draws", n_draws)
    validation.seed(seed)
    bands = decoded_bands(
        fitted,
        spectra,
        self.device,
        level=level,
        n_draws=n_draws,
        batch_size=self.effort.decode_batch,
        generator=torch.Generator().manual_seed(seed),
    )
    return Denoised(spectra.energy, *bands)


def decoded_bands(
    fitted: Fitted,
    spectra: Spectra,
    device: torch.device,
    *,
    level: float,
    n_draws: int,
    batch_size: int,
    generator: torch.Generator,
) -> NDArray[np.float32]:
    """Mean, lower and upper end of the decoded spectra's band, (3, n, L); NaN where flagged.

    The band is that of the clean spectrum's posterior: of ``decode(z)``, without the likelihood.
    """
    rows = np.flatnonzero(spectra.ok)
    if len(rows) == 0:
        return np.full((3, *spectra.intensity.shape), np.nan, dtype=np.float32)
    parts = []
    for batch in np.array_split(rows, max(1, -(-len(rows) // batch_size))):
        mixture = posterior(fitted.encoder, spectra[batch], device)
        with torch.no_grad():
            z = mixtures.draw(mixture, n_draws, generator)
            decoded = fitted.vae.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        # in place, by numpy: a tenth of the time of a quantile of torch's
        draws = decoded.cpu().numpy()
        mean = draws.mean(1)
        draws.sort(axis=1)
        tails = (_at_share(draws, share) for share in (0.5 - level / 2, 0.5 + level / 2))
        parts.append(np.stack([mean, *tails]))
    bands = np.concatenate(parts, axis=1)
    return np.stack([scatter(band, rows, len(spectra)) for band in bands])


def _at_share(ordered: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Quantiles (n, L) of draws (n, S, L) that ascend along the second axis, by interpolation."""
    place = share * (ordered.shape[1] - 1)
    low = int(place)
    high = min(low + 1, ordered.shape[1] - 1)
    part = np.float32(place - low)
    found: NDArray[np.float32] = (1 - part) * ordered[:, low] + part * ordered[:, high]
    return found
