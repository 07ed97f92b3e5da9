"""Pixels with what others of their images say: of their classes, and of their continua."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from eels_bayes.arrays import Array
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.pixel_columns import Columns, Known, columns_again, scatter
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import Spectra
from eels_bayes.field.prior import Coupling
from eels_bayes.field.series import Links
from eels_bayes.prediction.image_context import image_weights
from eels_bayes.prediction.map_posterior import MapPosterior, map_posterior, said_by_others
from eels_bayes.prediction.pixel_states import PixelStates
from eels_bayes.prediction.shared_continuum import shared_continuum

# Of a pixel that tells what continua share: the model does not describe others, and a third of an
# image that is 1.3 times as bright as any would turn the classes of all the rest. One pixel in a
# hundred of those that it does describe is left out.
MOST_NOVEL = 0.99
LEAST = 1e-12  # of a class's probability, to be divided by


class Pixels(NamedTuple):
    """Pixels of images, and what a first reading has found of each by itself.

    Attributes
    ----------
    spectra : Spectra
        n pixels.
    columns : dict
        As `columns_of` gives them.
    states : PixelStates
    weights : (K,) array
        How frequent each class is where nothing is known of a pixel.
    """

    spectra: Spectra
    columns: Columns
    states: PixelStates
    weights: Array

    @property
    def prior(self) -> Array:
        """Weights (S,) of states where nothing is known of a pixel."""
        return self.states.of_classes(self.weights)

    def known(self) -> Known:
        """Those that were read."""
        rows = np.flatnonzero(np.isfinite(self.columns["total"]))
        of_spectra = self.spectra.profile, self.spectra.level
        return Known(rows, *(x[rows] for x in (*of_spectra, self.columns["components"])))


def read_with_image(fitted: Fitted, pixels: Pixels, settings: Settings) -> Columns:
    """Numbers of a prediction as `columns_of` gives them, by the mix of each image.

    Parameters
    ----------
    fitted : Fitted
    pixels : Pixels
    settings : Settings
    """
    alone, states, image = pixels.known(), pixels.states, pixels.spectra.image

    def said_by_image(classes: NDArray[np.float32]) -> Array:
        """Weights of states of each pixel by those others whose classes are these."""
        others = image_weights(classes, image[alone.rows], pixels.weights).others
        return states.of_classes(others)

    classes = pixels.columns["probabilities"][alone.rows]
    left = _left(fitted, pixels, alone, said_by_image(classes))
    moved = classes * _classes(states, left) / _classes(states, alone)
    classes = (moved / moved.sum(1, keepdims=True)).astype(np.float32)
    return columns_again(fitted, left, settings, states, said_by_image(classes), len(image))


def read_with_neighbours(
    fitted: Fitted, pixels: Pixels, settings: Settings, links: Links | None
) -> tuple[Columns, MapPosterior]:
    """Numbers of a prediction as `columns_of` gives them, and the field that they are read with.

    A first field says which components pixels are likely of, and with these what the continua of
    each image's pixels share. Without it they say more of their classes, to a second field.

    Parameters
    ----------
    fitted : Fitted
    pixels : Pixels
    settings : Settings
    links : Links, optional
        Of images of a series.
    """
    known, states, spectra = pixels.known(), pixels.states, pixels.spectra

    def field(of_states: NDArray[np.float32], near: Coupling | None = None) -> MapPosterior:
        """That of pixels which are in these states by themselves."""
        return map_posterior(
            of_states,
            pixels.prior,
            states,
            spectra,
            fitted.forward.library.class_values,
            links=links,
            near=near,
            rough=near is None,
            show_progressbar=settings.show_progressbar,
        )

    found = field(_of_states(pixels, known, pixels.columns))
    known = _left(fitted, pixels, known, said_by_others(found)[known.rows])
    columns = pixels.columns
    if not states.by_component:  # only heads know of some classes
        prior = np.tile(pixels.prior, (len(known.rows), 1))
        columns = columns_again(fitted, known, settings, states, prior, len(spectra))
    found = field(_of_states(pixels, known, columns), found.coupling)
    prior = said_by_others(found)[known.rows]
    return columns_again(fitted, known, settings, states, prior, len(spectra)), found


def _classes(states: PixelStates, known: Known) -> Array:
    """Probabilities (m, K) of the classes that dominate components; little of each at least."""
    of_class = np.eye(states.share.shape[1])[states.label[states.of_dominant]]
    found: Array = known.component @ of_class + LEAST
    return found


def _left(fitted: Fitted, pixels: Pixels, known: Known, others: Array) -> Known:
    """Pixels without what their images' continua share, by what others (m, S) say of states."""
    told = known.component * pixels.states.ratio_of_components(others)
    told /= told.sum(1, keepdims=True)
    told[pixels.columns["novelty"][known.rows] > MOST_NOVEL] = 0.0
    image = pixels.spectra.image[known.rows]
    shift, likelier = shared_continuum(fitted.forward, known.profile, known.level, image, told)
    with np.errstate(divide="ignore"):
        likelier = likelier + np.log(known.component)
    component = softmax(likelier, axis=1).astype(known.component.dtype)
    return known._replace(profile=known.profile - shift, component=component)


def _of_states(pixels: Pixels, known: Known, columns: Columns) -> NDArray[np.float32]:
    """Probabilities of states (n, S) by each pixel itself, with these weights of all."""
    states = pixels.states
    if not states.by_component:
        return columns["states"]
    found = known.component @ np.eye(len(states.label))[states.of_dominant]
    found *= pixels.prior / states.weight
    found /= found.sum(1, keepdims=True)
    return scatter(found.astype(np.float32), known.rows, len(pixels.spectra))
