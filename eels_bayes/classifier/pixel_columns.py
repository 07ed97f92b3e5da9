"""Numbers of a prediction, a row a pixel: edge spectra through the model's reader, in batches."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes.arrays import tensor
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import Spectra
from eels_bayes.prediction.pixel_reader import Reading, unanswered
from eels_bayes.prediction.pixel_states import PixelStates, in_states

PATIENCE = 3  # seconds that a prediction may take before its progress is shown
# Of the latents' Gaussians; the last is which of the forward model's components each is
COMPONENTS = ("component_weight", "component_mean", "component_sd", "component")
Joint = bool | Literal["float16"]  # whether these are kept, or in half precision


def columns_of(
    fitted: Fitted,
    spectra: Spectra,
    settings: Settings,
    states: PixelStates,
    prior: NDArray[np.float64] | None,
) -> dict[str, NDArray[np.float32]]:
    """Numbers of a Prediction (n rows), the Gaussians of each latent, and states' probabilities.

    NaN where a pixel is flagged, and all of a pixel to which the model has no finite answer.
    ``prior`` (n, S): weights of the states of every pixel, if other than those of the fit.
    """
    rows = np.flatnonzero(spectra.ok)
    if len(rows) == 0:
        return _nothing(fitted, len(spectra), len(states.label))
    device, batch_size = settings.device, settings.effort.predict_batch
    reader = reader_of(fitted).to(device)
    batches = tqdm(
        np.array_split(rows, max(1, -(-len(rows) // batch_size))),
        desc="predict",
        delay=PATIENCE,
        disable=not settings.show_progressbar,
    )
    parts, silent, of_states = [], [], []
    for batch in batches:
        inputs = [getattr(spectra, name)[batch] for name in ("profile", "level", "spike")]
        ratio = None if prior is None else tensor(states.ratio(prior[batch])).to(device)
        with torch.inference_mode():
            reading = reader(*(tensor(x).to(device) for x in inputs), ratio)
            silent.append(unanswered(reading, bool(reader.heads.has_value)).cpu())
            of_states.append(in_states(reading.component_classes, states).cpu().numpy())
            parts.append(_heaviest(reading, reader.light))
    most = max(part["component"].shape[1] for part in parts)
    columns = {}
    for name in parts[0]:
        of_name = [part[name] for part in parts]
        whole = torch.cat([padded(x, most) for x in of_name] if name in COMPONENTS else of_name)
        columns[name] = scatter(whole.cpu().numpy(), rows, len(spectra))
    columns["states"] = scatter(np.concatenate(of_states), rows, len(spectra))
    for values in columns.values():
        values[rows[torch.cat(silent).numpy()]] = np.nan
    return columns


def _heaviest(reading: Reading, light: float) -> dict[str, Tensor]:
    """Its columns, with as many Gaussians as any pixel has of some weight, the heaviest first."""
    most = max(1, int((reading.component_weight > light).sum(1).max()))
    weight, which = reading.component_weight.topk(most, dim=1)
    index = which.unsqueeze(2).expand(-1, -1, reading.component_mean.size(2))
    columns = reading._asdict()
    del columns["component_classes"]
    columns["component_weight"] = weight / weight.sum(1, keepdim=True)
    columns["component_mean"] = reading.component_mean.gather(1, index)
    columns["component_sd"] = reading.component_sd.gather(1, index)
    columns["component"] = which.to(weight.dtype)
    return columns


def padded(columns: Tensor, most: int) -> Tensor:
    """Columns (n, R, ...) of Gaussians and more of them, which weigh nothing."""
    extra = columns[:, :1].expand(-1, most - columns.shape[1], *columns.shape[2:])
    return torch.cat([columns, extra * (columns.ndim > 2)], 1)


def kept(columns: dict[str, NDArray[np.float32]], joint: Joint) -> dict[str, NDArray[Any]]:
    """Columns with the Gaussians of each latent, with them in half precision, or without them."""
    if joint is True:
        return dict(columns)
    found: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        if name not in COMPONENTS:
            found[name] = values
        elif joint:
            found[name] = values.astype(np.float16, copy=False)
    return found


def _nothing(fitted: Fitted, n: int, n_states: int) -> dict[str, NDArray[np.float32]]:
    """Columns of a Prediction of n flagged pixels."""
    latent_dim, n_components = fitted.vae.latent_dim, fitted.encoder.n_components
    wide = {"latent_mean": latent_dim, "latent_sd": latent_dim}
    wide |= {"probabilities": fitted.gp.n_classes, "states": n_states}
    single = ("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")
    shapes: dict[str, tuple[int, ...]] = {name: (n, size) for name, size in wide.items()}
    shapes |= dict.fromkeys(single, (n,))
    shapes |= dict.fromkeys(("component_weight", "component"), (n, n_components))
    gaussians = (n, n_components, latent_dim)
    shapes |= dict.fromkeys(("component_mean", "component_sd"), gaussians)
    return {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in shapes.items()}


def scatter(values: NDArray[np.float32], rows: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Rows of the usable pixels among all n, NaN elsewhere."""
    out = np.full((n, *values.shape[1:]), np.nan, dtype=np.float32)
    out[rows] = values
    return out
