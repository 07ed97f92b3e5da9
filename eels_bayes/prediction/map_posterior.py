"""Classes of many pixels together: what neighbours say of one another, and draws of whole maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.data.spectra import Spectra
from eels_bayes.field.coupling import Coupling, Field, learn_field
from eels_bayes.field.draws import draw_maps
from eels_bayes.field.graph import Graph, grid_graph
from eels_bayes.field.messages import class_distance, values_of_all
from eels_bayes.field.series import Links, linked_graph
from eels_bayes.field.weight_doubt import drawn_offsets
from eels_bayes.prediction.pixel_states import PixelStates, state_distance

LEAST = 1e-30  # of a probability, to have a logarithm
LEAST_OTHERS = 1e-6  # of a state by all other pixels: they rule nothing out


@dataclass(frozen=True, eq=False)
class MapPosterior:
    """What is known of n pixels' classes together.

    Attributes
    ----------
    field : Field
        Of all pixels that were read together.
    graph : Graph
        Their neighbours.
    states : PixelStates
        What a pixel may be in it.
    rows : ndarray (n,) of int
        Which of them these are.
    ok : ndarray (n,) of bool
        Whether each of these was classified.
    links : Links, optional
        Which images show the same places, where they were read as a series.
    """

    field: Field
    graph: Graph
    states: PixelStates
    rows: NDArray[np.int64]
    ok: NDArray[np.bool_]
    links: Links | None = None

    def __getitem__(self, index: slice | NDArray[Any] | Sequence[int]) -> MapPosterior:
        """Some of the pixels, by a slice, indices or a mask."""
        return replace(self, rows=self.rows[index], ok=self.ok[index])

    @property
    def coupling(self) -> Coupling:
        """How alike neighbours were found to be."""
        return self.field.coupling

    @property
    def follows(self) -> NDArray[np.float64]:
        """How much more often each class comes after each of the image before than by chance.

        Returns
        -------
        ndarray (I, K, K)
            Class before, and class after; 1 where images have nothing in common, or no link. Up to
            the last image with a pixel.
        """
        follows: NDArray[np.float64] = self.field.log_follows.double().exp().numpy()
        return follows

    def draw(self, n_draws: int, *, seed: int = 0) -> NDArray[np.int64]:
        """Maps of classes, of all pixels together.

        What is open of each image's class weights is drawn with them (`field.weight_doubt`).

        Parameters
        ----------
        n_draws : int
            D.
        seed : int
            Of the draws.

        Returns
        -------
        ndarray (D, n) of int
            Class indices; -1 where flagged.

        Raises
        ------
        TypeError, ValueError
            If the number of draws is not whole and positive, or the seed none.
        """
        n_draws = validation.whole("n_draws", n_draws)
        seed = validation.seed(seed)
        offsets = drawn_offsets(self.field, self.graph, n_draws, np.random.default_rng(seed))
        drawn = draw_maps(self.field, self.graph, n_draws, offsets=offsets, seed=seed)
        drawn = drawn[:, self.rows]
        return np.where(self.ok, drawn, -1)


def map_posterior(
    probabilities: NDArray[Any],
    prior: NDArray[np.float64],
    states: PixelStates,
    spectra: Spectra,
    class_values: NDArray[np.float64] | None,
    *,
    links: Links | None = None,
    near: MapPosterior | None = None,
    rough: bool = False,
    show_progressbar: bool = False,
) -> MapPosterior:
    """What neighbours know of one another, learned from what single pixels say.

    Parameters
    ----------
    probabilities : (n, S) array
        Of the states of single pixels; NaN where flagged: neighbours hear of each other through
        such a pixel.
    prior : (S,) array
        Weights that they were computed with.
    states : PixelStates
    spectra : Spectra
        Of the n pixels: where they are.
    class_values : (k,) array, optional
        The library's value of its classes, which are the first of all.
    links : Links, optional
        Of images of a series, whose places are neighbours in time.
    near : MapPosterior, optional
        A rough one of the same pixels, read a little otherwise.
    rough : bool
        Whether it only says what each pixel is likely to be.
    show_progressbar : bool
        Shown where it takes more than a few seconds.
    """
    n, n_classes = len(probabilities), states.share.shape[1]
    ok = np.isfinite(probabilities).all(1)
    ratio = probabilities[ok].astype(np.float64) / np.maximum(prior, LEAST)
    likelihood = np.zeros(probabilities.shape)
    likelihood[ok] = np.log(np.maximum(ratio, LEAST))
    values = values_of_all(class_values, n_classes)
    shapes = [info.shape for info in spectra.images]
    graph = grid_graph(spectra.image, spectra.position, shapes)
    if links is not None:
        graph = linked_graph(graph, spectra.image, spectra.position, shapes, links)
    field = learn_field(
        likelihood,
        spectra.image,
        graph,
        state_distance(states.share, class_distance(values)),
        prior,
        label=states.label,
        near=None if near is None else near.field,
        rough=rough,
        show_progressbar=show_progressbar,
    )
    return MapPosterior(field, graph, states, np.arange(n), ok, links)


def said_by_others(known: MapPosterior) -> NDArray[np.float64]:
    """Probabilities (n, S) of each pixel's states by all others and its image."""
    others: NDArray[np.float64] = known.field.others.double().numpy()[known.rows] + LEAST_OTHERS
    return others / others.sum(1, keepdims=True)
