"""Pixels with what others of their images say: of their classes, and of their continua."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.classifier.fitted import Fitted, component_probabilities
from eels_bayes.classifier.pixel_columns import columns_of, scatter
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import Spectra
from eels_bayes.field.prior import Coupling
from eels_bayes.field.series import Links
from eels_bayes.prediction.map_posterior import MapPosterior, map_posterior, said_by_others
from eels_bayes.prediction.pixel_states import PixelStates
from eels_bayes.prediction.shared_continuum import shared_continuum

# Of a pixel that tells what continua share: the model does not describe others, and a third of an
# image that is 1.3 times as bright as any would turn the classes of all the rest. One pixel in a
# hundred of those that it does describe is left out.
MOST_NOVEL = 0.99


def read_with_neighbours(
    fitted: Fitted,
    spectra: Spectra,
    settings: Settings,
    states: PixelStates,
    alone: NDArray[np.float32],
    novelty: NDArray[np.float32],
    weights: NDArray[np.float64],
    links: Links | None,
) -> tuple[dict[str, NDArray[Any]], MapPosterior]:
    """Numbers of a prediction as `columns_of` gives them, and the field that they are read with.

    A first field says which components pixels are likely of, and with these what the continua of
    each image's pixels share. Without it they say more of their classes, to a second field.

    Parameters
    ----------
    fitted : Fitted
    spectra : Spectra
    settings : Settings
    states : PixelStates
    alone : (n, S) array
        Probabilities of states by each pixel itself; NaN where it is not read.
    novelty : (n,) array
        Of each pixel itself: those above `MOST_NOVEL` tell nothing of their image's continuum.
    weights : (K,) array
        How frequent each class is where nothing is known of a pixel.
    links : Links, optional
        Of images of a series.
    """
    prior = states.of_classes(weights)

    def field(of_states: NDArray[np.float32], near: Coupling | None = None) -> MapPosterior:
        """That of pixels which are in these states by themselves."""
        values, shown = fitted.forward.library.class_values, settings.show_progressbar
        given = (of_states, prior, states, spectra, values)
        return map_posterior(*given, links=links, near=near, show_progressbar=shown)

    known = field(alone)
    rows = np.flatnonzero(np.isfinite(alone).all(1))
    usable = spectra[rows]
    component = component_probabilities(fitted.encoder, usable, settings.device).numpy()
    component *= states.ratio_of_components(said_by_others(known)[rows])
    component /= component.sum(1, keepdims=True)
    component[novelty[rows] > MOST_NOVEL] = 0.0
    profile = spectra.profile.copy()
    profile[rows] -= shared_continuum(
        fitted.forward, usable.profile, usable.level, usable.image, component
    )
    moved = replace(spectra, profile=profile)
    known = field(_of_states(fitted, moved, settings, states, prior, rows), known.coupling)
    return columns_of(fitted, moved, settings, states, said_by_others(known)), known


def _of_states(
    fitted: Fitted,
    spectra: Spectra,
    settings: Settings,
    states: PixelStates,
    prior: NDArray[np.float64],
    rows: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Probabilities of states (n, S) by each pixel itself, with these weights of all."""
    if not states.by_component:  # only heads know of some classes
        ratio = np.tile(prior, (len(spectra), 1))
        return columns_of(fitted, spectra, settings, states, ratio)["states"]
    component = component_probabilities(fitted.encoder, spectra[rows], settings.device).numpy()
    found = component @ np.eye(len(states.label))[states.of_dominant] * (prior / states.weight)
    found /= found.sum(1, keepdims=True)
    return scatter(found.astype(np.float32), rows, len(spectra))
