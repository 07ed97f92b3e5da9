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
from eels_bayes.prediction.shared_continuum import Heard, heard, offsets

# Of a pixel that tells what continua share: the model does not describe others, and a third of an
# image that is 1.3 times as bright as any would turn the classes of all the rest. One pixel in a
# hundred of those that it does describe is left out.
MOST_NOVEL = 0.99
STEPS = 8  # in which what images share and how frequent classes are settle together
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
    apart = _apart(fitted, pixels)
    left, others = _with_image(pixels, apart)
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

    apart = _apart(fitted, pixels)
    known, _ = _with_image(pixels, apart)
    found = field(_of_states(pixels, known, pixels.columns))
    known = _left(apart, pixels, known, said_by_others(found)[known.rows])
    columns = pixels.columns
    if not states.by_component:  # only heads know of some classes
        prior = np.tile(pixels.prior, (len(known.rows), 1))
        columns = columns_again(fitted, known, settings, states, prior, len(spectra))
    found = field(_of_states(pixels, known, columns), found.coupling)
    prior = said_by_others(found)[known.rows]
    return columns_again(fitted, known, settings, states, prior, len(spectra)), found


class _Apart(NamedTuple):
    """Pixels by themselves, and what they say of what their images share."""

    alone: Known
    heard: Heard


def _apart(fitted: Fitted, pixels: Pixels) -> _Apart:
    """Those that were read."""
    alone = pixels.known()
    return _Apart(alone, heard(fitted.forward, alone.profile, alone.level))


def _with_image(pixels: Pixels, apart: _Apart) -> tuple[Known, Array]:
    """Pixels without what their images' continua share, and weights of states (m, S) by others.

    What an image's classes and its continuum are is known together alone.
    """
    known, states = apart.alone, pixels.states
    image = pixels.spectra.image[known.rows]
    alone, by_heads = _classes(states, known), pixels.columns["probabilities"][known.rows]
    mix = image_weights(by_heads, image, pixels.weights)
    for _ in range(STEPS):
        known = _left(apart, pixels, known, states.of_classes(mix.others))
        moved = by_heads * _classes(states, known) / alone
        moved /= moved.sum(1, keepdims=True)
        mix = image_weights(moved, image, pixels.weights, mix)
    return known, states.of_classes(mix.others)


def _classes(states: PixelStates, known: Known) -> Array:
    """Probabilities (m, K) of the classes that dominate components; little of each at least."""
    of_class = np.eye(states.share.shape[1])[states.label[states.of_dominant]]
    found: Array = known.component @ of_class + LEAST
    return found


def _left(apart: _Apart, pixels: Pixels, known: Known, others: Array) -> Known:
    """Pixels without what their images' continua share, by what others (m, S) say of states."""
    told = known.component * pixels.states.ratio_of_components(others)
    told /= told.sum(1, keepdims=True)
    told[pixels.columns["novelty"][known.rows] > MOST_NOVEL] = 0.0
    offset = offsets(apart.heard, pixels.spectra.image[known.rows], told)
    read = np.any(offset, axis=1, keepdims=True)
    alone = apart.alone
    component = softmax(apart.heard.with_offsets(offset), axis=1)
    return known._replace(
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
