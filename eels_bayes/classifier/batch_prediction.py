"""From edge spectra to every field of a prediction, by a fitted model, some pixels at a time."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.classifier.compatibility import Signals, checked_weights, read_spectra
from eels_bayes.classifier.digest import digest
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.pixel_columns import COMPONENTS, Joint, columns_of, kept
from eels_bayes.classifier.reading_in_parts import Places, is_large, read_in_parts
from eels_bayes.classifier.reading_with_neighbours import (
    Pixels,
    read_with_image,
    read_with_neighbours,
)
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.dim_pixels import without_dim
from eels_bayes.data.flags import Flag
from eels_bayes.data.spectra import Spectra
from eels_bayes.prediction.joint_posterior import JointPosterior
from eels_bayes.prediction.linked_images import linked_images
from eels_bayes.prediction.pixel_states import pixel_states
from eels_bayes.prediction.prediction import Prediction
from eels_bayes.prediction.uniform_novelty import unlike_model

WARNED_CALL = 3  # calls from a warning up to the line that calls `EELSClassifier.predict`

Context = Literal["pixel", "image", "neighbours", "series"]
CONTEXTS = get_args(Context)


def predict(
    fitted: Fitted,
    spectra: Spectra | Signals,
    settings: Settings,
    context: Context,
    class_weights: ArrayLike | None,
    displacement: ArrayLike | None,
    joint: Joint,
) -> Prediction:
    """What a fitted model says of every pixel; see `EELSClassifier.predict`."""
    if context not in CONTEXTS:
        raise ValueError(
            f"context must be one of {', '.join(map(repr, CONTEXTS))}; got {context!r}"
        )
    if displacement is not None and context != "series":
        raise ValueError(f"displacement is for context='series'; leave it out with {context!r}")
    if isinstance(joint, np.bool_):
        joint = bool(joint)
    if not (isinstance(joint, bool) or (isinstance(joint, str) and joint == "float16")):
        raise ValueError(f"joint must be True, False or 'float16'; got {joint!r}")
    overall = fitted.class_weights
    given = checked_weights(class_weights, len(fitted.class_names))
    states = pixel_states(fitted.forward, overall)
    if context == "pixel" and is_large(spectra):
        pixels, columns = read_in_parts(fitted, spectra, settings, states, given, joint)
        bright = pixels.flag == 0
    else:
        moving = context == "series" and displacement is None  # is measured by the counts
        spectra = read_spectra(fitted, spectra, settings.show_progressbar, counts=moving)
        pixels = Places(spectra.flag, spectra.image, spectra.position, spectra.images)
        prior = None if given is None else states.of_classes(np.tile(given, (len(spectra), 1)))
        columns = columns_of(fitted, spectra, settings, states, prior)
        bright = without_dim(spectra).ok
    alone, known, links = columns["total"], None, None
    if context == "series":
        linked = linked_images(spectra, displacement)
        links = linked.links
        if linked.problem:
            warnings.warn(f"predict: {linked.problem}", stacklevel=WARNED_CALL)
    if context != "pixel" and np.isfinite(alone).any():
        weights = overall if given is None else given
        novelty, of_images = columns["novelty"], Pixels(spectra, columns, states, weights)
        if context == "image":
            columns = read_with_image(fitted, of_images, settings)
        else:
            columns, known = read_with_neighbours(fitted, of_images, settings, links)
        columns["novelty"] = novelty  # of a pixel by itself, whatever its image is like
    ok = np.isfinite(columns["total"])
    # a spectrum of few electrons, as of vacuum, is unlike those that the model draws
    if unlike := unlike_model(columns["novelty"][ok & bright]):
        warnings.warn(f"predict: {unlike}", stacklevel=WARNED_CALL)
    columns = kept(columns, joint)
    gaussians = {name: columns.pop(name) for name in COMPONENTS if name in columns}
    labels, library = np.full(len(ok), -1), fitted.forward.library
    labels[ok] = columns["probabilities"][ok].argmax(1)
    return Prediction(
        labels=labels,
        class_names=fitted.class_names,
        flag=np.where((pixels.flag == 0) & ~ok, int(Flag.NO_ANSWER), pixels.flag),
        image=pixels.image,
        position=pixels.position,
        images=pixels.images,
        joint=_joint_posterior(gaussians, fitted) if joint else None,
        neighbours=alone - columns["total"],
        map_posterior=known,
        value_name=library.value_name,
        value_unit=library.value_unit,
        value_range=library.value_range,
        model=digest(fitted),
        **columns,
        **_value_reach(fitted, context),
    )


def _joint_posterior(gaussians: dict[str, NDArray[Any]], fitted: Fitted) -> JointPosterior:
    """The latents' Gaussians, and the classifier that reads them."""
    weight, mean, sd, component = (gaussians[name] for name in COMPONENTS)
    against = reader_of(fitted).against.cpu().numpy()
    return JointPosterior(weight, mean, sd, component, fitted.gp, against)


def _value_reach(fitted: Fitted, context: Context) -> dict[str, NDArray[np.float64]]:
    """How far the value's sd reaches; nothing where there are no values."""
    if fitted.value is None:
        return {}
    near = context in ("neighbours", "series")
    reach = fitted.value.reach_of_mixed if near else fitted.value.reach
    return {"value_reach": reach.numpy()}
