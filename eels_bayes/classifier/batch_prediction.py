"""From edge spectra to every field of a prediction, by a fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes.arrays import tensor
from eels_bayes.classifier.labels import Labelled
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.pixel_posterior import Evidence
from eels_bayes.forward_model.reinsertion import Pairs
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.value_regression import ValueRegression
from eels_bayes.latent import mixtures
from eels_bayes.latent.mixtures import GaussianMixture
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.prediction.gp_heads import GPHeads
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.prediction.pixel_reader import Reader, Reading
from eels_bayes.preprocessing.preprocessor import Preprocessor


@dataclass(frozen=True, eq=False)
class Fitted:
    """Everything that prediction needs; the GPs read latents along the encoder's axes.

    ``class_names`` (K) are the library's, then those that labels alone tell of; ``class_weights``
    (K,) how frequent each is where nothing is known of a pixel.
    """

    preprocessor: Preprocessor
    energy: NDArray[np.float64]
    forward: ForwardModel
    vae: SpectrumVAE
    encoder: NoisyEncoder
    gp: GPClassifier
    value: ValueRegression | None
    novelty: NoveltyScale
    class_names: tuple[str, ...]
    class_weights: NDArray[np.float64]
    labelled: Labelled


def read(
    encoder: NoisyEncoder, spectra: Spectra | Pairs, device: torch.device
) -> tuple[GaussianMixture, Evidence]:
    """r(z | x) of usable pixels, measured or drawn, and the evidence it was read from."""
    inputs = (spectra.profile, spectra.level)
    with torch.no_grad():
        found: Evidence = encoder.evidence(*(tensor(x).to(device) for x in inputs))
        return encoder.read(found), found


def posterior(
    encoder: NoisyEncoder, spectra: Spectra | Pairs, device: torch.device
) -> GaussianMixture:
    """r(z | x) of usable pixels; see `read`."""
    return read(encoder, spectra, device)[0]


def reader_of(fitted: Fitted) -> Reader:
    """The one module that reads pixels with what was fitted."""
    value = fitted.value
    heads = GPHeads(
        fitted.gp.constants(),
        None if value is None else value.constants,
        torch.tensor(0.0) if value is None else value.noise_var,
    )
    return Reader(fitted.encoder, heads, fitted.novelty).eval()


def predict(
    fitted: Fitted,
    spectra: Spectra,
    device: torch.device,
    *,
    ratio: NDArray[np.float64] | None = None,
    batch_size: int = 64,
    show_progressbar: bool = True,
) -> dict[str, NDArray[np.float32]]:
    """Columns of a Prediction (n rows, NaN where flagged) for spectra on the fitted axis.

    ``ratio`` (n, K): prior weights of the classes over those of the fit, for every pixel.
    """
    rows = np.flatnonzero(spectra.ok)
    if len(rows) == 0:
        return _nothing(fitted, len(spectra))
    reader = reader_of(fitted).to(device)
    batches = tqdm(
        np.array_split(rows, max(1, -(-len(rows) // batch_size))),
        desc="predict",
        delay=3,
        disable=not show_progressbar,
    )
    parts = []
    for batch in batches:
        inputs = [getattr(spectra, name)[batch] for name in ("profile", "level", "spike")]
        given = None if ratio is None else tensor(ratio[batch]).to(device)
        with torch.no_grad():
            parts.append(_heaviest(reader(*(tensor(x).to(device) for x in inputs), given)))
    most = max(part.component_weight.shape[1] for part in parts)
    return {
        name: _scatter(
            torch.cat([_padded(x, most) if "component" in name else x for x in columns])
            .cpu()
            .numpy(),
            rows,
            len(spectra),
        )
        for name, columns in zip(Reading._fields, zip(*parts, strict=True), strict=True)
    }


def _heaviest(reading: Reading) -> Reading:
    """As many Gaussians as any pixel has of some weight, the heaviest first."""
    weight = reading.component_weight
    most = max(1, int((weight > 0).sum(1).max()))
    weight, which = weight.topk(most, dim=1)
    index = which.unsqueeze(2).expand(-1, -1, reading.component_mean.size(2))
    return reading._replace(
        component_weight=weight,
        component_mean=reading.component_mean.gather(1, index),
        component_sd=reading.component_sd.gather(1, index),
    )


def _padded(columns: Tensor, most: int) -> Tensor:
    """Columns (n, R, ...) of Gaussians and more of them, which weigh nothing."""
    extra = columns[:, :1].expand(-1, most - columns.shape[1], *columns.shape[2:])
    return torch.cat([columns, extra * (columns.ndim > 2)], 1)


def decoded_bands(
    fitted: Fitted,
    spectra: Spectra,
    device: torch.device,
    *,
    level: float,
    n_draws: int,
    batch_size: int = 128,
    generator: torch.Generator,
) -> NDArray[np.float32]:
    """Mean, lower and upper end of the decoded spectra's band, (3, n, L); NaN where flagged.

    The band is that of the clean spectrum's posterior: of ``decode(z)``, without the likelihood.
    """
    rows = np.flatnonzero(spectra.ok)
    if len(rows) == 0:
        return np.full((3, *spectra.intensity.shape), np.nan, dtype=np.float32)
    tails = torch.tensor([0.5 - level / 2, 0.5 + level / 2], device=device)
    parts = []
    for batch in np.array_split(rows, max(1, -(-len(rows) // batch_size))):
        mixture = posterior(fitted.encoder, spectra[batch], device)
        with torch.no_grad():
            z = mixtures.draw(mixture, n_draws, generator)
            decoded = fitted.vae.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        band = torch.quantile(decoded, tails, dim=1)
        parts.append(torch.stack([decoded.mean(1), band[0], band[1]]).cpu().numpy())
    bands = np.concatenate(parts, axis=1)
    return np.stack([_scatter(band, rows, len(spectra)) for band in bands])


def _nothing(fitted: Fitted, n: int) -> dict[str, NDArray[np.float32]]:
    """Columns of a Prediction of n flagged pixels."""
    wide = {"latent_mean": fitted.vae.latent_dim, "latent_sd": fitted.vae.latent_dim}
    wide["probabilities"] = fitted.gp.n_classes
    r = fitted.encoder.n_components
    single = ("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")
    shapes: dict[str, tuple[int, ...]] = {name: (n, size) for name, size in wide.items()}
    shapes |= dict.fromkeys(single, (n,))
    shapes |= {"component_weight": (n, r)}
    shapes |= dict.fromkeys(("component_mean", "component_sd"), (n, r, fitted.vae.latent_dim))
    return {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in shapes.items()}


def _scatter(values: NDArray[np.float32], rows: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Rows of the usable pixels among all n, NaN elsewhere."""
    out = np.full((n, *values.shape[1:]), np.nan, dtype=np.float32)
    out[rows] = values
    return out
