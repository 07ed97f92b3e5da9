"""Pixels with what others of their images say: of their classes, and of their continua."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from eels_bayes.arrays import Array
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.image_settling import ByThemselves, moved, settled
from eels_bayes.classifier.pixel_columns import Columns, Known, columns_again, scatter
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import Spectra
from eels_bayes.field.series import Links
from eels_bayes.prediction.map_posterior import MapPosterior, map_posterior, said_by_others
from eels_bayes.prediction.pixel_states import PixelStates
from eels_bayes.prediction.shared_continuum import heard

# Of a pixel that tells what continua share: the model does not describe others, and a third of an
# image that is 1.3 times as bright as any would turn the classes of all the rest. One pixel in a
# hundred of those that it does describe is left out.
MOST_NOVEL = 0.99


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
    alone = pixels.known()
    apart = _apart(fitted, pixels, alone)
    by_image = settled(apart, pixels.states, pixels.weights)
    left = _left(alone, apart, by_image.offset)
    others = pixels.states.of_classes(by_image.others)
    return columns_again(fitted, left, settings, pixels.states, others, len(pixels.spectra))


def read_with_neighbours(
    fitted: Fitted, pixels: Pixels, settings: Settings, links: Links | None
) -> tuple[Columns, MapPosterior]:
    """Numbers of a prediction as `columns_of` gives them, and the field that they are read with.

    A first field, of pixels without what their images share, says better which components they are
    likely of, and with these what the continua share. Without it a second field is learned.

    Parameters
    ----------
    fitted : Fitted
    pixels : Pixels
    settings : Settings
    links : Links, optional
        Of images of a series.
    """
    states, spectra = pixels.states, pixels.spectra

    def field(of_states: NDArray[np.float32], near: MapPosterior | None = None) -> MapPosterior:
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

    alone = pixels.known()
    apart = _apart(fitted, pixels, alone)
    by_image = settled(apart, states, pixels.weights)
    known = _left(alone, apart, by_image.offset)
    found = field(_of_states(pixels, known, pixels.columns))
    ratio = states.ratio_of_components(said_by_others(found)[known.rows])
    known = _left(alone, apart, moved(apart, ratio, by_image.of_images))
    columns = pixels.columns
    if not states.by_component:  # only heads know of some classes
        prior = np.tile(pixels.prior, (len(known.rows), 1))
        columns = columns_again(fitted, known, settings, states, prior, len(spectra))
    found = field(_of_states(pixels, known, columns), found)
    prior = said_by_others(found)[known.rows]
    return columns_again(fitted, known, settings, states, prior, len(spectra)), found


def _apart(fitted: Fitted, pixels: Pixels, alone: Known) -> ByThemselves:
    """Those that were read."""
    image = np.unique(pixels.spectra.image[alone.rows], return_inverse=True)[1]
    return ByThemselves(
        heard(fitted.forward, alone.profile, alone.level),
        image,
        pixels.columns["novelty"][alone.rows] <= MOST_NOVEL,
        alone.component,
        pixels.columns["probabilities"][alone.rows],
    )


def _left(alone: Known, apart: ByThemselves, offset: Array) -> Known:
    """Pixels without what their images' continua share."""
    read = np.any(offset, axis=1, keepdims=True)
    component = softmax(apart.heard.with_offsets(offset), axis=1)
    return alone._replace(
        profile=alone.profile - apart.heard.shift(offset),
        component=np.where(read, component, alone.component),
    )


def _of_states(pixels: Pixels, known: Known, columns: Columns) -> NDArray[np.float32]:
    """Probabilities of states (n, S) by each pixel itself, with these weights of all."""
    states = pixels.states
    if not states.by_component:
        return columns["states"]
    found = known.component @ np.eye(len(states.label))[states.of_dominant]
    found *= pixels.prior / states.weight
    found /= found.sum(1, keepdims=True)
    return scatter(found.astype(np.float32), known.rows, len(pixels.spectra))
