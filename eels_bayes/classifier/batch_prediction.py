"""From edge spectra to every field of a prediction, by a fitted model, some pixels at a time."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes.arrays import tensor
from eels_bayes.classifier.compatibility import Signals, checked_weights, read_spectra
from eels_bayes.classifier.digest import digest
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.flags import Flag
from eels_bayes.data.spectra import Spectra
from eels_bayes.prediction.image_context import image_weights
from eels_bayes.prediction.joint_posterior import JointPosterior
from eels_bayes.prediction.linked_images import linked_images
from eels_bayes.prediction.map_posterior import map_posterior, said_by_others
from eels_bayes.prediction.pixel_reader import Reading, unanswered
from eels_bayes.prediction.pixel_states import PixelStates, in_states, pixel_states
from eels_bayes.prediction.prediction import Prediction
from eels_bayes.prediction.uniform_novelty import unlike_model

WARNED_CALL = 3  # calls from a warning up to the line that calls `EELSClassifier.predict`
PATIENCE = 3  # seconds that a prediction may take before its progress is shown

Context = Literal["pixel", "image", "neighbours", "series"]
CONTEXTS = get_args(Context)


def predict(
    fitted: Fitted,
    spectra: Spectra | Signals,
    settings: Settings,
    *,
    context: Context,
    class_weights: ArrayLike | None,
    displacement: ArrayLike | None,
) -> Prediction:
    """What a fitted model says of every pixel; see `EELSClassifier.predict`."""
    if context not in CONTEXTS:
        raise ValueError(
            f"context must be one of {', '.join(map(repr, CONTEXTS))}; got {context!r}"
        )
    if displacement is not None and context != "series":
        raise ValueError(f"displacement is for context='series'; leave it out with {context!r}")
    spectra = read_spectra(fitted, spectra, settings.show_progressbar)
    overall = fitted.class_weights
    given = checked_weights(class_weights, len(fitted.class_names))
    states = pixel_states(fitted.forward, overall)
    prior = None if given is None else states.of_classes(np.tile(given, (len(spectra), 1)))
    columns = _columns(fitted, spectra, settings, states, prior)
    alone, known, links = columns["total"], None, None
    if context == "series":
        linked = linked_images(spectra, displacement)
        links = linked.links
        if linked.problem:
            warnings.warn(f"predict: {linked.problem}", stacklevel=WARNED_CALL)
    if context != "pixel" and np.isfinite(alone).any():
        prior = overall if given is None else given
        if context == "image":
            classes = _of_images(columns["probabilities"], spectra.image, prior)
            others = states.of_classes(classes)
        else:
            values = fitted.forward.library.class_values
            shown = settings.show_progressbar
            said = (columns["states"], states.of_classes(prior), states)
            known = map_posterior(*said, spectra, values, links=links, show_progressbar=shown)
            others = said_by_others(known)
        columns = _columns(fitted, spectra, settings, states, others)
    ok = np.isfinite(columns["total"])
    if unlike := unlike_model(columns["novelty"][ok]):
        warnings.warn(f"predict: {unlike}", stacklevel=WARNED_CALL)
    del columns["states"]
    weight, mean, sd = (columns.pop(f"component_{name}") for name in ("weight", "mean", "sd"))
    labels, library = np.full(len(spectra), -1), fitted.forward.library
    labels[ok] = columns["probabilities"][ok].argmax(1)
    return Prediction(
        labels=labels,
        class_names=fitted.class_names,
        flag=np.where(spectra.ok & ~ok, int(Flag.NO_ANSWER), spectra.flag),
        image=spectra.image,
        position=spectra.position,
        images=spectra.images,
        joint=JointPosterior(weight, mean, sd, fitted.gp),
        neighbours=alone - columns["total"],
        map_posterior=known,
        value_name=library.value_name,
        value_unit=library.value_unit,
        value_range=library.value_range,
        model=digest(fitted),
        **columns,
        **({} if fitted.value is None else {"value_reach": fitted.value.reach.numpy()}),
    )


def _of_images(
    probabilities: NDArray[np.float32], image: NDArray[np.int64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Class probabilities (n, K) of each pixel by the other pixels of its image."""
    ok = np.isfinite(probabilities).all(1)
    others = np.tile(prior, (len(image), 1))
    others[ok] = image_weights(probabilities[ok], image[ok], prior).others
    return others


def _columns(
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
        with torch.no_grad():
            reading = reader(*(tensor(x).to(device) for x in inputs), ratio)
            silent.append(unanswered(reading, bool(reader.heads.has_value)).cpu())
            each = in_states(reading.component_classes, states)
            parts.append(_heaviest(reading))
            of_states.append(each.cpu().numpy())
    most = max(part.component_weight.shape[1] for part in parts)
    columns = {
        name: scatter(
            torch.cat([_padded(x, most) if "component" in name else x for x in parts_of])
            .cpu()
            .numpy(),
            rows,
            len(spectra),
        )
        for name, parts_of in zip(Reading._fields, zip(*parts, strict=True), strict=True)
        if name != "component_classes"
    }
    columns["states"] = scatter(np.concatenate(of_states), rows, len(spectra))
    for values in columns.values():
        values[rows[torch.cat(silent).numpy()]] = np.nan
    return columns


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


def _nothing(fitted: Fitted, n: int, n_states: int) -> dict[str, NDArray[np.float32]]:
    """Columns of a Prediction of n flagged pixels."""
    latent_dim, n_components = fitted.vae.latent_dim, fitted.encoder.n_components
    wide = {"latent_mean": latent_dim, "latent_sd": latent_dim}
    wide |= {"probabilities": fitted.gp.n_classes, "states": n_states}
    single = ("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")
    shapes: dict[str, tuple[int, ...]] = {name: (n, size) for name, size in wide.items()}
    shapes |= dict.fromkeys(single, (n,))
    shapes |= {"component_weight": (n, n_components)}
    gaussians = (n, n_components, latent_dim)
    shapes |= dict.fromkeys(("component_mean", "component_sd"), gaussians)
    return {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in shapes.items()}


def scatter(values: NDArray[np.float32], rows: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Rows of the usable pixels among all n, NaN elsewhere."""
    out = np.full((n, *values.shape[1:]), np.nan, dtype=np.float32)
    out[rows] = values
    return out
