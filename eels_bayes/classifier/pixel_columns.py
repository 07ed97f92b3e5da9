"""Numbers of a prediction, a row a pixel: edge spectra through the model's reader, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes.arrays import Array, tensor
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import Spectra
from eels_bayes.prediction.pixel_reader import Reader, Reading, unanswered
from eels_bayes.prediction.pixel_states import PixelStates, in_states
from eels_bayes.prediction.second_reading import read_again

PATIENCE = 3  # seconds that a prediction may take before its progress is shown
# Of the latents' Gaussians; the last is which of the forward model's components each is
COMPONENTS = ("component_weight", "component_mean", "component_sd", "component")
FOR_OTHERS = ("states", "components")  # probabilities, by which pixels tell others of themselves
AGAIN = 4  # batches that are read at a time where few Gaussians are; chosen on one machine
Columns = dict[str, NDArray[np.float32]]
Joint = bool | Literal["float16"]  # whether these are kept, or in half precision


class Known(NamedTuple):
    """What is known of m usable pixels.

    Attributes
    ----------
    rows : ndarray (m,) of int
        Which of n they are.
    profile, level : ndarray (m, B) and (m,)
        As in `Spectra`.
    component : ndarray (m, C)
        Probabilities of the forward model's components.
    """

    rows: NDArray[np.intp]
    profile: NDArray[np.float32]
    level: NDArray[np.float32]
    component: NDArray[np.float32]


def columns_of(
    fitted: Fitted,
    spectra: Spectra,
    settings: Settings,
    states: PixelStates,
    prior: NDArray[np.float64] | None,
) -> Columns:
    """Numbers of a Prediction (n rows), the Gaussians of each latent, and what `FOR_OTHERS` names.

    NaN where a pixel is flagged, and all of a pixel to which the model has no finite answer.
    ``prior`` (n, S): weights of the states of every pixel, if other than those of the fit.
    """
    rows = np.flatnonzero(spectra.ok)
    if len(rows) == 0:
        return _nothing(fitted, len(spectra), len(states.label))
    device = settings.device
    reader = reader_of(fitted).to(device)
    parts: list[_Part] = []
    for batch in _batches(rows, settings.effort.predict_batch, settings):
        profile, level, spike = (
            tensor(getattr(spectra, name)[batch]).to(device)
            for name in ("profile", "level", "spike")
        )
        ratio = None if prior is None else tensor(states.ratio(prior[batch])).to(device)
        with torch.inference_mode():
            evidence = reader.encoder.evidence(profile, level)
            reading = reader.read(evidence, spike, ratio)
            parts.append(_part(reading, evidence.log_probability.exp(), reader, states))
    return _joined(parts, rows, len(spectra))


def columns_again(
    fitted: Fitted, pixels: Known, settings: Settings, states: PixelStates, prior: Array, n: int
) -> Columns:
    """As `columns_of`, of n pixels of which some are known; the novelty is not found anew.

    ``prior`` (m, S): weights of the states of each known pixel.
    """
    device = settings.device
    reader = reader_of(fitted).to(device)
    parts: list[_Part] = []
    # several times as many: few Gaussians of each are read
    for batch in _batches(np.arange(len(prior)), AGAIN * settings.effort.predict_batch, settings):
        profile, level, component, ratio = (
            tensor(x).to(device)
            for x in (
                pixels.profile[batch],
                pixels.level[batch],
                pixels.component[batch],
                states.ratio(prior[batch]),
            )
        )
        with torch.inference_mode():
            reading = read_again(reader, profile, level, component, ratio)
            parts.append(_part(reading, component, reader, states))
    return _joined(parts, pixels.rows, n)


def _batches(rows: NDArray[np.intp], size: int, settings: Settings) -> Iterable[NDArray[np.intp]]:
    """Rows, about so many at a time."""
    return tqdm(
        np.array_split(rows, max(1, -(-len(rows) // size))),
        desc="predict",
        delay=PATIENCE,
        disable=not settings.show_progressbar,
    )


class _Part(NamedTuple):
    """Some pixels: what is said of them, of which there is no answer, and for others."""

    columns: dict[str, Tensor]
    silent: Tensor
    states: Tensor
    components: Tensor


def _part(reading: Reading, component: Tensor, reader: Reader, states: PixelStates) -> _Part:
    """Pixels that were read, and their components' probabilities (n, C)."""
    return _Part(
        _heaviest(reading, reader.light),
        unanswered(reading, bool(reader.heads.has_value)).cpu(),
        in_states(reading.component_classes, states),
        component,
    )


def _joined(parts: Sequence[_Part], rows: NDArray[np.intp], n: int) -> Columns:
    """All parts, of rows of n pixels."""
    most = max(part.columns["component"].shape[1] for part in parts)
    of_all: dict[str, Tensor] = {}
    for name in parts[0].columns:
        of_name = [part.columns[name] for part in parts]
        of_all[name] = torch.cat(
            [padded(x, most) for x in of_name] if name in COMPONENTS else of_name
        )
    for name in FOR_OTHERS:
        of_all[name] = torch.cat([getattr(part, name) for part in parts])
    columns = {name: scatter(x.cpu().numpy(), rows, n) for name, x in of_all.items()}
    for values in columns.values():
        values[rows[torch.cat([part.silent for part in parts]).numpy()]] = np.nan
    return columns


def _heaviest(reading: Reading, light: float) -> dict[str, Tensor]:
    """Its columns, with as many Gaussians as any pixel has of some weight, the heaviest first."""
    # the same whatever other pixels have; what was not looked for has no width
    weight = reading.component_weight
    weight = weight * ((weight > light) & (reading.component_sd[:, :, 0] > 0.0))
    most = max(1, int((weight > 0.0).sum(1).max()))
    weight, which = weight.topk(most, dim=1)
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
    """Columns of a Prediction: Gaussians of each latent as they are, in half precision, or none."""
    found: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        if name in COMPONENTS and joint == "float16":
            found[name] = values.astype(np.float16, copy=False)
        elif name not in FOR_OTHERS and (joint or name not in COMPONENTS):
            found[name] = values
    return found


def _nothing(fitted: Fitted, n: int, n_states: int) -> dict[str, NDArray[np.float32]]:
    """Columns of a Prediction of n flagged pixels."""
    latent_dim, n_components = fitted.vae.latent_dim, fitted.encoder.n_components
    wide = {"latent_mean": latent_dim, "latent_sd": latent_dim}
    wide |= {"probabilities": fitted.gp.n_classes, "states": n_states, "components": n_components}
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
